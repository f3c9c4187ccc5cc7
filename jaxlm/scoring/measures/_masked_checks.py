"""What masked scores refuse: models without a mask token, long texts, tokens outside the vocabulary."""

from collections.abc import Sequence

import numpy as np

from jaxlm.scoring.measures._masked_texts import MaskedText
from jaxlm.scoring.measures._measure import Context, ScoreError
from jaxlm.scoring.measures._vocabularies import Vocabulary, vocabulary_ids


def check_choices(option: str, chosen: Sequence[str], known: Sequence[str]) -> None:
    """Refuses choices that are empty, repeated or unknown.

    Args:
      option: the name of the option.
      chosen: what the user chose.
      known: what can be chosen.

    Raises:
      ScoreError: names what can be chosen.

    Example:
      >>> from jaxlm.scoring.measures import check_choices
      >>> check_choices("masking", ("whole-word",), ("original", "whole-word"))
    """
    if not chosen or set(chosen) - set(known) or len(set(chosen)) < len(chosen):
        raise ScoreError(
            f"{option}: expected one or several of {', '.join(known)}, each once: got "
            f"{', '.join(chosen) or 'none'}"
        )


def mask_id_of(context: Context, name: str) -> int:
    """Returns the id of the mask token.

    Args:
      context: the model that is asked, with its tokenizer and its limits.
      name: of the measure, for the message.

    Raises:
      ScoreError: if the tokenizer has none.
    """
    mask = context.tokenizer.specials.mask
    if mask is None:
        raise ScoreError(
            f"{name} masks tokens, and this {context.tokenizer.kind} tokenizer has no mask token; use a "
            f"model trained as a masked LM"
        )
    return mask


def too_long_error(text: MaskedText, room: int) -> ScoreError:
    """Returns the error for a text that is longer than the model reads.

    Args:
      text: the text.
      room: the most tokens of a text that the model reads.
    """
    return ScoreError(
        f"{text.tokens.size} tokens, and the model reads at most {room} of a text: shorten it, or score it "
        f"in windows"
    )


def check_vocabulary(context: Context, text: MaskedText, vocabulary: Vocabulary) -> None:
    """Refuses a text with a token that is not in the vocabulary that distributions are over.

    Args:
      context: the model that is asked, with its tokenizer and its limits.
      text: the text.
      vocabulary: the name of the vocabulary.

    Raises:
      ScoreError: names the first such token.
    """
    ids = vocabulary_ids(context.tokenizer, context.vocab_size, vocabulary)
    if ids is None:
        return
    outside = np.flatnonzero(text.regular & ~np.isin(text.tokens, ids))
    if outside.size:
        token = context.tokenizer.token(int(text.tokens[outside[0]]))
        raise ScoreError(f"{token!r} at token {outside[0]} is none of the {vocabulary.replace('-', ' ')}")
