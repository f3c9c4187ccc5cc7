"""Fits a tokenizer to the rows of an embedding."""

import json
from typing import NamedTuple

from jaxlm.errors import ModelError
from jaxlm.tokenizers._tokenizer import Tokenizer


class FittedTokenizer(NamedTuple):
    """A tokenizer whose ids all have a row in the embedding.

    Attributes:
      tokenizer: the tokenizer.
      dropped: the added tokens that were dropped because they have no row.
    """

    tokenizer: Tokenizer
    dropped: tuple[str, ...]


def fit_tokenizer(tokenizer: Tokenizer, vocab_size: int) -> FittedTokenizer:
    """Returns the tokenizer without the added tokens for which an embedding of `vocab_size` rows has no row.

    Published folders have such tokens, for images or for padding in training. A text that contains one is
    then divided as any other text. Tokens of the vocabulary itself, and tokens with a role, are never
    dropped.

    Args:
      tokenizer: of a model.
      vocab_size: the number of rows; more rows than ids are fine.

    Returns:
      The tokenizer, and the tokens that were dropped.

    Raises:
      ModelError: a token of the vocabulary or with a role has no row.

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
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] not in beyond]
    fitted = Tokenizer.from_json(json.dumps(content), tokenizer.role_names())
    return FittedTokenizer(fitted, tuple(sorted(beyond)))
