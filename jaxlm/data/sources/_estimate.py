"""An estimate of the number of records in a corpus, for progress bars."""

import contextlib
from collections.abc import Sequence

from jaxlm.data.sources._files import CorpusFile
from jaxlm.data.sources._parquet import open_parquet
from jaxlm.data.sources._records import CorpusError
from jaxlm.data.sources._remote import RemotePath
from jaxlm.data.sources._streams import LoneCr, count_bytes, count_head
from jaxlm.data.sources._text import Document
from jaxlm.data.sources._versions import file_size

# How many files of a remote corpus are sampled, and how many bytes of each.
SAMPLED_FILES, SAMPLED_BYTES = 4, 1 << 20


def estimate_records(files: Sequence[CorpusFile], *, document: Document = "line") -> int:
    """Returns an estimate of the number of records in files, without reading the records.

    A Parquet file states its number of rows. In a FASTA file headers are counted, in other files line ends,
    so blank lines and line ends inside CSV cells count too. For files at URLs, only the beginnings of a few
    files are counted, and the remaining files are taken to hold as many records on average.

    Args:
      files: the files, as `find_files` returns them.
      document: "line" if each line of a text file is a document, "file" if the whole file is one.

    Returns:
      The estimated number of records. A file that cannot be read counts as empty.

    Example:
      >>> import pathlib, tempfile
      >>> from jaxlm.data import estimate_records, find_files
      >>> path = pathlib.Path(tempfile.mkdtemp(), "tales.txt")
      >>> _ = path.write_text("one\\n\\nthree\\n")
      >>> estimate_records(find_files(str(path)))
      3
    """
    remote = [(file, file.path) for file in files if isinstance(file.path, RemotePath)]
    local = sum(_count(file, document) for file in files if not isinstance(file.path, RemotePath))
    sampled = remote[:: -(-len(remote) // SAMPLED_FILES) or 1]
    in_sampled = sum(_extrapolate(file, path, document) for file, path in sampled)
    return local + in_sampled * len(remote) // (len(sampled) or 1)


def _count(file: CorpusFile, document: Document) -> int:
    if file.format == "parquet":
        return _parquet_rows(file)
    if file.format == "text" and document == "file":
        return 1
    with contextlib.suppress(CorpusError):
        lines, headers, ends_open = count_bytes(file.path, _lone_cr(file))
        if file.format == "fasta":
            return headers
        return lines + ends_open - (file.format == "csv")
    return 0


def _extrapolate(file: CorpusFile, path: RemotePath, document: Document) -> int:
    if file.format == "parquet" or (file.format == "text" and document == "file"):
        return _count(file, document)
    with contextlib.suppress(CorpusError):
        size = file_size(path)
        lines, headers = count_head(path, SAMPLED_BYTES, _lone_cr(file))
        in_head = headers if file.format == "fasta" else lines - (file.format == "csv")
        return round(in_head * max(size / SAMPLED_BYTES, 1.0))
    return 0


def _lone_cr(file: CorpusFile) -> LoneCr:
    return "always" if file.format == "fasta" else "without_lf"


def _parquet_rows(file: CorpusFile) -> int:
    with contextlib.suppress(CorpusError), open_parquet(file.path) as opened:
        return opened.metadata.num_rows
    return 0
