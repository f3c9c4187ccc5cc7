"""URLs: how they are split, opened and shown."""

import re
from typing import Any

from jaxlm.errors import UsageError

# Schemes that pyarrow opens; fsspec opens the others.
ARROW_SCHEMES = ("s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss")
URL = re.compile(r"((?:[A-Za-z][\w.+-]*::)*[A-Za-z][\w.+-]*)://(.*)", re.DOTALL)
OPTIONS = re.compile(r"\?(?=\w+=)")
SECRET = re.compile(r"//[^/@:]*:[^/@]*@")
# Without credentials Google's library tries for 15 minutes, unless it is told to give up.
RETRY_LIMIT = "retry_limit_seconds=120"
LONGEST_REASON = 300
# What fsspec needs for a scheme.
PACKAGES = {"http": "aiohttp", "https": "aiohttp"}


def split_url(text: str) -> tuple[str, str] | None:
    """Returns the scheme of a URL and the rest after "://"; None for a local path.

    Example:
      >>> from jaxlm.io import split_url
      >>> split_url("s3://bucket/a.txt"), split_url("corpus/a.txt")
      (('s3', 'bucket/a.txt'), None)
    """
    match = URL.fullmatch(text)
    return None if match is None else (match[1], match[2])


def without_secret(text: str) -> str:
    """Returns a text without the names and passwords in its URLs.

    Example:
      >>> from jaxlm.io._filesystems import without_secret
      >>> without_secret("s3://key:secret@bucket/a.txt")
      's3://bucket/a.txt'
    """
    return SECRET.sub("//", text)


def open_filesystem(url: str) -> tuple[Any, str]:
    """Returns the file system of a URL, as an object of `pyarrow.fs`, and the path within it.

    pyarrow opens the schemes `s3://`, `gs://`, `hdfs://` and `abfs://`. The library fsspec opens other
    schemes, if it is installed together with the packages that it needs for a scheme (aiohttp for
    `https://`).

    Args:
      url: the URL of a file or a folder, which need not exist. Options of pyarrow may follow after a question
        mark.

    Raises:
      UsageError: the URL cannot be opened.

    Example:
      >>> from jaxlm.io import open_filesystem
      >>> open_filesystem("memory://corpus/a.txt")[1]
      '/corpus/a.txt'
    """
    from pyarrow import fs

    given, scheme = url, url.partition("://")[0]
    try:
        if scheme in ("gs", "gcs") and "retry_limit_seconds=" not in url:
            url += ("&" if "?" in url else "?") + RETRY_LIMIT
        if scheme in ARROW_SCHEMES:
            return fs.FileSystem.from_uri(url)
        import fsspec

        found, path = fsspec.core.url_to_fs(url)
        return fs.PyFileSystem(fs.FSSpecHandler(found)), path
    except ImportError as error:
        # What fsspec raises for a library that its own file system needs has no name.
        needed = error.name or PACKAGES.get(scheme.rpartition("::")[2])
        library = f"a library ({error_reason(error)})"
        remedy = f"needs {needed}: pip install {needed}" if needed else f"needs {library}"
        raise UsageError(without_secret(f"{given}: opening {scheme}:// {remedy}")) from error
    except Exception as error:
        # The library of a file system may raise anything.
        raise UsageError(without_secret(f"{given}: cannot be opened ({error_reason(error)})")) from error


def split_root(url: str) -> tuple[str, str]:
    """Returns the URL of a file system, and the path of a URL within that file system.

    The URL of the file system consists of scheme, bucket or host, and options.

    Raises:
      ValueError: `url` is no URL.

    Example:
      >>> from jaxlm.io import split_root
      >>> split_root("s3://bucket/corpus/a.jsonl.gz?region=eu-north-1")
      ('s3://bucket?region=eu-north-1', 'corpus/a.jsonl.gz')
    """
    parts = split_url(url)
    if parts is None:
        raise ValueError(f"expected a URL, got {url!r}")
    scheme, rest = parts
    # For other schemes a question mark is a part of the path.
    path, *options = OPTIONS.split(rest, 1) if scheme in ARROW_SCHEMES else [rest]
    host, _, key = path.partition("/")
    root = f"{scheme}://{host or '/'}" + "".join(f"?{option}" for option in options)
    return root, key.rstrip("/")


def shown_url(url: str) -> str:
    """Returns a URL as messages show it: without user, password and options.

    Example:
      >>> from jaxlm.io import shown_url
      >>> shown_url("s3://key:secret@bucket/a.txt?region=eu-north-1")
      's3://bucket/a.txt'
    """
    root, key = split_root(url)
    shown = without_secret(OPTIONS.split(root)[0])
    return f"{shown.removesuffix('/')}/{key}"


def error_reason(error: Exception) -> str:
    """Returns the message of an error in one line; the name of its class if it has no message.

    Example:
      >>> from jaxlm.io import error_reason
      >>> error_reason(OSError("access denied, of a request")), error_reason(OSError())
      ('access denied, of a request', 'OSError')
    """
    lines = (getattr(error, "strerror", None) or str(error)).strip().splitlines()
    return lines[0][:LONGEST_REASON] if lines else type(error).__name__
