"""`jaxlm generate --unit byte`: what a model writes byte by byte after a text, or from it."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import jax

from jaxlm import decoding
from jaxlm.cli._byte_models import byte_prompts, check_begun, open_byte_model, warn_of_specials
from jaxlm.cli._failures import UsageError, say
from jaxlm.cli._generate_options import (
    Generate,
    checked_seed,
    given_options,
    refuse_options_of_tokens,
)
from jaxlm.decoding.bytes import BeamSettings, ByteGenerationConfig, ByteModel, GeneratedBytes, generate_bytes
from jaxlm.devices import enable_compilation_cache


def run_bytes(options: Generate, given: Iterable[str]) -> int:
    """Runs the command for bytes and returns its exit code.

    Args:
      options: of the command line.
      given: the full names of the options that were given.

    Raises:
      UsageError: if the request cannot be met.
    """
    refuse_options_of_tokens(given)
    config = _config(options)
    prompts = byte_prompts(options.text)
    enable_compilation_cache()
    byte_model, tokenizer = open_byte_model(options.model, dtype=options.dtype, opening=options.opening)
    check_begun(options.model, byte_model, prompts)
    warn_of_specials("jaxlm generate", tokenizer, prompts)
    rng = jax.random.key(checked_seed(options)) if _byte_temperature(options) else None
    written = _written(byte_model, prompts, config, rng, options)
    probability = byte_model.settings.probability if config.beam is None else "beam"
    for one in written:
        if options.json:
            print(json.dumps(bytes_as_json(one, probability), ensure_ascii=False))
        else:
            _print(one.prompt + one.data)
    _say_short(config, written)
    return 0


def bytes_as_json(written: GeneratedBytes, probability: str) -> dict[str, Any]:
    """Returns a continuation as JSON values; bytes are lists of numbers, because they may be no UTF-8.

    Args:
      written: what a model wrote.
      probability: the name of the probability by which bytes were chosen.

    Example:
      >>> import numpy as np
      >>> from jaxlm.cli._generate_bytes import bytes_as_json
      >>> from jaxlm.decoding.bytes import GeneratedBytes
      >>> written = GeneratedBytes(b"a", b"b\\xff", np.zeros(2, np.float32), "length")
      >>> values = bytes_as_json(written, "stem")
      >>> values["text"], values["bytes"], values["prompt_bytes"]
      ('b�', [98, 255], [97])
    """
    values = written._asdict()
    prompt, new, log_probs = (values.pop(name) for name in ("prompt", "data", "log_probs"))
    return {
        "prompt": prompt.decode(errors="replace"),
        "text": written.text,
        "prompt_bytes": list(prompt),
        "bytes": list(new),
        "log_probs": log_probs.tolist(),
        "log_likelihood": written.log_likelihood,
        **values,
        "probability": probability,
    }


def _written(
    byte_model: ByteModel,
    prompts: Sequence[bytes],
    config: ByteGenerationConfig,
    rng: jax.Array | None,
    options: Generate,
) -> list[GeneratedBytes]:
    """What the model writes; if tokens were cut that a text needs, the error says so."""
    try:
        return generate_bytes(byte_model, prompts, config, rng=rng)
    except UsageError as error:
        cuts = given_options(options, "top_k", "top_p", "min_p")
        if not cuts:
            raise
        raise UsageError(
            f"{error}; {cuts[0]} cuts tokens of the text, too: allow more, or leave it out"
        ) from error


def _config(options: Generate) -> ByteGenerationConfig:
    temperature = _byte_temperature(options)
    for name, value in (("--byte-temperature", temperature), ("--temperature", options.temperature)):
        if value < 0:
            raise UsageError(f"{name} is 0 (no draws) or above 0: got {value}")
    asked = given_options(options, "byte_top_k", "byte_top_p", "byte_min_p", "seed")
    if asked and not temperature:
        raise UsageError(
            f"{asked[0]} is for draws, and without --byte-temperature there are none: add --byte-temperature "
            "1"
        )
    sampling = decoding.Sampling(
        temperature=temperature or None,
        top_k=options.byte_top_k,
        top_p=options.byte_top_p,
        min_p=options.byte_min_p,
    )
    return ByteGenerationConfig(
        max_new_bytes=options.max_new_bytes,
        byte_sampling=sampling,
        stop_strings=options.stop,
        valid_utf8=options.valid_utf8,
        beam=_beam(options),
    )


def _byte_temperature(options: Generate) -> float:
    """The temperature of bytes: 0 stands for no draws."""
    if options.byte_temperature is not None:
        return options.byte_temperature
    return 1.0 if options.temperature else 0.0


def _beam(options: Generate) -> BeamSettings | None:
    """The settings of a beam, if one is asked for; refuses options that a beam alone follows."""
    if options.num_candidates is None:
        asked = ["--temperature"] * bool(options.temperature)
        asked += given_options(options, "top_k", "top_p", "min_p")
        if asked:
            raise UsageError(
                f"{asked[0]} changes the distribution of tokens, which a beam alone follows: add "
                f"--num-candidates 8, or change that of bytes, --byte-{asked[0][2:]}"
            )
        if options.prune_threshold is not None:
            raise UsageError("--prune-threshold is for a beam: add --num-candidates 8, or leave it out")
        return None
    tokens = decoding.Sampling(
        temperature=options.temperature or None,
        top_k=options.top_k,
        top_p=options.top_p,
        min_p=options.min_p,
    )
    return BeamSettings(
        num_candidates=options.num_candidates,
        prune_threshold=options.prune_threshold or 0.0,
        token_sampling=tokens,
    )


def _print(data: bytes) -> None:
    """Prints bytes: on a terminal with escapes for what is no UTF-8, into a pipe or a file as they are."""
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None or sys.stdout.isatty():
        print(data.decode(errors="backslashreplace"))
        return
    sys.stdout.flush()
    buffer.write(data + b"\n")
    buffer.flush()


def _say_short(config: ByteGenerationConfig, written: Sequence[GeneratedBytes]) -> None:
    """Says on stderr which texts got fewer bytes than asked for without an end, and why."""
    most = config.max_new_bytes
    num_short = sum(one.ended_by == "length" and len(one.data) < most for one in written)
    if num_short:
        which = "the text" if len(written) == 1 else f"{num_short} of {len(written)} texts"
        why = f"at the model's length, before {most} new bytes: it reads no more"
        if config.valid_utf8:
            why = f"before {most} new bytes: the model reads no more, or no whole character fits"
        say("jaxlm generate", f"{which} stopped {why}")
