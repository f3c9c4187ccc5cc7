"""The tokens in front of a text when a causal model reads it: a named policy, recorded with the scores."""

from typing import Literal

from jaxlm import pretrained, tokenizers
from jaxlm.scoring.measures._measure import Context, ScoreError

BosPolicy = Literal["auto", "none", "document", "window"]


def resolve_bos(bos: BosPolicy, context: Context) -> BosPolicy:
    """Returns the policy itself; for "auto", "document" if the model has tokens that open texts, else "none".

    Args:
      bos: "none": nothing is put in front of a text, and its first token is not scored; "document": the
        opening tokens are read before its first token; "window": before each of its windows.
      context: the model that is asked, with its tokenizer and its limits.

    Raises:
      ScoreError: if opening tokens are asked for and the tokenizer has none.
    """
    if bos == "auto":
        return "document" if usual_frame(context).opening else "none"
    if bos != "none":
        opening_ids(context)
    return bos


def opening_ids(context: Context) -> tuple[int, ...]:
    """Returns the ids that open texts (see `tokenizers.text_frame`, "score").

    For a model that jaxlm trained without opening tokens, they are those that it would have trained with.

    Args:
      context: the model that is asked, with its tokenizer and its limits.

    Raises:
      ScoreError: if there are none.
    """
    opening = usual_frame(context).opening or _asked_frame(context).opening
    if not opening:
        raise ScoreError("no token opens texts: the tokenizer's file puts none there, and has no bos or eos")
    return opening


def closing_id(context: Context) -> int:
    """Returns the id that closes texts (see `tokenizers.text_frame`, "score"); the first one of several.

    Args:
      context: the model that is asked, with its tokenizer and its limits.

    Raises:
      ScoreError: if there is none.
    """
    closing = closing_id_or_none(context)
    if closing is None:
        raise ScoreError("no token closes texts: the tokenizer's file puts none there, and has no eos")
    return closing


def closing_id_or_none(context: Context) -> int | None:
    """Returns the id that closes texts; None if there is none."""
    closing = usual_frame(context).closing or _asked_frame(context).closing
    return closing[0] if closing else None


def masked_frame(context: Context, ends: bool | None) -> tokenizers.Frame:
    """Returns the tokens around a text that is read whole.

    Args:
      context: the model that is asked, with its tokenizer and its limits.
      ends: whether there are any; None: as the model was trained.
    """
    if not (context.ends if ends is None else ends):
        return tokenizers.Frame()
    trained = trained_frame(context)
    return (
        tokenizers.text_frame(context.tokenizer, "text", trained)
        if trained != tokenizers.Frame()
        else _asked_frame(context)
    )


def trained_frame(context: Context) -> tokenizers.Frame | None:
    """Returns the tokens around texts in training; None if its tokenizer's file says them."""
    trained = pretrained.training_frame(context.tokenizer, context.kind, context.extra)
    return trained if trained is not None or context.ends else tokenizers.Frame()


def usual_frame(context: Context) -> tokenizers.Frame:
    """Returns the tokens around a text that is scored from left to right."""
    return tokenizers.text_frame(context.tokenizer, "score", trained_frame(context))


def unopened_remark(context: Context, asked: str, filled: str) -> str:
    """Returns a warning that no token opens texts, unless the user chose so; else "".

    Whoever trained a model with jaxlm knows; for a published model only the scores would show it.

    Args:
      context: the model that is asked, with its tokenizer and its limits.
      asked: the policy that was asked for.
      filled: the policy that it resolved to.
    """
    if (asked, filled) != ("auto", "none") or trained_frame(context) is not None:
        return ""
    return (
        "no token opens texts: the tokenizer's file puts none there, and has no bos or eos; the first token "
        "of each text is not scored"
    )


def _asked_frame(context: Context) -> tokenizers.Frame:
    """The tokens that jaxlm's training would put around texts; for a published model none."""
    is_ours = trained_frame(context) is not None
    return tokenizers.text_frame(context.tokenizer, "training") if is_ours else tokenizers.Frame()
