"""The corpus of a job: its documents, a description that identifies them, and about how many there are."""

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
    """A corpus to be scored, as functions that read it.

    Attributes:
      documents: a function that returns an iterator over all documents, each time from the first one.
      description: JSON values that identify the corpus: they differ if the documents differ.
      estimate: a function that returns about how many documents there are, without reading them; None if the
        number is unknown.
      check: a function that raises `CorpusError` if the documents are no longer the described ones. For a
        corpus of files it also takes the number of a file, and then looks at that file alone.
      files: functions that each return the documents of one file; one after the other they are the corpus.
        After the last document of a file, its function raises `CorpusError` if the file is not the described
        one. Empty for a corpus that does not consist of files.
      kept: the columns of the corpus that are written beside the scores, taken from `Record.kept`; an Arrow
        schema.
    """

    documents: OpenRecords
    description: dict[str, Any]
    estimate: Callable[[], int | None] = lambda: None
    check: Callable[..., None] = lambda file=None: None
    files: Sequence[OpenRecords] = ()
    kept: pa.Schema = pa.schema([])

    def readers(self) -> list[OpenRecords]:
        """Returns one reading function for each file, or a single one for a corpus that has no files."""
        return list(self.files) or [self.documents]

    def file_check(self) -> Callable[[int], None]:
        """Returns a function of a reader's number that raises `CorpusError` if that reader's file changed."""
        return self.check if self.files else _unchanged


def _unchanged(file: int) -> None:
    """Accepts every reader: documents that come from no file do not change."""


class _ReadOptions(NamedTuple):
    """How the files of a corpus are read; may be pickled, so that another machine reads them."""

    sniff: bool
    document: Literal["line", "file"]
    field: str
    fields: tuple[str, ...]
    keep: dict[str, Any]
    on_error: OnError
    max_document: int

    def read(self, files: Sequence[data.CorpusFile]) -> Iterator[data.Record | data.UnreadableRecord]:
        read = data.read_files_with_errors if self.on_error == "row" else data.read_files
        return read(
            files,
            sniff=self.sniff,
            document=self.document,
            field=self.field,
            fields=self.fields,
            keep=self.keep,
            max_document=self.max_document,
        )


def file_source(
    paths: Sequence[str | Path] | str | Path,
    format: data.Format | None = None,
    *,
    document: Literal["line", "file"] = "line",
    field: str = "text",
    fields: Sequence[str] = (),
    keep: Sequence[str] = (),
    on_error: OnError = "row",
    max_document: int = data.MAX_DOCUMENT,
) -> Source:
    """Returns the corpus that paths name; its description has the name and a digest of each file.

    A document of JSONL, CSV or Parquet has the id that its field `id` holds, if there is such a field; every
    other document has its file and line as its id.

    The digest of a local file is its SHA-256. For a file at a URL it is the checksum that the store keeps
    (see `data.file_digest`), so that a remote file is read only once.

    Args:
      paths: a file, a folder or a glob, as a path or URL; or several of them.
      format: the format of every file; None: each file has the format that the ending of its name tells.
      document: for text files: whether each "line" or the whole "file" is one document.
      field: the JSONL field or the column (CSV, Parquet) that holds the text.
      fields: further fields or columns that are read, into `Record.meta`.
      keep: the names of columns that are written beside the scores, with their types (see
        `data.kept_column_types`).
      on_error: what happens at a document that cannot be read. "row" yields a record without text that says
        why, so that its row has an `error`; "stop" ends the reading there with an exception.
      max_document: the largest size of a document in bytes after decompression; for JSONL and CSV, the
        largest size of a line.

    Returns:
      The corpus.

    Raises:
      CorpusError: if a path is missing, unreadable or of an unknown format, or a column that is asked for
        does not exist.

    Example:
      >>> import pathlib, tempfile
      >>> from jaxlm.scoring import file_source
      >>> folder = pathlib.Path(tempfile.mkdtemp())
      >>> _ = (folder / "a.txt").write_text("one\\ntwo\\n")
      >>> source = file_source([str(folder)])
      >>> [document.text for document in source.documents()], source.estimate()
      (['one', 'two'], 2)
    """
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    fields = tuple(tokenizers.as_texts(fields))
    # Opened once for its errors alone; the names and formats of the files follow.
    data.open_source(paths, format, document=document, field=field, fields=fields)
    files = data.find_files([str(path) for path in paths], format)
    data.check_fields(files, keep, "leave it out, or give the texts as JSONL, CSV or Parquet")
    types = data.kept_column_types(files, tuple(dict.fromkeys(keep)))
    # A part has the documents' id anyway.
    types.pop("id", None)

    sniff = format is None and document == "line"
    options = _ReadOptions(sniff, document, field, fields, types, on_error, max_document)
    estimate = functools.partial(data.estimate_records, files, document=document)
    # Versions are taken before digests: whatever changes from here on makes it another corpus.
    paths_read = [file.path for file in files]
    versions = data.map_concurrently(data.file_version, paths_read)
    check = functools.partial(_check, paths_read, versions)
    digests = data.map_concurrently(data.file_digest, paths_read)
    description = {
        "files": {file.name: digest for file, digest in zip(files, digests, strict=True)},
        "format": format,
        "document": document,
        "field": field,
        "fields": list(fields),
    }
    if any(file.format in data.FORMATS_WITH_FIELDS for file in files):
        description |= {"ids": "own"}
    if types:
        description |= {"keep": {name: str(kind) for name, kind in types.items()}}
    readers = [
        functools.partial(_read_file, file, version, options)
        for file, version in zip(files, versions, strict=True)
    ]
    documents = functools.partial(options.read, files)
    return Source(documents, description, estimate, check, readers, pa.schema(list(types.items())))


def read_first_document(source: Source) -> list[OpenRecords]:
    """Returns the readers of a corpus after its first document was read, which the readers yield, too.

    Raises:
      CorpusError: if there is no document.
    """
    readers = source.readers()
    for number, read in enumerate(readers):
        documents = iter(read())
        first = next(documents, None)
        if first is not None:
            begun = functools.partial(itertools.chain, [first], documents)
            return [*readers[:number], begun, *readers[number + 1 :]]
    raise CorpusError("the corpus is empty: expected documents, got files without one")


def _read_file(
    file: data.CorpusFile, version: str | None, options: _ReadOptions
) -> Iterator[data.Record | data.UnreadableRecord]:
    """Yields the file's documents, then raises `CorpusError` if the file changed while it was read.

    A job that goes on relies on the recorded end of each file: with that of another version it would skip
    documents.
    """
    yield from options.read([file])
    _check([file.path], [version])


def _check(
    paths: Sequence[Path | data.RemotePath], versions: Sequence[str | None], file: int | None = None
) -> None:
    """Raises `CorpusError` if a file, or the file of that number, is not of its version any more."""
    if file is not None:
        paths, versions = [paths[file]], [versions[file]]
    now = data.map_concurrently(data.file_version, paths)
    changed = [str(path) for path, old, new in zip(paths, versions, now, strict=True) if old != new]
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise data.CorpusError(
            f"{changed[0]}{more} changed while the corpus was scored: its scores would mix two versions; "
            f"score what is there now, into another folder"
        )
