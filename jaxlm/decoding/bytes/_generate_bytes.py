"""Texts written byte by byte, many at once, under any model over bytes.

Letters: `B` texts.
"""

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import ops
from jaxlm.decoding import Sampling
from jaxlm.decoding.bytes._beam_settings import BeamSettings
from jaxlm.decoding.bytes._beam_texts import (
    BeamMember,
    EndedBy,
    GeneratedBytes,
    finished_text,
    write_with_beams,
)
from jaxlm.decoding.bytes._byte_model import ByteModel
from jaxlm.decoding.bytes._choice import NO_SYMBOL, ByteChoice, choose_bytes_now, draw_names
from jaxlm.decoding.bytes._ensemble import ByteEnsemble
from jaxlm.decoding.bytes._first_beam_state import beam_state
from jaxlm.decoding.bytes._probs import NUM_BYTES
from jaxlm.decoding.bytes._states import StatefulByteLM, as_bytes, in_own_loop
from jaxlm.decoding.bytes._tree_state import tree_state
from jaxlm.decoding.bytes._tree_texts import write_with_trees
from jaxlm.decoding.bytes._utf8 import utf8_state
from jaxlm.errors import ConfigError, UsageError
from jaxlm.io import check_numbers

BYTES_UNCHANGED = Sampling()


@dataclass(frozen=True, kw_only=True)
class ByteGenerationConfig:
    """How many bytes are written, how they are chosen, and what ends a text.

    Attributes:
      max_new_bytes: the most new bytes. A text also ends where the model can read no more.
      byte_sampling: how the distribution of the next byte is changed before one is chosen. It is not that of
        tokens: of these `BeamSettings.token_sampling` changes the distribution.
      stop_strings: bytes, or strings in UTF-8, that end a text; one stands for itself.
      valid_utf8: write only bytes that keep the text valid UTF-8, and end it between characters.
      beam: follow a beam of tokenizations; None: the canonical ones, exactly. Not for a state.

    Raises:
      ConfigError: if a value is out of range.

    Example:
      >>> from jaxlm.decoding.bytes import ByteGenerationConfig
      >>> ByteGenerationConfig(stop_strings="END").stop_strings
      (b'END',)
      >>> ByteGenerationConfig(max_new_bytes=0)
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: max_new_bytes is at least 1: got 0
    """

    max_new_bytes: int = 256
    byte_sampling: Sampling = BYTES_UNCHANGED
    stop_strings: tuple[bytes | str, ...] | bytes | str = ()
    valid_utf8: bool = False
    beam: BeamSettings | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop_strings", self.stops)
        check_numbers(self)
        if self.max_new_bytes < 1:
            raise ConfigError(f"max_new_bytes is at least 1: got {self.max_new_bytes}")
        if b"" in self.stops:
            raise ConfigError("a stop string holds at least one byte: got an empty one")
        if self.byte_sampling.checked().repetition_penalty is not None:
            raise ConfigError("a repetition penalty is for tokens: every text repeats its bytes")

    @property
    def stops(self) -> tuple[bytes, ...]:
        """The stop strings as bytes."""
        given = self.stop_strings
        return tuple(map(as_bytes, (given,) if isinstance(given, (bytes, str)) else given))


def generate_bytes(
    model: ByteModel | ByteEnsemble | StatefulByteLM,
    prompts: Iterable[bytes | str] | bytes | str,
    config: ByteGenerationConfig | None = None,
    *,
    rng: jax.Array | None = None,
) -> list[GeneratedBytes]:
    """Returns what a model writes after each prompt. A prompt's result does not depend on the others.

    All texts get their next byte together, so that they share calls of the device. A draw is a function of
    the key, the prompt's bytes, how many earlier prompts have the same bytes, and its offset in the text.

    Args:
      model: as `make_byte_model` returns it; several of them as an ensemble; or a state that every prompt
        follows.
      prompts: bytes, or strings in UTF-8; they may end anywhere, also within a character. One is one text.
      config: None: greedy, 256 bytes.
      rng: PRNG key, consumed: bytes are drawn; None: the likeliest byte is taken.

    Returns:
      One `GeneratedBytes` for each prompt, in order.

    Raises:
      UsageError: if a prompt cannot be read by the model, the sampling needs a key and there is none, or a
        beam is asked of a state.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.decoding.bytes import ByteGenerationConfig, generate_bytes, make_byte_model
      >>> config = models.TransformerConfig(
      ...     vocab_size=260, width=8, depth=1, num_heads=2, causal=True, max_length=32
      ... )
      >>> model, tokenizer = models.build(config, "causal_lm"), tokenizers.bytes_tokenizer()
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> byte_model = make_byte_model(pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {}))
      >>> settings = ByteGenerationConfig(max_new_bytes=4)
      >>> [len(written.data) for written in generate_bytes(byte_model, ["to b", "é".encode()[:1]], settings)]
      [4, 4]
    """
    config = ByteGenerationConfig() if config is None else config
    if rng is None and config.byte_sampling.draws:
        raise UsageError(
            f"{config.byte_sampling} changes draws, and no byte is drawn without a key: give rng, such as "
            "jax.random.key(0)"
        )
    texts = [as_bytes(prompt) for prompt in ([prompts] if isinstance(prompts, (bytes, str)) else prompts)]
    if not texts:
        return []
    choice = ByteChoice(
        jax.tree.map(jnp.asarray, config.byte_sampling),
        rng,
        jnp.asarray(draw_names(texts)),
        jnp.asarray(config.valid_utf8),
    )
    if isinstance(model, StatefulByteLM):
        if config.beam is not None:
            raise UsageError("a state computes as it was made to: got settings of a beam; leave beam out")
        return _write_with_states(model, texts, config, choice)
    ensemble = model if isinstance(model, ByteEnsemble) else ByteEnsemble([model])
    if config.beam is None and isinstance(model, ByteModel):
        return write_with_trees(model, texts, choice, config.max_new_bytes, config.stops)
    if config.beam is None:
        return _write_with_states(_first_state(model, tree_state), texts, config, choice)
    results = write_with_beams(
        [BeamMember(member, config.beam) for member in ensemble.members],
        texts,
        choice,
        config.max_new_bytes,
        config.stops,
        weights=np.array(ensemble.weights, np.float32),
        pooling=ensemble.pooling,
    )
    # Where a beam of the loop is empty, that of a state heals, or says what is wrong.
    empty = [index for index, result in enumerate(results) if result is None]
    if empty:
        own = choice._replace(names=choice.names[np.array(empty)])
        state = _first_state(model, functools.partial(beam_state, settings=config.beam))
        again = _write_with_states(state, [texts[index] for index in empty], config, own)
        results = [
            again[empty.index(index)] if result is None else result for index, result in enumerate(results)
        ]
    return [result for result in results if result is not None]


def _first_state(
    model: ByteModel | ByteEnsemble, first: Callable[[ByteModel], StatefulByteLM]
) -> StatefulByteLM:
    return model.state(first) if isinstance(model, ByteEnsemble) else first(model)


class _Writing:
    """A text that is being written by steps of a state."""

    def __init__(self, prompt: bytes, state: StatefulByteLM) -> None:
        self.prompt = prompt
        self.state: Any = state  # or a coroutine of one
        self.data, self.log_probs = bytearray(), []
        self.utf8 = utf8_state(prompt)
        self.ended_by: EndedBy | None = None
        self.dropped = 0.0

    def add(self, symbol: int, log_prob: float, config: ByteGenerationConfig) -> None:
        """Adds a byte, or ends the text."""
        if symbol == NO_SYMBOL:
            self.ended_by = "length"
            return
        self.log_probs.append(log_prob)
        self.dropped = float(getattr(self.state, "dropped", 0.0))
        if symbol == NUM_BYTES:
            self.ended_by = "end"
            return
        self.data.append(symbol)
        if any(self.data.endswith(stop) for stop in config.stops):
            self.ended_by = "stop_string"
        elif len(self.data) == config.max_new_bytes:
            self.ended_by = "length"
        else:
            self.state = self.state.prune() << symbol

    def result(self, stops: Sequence[bytes]) -> GeneratedBytes:
        """Returns the text, which has ended."""
        log_probs = np.array(self.log_probs, np.float32)
        ended_by = self.ended_by or "length"
        return finished_text(self.prompt, bytes(self.data), log_probs, ended_by, stops, dropped=self.dropped)


def _write_with_states(
    first: StatefulByteLM, texts: Sequence[bytes], config: ByteGenerationConfig, choice: ByteChoice
) -> list[GeneratedBytes]:
    states = in_own_loop(_prefilled(first, texts))
    writing = [_Writing(text, state) for text, state in zip(texts, states, strict=True)]
    for step in range(config.max_new_bytes):
        running = [index for index, text in enumerate(writing) if text.ended_by is None]
        if not running:
            break
        states = [writing[index].state for index in running]
        for index, is_full in zip(running, type(states[0]).are_full(states), strict=True):
            if is_full:
                writing[index].ended_by = "length"
        running = [index for index in running if writing[index].ended_by is None]
        if running:
            own = choice._replace(names=choice.names[np.array(running)])
            _add_symbols([writing[index] for index in running], step, config, own)
            _finish_steps([writing[index] for index in running])
    return [text.result(config.stops) for text in writing]


async def _prefilled(state: StatefulByteLM, texts: Sequence[bytes]) -> list[StatefulByteLM]:
    return await asyncio.gather(*(state.prefill_async(text) for text in texts))


def _add_symbols(
    writing: Sequence[_Writing], step: int, config: ByteGenerationConfig, choice: ByteChoice
) -> None:
    """Chooses the next symbol of each text; sizes are rounded up, so that few programs are compiled."""
    states = [text.state for text in writing]
    views = type(states[0]).logp_next_many(states)
    # The slot of 258 that ends a token is never chosen.
    log_probs = np.stack([np.append(view.log_probs[:NUM_BYTES], view[view.end]) for view in views])
    for text, row in zip(writing, log_probs, strict=True):
        if not np.isfinite(row.max()):
            tail = (text.prompt + text.data)[-20:]
            raise UsageError(f"no byte can follow {tail!r}: every one has probability 0")
    size = ops.bucket(len(writing))
    rows = np.minimum(np.arange(size), len(writing) - 1)
    same = np.full(size, 1, np.int32)
    symbols, utf8 = choose_bytes_now(
        jnp.asarray(log_probs[rows]),
        choice._replace(names=choice.names[rows]),
        jnp.asarray(same * step),
        jnp.asarray(same * (config.max_new_bytes - step)),
        jnp.asarray(np.array([text.utf8 for text in writing], np.int32)[rows]),
    )
    chosen, after = np.asarray(symbols).tolist(), np.asarray(utf8).tolist()
    for text, row, symbol, state in zip(writing, log_probs, chosen, after, strict=False):
        text.utf8 = state
        text.add(symbol, float(row[symbol]), config)


def _finish_steps(writing: Sequence[_Writing]) -> None:
    """Awaits the states whose `<<` is a coroutine function."""
    awaited = [text for text in writing if inspect.iscoroutine(text.state)]

    async def together() -> list[StatefulByteLM]:
        return await asyncio.gather(*(text.state for text in awaited))

    if awaited:
        for text, state in zip(awaited, in_own_loop(together()), strict=True):
            text.state = state
