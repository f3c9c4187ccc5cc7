"""Which files a corpus is made of, and in which format each one is."""

import difflib
import glob
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from jaxlm.data._records import CorpusError
from jaxlm.data._remote import Place, RemotePath, split_url
from jaxlm.data._remote_files import find_remote

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
COMPRESSIONS = (".gz", ".zst")


class CorpusFile(NamedTuple):
    """A file of a corpus.

    Attributes:
        path: where it is, here or at a URL.
        name: its path below the folder that all files of the corpus share: stays the same when that folder
            moves.
        format: how it is read.
    """

    path: Place
    name: str
    format: Format


def find_files(paths: Sequence[str] | str, format: Format | None = None) -> list[CorpusFile]:
    """Returns the files that paths, globs and folders name, sorted and each once.

    A folder stands for every file below it that has a known ending (`.txt`, `.jsonl`, `.csv`, `.parquet`,
    `.fasta`, `.traces` and their like; all but Parquet, which compresses itself, also with `.gz` or `.zst`
    after it); hidden files are passed over.

    Args:
        paths: files, folders or glob patterns (`**` crosses folders; `~` is the home folder), or URLs of
            such; a string is one of them.
        format: how to read every file; None takes it from each ending.

    Returns:
        The files by path, with their formats.

    Raises:
        CorpusError: a path is missing, a pattern matches nothing, a folder holds nothing to read, an ending
            is unknown, a URL cannot be opened, or a Parquet file is named that was compressed once more.

    Example:
        >>> find_files(["no such.txt"])
        Traceback (most recent call last):
        ...
        jaxlm.data._records.CorpusError: no file or folder at 'no such.txt'; check the path...
    """
    if format is not None and format not in get_args(Format):
        raise CorpusError(f"unknown format {format!r}; expected one of {', '.join(get_args(Format))}")
    if not paths:
        raise CorpusError("no corpus: expected at least one path, got none")
    paths = [paths] if isinstance(paths, str) else paths
    matches = {match for path in paths for match in _matches(path, format)}
    here = sorted(match for match in matches if isinstance(match, Path))
    found = [*here, *sorted(matches.difference(here), key=_segments)]
    for path in found:
        if _packed_parquet(path, format):
            raise CorpusError(_unpack(path))
    levels = zip(*(_segments(path)[:-1] for path in found), strict=False)
    shared = sum(1 for _ in itertools.takewhile(lambda words: len(set(words)) == 1, levels))
    names = ["/".join(_segments(path)[shared:]) for path in found]
    return [CorpusFile(path, name, format or _format(path)) for path, name in zip(found, names, strict=True)]


def _segments(path: Place) -> list[str]:
    return str(path if isinstance(path, RemotePath) else path.absolute()).split("/")


def _matches(path: str, format: Format | None) -> list[Place]:
    url = split_url(path)
    if url is None or url[0] == "file":
        return _local_matches(path if url is None else url[1], format)
    folder, found = find_remote(path)
    return found if folder is None else _known(folder, found, format)


def _local_matches(path: str, format: Format | None) -> list[Path]:
    expanded = Path(path).expanduser()
    if expanded.is_dir():
        return _in_folder(expanded, format)
    if expanded.exists():
        return [expanded]
    if not glob.has_magic(path):
        raise CorpusError(f"no file or folder at {path!r}; {_nearest(expanded)}")
    found = [Path(match) for match in glob.glob(str(expanded), recursive=True) if os.path.isfile(match)]
    if not found:
        raise CorpusError(f"no file matches the pattern {path!r}; check it, relative to {os.getcwd()}")
    return found


def _in_folder(folder: Path, format: Format | None) -> list[Path]:
    inside = [path for path in folder.rglob("*") if path.is_file()]
    visible = [
        path for path in inside if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    return _known(folder, visible, format)


def _known(folder: Place, visible: Sequence[Place], format: Format | None) -> list[Place]:
    """The files of a folder that can be read."""
    packed = [path for path in visible if _packed_parquet(path, format)]
    found = [
        path for path in visible if not _packed_parquet(path, format) and (format or _ending(path) in ENDINGS)
    ]
    if packed and not found:
        raise CorpusError(_unpack(packed[0]))
    if not found:
        raise CorpusError(
            f"no corpus file in the folder {str(folder)!r} ({len(visible)} files, none ending in "
            f"{', '.join(ENDINGS)}); name the files and give their format"
        )
    return found


def _packed_parquet(path: Place, format: Format | None) -> bool:
    """Whether it is Parquet inside a compressed file, which no reader can jump about in."""
    return path.suffix.lower() in COMPRESSIONS and (format or ENDINGS.get(_ending(path))) == "parquet"


def _unpack(path: Place) -> str:
    return (
        f"{path}: Parquet compresses its columns itself and cannot be read from a {path.suffix} file; "
        f"decompress it"
    )


def _ending(path: Place) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
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


def _nearest(path: Path) -> str:
    """The remedy for a path that is not there: a similar name beside it, or the first missing folder."""
    missing = path
    while not missing.parent.exists() and missing.parent != missing:
        missing = missing.parent
    if missing != path:
        return f"its folder {str(missing)!r} is not there either (working folder {os.getcwd()})"
    close = difflib.get_close_matches(path.name, os.listdir(path.parent), n=1)
    if close:
        return f"did you mean {str(path.parent / close[0])!r}?"
    return f"check the path, relative to {os.getcwd()}"
