"""Which files a corpus is made of, and in which format each one is."""

import itertools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from jaxlm import io
from jaxlm.data.sources._cards import is_card
from jaxlm.data.sources._containers import READABLE_CONTAINERS, container_by_name, container_error
from jaxlm.data.sources._local_files import check_regular, find_local
from jaxlm.data.sources._records import CorpusError
from jaxlm.data.sources._remote import Place, PlaceType, RemotePath
from jaxlm.data.sources._remote_files import find_remote
from jaxlm.io import split_url

Format = Literal["text", "jsonl", "csv", "parquet", "fasta", "traces"]

ENDINGS: dict[str, Format] = {
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".fasta": "fasta",
    ".fa": "fasta",
    ".faa": "fasta",
    ".traces": "traces",
    ".trace": "traces",
}
LOG = logging.getLogger(__name__)


class CorpusFile(NamedTuple):
    """A file of a corpus, as `find_files` returns it.

    Attributes:
      path: the local path, or the URL as a `RemotePath`.
      name: the path of the file below the folder that all files of the corpus share. The name stays the same
        when that folder is moved; ids of records begin with it.
      format: the format in which the file is read: "text", "jsonl", "csv", "parquet", "fasta" or "traces"
        (functions as instructions, one on each line, see `traces_source`).
    """

    path: Place
    name: str
    format: Format


def find_files(paths: Sequence[str] | str, format: Format | None = None) -> list[CorpusFile]:
    """Returns all files that paths, folders and patterns name, sorted and without duplicates.

    A folder stands for every file below it with a known ending (`.txt`, `.jsonl`, `.csv`, `.parquet`,
    `.fasta`, `.traces` and similar ones; all but Parquet, which compresses its own columns, also with `.gz`
    or `.zst` after it). Links to folders are followed. Hidden files are skipped. So are cards and licences
    (`README.md`, `LICENSE.txt` and similar files), unless a path or a pattern with an ending names them.
    Files that other programs have compressed are skipped with a warning.

    Args:
      paths: files, folders or glob patterns (`**` crosses folders; `~` is the home folder), local or as URLs.
        A single string is one path.
      format: the format in which every file is read. None: the format follows from each file's ending.

    Returns:
      The files in the order of their paths, with their formats.

    Raises:
      CorpusError: a path is missing or no regular file; a pattern matches nothing; a folder holds nothing
        to read, may not be listed, or holds a broken link; an ending is unknown; a URL cannot be opened; or
        a file has to be decompressed first.

    Example:
      >>> import pathlib, tempfile
      >>> from jaxlm.data import find_files
      >>> folder = pathlib.Path(tempfile.mkdtemp())
      >>> for name in ("b.jsonl.gz", "a.txt", "README.md", ".hidden.txt"):
      ...     (folder / name).touch()
      >>> [(file.name, file.format) for file in find_files(str(folder))]
      [('a.txt', 'text'), ('b.jsonl.gz', 'jsonl')]
      >>> find_files(["no such.txt"])
      Traceback (most recent call last):
      ...
      jaxlm.errors.CorpusError: no file or folder at 'no such.txt'; check the path...
    """
    if format is not None and format not in get_args(Format):
        raise CorpusError(f"unknown format {format!r}; expected one of {', '.join(get_args(Format))}")
    if not paths:
        raise CorpusError("no corpus: expected at least one path, got none")
    paths = [paths] if isinstance(paths, str) else paths
    matches = {match for path in paths for match in _matches(path, format)}
    local = sorted(match for match in matches if isinstance(match, Path))
    places = [*local, *sorted(matches.difference(local), key=_segments)]
    for path in places:
        if (error := _read_error(path, format)) is not None:
            raise error
    levels = zip(*(_segments(path)[:-1] for path in places), strict=False)
    shared = sum(1 for _ in itertools.takewhile(lambda words: len(set(words)) == 1, levels))
    names = ["/".join(_segments(path)[shared:]) for path in places]
    return [CorpusFile(path, name, format or _format(path)) for path, name in zip(places, names, strict=True)]


def _segments(path: Place) -> list[str]:
    return str(path if isinstance(path, RemotePath) else path.absolute()).split("/")


def _matches(path: str, format: Format | None) -> Sequence[Place]:
    url = split_url(path)
    if url is None or url[0] == "file":
        return _local_matches(path if url is None else url[1], format)
    folder, files = find_remote(path)
    if folder is not None:
        return _readable_files(folder, files, format)
    return _without_cards(path, files) if len(files) > 1 else files


def _local_matches(path: str, format: Format | None) -> list[Path]:
    folder, files = find_local(path)
    files = _without_cards(path, files) if folder is None else _readable_files(folder, files, format)
    for file in files:
        check_regular(file)
    return files


def _without_cards(pattern: str, files: list[PlaceType]) -> list[PlaceType]:
    """The files of a pattern; cards only if its last part has letters, as in `*.md` or `README*`."""
    last = pattern.rsplit("/", 1)[-1]
    if any(letter.isalnum() for letter in last):
        return files
    return [path for path in files if not is_card(path.name)] or files


def _readable_files(folder: Place, visible: Sequence[PlaceType], format: Format | None) -> list[PlaceType]:
    """The files of a folder that can be read and are no cards."""
    visible = [path for path in visible if not io.is_stray(path.name)]
    documents = [path for path in visible if not is_card(path.name)]
    errors = {path: error for path in documents if (error := _read_error(path, format)) is not None}
    readable = [path for path in documents if path not in errors and (format or _ending(path) in ENDINGS)]
    if errors and not readable:
        raise next(iter(errors.values()))
    if not readable:
        cards = sorted(path.name for path in visible if is_card(path.name))
        about = f", {cards[0]} and its like left out" if cards else ""
        raise CorpusError(
            f"no corpus file in the folder {str(folder)!r} ({len(visible)} files, none ending in "
            f"{', '.join(ENDINGS)}{about}); name the files and give their format"
        )
    if errors:
        LOG.warning("passed over %d of the files in %s: %s", len(errors), folder, next(iter(errors.values())))
    if len(documents) < len(visible):
        LOG.info("left out %d cards and licences in %s", len(visible) - len(documents), folder)
    return readable


def _read_error(path: Place, format: Format | None) -> CorpusError | None:
    """The error of a file that has to be decompressed before it can be read; None for all others."""
    container = container_by_name(path)
    if container is not None:
        return container_error(path, container)
    # Parquet is read by seeking, which a compressed file does not allow.
    if path.suffix.lower() in READABLE_CONTAINERS and (format or ENDINGS.get(_ending(path))) == "parquet":
        return CorpusError(
            f"{path}: Parquet compresses its columns itself and cannot be read from a {path.suffix} file; "
            f"decompress it"
        )
    return None


def _ending(path: Place) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in READABLE_CONTAINERS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _format(path: Place) -> Format:
    ending = _ending(path)
    if ending not in ENDINGS:
        raise CorpusError(
            f"cannot tell the format of {str(path)!r} from its ending {ending!r}; give the format: one of "
            f"{', '.join(get_args(Format))}"
        )
    return ENDINGS[ending]
