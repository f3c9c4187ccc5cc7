"""Sentinels, the tokens `<extra_id_0>`, ... that replace spans of a text, as in T5."""

import tokenizers
from tokenizers import AddedToken

from jaxlm.errors import ConfigError
from jaxlm.tokenizers._marian import num_own_ids
from jaxlm.tokenizers._tokenizer import Tokenizer


def sentinel_ids(tokenizer: Tokenizer) -> tuple[int, ...]:
    """Returns the ids of the sentinels `<extra_id_0>`, `<extra_id_1>` and so on; empty without sentinels.

    A sentinel stands for a span that is cut out of a text and that an encoder-decoder restores.

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
    """Returns a tokenizer with the sentinels `<extra_id_0>`, `<extra_id_1>` and so on after its other ids.

    A sentinel stands for a span that is cut out of a text and that an encoder-decoder restores.

    Args:
      tokenizer: a tokenizer of the kind "subwords" or "bytes", or one from a file.
      number: the number of sentinels. Sentinels that the tokenizer has already keep their ids.

    Raises:
      ConfigError: the tokenizer has the kind "residues" or "instructions", whose texts cannot hold sentinels,
        or is one of Marian, whose vocabulary cannot be extended.

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
