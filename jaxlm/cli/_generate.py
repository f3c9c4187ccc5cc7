"""`jaxlm generate MODEL TEXT`: what a model writes after a text, or from it."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import jax
from tyro.conf import FlagCreatePairsOff, Positional, arg

from jaxlm import decoding, pretrained
from jaxlm.cli._failures import UsageError, say
from jaxlm.cli._inputs import input_lines, warn_of_unknown
from jaxlm.cli._models import DType, open_model
from jaxlm.cli._options import parse
from jaxlm.devices import enable_compilation_cache


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generate:
    """Write on after a text: the likeliest token each time, a draw with --temperature, or a beam search.

    Example: jaxlm generate ./gpt2 "Once upon a time" --temperature 0.8 --top-p 0.95

    An encoder-decoder writes another text from it: jaxlm generate ./t5 "translate English to German: Thanks!"

    Attributes:
      model: a run folder that jaxlm train wrote, or a Hugging Face folder or name
      text: one text or several, none where the model has a token that begins texts; - reads one a line
      max_new_tokens: how many tokens to write at most
      temperature: divides the logits before each draw; 0 takes the likeliest token
      top_k: draw among so many of the likeliest tokens
      top_p: draw among the likeliest tokens that hold this much probability together
      min_p: draw among tokens at least this share as likely as the likeliest
      repetition_penalty: above 1 makes tokens less likely that stand in the text already
      no_repeat_ngram_size: no so many tokens stand twice in the same order; 0: they may; None: as the
        model's files say
      min_new_tokens: how many tokens to write at least; None: as the model's files say
      num_beams: keep so many continuations and write the best
      length_penalty: of beams: above 0 favours long texts, below 0 short ones; None: 1
      early_stopping: of beams: end with so many finished ones (yes), when no better one is likely (no), or
        when none is possible (never); None: no
      stop: strings that end the text
      seed: of the draws; None: 0
      dtype: what to keep parameters in and compute in; None: as the run does, and float32 for a Hugging
        Face folder
      json: print one JSON object a line, one for each text
    """

    model: Annotated[Positional[str], arg(metavar="MODEL")]
    text: Annotated[Positional[tuple[str, ...]], arg(metavar="TEXT")] = ()
    max_new_tokens: Annotated[int, arg(aliases=["-n"])] = 128
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    min_new_tokens: int | None = None
    num_beams: int = 1
    length_penalty: float | None = None
    early_stopping: Literal["yes", "no", "never"] | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    dtype: DType | None = None
    json: FlagCreatePairsOff[bool] = False


def run(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    options = parse(Generate, arguments, program="jaxlm generate")
    config = _config(options)
    texts = input_lines(options.text, 'jaxlm generate MODEL "Once upon a time"') if options.text else [""]
    enable_compilation_cache()
    loaded = open_model(options.model, dtype=options.dtype)
    if not loaded.kind.next_token:
        raise UsageError(
            f"{options.model} writes no text: it was trained as {loaded.kind.name}; "
            "name the folder of a causal LM or an encoder-decoder, or use jaxlm fill"
        )
    config = decoding.with_defaults(config, loaded.extra)
    left = decoding.ignored_rules(config, loaded.extra)
    if left:
        say("jaxlm generate", f"the model's files ask for {', '.join(left)}, which is not followed here")
    warn_of_unknown("jaxlm generate", loaded, texts)
    rng = jax.random.key(options.seed or 0) if options.temperature else None
    if len(texts) == 1 and not options.json and options.num_beams == 1:
        _say_short(config, [_stream(loaded, texts[0], config, rng)])
        return 0
    written = decoding.generate(loaded, texts, config, rng=rng)
    for text, one in zip(texts, written, strict=True):
        whole = before(loaded, text) + one.text
        print(json.dumps(generated_as_json(text, one), ensure_ascii=False) if options.json else whole)
    _say_short(config, written)
    return 0


def before(loaded: pretrained.Loaded, text: str) -> str:
    """Returns what a written text stands behind: its prompt, of an encoder-decoder nothing."""
    return "" if loaded.kind.encoder else text


def generated_as_json(text: str, written: decoding.GeneratedText) -> dict[str, Any]:
    """Returns what was written as JSON values."""
    values = {
        "prompt": text,
        "text": written.text,
        "tokens": written.tokens.tolist(),
        "log_probs": written.log_probs.tolist(),
        "log_likelihood": written.log_likelihood,
        "ended_by": written.ended_by,
    }
    return values if written.score is None else values | {"score": written.score}


def _config(options: Generate) -> decoding.GenerationConfig:
    cuts = {name: getattr(options, name) for name in ("top_k", "top_p", "min_p")}
    if options.temperature < 0:
        raise UsageError(f"--temperature is 0 (no draws) or above: got {options.temperature}")
    if not 0 <= (options.seed or 0) < 2**32:
        raise UsageError(f"--seed is from 0 and below 2**32: got {options.seed}")
    asked = _given(options, *cuts, "seed")
    if asked and not options.temperature:
        raise UsageError(
            f"{asked[0]} is about draws, and without --temperature none is made; add --temperature 1"
        )
    asked = _given(options, "length_penalty", "early_stopping")
    if asked and options.num_beams == 1:
        raise UsageError(f"{asked[0]} is of beams, and without --num-beams there is one; add --num-beams 4")
    sampling = decoding.Sampling(
        repetition_penalty=options.repetition_penalty, temperature=options.temperature or None, **cuts
    )
    return decoding.GenerationConfig(
        max_new_tokens=options.max_new_tokens,
        min_new_tokens=options.min_new_tokens,
        no_repeat_ngram_size=options.no_repeat_ngram_size,
        sampling=sampling,
        stop_strings=options.stop,
        num_beams=options.num_beams,
        length_penalty=1.0 if options.length_penalty is None else options.length_penalty,
        early_stopping={"yes": True, "never": "never"}.get(options.early_stopping, False),
    )


def _given(options: Generate, *names: str) -> list[str]:
    """Those of some options that were given, as the command line has them."""
    return [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) is not None]


def _say_short(config: decoding.GenerationConfig, written: Sequence[decoding.GeneratedText]) -> None:
    """Says on stderr which texts ended because the model reads no more, with fewer tokens than asked for."""
    most = config.max_new_tokens
    short = [one for one in written if one.ended_by == "length" and one.tokens.size < most]
    if not short:
        return
    sizes = sorted({one.tokens.size for one in short})
    counts = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    which = "the text" if len(written) == 1 else f"{len(short)} of {len(written)} texts"
    say(
        "jaxlm generate",
        f"{which} stopped at the model's length, after {counts} of {most} new tokens: it reads no more",
    )


def _stream(
    loaded: pretrained.Loaded, text: str, config: decoding.GenerationConfig, rng: jax.Array | None
) -> decoding.GeneratedText:
    """Prints the text and what follows as it is written: a terminal sees every token, a pipe the whole.

    Returns:
      All that was written.
    """
    every = 1 if sys.stdout.isatty() else config.max_new_tokens
    if config.stop_strings and every > 1:
        every = 8
    shown, rest = 0, before(loaded, text)
    for (written,) in decoding.stream(loaded, [text], config, rng=rng, every=every):
        # What is refused is refused before anything is written.
        sys.stdout.write(rest + written.text[shown:])
        sys.stdout.flush()
        shown, rest = len(written.text), ""
    sys.stdout.write("\n")
    sys.stdout.flush()
    return written
