"""Tokens that a folder's files add to a vocabulary, with the ids in the files or after all others."""

from collections.abc import Container, Iterable, Mapping

import tokenizers
from tokenizers import AddedToken

from jaxlm.errors import ModelError
from jaxlm.tokenizers._roles import CONVENTIONAL_NAMES
from jaxlm.tokenizers._settings import ListedToken

# The most ids without a token that may lie between a vocabulary and an added token.
LARGEST_GAP = 4096


def insert_added_tokens(
    vocab: Mapping[str, int], listed: Iterable[ListedToken], *, size: int = 0
) -> tuple[dict[str, int], list[str]]:
    """Returns a vocabulary with entries for added tokens and for holes, so that all get the right ids.

    The library gives an added token the number of entries as its id, not the highest id plus one. A hole (of
    an empty or repeated line) would therefore give it the id of another token.

    Args:
      vocab: id by token.
      listed: the tokens that will be added, with and without ids.
      size: the number of ids in the vocabulary's file, holes included.

    Returns:
      The vocabulary, and the names in it that fill holes, `<hole N>`.

    Raises:
      ModelError: an id belongs to another token, or is far above all others.

    Example:
      >>> from tokenizers import AddedToken
      >>> from jaxlm.tokenizers._added_tokens import insert_added_tokens
      >>> from jaxlm.tokenizers._settings import ListedToken
      >>> token = ListedToken(AddedToken("<new>"), 3)
      >>> insert_added_tokens({"a": 0, "b": 2}, [token])
      ({'a': 0, 'b': 2, '<hole 1>': 1}, ['<hole 1>'])
    """
    listed = list(listed)
    filled, tokens = dict(vocab), {id: token for token, id in vocab.items()}
    for token, id in listed:
        name = token.content
        known = filled.get(name, id)
        if id is not None and (known != id or tokens.get(id, name) != name):
            there = f"has id {known}" if known != id else f"would have the id of {tokens[id]!r}"
            raise ModelError(f"the added token {name!r} {there}, and is said to have {id}")
        if id is not None:
            tokens[id] = name
    if all(token.content in vocab for token, _ in listed):
        return filled, []
    last = max([size - 1, *tokens])
    number = last + 1 - len(tokens)
    if number > LARGEST_GAP:
        raise ModelError(f"{number:,} ids below {last} have no token: the last is of {tokens.get(last)!r}")
    holes = [id for id in range(last + 1) if id not in tokens]
    # A listed token with an id below others must be an entry too; if it were added it would come last.
    behind = max([size, *(1 + id for id in (*vocab.values(), *holes))])
    filled |= {token.content: id for token, id in listed if id is not None and id < behind}
    return filled | {f"<hole {id}>": id for id in holes}, [f"<hole {id}>" for id in holes]


def register_added_tokens(
    backend: tokenizers.Tokenizer,
    listed: Iterable[ListedToken],
    *,
    rows: int | None = None,
    plain: Iterable[str] = (),
) -> None:
    """Adds tokens that are matched as a whole in texts; those that the vocabulary lacks get new ids after it.

    Args:
      backend: the tokenizer, which is changed.
      listed: the tokens; those with ids in the order of their ids.
      rows: the rows of the embedding; a token without an id is left out if no row is left for it. None: no
        limit.
      plain: names that are added as special tokens although no text has them (`<hole N>`).

    Raises:
      ModelError: a token would get another id than the files say.
    """
    tokens = [AddedToken(name, special=True, normalized=False) for name in plain]
    behind, listed = _next_id(backend), list(listed)
    for token, id in listed:
        if backend.token_to_id(token.content) is None:
            if id is None and rows is not None and behind >= rows:
                continue
            behind += 1
        tokens.append(token)
    backend.add_tokens(tokens)
    for token, id in listed:
        got = backend.token_to_id(token.content)
        if id is not None and got != id:
            raise ModelError(
                f"the added token {token.content!r} would have id {got} behind the pieces, and is said to "
                f"have {id}"
            )


def conventional_tokens(vocab: Container[str], reserved: Iterable[ListedToken]) -> list[ListedToken]:
    """Returns the tokens of a vocabulary with conventional names of roles, one for each role, as specials.

    Args:
      vocab: the tokens.
      reserved: tokens that are known already, which are left out.

    Example:
      >>> from jaxlm.tokenizers._added_tokens import conventional_tokens
      >>> [listed.token.content for listed in conventional_tokens(["[MASK]", "<mask>", "a"], [])]
      ['[MASK]']
    """
    known = {listed.token.content for listed in reserved}
    names = (next((name for name in names if name in vocab), None) for names in CONVENTIONAL_NAMES.values())
    unique = dict.fromkeys(name for name in names if name is not None and name not in known)
    return [ListedToken(AddedToken(name, special=True, normalized=False), None) for name in unique]


def _next_id(backend: tokenizers.Tokenizer) -> int:
    """The id that the library gives to the next new token."""
    added = backend.get_added_tokens_decoder()
    return max([backend.get_vocab_size(with_added_tokens=False), *(1 + id for id in added)])
