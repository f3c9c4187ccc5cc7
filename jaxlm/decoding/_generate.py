"""Texts that go on from prompts: all at once, or piece by piece while they are written."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxlm import models, ops, pretrained
from jaxlm.decoding._beam import EARLY_STOPPING, search_beams
from jaxlm.decoding._cached_rows import context_width, first_token, has_encoder
from jaxlm.decoding._continuations import continuation, cut_at_stop, settled
from jaxlm.decoding._decode_loop import RUNNING, STOPPED, DecodeState, SamplingRequest, advance, begin
from jaxlm.decoding._generation_config import GenerationConfig
from jaxlm.decoding._generation_defaults import with_defaults
from jaxlm.decoding._loaded_texts import Text, as_prompts, check_loaded
from jaxlm.decoding._prompts import Prompts, pad_prompts, prompt_ids
from jaxlm.decoding._token_rules import make_rules
from jaxlm.errors import UsageError
from jaxlm.io import fits

# Turns between two looks at the text, where stop strings may end it.
TURNS_BETWEEN_LOOKS = 8


class GeneratedText(NamedTuple):
    """What was written after a prompt, or by an encoder-decoder from it.

    Attributes:
      prompt: `Int[L]` ids.
      tokens: `Int[T]` ids after it, a token that ended the text included.
      log_probs: `Float32[T]` nats of each under the model itself, before penalties, temperature and cuts.
      text: the tokens as text, without what ended it, and without a `first_id`.
      ended_by: "stop" (a stop id), "stop_string", "length", or None while it is being written.
      score: of beam search, `log-likelihood / length ** length_penalty`; else None.
    """

    prompt: np.ndarray
    tokens: np.ndarray
    log_probs: np.ndarray
    text: str
    ended_by: Literal["stop", "stop_string", "length"] | None
    score: float | None = None

    @property
    def log_likelihood(self) -> float:
        """Log-probability of all tokens given the prompt, in nats."""
        return float(self.log_probs.sum(dtype=np.float64))


def generate(
    loaded: pretrained.Loaded,
    prompts: Iterable[Text],
    config: GenerationConfig | None = None,
    *,
    rng: jax.Array | None = None,
) -> list[GeneratedText]:
    """Returns what the model writes after each prompt, each as if it were alone.

    One prefill and one compiled loop whatever the prompts' lengths; sizes are rounded up to few, so that few
    programs are compiled. A draw is a function of the key, the prompt's ids, how many prompts before it have
    the same ids, and its place in the text: the same in any batch. An encoder-decoder reads each prompt once
    and writes another text from it.

    A text is read as `jaxlm generate` reads it and, of a published model, `transformers`: behind the tokens
    that opened texts in the model's training, and of an encoder-decoder closed, too. To ids nothing is added.

    Args:
      loaded: a causal LM or an encoder-decoder, as `pretrained.load` returns it.
      prompts: texts or ids; lengths may differ. An empty text is what opens texts, else the begin-of-sequence
        token. A string is one text.
      config: None: greedy, 128 tokens. What a model's files ask of every text, such as the first token of a
        translation, is put in where the config does not say it (`with_defaults`).
      rng: PRNG key, consumed: tokens are drawn; None: the likeliest is taken, after a repetition penalty.

    Returns:
      One `GeneratedText` a prompt, in order.

    Raises:
      UsageError: if the model writes no text, a prompt leaves no room in its context or is empty where no
        token begins texts, the config names an id that the model does not have, it asks for draws and there
        is no key, or beam search is given one.
      TypeError: if `loaded` is no opened model.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.decoding import GenerationConfig, generate
      >>> size = dict(vocab_size=260, width=8, depth=1, num_heads=2, max_length=32)
      >>> setup, tokenizer = models.TransformerConfig(causal=True, **size), tokenizers.bytes_tokenizer()
      >>> model = models.build(setup, "causal_lm")
      >>> params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(setup, "causal_lm", model, params, tokenizer, {})
      >>> written = generate(loaded, ["a", "bcd"], GenerationConfig(max_new_tokens=3))
      >>> [len(one.tokens) for one in written]
      [3, 3]
    """
    config = _settings(loaded, config)
    texts = _checked(loaded, prompts, config, rng)
    if not texts:
        return []
    model, params, tokenizer = loaded.model, loaded.params, loaded.tokenizer
    if config.num_beams > 1:
        if rng is not None:
            raise UsageError("beam search draws nothing: got a key; leave rng out or use num_beams=1")
        return _search(model, params, tokenizer, texts, config)
    turns = TURNS_BETWEEN_LOOKS if config.stop_strings else config.max_new_tokens
    for written in _pieces(model, params, tokenizer, texts, config, rng, turns):  # noqa: B007
        pass
    return written


def stream(
    loaded: pretrained.Loaded,
    prompts: Iterable[Text],
    config: GenerationConfig | None = None,
    *,
    rng: jax.Array | None = None,
    every: int = 1,
) -> Iterator[list[GeneratedText]]:
    """Yields what `generate` returns, as far as it is written, every few tokens.

    A text only grows from one time to the next: characters whose bytes are not complete, and what may become
    a stop string, are held back.

    Args:
      loaded: as for `generate`.
      prompts: as for `generate`.
      config: as for `generate`; beams cannot be watched.
      rng: as for `generate`.
      every: how many tokens are written between two looks; it does not change what is written.

    Raises:
      UsageError: as `generate`, and if beam search is asked for or `every` is below 1.
    """
    config = _settings(loaded, config)
    if config.num_beams > 1 or not fits(every, int) or every < 1:
        raise UsageError(
            f"a stream has one beam and looks every token or more: got {config.num_beams}, {every}"
        )
    texts = _checked(loaded, prompts, config, rng)
    if texts:
        yield from _pieces(loaded.model, loaded.params, loaded.tokenizer, texts, config, rng, every)


def _settings(loaded: pretrained.Loaded, asked: GenerationConfig | None) -> GenerationConfig:
    """What is asked for, with what the model's files ask of every text, and what ends one."""
    check_loaded(loaded)
    config = with_defaults(asked or GenerationConfig(), loaded.extra)
    if config.stop_ids is not None:
        return config
    end = pretrained.end_id(loaded.tokenizer, loaded.kind, loaded.frame)
    return dataclasses.replace(config, stop_ids=() if end is None else (end,))


def _checked(
    loaded: pretrained.Loaded, prompts: Iterable[Text], asked: GenerationConfig, rng: jax.Array | None
) -> list[np.ndarray]:
    kind, room = loaded.kind, 0 if loaded.kind.encoder else 1
    if kind.encoder:
        first_token(loaded.model)
    elif not loaded.config.causal:
        raise UsageError("a masked LM fills masks and writes no text; use a causal model, or fill")
    elif not kind.next_token:
        raise UsageError(f"texts are written by a causal LM, and this model is a {kind.name}")
    _check_rules(asked, loaded.config.vocab_size)
    _check_draws(asked, rng)
    return [prompt_ids(loaded, text, room=room) for text in as_prompts(prompts)]


def _check_rules(asked: GenerationConfig, vocab_size: int) -> None:
    """Raises ValueError where a rule names an id that the model does not have."""
    for name in ("first_id", "last_id", "forbidden_ids", "forbidden_first_ids", "forbidden_words"):
        wrong = [id for id in _flat(getattr(asked, name)) if not 0 <= id < vocab_size]
        if wrong:
            raise UsageError(f"{name} lies in 0..{vocab_size - 1}, the model's ids: got {wrong[0]}")


def _check_draws(asked: GenerationConfig, rng: jax.Array | None) -> None:
    """Raises ValueError where draws are asked for and cannot be made, or are made of nothing."""
    if rng is None and asked.sampling.draws:
        raise UsageError(
            f"{asked.sampling} is about draws, and without a key none is made: give rng, such as "
            "jax.random.key(0), or leave all but repetition_penalty out to take the likeliest token"
        )


def _flat(value: Any) -> list[int]:
    if isinstance(value, tuple):
        return [id for one in value for id in _flat(one)]
    return [] if value is None else [value]


def _pieces(model, params, tokenizer, texts, config, rng, turns) -> Iterator[list[GeneratedText]]:
    """Advances and looks, until every text has ended."""
    prompts = pad_prompts(texts, models.longest_text(model.config))
    wanted, room = _wanted(model, prompts, config, rng)
    written = begin(
        model,
        params,
        *map(jnp.asarray, prompts[:2]),
        wanted,
        room=room,
        num_slots=_slots(model, prompts, wanted),
    )
    ended = np.full(len(texts), "", object)
    while True:
        pieces = _generated(model, tokenizer, texts, written, config, ended)
        yield pieces
        if all(piece.ended_by for piece in pieces):
            return
        written = written._replace(status=_with_ended(written.status, ended))
        written = advance(model, params, written, wanted, jnp.asarray(turns, jnp.int32))


def _slots(model, prompts: Prompts, wanted: SamplingRequest) -> int:
    """Slots of a row: for what is read before, and what is written."""
    before = 1 if has_encoder(model) else prompts.lengths
    needed = ops.fine_bucket(int((before + np.asarray(wanted.limits)).max()))
    return min(max(needed, context_width(model, prompts.tokens.shape[1])), models.longest_text(model.config))


def _wanted(model, prompts: Prompts, config, rng) -> tuple[SamplingRequest, int]:
    context = np.where(has_encoder(model), 0, prompts.lengths)
    limits = np.minimum(config.max_new_tokens, models.longest_text(model.config) - context).astype(np.int32)
    limits[prompts.lengths == 0] = 0
    stops = jnp.asarray(config.stop_ids, jnp.int32)
    numbers = jax.tree.map(jnp.asarray, config.sampling)
    before = prompts[:2]
    if has_encoder(model):
        before = np.full((len(limits), 1), first_token(model), np.int32), np.ones_like(prompts.lengths)
    rules = make_rules(config, *before, stops)
    wanted = SamplingRequest(jnp.asarray(prompts.names), jnp.asarray(limits), stops, numbers, rng, rules)
    return wanted, ops.fine_bucket(int(limits.max()))


def _with_ended(status: jax.Array, ended: np.ndarray) -> jax.Array:
    """Ends on the device the rows whose text has ended on the host."""
    over = np.zeros(status.shape, bool)
    over[: ended.size] = ended != ""
    return jnp.where(jnp.asarray(over), STOPPED, status) if over.any() else status


def _parted(
    model: nn.Module, prompt: np.ndarray, tokens: np.ndarray, config: GenerationConfig
) -> tuple[np.ndarray, np.ndarray]:
    """The ids that a text stands behind, and its own: a first token that every text has is no part of it."""
    before = prompt[:0] if has_encoder(model) else prompt
    lead = 0 if config.first_id is None else 1
    return np.concatenate([before, tokens[:lead]]), tokens[lead:]


def _generated(
    model, tokenizer, texts, written: DecodeState, config, ended: np.ndarray
) -> list[GeneratedText]:
    tokens, log_probs, counts, status = jax.device_get(written[1:5])
    pieces = []
    for row, prompt in enumerate(texts):
        own, stopped = tokens[row, : counts[row]], status[row] == STOPPED and ended[row] != "stop_string"
        before, shown = _parted(model, prompt, own, config)
        text = continuation(tokenizer, before, shown[:-1] if stopped else shown)
        size, text, found = cut_at_stop(tokenizer, before, shown, text, config.stop_strings)
        size += own.size - shown.size
        if found:
            ended[row] = "stop_string"
        elif status[row] != RUNNING and not ended[row]:
            ended[row] = "stop" if stopped else "length"
        text = text if ended[row] else settled(text, config.stop_strings)
        pieces.append(GeneratedText(prompt, own[:size], log_probs[row, :size], text, ended[row] or None))
    return pieces


def _search(model, params, tokenizer, texts, config) -> list[GeneratedText]:
    prompts = pad_prompts(texts, models.longest_text(model.config))
    wanted, room = _wanted(model, prompts, config, None)
    if config.num_beams * (room + 1) * prompts.tokens.size >= 2**31:
        raise UsageError(
            f"num_beams: beams of {room} tokens after {len(texts)} prompts are more than an array holds: got "
            f"{config.num_beams}; lower it"
        )
    found = search_beams(
        model,
        params,
        *map(jnp.asarray, prompts[:2]),
        wanted.limits,
        wanted.stops,
        jnp.float32(config.length_penalty),
        jnp.asarray(EARLY_STOPPING.index(config.early_stopping), jnp.int32),
        wanted.rules,
        room=room,
        num_beams=config.num_beams,
    )
    found = jax.device_get(found)
    results = []
    for row, prompt in enumerate(texts):
        size = found.lengths[row]
        own, log_probs = found.tokens[row, :size], found.log_probs[row, :size]
        stopped = bool(np.isin(own[-1:], config.stop_ids).any())
        before, shown = _parted(model, prompt, own, config)
        text = continuation(tokenizer, before, shown[:-1] if stopped else shown)
        ended_by = "stop" if stopped else "length"
        results.append(GeneratedText(prompt, own, log_probs, text, ended_by, float(found.scores[row])))
    return results
