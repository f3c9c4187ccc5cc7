"""Sentinels: tokens that stand where a span of a text was taken out, `<extra_id_0>` and so on as in T5."""

import tokenizers
from tokenizers import AddedToken

from jaxlm.errors import ConfigError
from jaxlm.tokenizers._marian import num_own_ids
from jaxlm.tokenizers._tokenizer import Tokenizer


def sentinel_ids(tokenizer: Tokenizer) -> tuple[int, ...]:
    """Returns the ids of `<extra_id_0>`, `<extra_id_1>`, ..., as many as there are.

    Example:
      >>> from jaxlm.tokenizers import sentinel_ids, with_sentinels
      >>> from jaxlm import tokenizers
      >>> sentinel_ids(with_sentinels(tokenizers.bytes_tokenizer(), 2))
      (260, 261)
    """
    ids = []
    while (id := tokenizer.id(f"<extra_id_{len(ids)}>")) is not None:
        ids.append(id)
    return tuple(ids)


def with_sentinels(tokenizer: Tokenizer, number: int) -> Tokenizer:
    """Returns a tokenizer of text with so many sentinels behind its other ids.

    Args:
      tokenizer: of kind "subwords" or "bytes", or from a file.
      number: how many; sentinels that it has already stay where they are.

    Raises:
      ConfigError: if the tokenizer is of residues or instructions, whose texts no sentinel fits into, or
        Marian's, whose ids have no room behind them.

    Example:
      >>> from jaxlm.tokenizers import with_sentinels
      >>> from jaxlm import tokenizers
      >>> with_sentinels(tokenizers.bytes_tokenizer(), 1).encode("a<extra_id_0>b")
      array([ 97, 260,  98], dtype=int32)
    """
    if tokenizer.kind in ("residues", "instructions"):
        raise ConfigError(f"sentinels stand in texts of subwords or bytes: got {tokenizer.kind}")
    if num_own_ids(tokenizer.backend) is not None:
        raise ConfigError("a Marian vocabulary gets no sentinels: pieces without ids stand behind its own")
    backend = tokenizers.Tokenizer.from_str(tokenizer.to_json())
    names = [f"<extra_id_{index}>" for index in range(number)]
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    return Tokenizer.from_json(backend.to_str(), tokenizer.role_names())
