"""The corpus of a job: its documents, what they are a function of, and about how many there are."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from jaxlm import data, tokenizers
from jaxlm.errors import CorpusError

OnError = Literal["row", "stop"]
OpenRecords = Callable[[], Iterable[data.Record | data.UnreadableRecord]]


class Source(NamedTuple):
    """A corpus to be scored.

    Attributes:
      documents: returns an iterator over them, from the start each time.
      description: JSON values that differ where the documents do.
      estimate: about how many there are, from a look that makes none; None: unknown.
      check: raises `CorpusError` if the documents are no longer those that are described; where there are
        files it takes a place in them, too, and looks at that one alone.
      files: each returns the documents of one file, which one after the other are those of the corpus, and
        raises `CorpusError` behind them if they are not those that are described; none: it is not of files.
      kept: the columns that documents keep (`Record.kept`), which stand beside their scores.
    """

    documents: OpenRecords
    description: dict[str, Any]
    estimate: Callable[[], int | None] = lambda: None
    check: Callable[..., None] = lambda place=None: None
    files: Sequence[OpenRecords] = ()
    kept: pa.Schema = pa.schema([])

    def pieces(self) -> list[OpenRecords]:
        """Returns the files, or all documents as one."""
        return list(self.files) or [self.documents]

    def check_of_pieces(self) -> Callable[[int], None]:
        """Returns what raises `CorpusError` if a piece is no longer what is described, by its place."""
        return self.check if self.files else _known


def _known(place: int) -> None:
    """Documents that are of no file do not change."""


def file_source(
    paths: Sequence[str | Path] | str | Path,
    format: str | None = None,
    *,
    document: Literal["line", "file"] = "line",
    field: str = "text",
    fields: Sequence[str] = (),
    keep: Sequence[str] = (),
    on_error: OnError = "row",
    max_document: int = data.MAX_DOCUMENT,
) -> Source:
    """Returns the corpus that paths name; its files are described by name and content.

    A document of JSONL, CSV or Parquet has the id that its field `id` says, where there is one; else its id
    is file and line.

    Content is its SHA-256, and of a file at a URL what its store says of it (see `data.file_digest`), so that
    such a file is read once.

    Args:
      paths: one or several files, folders or globs, or URLs of such.
      format: how to read every file; None takes it from each ending.
      document: of a text file, whether a line or the whole file is one document.
      field: the JSONL field or the column (CSV, Parquet) that holds the text.
      fields: further ones, that go into `meta`.
      keep: columns that stand beside the scores, with their types (see `data.kept_column_types`).
      on_error: whether a piece that cannot be read is a document of its own, without text ("row"), or stops
        the reading ("stop").
      max_document: the most bytes of a document, decompressed; of JSONL and CSV, of a line.

    Raises:
      CorpusError: a path is missing, unreadable or of an unknown format, or there is no such column.

    Example:
      >>> import pathlib, tempfile
      >>> folder = pathlib.Path(tempfile.mkdtemp())
      >>> _ = (folder / "a.txt").write_text("one\\ntwo\\n")
      >>> source = file_source([str(folder)])
      >>> [document.text for document in source.documents()], source.estimate()
      (['one', 'two'], 2)
    """
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    fields = tuple(tokenizers.as_texts(fields))
    # Looked up once for the errors, and for files' names and formats.
    data.open_source(paths, format, document=document, field=field, fields=fields)
    files = data.find_files([str(path) for path in paths], format)
    sniff = format is None and document == "line"
    read = data.read_files_with_errors if on_error == "row" else data.read_files
    data.check_fields(files, keep, "leave it out, or give the texts as JSONL, CSV or Parquet")
    types = data.kept_column_types(files, tuple(dict.fromkeys(keep)))
    # It is there already, as the document's own.
    types.pop("id", None)

    # Of what can be pickled, so that it may be read on another machine.
    how = {"sniff": sniff, "document": document, "field": field, "fields": fields}
    how |= {"keep": types, "max_document": max_document}
    documents = functools.partial(read, files, **how)
    estimate = functools.partial(data.estimate_records, files, document=document)
    # Before the digests: what changes from here on is another corpus.
    places = [file.path for file in files]
    versions = data.map_concurrently(data.file_version, places)
    check = functools.partial(_check, places, versions)
    digests = data.map_concurrently(data.file_digest, places)
    described = {
        "files": {file.name: digest for file, digest in zip(files, digests, strict=True)},
        "format": format,
        "document": document,
        "field": field,
        "fields": list(fields),
    }
    if any(file.format in data.FORMATS_WITH_FIELDS for file in files):
        described |= {"ids": "own"}
    if types:
        described |= {"keep": {name: str(kind) for name, kind in types.items()}}
    pieces = [
        functools.partial(_read_file, read, file, version, **how)
        for file, version in zip(files, versions, strict=True)
    ]
    return Source(documents, described, estimate, check, pieces, pa.schema(list(types.items())))


def read_first_document(source: Source) -> list[OpenRecords]:
    """Returns the pieces of a corpus, having read its first document.

    Raises:
      CorpusError: if there is none.
    """
    pieces = source.pieces()
    for place, piece in enumerate(pieces):
        documents = iter(piece())
        first = next(documents, None)
        if first is not None:
            return [
                *pieces[:place],
                functools.partial(itertools.chain, [first], documents),
                *pieces[place + 1 :],
            ]
    raise CorpusError("the corpus is empty: expected documents, got files without one")


def _read_file(
    read: Callable[..., Iterator[data.Record | data.UnreadableRecord]],
    file: data.CorpusFile,
    version: str | None,
    **how: Any,
) -> Iterator[data.Record | data.UnreadableRecord]:
    """The documents of a file, which ends if it is still the one that was described.

    Where it ends is kept for whoever goes on, and to go on behind the end of another would leave parts out.
    """
    yield from read([file], **how)
    _check([file.path], [version])


def _check(
    places: Sequence[Path | data.RemotePath], versions: Sequence[str | None], place: int | None = None
) -> None:
    if place is not None:
        places, versions = [places[place]], [versions[place]]
    found = data.map_concurrently(data.file_version, places)
    changed = [str(place) for place, *both in zip(places, versions, found, strict=True) if both[0] != both[1]]
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise data.CorpusError(
            f"{changed[0]}{more} changed while the corpus was scored: its scores are of no one corpus; score "
            f"what is there now, into another folder"
        )
