"""Records from a FASTA file of sequences."""

from collections.abc import Iterator
from pathlib import Path

from jaxlm.data._records import CorpusError, Record
from jaxlm.data._streams import read_lines


def fasta_source(path: str | Path, *, name: str | None = None) -> Iterator[Record]:
    """Yields one record a sequence.

    Args:
        path: a FASTA file, plain, `.gz` or `.zst`: a `>` line opens a sequence, the lines up to the next one
            hold it; blank lines and `;` comments are passed over.
        name: what error messages and the ids of nameless sequences begin with; the file's name where None.

    Yields:
        Records whose id is the header's first word; `meta["description"]` is the rest of it, `meta["where"]`
        file and line.

    Raises:
        CorpusError: letters stand before the first header.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "two.fasta").write_text(">a first\\nMKV\\nLA\\n>b\\nGG\\n")
        ...     [(record.id, record.text) for record in fasta_source(Path(folder, "two.fasta"))]
        [('a', 'MKVLA'), ('b', 'GG')]
    """
    path = Path(path)
    name = path.name if name is None else name
    header, parts, opened = None, [], 0
    for number, line in read_lines(path):
        if line.startswith(">"):
            if header is not None:
                yield _record(header, parts, f"{name}:{opened}", f"{path}:{opened}")
            header, parts, opened = line[1:], [], number
        elif header is None and line.strip() and not line.startswith(";"):
            raise CorpusError(
                f"{path}:{number}: expected a '>' header before the first sequence, got {line[:20]!r}"
            )
        elif not line.startswith(";"):
            parts.append("".join(line.split()))
    if header is not None:
        yield _record(header, parts, f"{name}:{opened}", f"{path}:{opened}")


def _record(header: str, parts: list[str], nameless: str, where: str) -> Record:
    word, _, description = header.strip().partition(" ")
    return Record(word or nameless, "".join(parts), {"description": description.strip(), "where": where})
