"""What stands before a text when a causal model reads it: a policy with a name, recorded with the scores."""

from typing import Literal

from jaxlm import pretrained, tokenizers
from jaxlm.scoring.measures._measure import Context, ScoreError

BosPolicy = Literal["auto", "none", "document", "window"]


def resolve_bos(bos: BosPolicy, context: Context) -> BosPolicy:
    """Returns the policy that "auto" stands for: "document" where the model reads opened texts, else "none".

    Args:
      bos: "none": nothing is put before a text, whose first token is then not scored; "document": what opens
        texts stands before its first token; "window": before each of its windows.
      context: of the model.

    Raises:
      ScoreError: if an opening is asked for and there is none.
    """
    if bos == "auto":
        return "document" if usual_frame(context).opening else "none"
    if bos != "none":
        opening_ids(context)
    return bos


def opening_ids(context: Context) -> tuple[int, ...]:
    """Returns the ids that open texts (see `tokenizers.text_frame`, "score").

    Of a model that was trained here without any, they are those that it would have been trained with.

    Raises:
      ScoreError: if there are none.
    """
    found = usual_frame(context).opening or _asked_frame(context).opening
    if not found:
        raise ScoreError("no token opens texts: the tokenizer's file puts none there, and has no bos or eos")
    return found


def closing_id(context: Context) -> int:
    """Returns the id that closes texts (see `tokenizers.text_frame`, "score"); the first, if there are more.

    Raises:
      ScoreError: if there is none.
    """
    found = closing_id_or_none(context)
    if found is None:
        raise ScoreError("no token closes texts: the tokenizer's file puts none there, and has no eos")
    return found


def closing_id_or_none(context: Context) -> int | None:
    """Returns what `closing_id` does, None where there is none."""
    found = usual_frame(context).closing or _asked_frame(context).closing
    return found[0] if found else None


def masked_frame(context: Context, ends: bool | None) -> tokenizers.Frame:
    """Returns what stands around a text that is read whole.

    Args:
      context: of the model.
      ends: whether anything does; None: as the model was trained.
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
    """Returns what stood around texts in training; None: what its tokenizer's file says, as published."""
    told = pretrained.training_frame(context.tokenizer, context.kind, context.extra)
    return told if told is not None or context.ends else tokenizers.Frame()


def usual_frame(context: Context) -> tokenizers.Frame:
    """Returns what stands around a text that is scored from left to right."""
    return tokenizers.text_frame(context.tokenizer, "score", trained_frame(context))


def unopened_remark(context: Context, asked: str, filled: str) -> str:
    """Returns that no token opens texts, where nobody chose so.

    Of a run whoever trained it knows; of a published model it is seen in its numbers alone.

    Args:
      context: of the model.
      asked: the policy that was asked for.
      filled: the one that it stands for.
    """
    if (asked, filled) != ("auto", "none") or trained_frame(context) is not None:
        return ""
    return (
        "no token opens texts: the tokenizer's file puts none there, and has no bos or eos; the first token "
        "of each text is not scored"
    )


def _asked_frame(context: Context) -> tokenizers.Frame:
    """What a model that was trained here would have had around its texts; of a published one nothing."""
    is_ours = trained_frame(context) is not None
    return tokenizers.text_frame(context.tokenizer, "training") if is_ours else tokenizers.Frame()
