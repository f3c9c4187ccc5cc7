"""`jaxlm generate MODEL TEXT`: what a model writes after a text, or from it."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import jax

from jaxlm import decoding, pretrained
from jaxlm.cli._arguments import known_options, read_arguments
from jaxlm.cli._failures import UsageError, say
from jaxlm.cli._generate_bytes import run_bytes
from jaxlm.cli._generate_options import Generate, checked_seed, given_options, refuse_options_of_bytes
from jaxlm.cli._inputs import input_lines, warn_of_unknown
from jaxlm.cli._models import open_model
from jaxlm.cli._options import parse
from jaxlm.devices import enable_compilation_cache


def run(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Args:
      arguments: what follows the command.

    Raises:
      UsageError: if the request cannot be met.
    """
    options = parse(Generate, arguments, program="jaxlm generate")
    given = read_arguments(arguments, known_options(Generate), program="jaxlm generate").given
    if options.unit == "byte":
        return run_bytes(options, given)
    refuse_options_of_bytes(given)
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
    checked_seed(options)
    asked = given_options(options, "top_k", "top_p", "min_p", "seed")
    if asked and not options.temperature:
        raise UsageError(
            f"{asked[0]} is for draws, and without --temperature there are none; add --temperature 1"
        )
    asked = given_options(options, "length_penalty", "early_stopping")
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
