"""Changes the tokens that a tokenizer's file puts around texts."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jaxlm.tokenizers._frame import Frame, file_frame
from jaxlm.tokenizers._tokenizer import Tokenizer

# Older processors that put tokens around a text; both also trim offsets.
OLDER = ("BertProcessing", "RobertaProcessing")


def with_frame(tokenizer: Tokenizer, frame: Frame) -> Tokenizer:
    """Returns a tokenizer that puts given opening and closing ids around a text, also in `transformers`.

    The ids are added by `Tokenizer.encode(text, add_specials=True)`, because the tokenizer's file says so.
    Ids, kind, roles and all other steps of the post-processor stay. A tokenizer that puts the same ids around
    a text already is returned unchanged.

    Args:
      tokenizer: a tokenizer of any kind.
      frame: the opening and closing ids, which are ids of the tokenizer.

    Raises:
      UsageError: the frame has an id that the tokenizer lacks.

    Example:
      >>> from jaxlm.tokenizers import Frame, with_frame
      >>> from jaxlm import tokenizers
      >>> opened = with_frame(tokenizers.bytes_tokenizer(), Frame((258,)))
      >>> opened.encode("a", add_specials=True).tolist(), opened.kind
      ([258, 97], 'bytes')
    """
    if file_frame(tokenizer) == frame:
        return tokenizer
    content = json.loads(tokenizer.to_json())
    steps = [step for step in map(_without_tokens, _steps(content["post_processor"])) if step is not None]
    if frame.opening or frame.closing:
        names = {id: tokenizer.name_of(id) for id in (*frame.opening, *frame.closing)}
        steps.append(_template(frame, names))
    joined = {"type": "Sequence", "processors": steps}
    content["post_processor"] = joined if len(steps) > 1 else (steps or [None])[0]
    return Tokenizer.from_json(json.dumps(content), tokenizer.role_names())


def _steps(processor: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    """The steps of a post-processor."""
    if processor is None:
        return []
    if processor["type"] != "Sequence":
        return [processor]
    return [step for inner in processor["processors"] for step in _steps(inner)]


def _without_tokens(step: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A step without the tokens that it puts around a text; None if nothing else is left of it."""
    if step["type"] == "TemplateProcessing":
        return None
    if step["type"] not in OLDER:
        return step
    if not step.get("trim_offsets"):
        return None
    spaced = step.get("add_prefix_space", True)
    return {"type": "ByteLevel", "add_prefix_space": spaced, "trim_offsets": True, "use_regex": True}


def _template(frame: Frame, names: Mapping[int, str]) -> dict[str, Any]:
    """A step that puts a frame around a text; of a pair, the second text is only closed, as in BERT."""

    def tokens(ids: Sequence[int], kind: int = 0) -> list[dict[str, Any]]:
        return [{"SpecialToken": {"id": names[id], "type_id": kind}} for id in ids]

    first, second = ({"Sequence": {"id": name, "type_id": kind}} for kind, name in enumerate("AB"))
    single = [*tokens(frame.opening), first, *tokens(frame.closing)]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, second, *tokens(frame.closing, 1)],
        "special_tokens": {
            name: {"id": name, "ids": [id], "tokens": [name]} for id, name in sorted(names.items())
        },
    }
