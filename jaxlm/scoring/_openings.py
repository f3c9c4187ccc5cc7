"""What stands before a text when a causal model reads it: a policy with a name, recorded with the scores."""

from typing import Literal

from jaxlm.scoring._measure import Context, ScoreError

Bos = Literal["auto", "none", "document", "window"]


def resolve_bos(bos: Bos, context: Context) -> Bos:
    """Returns the policy that "auto" stands for: "document" for a model of texts with ends, else "none".

    Args:
      bos: "none": nothing is put before a text, whose first token is then not scored; "document": the opening
        token stands before its first token; "window": before each of its windows.
      context: of the model.

    Raises:
      ScoreError: if an opening token is asked for and the tokenizer has none.
    """
    has_ends = context.tokenizer.specials.ends is not None
    if bos == "auto":
        return "document" if context.ends and has_ends else "none"
    if bos != "none" and not has_ends:
        raise ScoreError(f"bos={bos!r} needs a token that opens texts: this tokenizer has none; use 'none'")
    return bos


def end_ids(context: Context) -> tuple[int, int]:
    """Returns the ids that open and close texts (see `tokenizers.Specials.ends`).

    Raises:
      ScoreError: if the tokenizer has none.
    """
    ends = context.tokenizer.specials.ends
    if ends is None:
        raise ScoreError("this tokenizer has no token that opens or closes texts")
    return ends
