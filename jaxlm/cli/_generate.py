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
    """Continue a text: with the likeliest token each time, with draws (--temperature), or by beam search.

    Example: jaxlm generate ./gpt2 "Once upon a time" --temperature 0.8 --top-p 0.95

    An encoder-decoder reads it and writes another: jaxlm generate ./t5 "translate English to German: Thanks!"

    Attributes:
      model: a run folder that jaxlm train wrote, or a Hugging Face folder or name
      text: one text or several, or none if the model has a token that begins texts; - reads one a line
      max_new_tokens: the most tokens to write
      temperature: divides the logits before each draw; 0 takes the likeliest token
      top_k: draw among this many of the likeliest tokens
      top_p: draw among the likeliest tokens whose probabilities add up to this
      min_p: draw among the tokens with at least this share of the likeliest token's probability
      repetition_penalty: above 1 makes tokens less likely that the text has already
      no_repeat_ngram_size: never repeat a sequence of this many tokens; 0: repetition is allowed; None: as
        the model's files say
      min_new_tokens: the fewest tokens to write; None: as the model's files say
      num_beams: keep this many continuations and write the best one
      length_penalty: for beams: above 0 favours long texts, below 0 short ones; None: 1
      early_stopping: for beams: stop as soon as num_beams are finished (yes), when a better one is unlikely
        (no), or when none is possible (never); None: no
      stop: strings that end the text
      seed: of the draws; None: 0
      dtype: type of the parameters and of the computation; None: the run's, and float32 for a Hugging Face
        folder
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
    """Runs the command and returns its exit code.

    Args:
      arguments: what follows the command.

    Raises:
      UsageError: if the request cannot be met.
    """
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
    for text, continuation in zip(texts, written, strict=True):
        if options.json:
            print(json.dumps(generated_as_json(text, continuation), ensure_ascii=False))
        else:
            print(echoed_prompt(loaded, text) + continuation.text)
    _say_short(config, written)
    return 0


def echoed_prompt(loaded: pretrained.Loaded, text: str) -> str:
    """Returns the text that is printed before a continuation: the prompt; nothing for an encoder-decoder."""
    return "" if loaded.kind.encoder else text


def generated_as_json(text: str, written: decoding.GeneratedText) -> dict[str, Any]:
    """Returns a continuation as JSON values."""
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
    if options.temperature < 0:
        raise UsageError(f"--temperature is 0 (no draws) or above 0: got {options.temperature}")
    if not 0 <= (options.seed or 0) < 2**32:
        raise UsageError(f"--seed is from 0 and below 2**32: got {options.seed}")
    asked = _given(options, "top_k", "top_p", "min_p", "seed")
    if asked and not options.temperature:
        raise UsageError(
            f"{asked[0]} is for draws, and without --temperature there are none; add --temperature 1"
        )
    asked = _given(options, "length_penalty", "early_stopping")
    if asked and options.num_beams == 1:
        raise UsageError(f"{asked[0]} is for beams, and without --num-beams there is one; add --num-beams 4")
    sampling = decoding.Sampling(
        temperature=options.temperature or None,
        top_k=options.top_k,
        top_p=options.top_p,
        min_p=options.min_p,
        repetition_penalty=options.repetition_penalty,
    )
    return decoding.GenerationConfig(
        max_new_tokens=options.max_new_tokens,
        min_new_tokens=options.min_new_tokens,
        no_repeat_ngram_size=options.no_repeat_ngram_size,
        sampling=sampling,
        stop_strings=options.stop,
        num_beams=options.num_beams,
        length_penalty=1.0 if options.length_penalty is None else options.length_penalty,
        early_stopping="never" if options.early_stopping == "never" else options.early_stopping == "yes",
    )


def _given(options: Generate, *names: str) -> list[str]:
    """Returns which of some options were given, as the command line spells them."""
    return [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) is not None]


def _say_short(config: decoding.GenerationConfig, written: Sequence[decoding.GeneratedText]) -> None:
    """Says on stderr which texts ended at the model's greatest length, with fewer tokens than asked for."""
    most = config.max_new_tokens
    sizes = [text.tokens.size for text in written if text.ended_by == "length" and text.tokens.size < most]
    if not sizes:
        return
    num_short, sizes = len(sizes), sorted(set(sizes))
    counts = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    which = "the text" if len(written) == 1 else f"{num_short} of {len(written)} texts"
    say(
        "jaxlm generate",
        f"{which} stopped at the model's length, after {counts} of {most} new tokens: it reads no more",
    )


def _stream(
    loaded: pretrained.Loaded, text: str, config: decoding.GenerationConfig, rng: jax.Array | None
) -> decoding.GeneratedText:
    """Prints the text and its continuation as it is written: on a terminal by the token, into a pipe at once.

    Returns:
      The whole continuation.
    """
    every = 1 if sys.stdout.isatty() else config.max_new_tokens
    if config.stop_strings and every > 1:
        every = 8
    shown, prompt = 0, echoed_prompt(loaded, text)
    written: decoding.GeneratedText | None = None
    for (now,) in decoding.stream(loaded, [text], config, rng=rng, every=every):
        # The prompt comes with the first tokens: a request that is refused prints nothing.
        sys.stdout.write(prompt + now.text[shown:])
        sys.stdout.flush()
        written, shown, prompt = now, len(now.text), ""
    if written is None:
        raise AssertionError("a stream yields at least once")
    sys.stdout.write("\n")
    sys.stdout.flush()
    return written
