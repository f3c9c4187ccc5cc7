"""A tokenizer held against the rows of the embedding that it is to be used with."""

import json
from typing import NamedTuple

from jaxlm.errors import ModelError
from jaxlm.tokenizers._tokenizer import Tokenizer


class FittedTokenizer(NamedTuple):
    """A tokenizer all of whose ids have a row, and the tokens that it had to lose for that."""

    tokenizer: Tokenizer
    dropped: tuple[str, ...]


def fit_tokenizer(tokenizer: Tokenizer, vocab_size: int) -> FittedTokenizer:
    """Returns the tokenizer without added tokens that an embedding of `vocab_size` rows has no row for.

    Published folders have those: of images, of padding that only training knew. Text that spells one is then
    read as any other text. What a vocabulary itself holds, and what plays a role, is never dropped.

    Args:
      tokenizer: of a model.
      vocab_size: V of the model; more rows than ids are fine, embeddings are padded.

    Returns:
      `FittedTokenizer`.

    Raises:
      ModelError: if a token of the vocabulary or a role has no row.

    Example:
      >>> from jaxlm.tokenizers import fit_tokenizer
      >>> from jaxlm import tokenizers
      >>> fit_tokenizer(tokenizers.bytes_tokenizer(), 256)
      Traceback (most recent call last):
      jaxlm.errors.ModelError: the vocabulary does not match the embedding: the tokenizer has 260 ids and ...
    """
    if tokenizer.vocab_size <= vocab_size:
        return FittedTokenizer(tokenizer, ())
    content = json.loads(tokenizer.to_json())
    beyond = {token["content"] for token in content["added_tokens"] if token["id"] >= vocab_size}
    own = tokenizer.backend.get_vocab(with_added_tokens=False)
    roles = {role: id for role, id in tokenizer.specials._asdict().items() if id is not None}
    if any(id >= vocab_size for id in (*own.values(), *roles.values())):
        raise ModelError(
            f"the vocabulary does not match the embedding: the tokenizer has {tokenizer.vocab_size} ids and "
            f"the model {vocab_size} rows; use the tokenizer that the model was trained with"
        )
    content["added_tokens"] = [one for one in content["added_tokens"] if one["content"] not in beyond]
    fitted = Tokenizer.from_json(json.dumps(content), tokenizer.role_names())
    return FittedTokenizer(fitted, tuple(sorted(beyond)))
