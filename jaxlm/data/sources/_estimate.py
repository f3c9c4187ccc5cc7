"""About how many records a corpus holds, for those who wait for its end."""

import contextlib
from collections.abc import Sequence

from jaxlm.data.sources._files import CorpusFile
from jaxlm.data.sources._parquet import open_parquet
from jaxlm.data.sources._records import CorpusError
from jaxlm.data.sources._remote import RemotePath
from jaxlm.data.sources._streams import LoneCr, count_bytes, count_head
from jaxlm.data.sources._text import Document
from jaxlm.data.sources._versions import file_size

# Of a remote corpus, the files that are looked at, and what is read of each.
SAMPLED_FILES, SAMPLED_BYTES = 4, 1 << 20


def estimate_records(files: Sequence[CorpusFile], *, document: Document = "line") -> int:
    """Returns about how many records files hold, without making them.

    Rows of Parquet are known; elsewhere line ends are counted (headers in FASTA), so that blank lines and
    line ends within the cells of a CSV count too. Of files at URLs the beginnings of a few are counted, and
    as many taken of each.

    Args:
      files: from `find_files`.
      document: as for `open_source`.

    Returns:
      The number; what cannot be read counts as nothing.

    Example:
      >>> from jaxlm.data import estimate_records
      >>> estimate_records([])
      0
    """
    remote = [file for file in files if isinstance(file.path, RemotePath)]
    here = sum(_records_in(file, document) for file in files if not isinstance(file.path, RemotePath))
    looked_at = remote[:: -(-len(remote) // SAMPLED_FILES) or 1]
    return here + sum(_about(file, document) for file in looked_at) * len(remote) // (len(looked_at) or 1)


def _records_in(file: CorpusFile, document: Document) -> int:
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


def _about(file: CorpusFile, document: Document) -> int:
    if file.format == "parquet" or (file.format == "text" and document == "file"):
        return _records_in(file, document)
    with contextlib.suppress(CorpusError):
        size = file_size(file.path)
        lines, headers = count_head(file.path, SAMPLED_BYTES, _lone_cr(file))
        found = headers if file.format == "fasta" else lines - (file.format == "csv")
        return round(found * max(size / SAMPLED_BYTES, 1.0))
    return 0


def _lone_cr(file: CorpusFile) -> LoneCr:
    return "always" if file.format == "fasta" else "without_lf"


def _parquet_rows(file: CorpusFile) -> int:
    with contextlib.suppress(CorpusError), open_parquet(file.path) as opened:
        return opened.metadata.num_rows
    return 0
