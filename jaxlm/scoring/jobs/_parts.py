"""The parts of a job: consecutive documents, and the Parquet file that their rows become."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from jaxlm import data
from jaxlm.scoring.jobs._part_files import seal_table
from jaxlm.scoring.jobs._plan import CutPosition, Plan
from jaxlm.scoring.jobs._vectors import column_of

Base = Literal["e", "2"]


class Part(NamedTuple):
    """Consecutive documents that are scored and written together.

    Attributes:
      number: the part's number, from 0.
      first: index of its first document in the corpus.
      size: how many documents it has.
      documents: the documents; empty in a part that was not wanted.
    """

    number: int
    first: int
    size: int
    documents: Sequence[data.Record | data.UnreadableRecord]


def plan_parts(
    files: Sequence[Callable[[], Iterable[data.Record | data.UnreadableRecord]]],
    *,
    part_documents: int,
    part_characters: int,
    wanted: Callable[[int], bool] = lambda number: True,
    plan: Plan | None = None,
    check: Callable[[int], None] = lambda file: None,
) -> Iterator[Part]:
    """Yields the parts of a corpus, in order: a function of the documents and of two numbers alone.

    A part ends with the document that brings it to `part_documents` documents or `part_characters` characters
    of text.

    Args:
      files: of the corpus: each returns the documents of one file.
      part_documents: the most documents of a part.
      part_characters: how many characters of text fill a part.
      wanted: whether the documents of the part of a number are kept.
      plan: what is known of the cuts; a file without a wanted part is not read. The plan grows.
      check: called with a file's number before a wanted part ends within that file; raises if the file is
        being changed.

    Example:
      >>> from jaxlm import data
      >>> from jaxlm.scoring.jobs._parts import plan_parts
      >>> texts = [data.Record(str(n), "abc", {}) for n in range(5)]
      >>> parts = plan_parts([lambda: texts[:3], lambda: texts[3:]], part_documents=9, part_characters=6)
      >>> [(part.first, part.size) for part in parts]
      [(0, 2), (2, 2), (4, 1)]
    """
    number = first = size = characters = 0
    held: list[data.Record | data.UnreadableRecord] = []
    is_wanted = wanted(number)
    plan = Plan() if plan is None else plan
    for file, read in enumerate(files):
        if plan.is_unneeded(file, wanted):
            for skipped in plan.sizes[number : plan.cuts[file + 1].part]:
                yield Part(number, first, skipped, [])
                number, first = number + 1, first + skipped
            _, size, characters = plan.cuts[file + 1]
            is_wanted = wanted(number)
            continue
        for document in read():
            size += 1
            characters += len(document.text) if isinstance(document, data.Record) else 0
            if is_wanted:
                held.append(document)
            if size >= part_documents or characters >= part_characters:
                if is_wanted:
                    check(file)
                plan.add_part(number, size)
                yield Part(number, first, size, held)
                number, first, size, characters, held = number + 1, first + size, 0, 0, []
                is_wanted = wanted(number)
        plan.add_file(file, CutPosition(number, size, characters))
    if size:
        yield Part(number, first, size, held)


def part_schema(columns: pa.Schema, base: Base = "e") -> pa.Schema:
    """Returns the columns of a part: the document's index and id, the scorer's columns, and the error.

    Args:
      columns: of the scorer; those in nats have the metadata `{"unit": "nats"}`.
      base: "2" makes the unit of those "bits".

    Example:
      >>> import pyarrow as pa
      >>> from jaxlm.scoring.jobs._parts import part_schema
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
    """Returns the Parquet file (zstd) of a part, which carries its own SHA-256 (see `seal_table`).

    Args:
      columns: of the scorer.
      part: the documents.
      rows: one a document: values by column, or `{"error": line}`.
      job: the job's id, for the file's metadata.
      base: "2" divides the columns in nats by ln 2.

    Returns:
      The file's bytes: the same for the same arguments.
    """
    ids = pa.array((escape_surrogates(document.id) for document in part.documents), pa.string())
    own = [column_of([row.get(field.name) for row in rows], field.type) for field in columns]
    if base == "2":
        own = [
            _in_bits(array) if is_in_nats(field) else array for array, field in zip(own, columns, strict=True)
        ]
    errors = pa.array([row.get("error") for row in rows], pa.string())
    index = pa.array(range(part.first, part.first + part.size), pa.int64())
    metadata = {"job": job, "part": str(part.number), "first": str(part.first), "documents": str(part.size)}
    schema = part_schema(columns, base).with_metadata(metadata)
    return seal_table(pa.Table.from_arrays([index, ids, *own, errors], schema=schema))


def is_in_nats(field: pa.Field) -> bool:
    """Returns whether a column's unit is nats.

    Example:
      >>> import pyarrow as pa
      >>> from jaxlm.scoring.jobs._parts import is_in_nats
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
    r"""Returns an id with what is not valid UTF-8 written as escapes: the name of a file may have such bytes.

    Example:
      >>> from jaxlm.scoring.jobs._parts import escape_surrogates
      >>> escape_surrogates("caf\udce9.txt:1")
      'caf\\udce9.txt:1'
    """
    return text.encode("utf-8", "backslashreplace").decode()
