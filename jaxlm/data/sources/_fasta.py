"""Records from a FASTA file of sequences."""

from collections.abc import Iterator

from jaxlm.data.sources._records import (
    MAX_DOCUMENT,
    CorpusError,
    ReadFailure,
    Record,
    SourceItem,
    check_length,
    raise_failures,
)
from jaxlm.data.sources._remote import Place, to_place
from jaxlm.data.sources._streams import read_lines


def fasta_source(
    path: str | Place, *, name: str | None = None, max_document: int = MAX_DOCUMENT
) -> Iterator[Record]:
    """Yields one record for each sequence of a FASTA file.

    Args:
      path: a FASTA file, local or at a URL, plain, `.gz` or `.zst`. A `>` line opens a sequence, and the
        lines up to the next `>` hold it; blank lines and `;` comments are skipped. Line feeds, carriage
        returns or both end the lines.
      name: the beginning of error messages, and of the id of a sequence whose header is empty. None: the
        file's name.
      max_document: the largest number of letters in a sequence. A longer sequence is an error.

    Yields:
      Records whose id is the header's first word; `meta["description"]` is the rest of the header,
      `meta["where"]` is the file and the line of the header.

    Raises:
      CorpusError: letters stand before the first header.

    Example:
      >>> import pathlib, tempfile
      >>> from jaxlm.data import fasta_source
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = pathlib.Path(folder, "two.fasta").write_text(">a first\\nMKV\\nLA\\n>b\\nGG\\n")
      ...     [(record.id, record.text) for record in fasta_source(pathlib.Path(folder, "two.fasta"))]
      [('a', 'MKVLA'), ('b', 'GG')]
    """
    return raise_failures(fasta_items(path, name=name, max_document=max_document))


def fasta_items(path: str | Place, *, name: str | None, max_document: int) -> Iterator[SourceItem]:
    """Yields what `fasta_source` does, and failures instead of sequences that cannot be read.

    Args:
      path: as for `fasta_source`.
      name: what ids begin with; None: the file's name.
      max_document: the most bytes of a sequence, decompressed.
    """
    path = to_place(path)
    name = path.name if name is None else name
    sequence = _Sequence(None, 0)
    for number, line in read_lines(path, lone_cr="always", max_document=max_document):
        if isinstance(line, str) and line.startswith(">"):
            if sequence.has_begun:
                yield sequence.finish(name, path)
            sequence = _Sequence(line[1:], number)
        elif isinstance(line, CorpusError):
            sequence.fail(line, number)
        elif line.startswith(";") or not line.strip():
            continue
        elif not sequence.has_begun:
            expected = f"expected a '>' header before the first sequence, got {line.rstrip()[:20]!r}"
            sequence.fail(CorpusError(f"{path}:{number}: {expected}"), number)
        else:
            sequence.add(line, max_document, path)
    if sequence.has_begun:
        yield sequence.finish(name, path)


class _Sequence:
    """A sequence while its lines are read. Once something is wrong with it, its letters are not held."""

    def __init__(self, header: str | None, line: int) -> None:
        self.header, self.line = header, line
        self.size, self.letters = 0, list[str]()
        self.error: CorpusError | None = None

    @property
    def has_begun(self) -> bool:
        """Whether the sequence has a header, letters or an error."""
        return self.header is not None or self.error is not None

    def add(self, line: str, most: int, path: Place) -> None:
        """Adds the letters of a line."""
        self.size += len(line)
        if self.error is not None:
            return
        try:
            check_length(self.size, most, f"{path}:{self.line}")
            self.letters.append("".join(line.split()))
        except CorpusError as error:
            self.fail(error, self.line)

    def fail(self, error: CorpusError, line: int) -> None:
        """Notes the first error, and the line of it for a sequence that has none yet."""
        self.error = self.error or error
        self.line = self.line or line
        self.letters.clear()

    def finish(self, name: str, path: Place) -> SourceItem:
        """Returns the record of the sequence, or its failure."""
        word, description, *_ = [*(self.header or "").split(maxsplit=1), "", ""]
        id = word or f"{name}:{self.line}"
        if self.error is not None:
            return ReadFailure(id, self.error)
        meta = {"description": description.strip(), "where": f"{path}:{self.line}"}
        return Record(id, "".join(self.letters), meta)
