"""Records from a FASTA file of sequences."""

from collections.abc import Iterator

from jaxlm.data.sources._records import (
    MAX_DOCUMENT,
    Broken,
    CorpusError,
    Record,
    UnreadableRecord,
    check_length,
    unreadable_record,
)
from jaxlm.data.sources._remote import Place, to_place
from jaxlm.data.sources._streams import read_lines


def fasta_source(
    path: str | Place,
    *,
    name: str | None = None,
    broken: Broken = "stop",
    max_document: int = MAX_DOCUMENT,
) -> Iterator[Record | UnreadableRecord]:
    """Yields one record a sequence.

    Args:
      path: a FASTA file, here or at a URL, plain, `.gz` or `.zst`: a `>` line opens a sequence, the lines
        up to the next one hold it; blank lines and `;` comments are passed over. Lines end in line feeds,
        carriage returns or both.
      name: what error messages and the ids of nameless sequences begin with; the file's name where None.
      broken: whether a sequence that cannot be read stops the reading or is yielded as `UnreadableRecord`.
      max_document: the most letters of a sequence, decompressed.

    Yields:
      Records whose id is the header's first word, up to white space of any kind; `meta["description"]` is
      the rest of it, `meta["where"]` file and line.

    Raises:
      CorpusError: letters stand before the first header.

    Example:
      >>> from jaxlm.data import fasta_source
      >>> import pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = pathlib.Path(folder, "two.fasta").write_text(">a first\\nMKV\\nLA\\n>b\\nGG\\n")
      ...     [(record.id, record.text) for record in fasta_source(pathlib.Path(folder, "two.fasta"))]
      [('a', 'MKVLA'), ('b', 'GG')]
    """
    path = to_place(path)
    name = path.name if name is None else name
    header, parts, opened, size = None, [], 0, 0
    for number, line in read_lines(path, lone_cr="always", max_document=max_document):
        if isinstance(line, str) and line.startswith(">"):
            if header is not None or parts:
                yield _sequence(header, parts, f"{name}:{opened}", f"{path}:{opened}", broken)
            header, parts, opened, size = line[1:], [], number, 0
        elif isinstance(line, CorpusError):
            parts.append(line)
            opened = opened or number
        elif line.startswith(";") or not line.strip():
            continue
        elif header is None and not parts:
            said = f"expected a '>' header before the first sequence, got {line.rstrip()[:20]!r}"
            parts.append(CorpusError(f"{path}:{number}: {said}"))
            opened = number
        else:
            size += len(line)
            _add(parts, "".join(line.split()), size, max_document, f"{path}:{opened}")
    if header is not None or parts:
        yield _sequence(header, parts, f"{name}:{opened}", f"{path}:{opened}", broken)


def _add(parts: list[str | CorpusError], letters: str, size: int, most: int, where: str) -> None:
    """Adds letters to a sequence; of one that is too long nothing is held but what is wrong with it."""
    if parts and isinstance(parts[-1], CorpusError):
        return
    try:
        check_length(size, most, where)
        parts.append(letters)
    except CorpusError as error:
        parts[:] = [error]


def _sequence(
    header: str | None, parts: list[str | CorpusError], nameless: str, where: str, broken: Broken
) -> Record | UnreadableRecord:
    word, description, *_ = [*(header or "").split(maxsplit=1), "", ""]
    wrong = next((part for part in parts if isinstance(part, CorpusError)), None)
    if wrong is not None:
        return unreadable_record(word or nameless, wrong, broken)
    return Record(word or nameless, "".join(parts), {"description": description.strip(), "where": where})
