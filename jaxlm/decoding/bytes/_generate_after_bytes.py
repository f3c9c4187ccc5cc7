"""Tokens written after a prompt of bytes: its last token is chosen among all that go on from it.

A cover of some bytes are tokens whose bytes begin with them, and without the last token do not reach their
end. Given the bytes, the model's text begins with one of their covers, with the share of the probability
that the cover has. So a cover is drawn, and what follows it is written by tokens, as after any prompt.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxlm.decoding import GeneratedText, GenerationConfig, generate
from jaxlm.decoding.bytes._beam_settings import TOKENS_UNCHANGED, BeamSettings
from jaxlm.decoding.bytes._beam_texts import EndedBy
from jaxlm.decoding.bytes._byte_model import ByteModel
from jaxlm.decoding.bytes._choice import draw_names
from jaxlm.decoding.bytes._first_beam_state import beam_state
from jaxlm.decoding.bytes._forecasts import NO_FIRST_BYTE
from jaxlm.decoding.bytes._states import as_bytes, sample_dict
from jaxlm.decoding.bytes._stem_readings import StemReading, read_stems
from jaxlm.decoding.bytes._stem_tree import stem_sums
from jaxlm.decoding.bytes._trie import nodes_of_bytes
from jaxlm.errors import UsageError


class CoveredText(NamedTuple):
    """What tokens write after a prompt of bytes.

    Attributes:
      prompt: the bytes before it.
      data: the new bytes: those of the cover's last token that lie behind the prompt, and those of the tokens
        after it, without a stop string.
      cover: `Int[C]` the ids that begin with the prompt, without the opening.
      tokens: `Int[U]` the ids after the cover, with the stop id that ended the text, if one did.
      cover_log_prob: nats of the cover given the prompt, 0 at most.
      log_probs: `Float32[U]` nats of each of the tokens.
      ended_by: "end" (a stop id), "stop_string", or "length".

    Example:
      >>> import numpy as np
      >>> from jaxlm.decoding.bytes import CoveredText
      >>> cover, tokens = np.array([262, 98]), np.array([101])
      >>> CoveredText(b"to b", b"e", cover, tokens, 0.0, np.zeros(1), "length").text
      'e'
    """

    prompt: bytes
    data: bytes
    cover: np.ndarray
    tokens: np.ndarray
    cover_log_prob: float
    log_probs: np.ndarray
    ended_by: EndedBy

    @property
    def text(self) -> str:
        """The new bytes as text; bytes that are not UTF-8 are replaced."""
        return self.data.decode(errors="replace")


def generate_after_bytes(
    byte_model: ByteModel,
    prompts: Iterable[bytes | str] | bytes | str,
    config: GenerationConfig | None = None,
    *,
    beam: BeamSettings | None = None,
    rng: jax.Array | None = None,
) -> list[CoveredText]:
    """Returns what a model writes by tokens after each prompt, which may end inside a token or a character.

    The text is drawn from the model over tokens, given that its bytes begin with the prompt: exactly, and as
    fast as after a prompt of tokens, for one reading of the prompt's stems. Of the covers of the prompt those
    count whose ids before the last are canonical (see `ByteModel`); with a beam, those of the tokenizations
    that it holds, which are all if it is large enough. No prompt's result depends on the others: a draw is a
    function of the key, the prompt's bytes, and how many earlier prompts have the same bytes.

    Args:
      byte_model: from `make_byte_model`.
      prompts: bytes, or strings in UTF-8. One is one text.
      config: how tokens are chosen behind the cover, and what ends the text; its limits count these tokens,
        and its stop strings are found in all new bytes. The cover itself is drawn from the model's own
        distribution. None: as for `generate`.
      beam: follow a beam of tokenizations of the prompt; None: the canonical ones.
      rng: PRNG key, consumed: cover and tokens are drawn; None: the likeliest cover, and then the likeliest
        tokens, are taken.

    Raises:
      UsageError: if a prompt cannot be read by the model or has no cover, it is empty and no token begins
        texts, the beam changes distributions of tokens, or as `generate`.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.decoding import GenerationConfig
      >>> from jaxlm.decoding.bytes import generate_after_bytes, make_byte_model
      >>> size = dict(width=8, depth=1, num_heads=2, causal=True, max_length=32)
      >>> tokenizer = tokenizers.train_subwords(["to be or not to be"] * 9, vocab_size=262)
      >>> config = models.TransformerConfig(vocab_size=tokenizer.vocab_size, **size)
      >>> model = models.build(config, "causal_lm")
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> byte_model = make_byte_model(pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {}))
      >>> written = generate_after_bytes(
      ...     byte_model, "to b", GenerationConfig(max_new_tokens=3), rng=jax.random.key(1)
      ... )
      >>> byte_model.encoder.spelled(written[0].cover.tolist()).startswith(b"to b"), len(written[0].tokens)
      (True, 3)

    References:
      Vieira et al., "From Language Models over Tokens to Language Models over Characters", 2025,
      https://arxiv.org/abs/2412.03719 (section 4, conditional token generation).
    """
    texts = [as_bytes(prompt) for prompt in ([prompts] if isinstance(prompts, (bytes, str)) else prompts)]
    if beam is not None and beam.token_sampling != TOKENS_UNCHANGED:
        raise UsageError(
            "a cover is drawn from the model's own distribution: leave token_sampling out, and set the "
            "sampling of the config for the tokens behind it"
        )
    if not texts:
        return []
    config = GenerationConfig() if config is None else config
    cover_rng, token_rng = (None, None) if rng is None else jax.random.split(rng)
    names = draw_names(texts)
    unique = list(dict.fromkeys(texts))
    parts = dict(zip(unique, _parts_of_all(byte_model, unique, beam), strict=True))
    covers = [
        _cover(byte_model, text, parts[text], _key(cover_rng, name))
        for text, name in zip(texts, names, strict=True)
    ]
    rows = [np.array([*byte_model.opening_ids, *ids], np.int32) for ids, _ in covers]
    written = generate(byte_model.loaded, rows, config, rng=token_rng, draw_names=names)
    stops = [stop.encode() for stop in config.stop_strings]
    return [
        _covered(byte_model, text, *cover, own, stops)
        for text, cover, own in zip(texts, covers, written, strict=True)
    ]


class _CoverPart(NamedTuple):
    """The covers of a prompt that are the same but for their last token.

    Attributes:
      ids: all tokens but the last, without the opening.
      rest: the bytes of the prompt behind them, with which the last token begins.
      log_prob: of all these covers.
    """

    ids: tuple[int, ...]
    rest: bytes
    log_prob: float


def _parts_of_all(
    byte_model: ByteModel, texts: Sequence[bytes], beam: BeamSettings | None
) -> list[list[_CoverPart]]:
    """The parts of each text's covers; none of the empty text, which the empty cover covers."""
    if b"" in texts and not byte_model.opening_ids:
        raise UsageError(NO_FIRST_BYTE)
    if beam is not None:
        first = beam_state(byte_model, beam)
        states = [first.prefill(text) for text in texts]
        return [[_CoverPart(*candidate) for candidate in state.candidates] for state in states]
    return [_parts(byte_model, reading) for reading in read_stems(byte_model, texts)]


def _parts(byte_model: ByteModel, reading: StemReading) -> list[_CoverPart]:
    data, tree, masses, columns = reading
    sums = stem_sums(tree, masses, columns, len(data), byte_model.settings.max_stems)
    parts = []
    for node in sums.live:
        rest = data[int(tree.ends[node]) :]
        if rest:
            log_prob = float(sums.nodes[node]) + float(masses.pieces[node, len(rest) - 1])
            parts.append(_CoverPart(_path_ids(tree.tokens, tree.parents, node, tree.root), rest, log_prob))
    return parts


def _path_ids(tokens: np.ndarray, parents: np.ndarray, node: int, root: int) -> tuple[int, ...]:
    """The ids behind the root up to a node."""
    ids = []
    while node != root:
        ids.append(int(tokens[node]))
        node = int(parents[node])
    return tuple(ids[::-1])


def _key(rng: jax.Array | None, name: np.ndarray) -> jax.Array | None:
    if rng is None:
        return None
    return jax.random.fold_in(jax.random.fold_in(rng, name[0]), name[1])


def _cover(
    byte_model: ByteModel, text: bytes, parts: Sequence[_CoverPart], rng: jax.Array | None
) -> tuple[tuple[int, ...], float]:
    """The ids of a cover, and its log-prob given the prompt."""
    if not parts:
        if text:
            raise UsageError(byte_model.unspelled(text))
        return (), 0.0
    weights = np.array([part.log_prob for part in parts], np.float64)
    total = float(np.logaddexp.reduce(weights))
    if total == -np.inf:
        raise UsageError(f"no token of this model goes on with {text[-20:]!r}: it has probability 0")
    if rng is None:
        chosen = [(part, *_last(byte_model, part, _likeliest)) for part in parts if part.log_prob > -np.inf]
        # The likeliest of all covers, and not the likeliest one of the likeliest part.
        part, id, share = max(chosen, key=lambda choice: choice[0].log_prob + choice[2])
    else:
        stem_rng, last_rng = jax.random.split(rng)
        part = parts[_drawn(weights - total, stem_rng)]
        id, share = _last(byte_model, part, lambda row: _drawn(row, last_rng))
    return (*part.ids, id), min(part.log_prob + share - total, 0.0)


def _last(byte_model: ByteModel, part: _CoverPart, choose: Callable[[np.ndarray], int]) -> tuple[int, float]:
    """The last token of a cover, and the log of its share among those that may be it."""
    trie = byte_model.trie
    node = nodes_of_bytes(trie, part.rest, len(part.rest))[0, -1]
    ids = np.asarray(trie.token_ids)[int(trie.starts[node]) : int(trie.ends[node])]
    log_probs = byte_model.first_log_probs
    if byte_model.opening_ids or part.ids:
        log_probs = byte_model.lm.log_probs([byte_model.lm.node((*byte_model.opening_ids, *part.ids))])[0]
    if byte_model.settings.probability == "canonical":
        last = part.ids[-1] if part.ids else None
        log_probs = np.where(byte_model.can_follow(last), log_probs, -np.inf)
    row = log_probs[ids].astype(np.float64)
    row -= np.logaddexp.reduce(row)
    index = int(choose(row))
    return int(ids[index]), float(row[index])


def _likeliest(log_weights: np.ndarray) -> int:
    return int(log_weights.argmax())


def _drawn(log_weights: np.ndarray, rng: jax.Array) -> int:
    index = sample_dict(dict(enumerate(np.exp(log_weights).tolist())), rng)
    if index is None:
        raise AssertionError("a draw from numbered weights has a number")
    return index


def _covered(
    byte_model: ByteModel,
    prompt: bytes,
    cover: tuple[int, ...],
    cover_log_prob: float,
    written: GeneratedText,
    stops: Sequence[bytes],
) -> CoveredText:
    """The record of a text, cut at the first stop string."""
    values = byte_model.token_bytes
    data = (byte_model.encoder.spelled(cover) or b"")[len(byte_model.prefix) + len(prompt) :]
    ends = [len(data)]
    is_stopped = written.ended_by == "stop"
    for id in written.tokens[: -1 if is_stopped else None].tolist():
        data += values[id] or b""
        ends.append(len(data))
    found = [(data.find(stop), stop) for stop in stops if stop in data]
    size, ended_by = len(written.tokens), "end" if is_stopped else "length"
    if found:
        begin, stop = min(found)
        # The token that completes the stop string is kept: it was needed to find the string.
        size = next(count for count, end in enumerate(ends) if end >= begin + len(stop))
        data, ended_by = data[:begin], "stop_string"
    return CoveredText(
        prompt,
        data,
        np.array(cover, np.int32),
        written.tokens[:size],
        cover_log_prob,
        written.log_probs[:size],
        ended_by,
    )
