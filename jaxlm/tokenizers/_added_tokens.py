"""Tokens that a folder's files add to a vocabulary, at the ids that the files say or behind all others."""

from collections.abc import Container, Iterable, Mapping

import tokenizers
from tokenizers import AddedToken

from jaxlm.errors import ModelError
from jaxlm.tokenizers._roles import CONVENTIONAL_NAMES
from jaxlm.tokenizers._settings import ListedToken

# Ids that may lie between a vocabulary and a token behind it: what no file names.
LARGEST_GAP = 4096


def insert_added_tokens(
    vocab: Mapping[str, int], listed: Iterable[ListedToken], *, size: int = 0
) -> tuple[dict[str, int], list[str]]:
    """Returns a vocabulary in which the added tokens get the ids that files say, and what fills its holes.

    The library numbers an added token by how many entries there are, not by the highest id: a hole (of a
    line that stands twice, of an empty one) would give a new token the id of another.

    Args:
      vocab: token to id.
      listed: tokens that are going to be added, with and without ids.
      size: how many ids the vocabulary's file has, holes included.

    Returns:
      The vocabulary, and the names in it that stand for no token, `<hole N>`.

    Raises:
      ModelError: if an id is another token's, or far behind all others.

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
    # A listed token that others stand behind is an entry like them: added, it would come last.
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
    """Makes tokens stand for themselves in texts; those that the vocabulary lacks get ids behind it.

    Args:
      backend: gets them.
      listed: those with ids in the order of these.
      rows: of the embedding; a token without an id gets none where no row is left. None: no end of rows.
      plain: names for which a text is not searched (`<hole N>`), specials.

    Raises:
      ModelError: if a token would get another id than it is said to have.
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
    """Returns the tokens of a vocabulary that bear conventional names of roles, one a role, as specials.

    Args:
      vocab: holds the tokens.
      reserved: those that are known already, which are left out.

    Example:
      >>> from jaxlm.tokenizers._added_tokens import conventional_tokens
      >>> [one.token.content for one in conventional_tokens(["[MASK]", "<mask>", "a"], [])]
      ['[MASK]']
    """
    known = {one.token.content for one in reserved}
    names = (next((name for name in names if name in vocab), None) for names in CONVENTIONAL_NAMES.values())
    found = dict.fromkeys(name for name in names if name is not None and name not in known)
    return [ListedToken(AddedToken(name, special=True, normalized=False), None) for name in found]


def _next_id(backend: tokenizers.Tokenizer) -> int:
    """The id that the library gives to the next token that it does not know."""
    added = backend.get_added_tokens_decoder()
    return max([backend.get_vocab_size(with_added_tokens=False), *(1 + id for id in added)])
