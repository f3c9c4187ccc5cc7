"""Texts written after prompts: all at once, or as far as they are written, every few tokens."""

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
from jaxlm.decoding._continuations import continuation, cut_at_stop, stable_prefix
from jaxlm.decoding._decode_loop import (
    RUNNING,
    STOPPED,
    DecodeState,
    SamplingRequest,
    continue_decode,
    start_decode,
)
from jaxlm.decoding._generation_config import GenerationConfig
from jaxlm.decoding._generation_defaults import with_defaults
from jaxlm.decoding._loaded_texts import Text, as_prompts, check_loaded
from jaxlm.decoding._prompts import Prompts, pad_prompts, prompt_ids
from jaxlm.decoding._token_rules import make_rules
from jaxlm.errors import UsageError
from jaxlm.io import matches_type

# With stop strings: turns of the loop between two searches for them in the text.
TURNS_BETWEEN_LOOKS = 8


class GeneratedText(NamedTuple):
    """The continuation of a prompt, or the text that an encoder-decoder wrote from the prompt.

    Attributes:
      prompt: `Int[L]`. The ids of the prompt as the model read them.
      tokens: `Int[U]`. The new ids, with the stop id that ended the text, if one did.
      log_probs: `Float32[U]`. The log-probability of each new id in nats, under the model's own distribution:
        before penalties, temperature, top-k, top-p and min-p.
      text: the new tokens as text, without the stop id or stop string and without a `first_id`.
      ended_by: what ended the text: "stop" (a stop id), "stop_string", or "length" (the largest number of
        tokens, or a full context). None while the text is being written.
      score: the score of beam search, `log-likelihood / length ** length_penalty`; None without beam search.
    """

    prompt: np.ndarray
    tokens: np.ndarray
    log_probs: np.ndarray
    text: str
    ended_by: Literal["stop", "stop_string", "length"] | None
    score: float | None = None

    @property
    def log_likelihood(self) -> float:
        """The log-probability of all new tokens given the prompt, in nats."""
        return float(self.log_probs.sum(dtype=np.float64))


def generate(
    loaded: pretrained.Loaded,
    prompts: Iterable[Text],
    config: GenerationConfig | None = None,
    *,
    rng: jax.Array | None = None,
    draw_names: np.ndarray | None = None,
) -> list[GeneratedText]:
    """Returns what the model writes after each prompt. No prompt's result depends on the other prompts.

    All prompts are read in one pass and continued in one compiled loop, whatever their lengths. Sizes are
    rounded up, so that few programs are compiled. A random draw depends on the key, the prompt's ids, how
    many earlier prompts have the same ids, and the index of the token in the text; so a draw is the same in
    any batch. An encoder-decoder reads each prompt once and writes a new text from it.

    Before a text the model reads the tokens that opened texts in its training, as `jaxlm generate` does, and
    as `transformers` does for a published model. An encoder-decoder also reads the tokens that closed texts.
    Nothing is added to a prompt that is given as ids.

    Args:
      loaded: a causal LM or an encoder-decoder, as `pretrained.load` returns it.
      prompts: texts, or rows of ids; lengths may differ. For an empty text the model reads the tokens that
        open texts or, if there are none, the begin-of-sequence token. A single string is one prompt.
      config: how tokens are chosen and what ends a text; None: the likeliest token, and at most 128 of them.
        Fields that are not set take what the model's files require of every text, such as the first token of
        a translation (see `with_defaults`).
      rng: a PRNG key with which tokens are drawn; do not use the key again. None: the likeliest token is
        taken, after a repetition penalty if the config has one.
      draw_names: `UInt32[N 2]`, what the draws of each of the N prompts depend on besides the key, instead of
        its ids and how many earlier prompts have the same. None: these.

    Returns:
      One `GeneratedText` for each prompt, in order.

    Raises:
      UsageError: if the model cannot write texts, a prompt fills the model's context, a prompt is empty and
        the tokenizer has no token that begins texts, the config names an id that the model does not have, the
        config's sampling needs a key and there is none, or beam search is given a key.
      TypeError: if `loaded` is not a `pretrained.Loaded`.

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
      >>> [len(generated.tokens) for generated in written]
      [3, 3]
    """
    config = _complete_config(loaded, config)
    texts = _prompt_ids(loaded, prompts, config, rng)
    if not texts:
        return []
    if config.num_beams > 1:
        if rng is not None:
            raise UsageError("beam search draws nothing: got a key; leave rng out or use num_beams=1")
        return _beam_search(loaded, texts, config)
    turns = TURNS_BETWEEN_LOOKS if config.stop_strings else config.max_new_tokens
    results: list[GeneratedText] = []
    for results in _partial_results(loaded, texts, config, rng, turns, draw_names):  # noqa: B007
        pass
    return results


def stream(
    loaded: pretrained.Loaded,
    prompts: Iterable[Text],
    config: GenerationConfig | None = None,
    *,
    rng: jax.Array | None = None,
    every: int = 1,
) -> Iterator[list[GeneratedText]]:
    """Yields what `generate` returns, as far as it is written, every few tokens.

    Each yield is a list with one `GeneratedText` for each prompt. From one yield to the next a text only
    grows: its end is held back while the last character lacks bytes, and while the end may become a stop
    string.

    Args:
      loaded: a causal LM or an encoder-decoder, as `pretrained.load` returns it.
      prompts: texts, or rows of ids; lengths may differ. A single string is one prompt.
      config: how tokens are chosen and what ends a text, without beam search; None: the likeliest token, and
        at most 128 of them.
      rng: a PRNG key with which tokens are drawn; do not use the key again. None: the likeliest token is
        taken.
      every: how many tokens of each text are written between two yields; the texts do not depend on this
        number.

    Raises:
      UsageError: if `num_beams` is above 1 or `every` is below 1, and for each reason for which `generate`
        raises it.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.decoding import GenerationConfig, stream
      >>> size = dict(vocab_size=260, width=8, depth=1, num_heads=2, max_length=32)
      >>> setup, tokenizer = models.TransformerConfig(causal=True, **size), tokenizers.bytes_tokenizer()
      >>> model = models.build(setup, "causal_lm")
      >>> params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(setup, "causal_lm", model, params, tokenizer, {})
      >>> partial = stream(loaded, "a", GenerationConfig(max_new_tokens=3, stop_ids=()))
      >>> [len(texts[0].tokens) for texts in partial]
      [1, 2, 3]
    """
    config = _complete_config(loaded, config)
    if config.num_beams > 1 or not matches_type(every, int) or every < 1:
        raise UsageError(
            f"a stream has one beam and yields every token or more: got num_beams={config.num_beams}, "
            f"every={every}"
        )
    texts = _prompt_ids(loaded, prompts, config, rng)
    if texts:
        yield from _partial_results(loaded, texts, config, rng, every)


def _complete_config(loaded: pretrained.Loaded, config: GenerationConfig | None) -> GenerationConfig:
    """The config with the rules of the model's files and the ids that end a text filled in."""
    check_loaded(loaded)
    config = with_defaults(config or GenerationConfig(), loaded.extra)
    if config.stop_ids is not None:
        return config
    end = pretrained.end_id(loaded.text_tokenizer, loaded.kind, loaded.frame)
    return dataclasses.replace(config, stop_ids=() if end is None else (end,))


def _prompt_ids(
    loaded: pretrained.Loaded, prompts: Iterable[Text], config: GenerationConfig, rng: jax.Array | None
) -> list[np.ndarray]:
    """The ids of the prompts, after a check that the model can write and that the request fits it."""
    kind = loaded.kind
    if kind.encoder:
        first_token(loaded.model)
    elif not loaded.config.causal:
        raise UsageError("a masked LM fills masks and writes no text; use a causal model, or fill")
    elif not kind.next_token:
        raise UsageError(f"texts are written by a causal LM, and this model is a {kind.name}")
    _check_rules(config, loaded.config.required_vocab_size())
    _check_sampling(config, rng)
    new_tokens = 0 if kind.encoder else 1
    return [prompt_ids(loaded, text, new_tokens=new_tokens) for text in as_prompts(prompts)]


def _check_rules(config: GenerationConfig, vocab_size: int) -> None:
    """Refuses rules that name an id that the model does not have."""
    for name in ("first_id", "last_id", "forbidden_ids", "forbidden_first_ids", "forbidden_words"):
        wrong = [id for id in _flat(getattr(config, name)) if not 0 <= id < vocab_size]
        if wrong:
            raise UsageError(f"{name} lies in 0..{vocab_size - 1}, the model's ids: got {wrong[0]}")


def _check_sampling(config: GenerationConfig, rng: jax.Array | None) -> None:
    """Refuses settings of draws when there is no key to draw with."""
    if rng is None and config.sampling.draws:
        raise UsageError(
            f"{config.sampling} changes draws, and no token is drawn without a key: give rng, such as "
            "jax.random.key(0), or set only repetition_penalty to take the likeliest token"
        )


def _flat(value: Any) -> list[int]:
    if isinstance(value, tuple):
        return [id for item in value for id in _flat(item)]
    return [] if value is None else [value]


def _partial_results(
    loaded: pretrained.Loaded,
    texts: list[np.ndarray],
    config: GenerationConfig,
    rng: jax.Array | None,
    turns: int,
    draw_names: np.ndarray | None = None,
) -> Iterator[list[GeneratedText]]:
    """Yields the texts as far as they are written, every few turns, until every text has ended."""
    model, params = loaded.model, loaded.params
    prompts = pad_prompts(texts, models.longest_text(model.config))
    if draw_names is not None:
        prompts.names[: len(texts)] = draw_names
    request, max_tokens = _make_request(model, prompts, config, rng)
    state = start_decode(
        model,
        params,
        *map(jnp.asarray, prompts[:2]),
        request,
        max_tokens=max_tokens,
        num_slots=_num_slots(model, prompts, request),
    )
    ended = np.full(len(texts), "", object)
    while True:
        results = _results(loaded, texts, state, config, ended)
        yield results
        if all(result.ended_by for result in results):
            return
        state = state._replace(status=_with_ended(state.status, ended))
        state = continue_decode(model, params, state, request, jnp.asarray(turns, jnp.int32))


def _num_slots(model: nn.Module, prompts: Prompts, request: SamplingRequest) -> int:
    """Slots of a row: for what is read before, and for the new tokens."""
    before = 1 if has_encoder(model) else prompts.lengths
    needed = ops.fine_bucket(int((before + np.asarray(request.limits)).max()))
    return min(max(needed, context_width(model, prompts.tokens.shape[1])), models.longest_text(model.config))


def _make_request(
    model: nn.Module, prompts: Prompts, config: GenerationConfig, rng: jax.Array | None
) -> tuple[SamplingRequest, int]:
    """The request of a batch, and the most new tokens that its arrays hold."""
    context = np.where(has_encoder(model), 0, prompts.lengths)
    limits = np.minimum(config.max_new_tokens, models.longest_text(model.config) - context).astype(np.int32)
    limits[prompts.lengths == 0] = 0
    stops = jnp.asarray(config.stop_ids, jnp.int32)
    sampling = jax.tree.map(jnp.asarray, config.sampling)
    before = prompts[:2]
    if has_encoder(model):
        before = np.full((len(limits), 1), first_token(model), np.int32), np.ones_like(prompts.lengths)
    rules = make_rules(config, *before, stops)
    names = jnp.asarray(prompts.names)
    request = SamplingRequest(names, jnp.asarray(limits), stops, sampling, rng, rules)
    return request, ops.fine_bucket(int(limits.max()))


def _with_ended(status: jax.Array, ended: np.ndarray) -> jax.Array:
    """Ends on the device the rows whose text has ended on the host."""
    is_over = np.zeros(status.shape, bool)
    is_over[: ended.size] = ended != ""
    return jnp.where(jnp.asarray(is_over), STOPPED, status) if is_over.any() else status


def _split_context(
    model: nn.Module, prompt: np.ndarray, tokens: np.ndarray, config: GenerationConfig
) -> tuple[np.ndarray, np.ndarray]:
    """The ids before the text, and the ids of the text: a `first_id` counts as before it."""
    before = prompt[:0] if has_encoder(model) else prompt
    lead = 0 if config.first_id is None else 1
    return np.concatenate([before, tokens[:lead]]), tokens[lead:]


def _results(
    loaded: pretrained.Loaded,
    texts: list[np.ndarray],
    state: DecodeState,
    config: GenerationConfig,
    ended: np.ndarray,
) -> list[GeneratedText]:
    """The texts so far; `ended` gets the reason for each text that has ended."""
    tokenizer, stop_strings = loaded.text_tokenizer, config.stop_strings
    tokens, log_probs, counts, status = jax.device_get(state[1:5])
    results = []
    for row, prompt in enumerate(texts):
        own, stopped = tokens[row, : counts[row]], status[row] == STOPPED and ended[row] != "stop_string"
        before, shown = _split_context(loaded.model, prompt, own, config)
        text = continuation(tokenizer, before, shown[:-1] if stopped else shown)
        size, text, is_cut = cut_at_stop(tokenizer, before, shown, text, stop_strings)
        size += own.size - shown.size
        if is_cut:
            ended[row] = "stop_string"
        elif status[row] != RUNNING and not ended[row]:
            ended[row] = "stop" if stopped else "length"
        text = text if ended[row] else stable_prefix(text, stop_strings)
        results.append(GeneratedText(prompt, own[:size], log_probs[row, :size], text, ended[row] or None))
    return results


def _beam_search(
    loaded: pretrained.Loaded, texts: list[np.ndarray], config: GenerationConfig
) -> list[GeneratedText]:
    model, tokenizer, stop_ids = loaded.model, loaded.text_tokenizer, config.stop_ids or ()
    prompts = pad_prompts(texts, models.longest_text(model.config))
    request, max_tokens = _make_request(model, prompts, config, None)
    if config.num_beams * (max_tokens + 1) * prompts.tokens.size >= 2**31:
        raise UsageError(
            f"num_beams: beams of {max_tokens} tokens after {len(texts)} prompts are more than an array "
            f"holds: got {config.num_beams}; lower it"
        )
    best = search_beams(
        model,
        loaded.params,
        *map(jnp.asarray, prompts[:2]),
        request.limits,
        request.stops,
        jnp.float32(config.length_penalty),
        jnp.asarray(EARLY_STOPPING.index(config.early_stopping), jnp.int32),
        request.rules,
        max_tokens=max_tokens,
        num_beams=config.num_beams,
    )
    best = jax.device_get(best)
    results = []
    for row, prompt in enumerate(texts):
        size = best.lengths[row]
        own, log_probs = best.tokens[row, :size], best.log_probs[row, :size]
        stopped = bool(np.isin(own[-1:], stop_ids).any())
        before, shown = _split_context(model, prompt, own, config)
        text = continuation(tokenizer, before, shown[:-1] if stopped else shown)
        ended_by = "stop" if stopped else "length"
        results.append(GeneratedText(prompt, own, log_probs, text, ended_by, float(best.scores[row])))
    return results
