"""What every source yields, and the one error that a user's corpus can cause."""

from typing import NamedTuple


class Record(NamedTuple):
    """One document, sequence or function of a corpus.

    Attributes:
        id: where it came from, readable and unique within its corpus: `tales.txt:12`,
            `json.decoder:py_scanstring@69`.
        text: what the tokenizer encodes.
        meta: what else the source knows. `group` (optional) names what must not be divided between splits, a
            module say; `where` (optional) file and line, for errors, where the id does not say them.

    Example:
        >>> Record("tales.txt:1", "once upon a time", {}).text
        'once upon a time'
    """

    id: str
    text: str
    meta: dict[str, str]


class CorpusError(ValueError):
    """A corpus, or the place of its cache, cannot be used: one line says what, where, and the remedy.

    Example:
        >>> raise CorpusError("no file at 'tale.txt'; did you mean 'tales.txt'?")
        Traceback (most recent call last):
        ...
        jaxlm.data._records.CorpusError: no file at 'tale.txt'; did you mean 'tales.txt'?
    """
