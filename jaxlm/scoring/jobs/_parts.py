"""The parts of a job: consecutive documents, and the Parquet file that their rows become."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from jaxlm import data
from jaxlm.scoring.jobs._part_files import seal_table
from jaxlm.scoring.jobs._plan import CutPosition, Plan

Base = Literal["e", "2"]


class Part(NamedTuple):
    """Consecutive documents that are scored and written together.

    Attributes:
      number: of the part, from 0.
      first: index of its first document in the corpus.
      size: how many documents it has.
      documents: them; empty where they were not wanted.
    """

    number: int
    first: int
    size: int
    documents: Sequence[data.Record | data.UnreadableRecord]


def plan_parts(
    pieces: Sequence[Callable[[], Iterable[data.Record | data.UnreadableRecord]]],
    *,
    part_documents: int,
    part_characters: int,
    wanted: Callable[[int], bool] = lambda number: True,
    plan: Plan | None = None,
    check: Callable[[int], None] = lambda place: None,
) -> Iterator[Part]:
    """Yields the parts of a corpus, in order: a function of the documents and of two numbers alone.

    A part ends with the document that brings it to `part_documents` documents or `part_characters` characters
    of text.

    Args:
      pieces: of the corpus, its files: each returns its documents.
      part_documents: the most documents of a part.
      part_characters: the characters that are enough for a part.
      wanted: of a part's number, whether its documents are kept.
      plan: what is known of it: a piece without a wanted part is not read. It grows.
      check: of a piece's place, raises if it is being changed: asked before a wanted part ends within it.

    Example:
      >>> texts = [data.Record(str(n), "abc", {}) for n in range(5)]
      >>> parts = plan_parts([lambda: texts[:3], lambda: texts[3:]], part_documents=9, part_characters=6)
      >>> [(part.first, part.size) for part in parts]
      [(0, 2), (2, 2), (4, 1)]
    """
    number = first = size = characters = 0
    held: list[data.Record | data.UnreadableRecord] = []
    keeps = wanted(number)
    plan = Plan() if plan is None else plan
    for place, piece in enumerate(pieces):
        if plan.is_passed(place, wanted):
            for passed in plan.sizes[number : plan.stands[place + 1].part]:
                yield Part(number, first, passed, [])
                number, first = number + 1, first + passed
            _, size, characters = plan.stands[place + 1]
            keeps = wanted(number)
            continue
        for document in piece():
            size += 1
            characters += len(document.text) if isinstance(document, data.Record) else 0
            if keeps:
                held.append(document)
            if size >= part_documents or characters >= part_characters:
                if keeps:
                    check(place)
                plan.add_part(number, size)
                yield Part(number, first, size, held)
                number, first, size, characters, held = number + 1, first + size, 0, 0, []
                keeps = wanted(number)
        plan.add_file(place, CutPosition(number, size, characters))
    if size:
        yield Part(number, first, size, held)


def part_schema(columns: pa.Schema, base: Base = "e") -> pa.Schema:
    """Returns the columns of a part: index and id of the document, the scorer's, and what went wrong.

    Args:
      columns: of the scorer; those in nats have the metadata `{"unit": "nats"}`.
      base: "2" names the unit "bits".

    Example:
      >>> part_schema(pa.schema([("log_likelihood", pa.float64())])).names
      ['index', 'id', 'log_likelihood', 'error']
    """
    bits = {b"unit": b"bits"}
    own = [
        field.with_metadata(field.metadata | bits) if base == "2" and is_in_nats(field) else field
        for field in columns
    ]
    return pa.schema([("index", pa.int64()), ("id", pa.string()), *own, ("error", pa.string())])


def encode_part(
    columns: pa.Schema, part: Part, rows: Sequence[dict[str, Any]], *, job: str, base: Base = "e"
) -> bytes:
    """Returns the Parquet file (zstd) of a part, with its SHA-256 in it (see `seal_table`).

    Args:
      columns: of the scorer.
      part: the documents.
      rows: of each, values by column, or `{"error": line}`.
      job: the job's id, which the file's metadata keeps.
      base: "2" divides what is in nats by ln 2.

    Returns:
      Its bytes: the same for the same arguments.
    """
    ids = pa.array((escape_surrogates(document.id) for document in part.documents), pa.string())
    own = [pa.array([row.get(field.name) for row in rows], field.type) for field in columns]
    if base == "2":
        own = [
            _in_bits(array) if is_in_nats(field) else array for array, field in zip(own, columns, strict=True)
        ]
    errors = pa.array([row.get("error") for row in rows], pa.string())
    index = pa.array(range(part.first, part.first + part.size), pa.int64())
    kept = {"job": job, "part": str(part.number), "first": str(part.first), "documents": str(part.size)}
    schema = part_schema(columns, base).with_metadata(kept)
    return seal_table(pa.Table.from_arrays([index, ids, *own, errors], schema=schema))


def is_in_nats(field: pa.Field) -> bool:
    """Returns whether a column's unit is nats.

    Example:
      >>> is_in_nats(pa.field("log_likelihood", pa.float64(), metadata={"unit": "nats"}))
      True
    """
    return (field.metadata or {}).get(b"unit") == b"nats"


def _in_bits(array: pa.Array) -> pa.Array:
    if pa.types.is_list(array.type):
        inner = _in_bits(array.values)
        return pa.ListArray.from_arrays(array.offsets, inner, type=array.type, mask=array.is_null())
    values = array.to_numpy(zero_copy_only=False) / math.log(2.0)
    return pa.array(values, array.type, mask=array.is_null().to_numpy(zero_copy_only=False))


def escape_surrogates(text: str) -> str:
    r"""Returns an id as a part holds it: a file's name may have bytes that are no UTF-8.

    Example:
      >>> escape_surrogates("caf\udce9.txt:1")
      'caf\\udce9.txt:1'
    """
    return text.encode("utf-8", "backslashreplace").decode()
