"""Fits a tokenizer to the rows of an embedding."""

import json
from typing import NamedTuple

from jaxlm.errors import ModelError
from jaxlm.tokenizers._tokenizer import Tokenizer


class FittedTokenizer(NamedTuple):
    """A tokenizer all of whose ids have a row in a model's embedding, as `fit_tokenizer` returns it.

    Attributes:
      tokenizer: the tokenizer.
      dropped: the added tokens that were dropped because their ids have no row; empty if none was dropped.
    """

    tokenizer: Tokenizer
    dropped: tuple[str, ...]


def fit_tokenizer(tokenizer: Tokenizer, vocab_size: int) -> FittedTokenizer:
    """Returns a tokenizer without the added tokens whose ids have no row in a model's embedding.

    Some published folders have such tokens, for images or for padding in training. A text that contains a
    dropped token is divided like any other text. Tokens of the vocabulary itself, and tokens with a role such
    as eos or mask, are never dropped.

    Args:
      tokenizer: the tokenizer of the model.
      vocab_size: the number of rows in the embedding. It may be larger than the number of ids.

    Returns:
      The tokenizer, and the texts of the tokens that were dropped.

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
