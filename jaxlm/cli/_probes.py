"""A few masked texts with known answers, which show a person what a model has learnt."""

import inspect
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxlm import data, decoding, pretrained, tokenizers
from jaxlm.errors import UsageError

# Small functions, and the pretoken of their trace that is hidden: its text, and which of its occurrences. The
# running Python compiles them, so that their opcodes are those of the traces that the model was trained on.
FUNCTIONS = (
    ("def area(self):\n    return self.width * self.height", ("self", 1)),
    ("def area(self):\n    return self.width * self.height", ("RETURN_VALUE", 0)),
    ("def total(items):\n    for item in items:\n        print(item)", ("GET_ITER", 0)),
    ("def read(path):\n    with open(path) as file:\n        return file.read()", ("open", 0)),
    ("def name(path):\n    import os\n    return os.path.basename(path)", ("os", 1)),
    ("def first(text):\n    if text is None:\n        return None\n    return text[0]", ("BINARY_SUBSCR", 0)),
    (
        "def convert(text):\n    try:\n        return int(text)\n    except ValueError:\n        return None",
        ("ValueError", 0),
    ),
)
NUM_RECORDS, RECORD_LENGTH = 4, 24
NO_FRAME = tokenizers.Frame()


class Probe(NamedTuple):
    """A text with one mask, and the token that was masked.

    Attributes:
      tokens: `Int[L]` ids, without those that open and close texts.
      answer: the masked token, as a person reads it.
    """

    tokens: np.ndarray
    answer: str


def bytecode_probes(tokenizer: tokenizers.Tokenizer) -> Iterator[Probe]:
    """Yields probes of the running Python's bytecode, if the hidden pretoken is a single token.

    Args:
      tokenizer: of instruction traces, with a mask token.
    """
    for source, (hidden, occurrence) in FUNCTIONS:
        pretokens = _trace(source).split()
        places = [place for place, pretoken in enumerate(pretokens) if pretoken == hidden]
        if len(places) > occurrence and tokenizer.encode(hidden).size == 1:
            pretokens[places[occurrence]] = mask_token(tokenizer)
            yield Probe(tokenizer.encode(" ".join(pretokens)), hidden)


def held_out_probes(
    tokenizer: tokenizers.Tokenizer, cache: data.TokenCache, frame: tokenizers.Frame = NO_FRAME
) -> Iterator[Probe]:
    """Yields the beginnings of a few records, spread over a split, with a token behind the middle masked.

    Args:
      tokenizer: that encoded the records; it has a mask token.
      cache: the split.
      frame: the ids around its records.
    """
    mask = _mask_id(tokenizer)
    for index in np.linspace(0, len(cache) - 1, min(NUM_RECORDS, len(cache))).astype(int).tolist():
        record = np.array(cache[index])
        tokens = record[len(frame.opening) : record.size - len(frame.closing)][:RECORD_LENGTH]
        allowed = np.flatnonzero(~np.isin(tokens, tokenizer.special_ids))
        if len(allowed) < 2:
            continue
        place = allowed[len(allowed) * 2 // 3]
        answer = tokenizer.token(int(tokens[place]))
        tokens[place] = mask
        yield Probe(tokens, answer)


def fill_probes(loaded: pretrained.Loaded, probes: list[Probe], top_k: int = 3) -> list[str]:
    """Returns, for each probe, a line of its text, a line of the model's likeliest tokens, and a blank line.

    Args:
      loaded: the model.
      probes: with one mask each.
      top_k: how many of the likeliest tokens to name.
    """
    lines = []
    frame = whole_frame(loaded)
    results = decoding.fill_batch(loaded, [frame.around(probe.tokens) for probe in probes], top_k=top_k)
    for probe, filled in zip(probes, results, strict=True):
        candidates = filled.predictions[0].candidates
        guesses = ", ".join(f"{guess.token!r} {guess.probability:.3f}" for guess in candidates)
        mark = "✓" if candidates[0].token == probe.answer else " "
        lines += [
            f"  {crop_around_mask(loaded.text_tokenizer, probe)}",
            f"  {mark} {guesses}   (it was {probe.answer!r})",
            "",
        ]
    return lines


def whole_frame(loaded: pretrained.Loaded) -> tokenizers.Frame:
    """Returns the ids around the texts that `jaxlm fill` reads with a model."""
    return tokenizers.text_frame(loaded.text_tokenizer, "text", loaded.frame)


def probe_text(tokenizer: tokenizers.Tokenizer, probe: Probe) -> str:
    """Returns a probe's text on one line, as `jaxlm fill` takes it."""
    return " ".join(tokenizer.decode(probe.tokens).split())


def crop_around_mask(tokenizer: tokenizers.Tokenizer, probe: Probe, most: int = 50) -> str:
    """Returns a probe's text on one line, with about `most` characters to either side of its mask.

    Args:
      tokenizer: that encoded the probe.
      probe: with one mask.
      most: characters to keep on either side.
    """
    mask = mask_token(tokenizer)
    before, _, after = probe_text(tokenizer, probe).partition(mask)
    if len(before) > most:
        before = "… " + before[-most:].partition(" ")[2]
    if len(after) > most:
        after = after[:most].rpartition(" ")[0] + " …"
    return before + mask + after


def mask_token(tokenizer: tokenizers.Tokenizer) -> str:
    """Returns the mask token in words.

    Raises:
      UsageError: if the tokenizer has none.
    """
    return tokenizer.token(_mask_id(tokenizer))


def _mask_id(tokenizer: tokenizers.Tokenizer) -> int:
    mask = tokenizer.specials.mask
    if mask is None:
        raise UsageError("the tokenizer has no mask token: name a masked LM's folder")
    return mask


def _trace(source: str) -> str:
    space: dict[str, object] = {}
    exec(source, space)
    function = next(value for value in space.values() if inspect.isfunction(value))
    return data.disassemble(function.__code__)
