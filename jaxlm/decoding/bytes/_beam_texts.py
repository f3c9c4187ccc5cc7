"""Many texts written with beams over bytes, in a loop on the device that the host looks at now and then.

Letters: `B` texts, `E` members.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import models, ops
from jaxlm.decoding.bytes._beam_loop import (
    DEAD_TEXT,
    ENDED_TEXT,
    FULL_TEXT,
    RUNNING_TEXT,
    BeamLoop,
    BeamRequest,
    LoopMember,
    compact_beam_loop,
    continue_beam_loops,
    start_beam_loop,
)
from jaxlm.decoding.bytes._beam_settings import BeamSettings
from jaxlm.decoding.bytes._byte_model import ByteModel
from jaxlm.decoding.bytes._choice import ByteChoice
from jaxlm.decoding.bytes._trie import ByteTrie
from jaxlm.decoding.bytes._utf8 import utf8_state
from jaxlm.typing import Float

EndedBy = Literal["end", "stop_string", "length"]
# With stop strings: turns of the loop between two searches for them.
_TURNS_BETWEEN_LOOKS = 32
# Room in a tree for the tokens of so many turns, besides those that a text can need.
_SPARE_TURNS = 32


class GeneratedBytes(NamedTuple):
    """What was written after a prompt.

    Attributes:
      prompt: its bytes.
      data: the new bytes, without the stop string that ended them.
      log_probs: `Float32[...]` nats of every choice under the model itself, before temperature and cuts: of
        each new byte, then of those of the stop string, or of the end.
      ended_by: "end" (the model's own), "stop_string", or "length".
      dropped: the share of the mass that was left out by the bounds of stems or candidates, up to the last
        choice; 0 for states that do not count it; of an ensemble, that of the member that lost most.

    Example:
      >>> import numpy as np
      >>> from jaxlm.decoding.bytes import GeneratedBytes
      >>> written = GeneratedBytes(b"to", b" be", np.log(np.array([0.5, 0.5, 0.25, 1.0])), "end")
      >>> written.text, round(written.log_likelihood, 3)
      (' be', -2.773)
    """

    prompt: bytes
    data: bytes
    log_probs: np.ndarray
    ended_by: EndedBy
    dropped: float = 0.0

    @property
    def text(self) -> str:
        """The new bytes as text; what is no UTF-8 becomes a replacement character."""
        return self.data.decode(errors="replace")

    @property
    def log_likelihood(self) -> float:
        """Nats of all choices together."""
        return float(self.log_probs.sum(dtype=np.float64))


def finished_text(
    prompt: bytes,
    data: bytes,
    log_probs: np.ndarray,
    ended_by: EndedBy,
    stops: Sequence[bytes],
    *,
    dropped: float = 0.0,
) -> GeneratedBytes:
    """Returns a text that has ended, without the stop string that ended it.

    Args:
      prompt: its bytes.
      data: the new bytes.
      log_probs: `Float32[...]` of each choice.
      ended_by: what ended it.
      stops: stop strings.
      dropped: the share of the mass that was left out.
    """
    if ended_by == "stop_string":
        size = max(len(stop) for stop in stops if data.endswith(stop))
        data = data[: len(data) - size]
    return GeneratedBytes(prompt, data, log_probs, ended_by, dropped)


class BeamMember(NamedTuple):
    """A model that writes with beams.

    Attributes:
      byte_model: a model and the bytes of its tokens.
      settings: of its beams.
    """

    byte_model: ByteModel
    settings: BeamSettings


def write_with_beams(
    members: Sequence[BeamMember],
    texts: Sequence[bytes],
    choice: ByteChoice,
    max_new_bytes: int,
    stops: Sequence[bytes],
    *,
    weights: Float[np.ndarray, " E"],
    pooling: str,
) -> list[GeneratedBytes | None]:
    """Returns what models together write after each prompt; None where a beam of a text is empty.

    Args:
      members: E models, at least one.
      texts: the prompts, at least one.
      choice: how bytes are chosen.
      max_new_bytes: the most new bytes.
      stops: stop strings.
      weights: `Float[E]` of the members.
      pooling: how their distributions are pooled, as for `pool_log_probs`.
    """
    # The loop does not know ids that are text in prompts, nor a first context without a token.
    if any(_has_ends_with_bytes(member) or not member.byte_model.opening_ids for member in members):
        return [None] * len(texts)
    num_rows = ops.bucket(len(texts))
    lengths = np.zeros(num_rows, np.int32)
    lengths[: len(texts)] = [len(text) for text in texts]
    prefix = max(len(member.byte_model.prefix) for member in members)
    width = ops.fine_bucket(max(int(lengths.max()) + max_new_bytes, prefix + 1))
    data, utf8 = np.zeros((num_rows, width), np.int32), np.zeros(num_rows, np.int32)
    for row, text in enumerate(texts):
        data[row, : len(text)] = np.frombuffer(text, np.uint8)
        utf8[row] = utf8_state(text)
    limits = np.where(np.arange(num_rows) < len(texts), lengths + max_new_bytes, 0).astype(np.int32)
    names = jnp.asarray(np.pad(np.asarray(choice.names), ((0, num_rows - len(texts)), (0, 0))))
    asked = _Asked(data, lengths, limits, utf8, choice._replace(names=names))
    group = _Group(
        tuple(map(_loop_member, members)),
        tuple(member.byte_model.params for member in members),
        tuple(member.byte_model.trie for member in members),
        tuple(_request(member, asked) for member in members),
        jnp.asarray(weights, jnp.float32),
        pooling,
    )
    loops = tuple(_first_loop(group, index, member, asked) for index, member in enumerate(members))
    stopped = np.zeros(num_rows, int)
    turns = _TURNS_BETWEEN_LOOKS if stops else width
    while True:
        before = np.array(loops[0].counts)  # a copy, because the loop gives its memory away
        loops = _with_stopped(group.go_on(loops, turns), lengths, stops, stopped)
        status, counts = np.array(loops[0].status), np.array(loops[0].counts)
        if not (status == RUNNING_TEXT).any():
            break
        loops = tuple(map(compact_beam_loop, loops))
        if (counts == before).all():  # no room, even after the trees were made compact
            status = np.where(status == RUNNING_TEXT, DEAD_TEXT, status)
            break
    log_kept = functools.reduce(jnp.minimum, (loop.log_kept for loop in loops))
    written = loops[0]._replace(status=jnp.asarray(status), log_kept=log_kept)
    return _results(written, texts, lengths, stops, stopped)


class _Asked(NamedTuple):
    """The texts of all rows: prompts `[B U]`, their lengths, the most bytes, characters, and the choice."""

    data: np.ndarray
    lengths: np.ndarray
    limits: np.ndarray
    utf8: np.ndarray
    choice: ByteChoice


class _Group(NamedTuple):
    """The members as the loop takes them."""

    members: tuple[LoopMember, ...]
    params: tuple[Mapping[str, Any], ...]
    tries: tuple[ByteTrie, ...]
    requests: tuple[BeamRequest, ...]
    weights: jax.Array
    pooling: str

    def go_on(self, loops: tuple[BeamLoop, ...], turns: int) -> tuple[BeamLoop, ...]:
        """Returns the loops after so many turns, or fewer."""
        return continue_beam_loops(
            self.members,
            self.params,
            self.tries,
            loops,
            self.requests,
            self.weights,
            jnp.asarray(turns, jnp.int32),
            pooling=self.pooling,
        )

    def alone(self, index: int, request: BeamRequest) -> "_Group":
        """Returns one member, of which something else is asked."""
        own = slice(index, index + 1)
        return _Group(
            self.members[own],
            self.params[own],
            self.tries[own],
            (request,),
            jnp.ones((1,), jnp.float32),
            self.pooling,
        )


def _has_ends_with_bytes(member: BeamMember) -> bool:
    values = member.byte_model.encoder.table.values
    return any(id < len(values) and values[id] for id in member.byte_model.eos_ids)


def _loop_member(member: BeamMember) -> LoopMember:
    settings = member.settings
    num_duplicates = int(np.asarray(member.byte_model.trie.num_exact).max())
    return LoopMember(
        member.byte_model.model,
        settings.num_candidates,
        settings.num_extensions,
        num_duplicates,
        settings.reserve,
    )


def _request(member: BeamMember, asked: _Asked) -> BeamRequest:
    settings = member.settings
    return BeamRequest(
        jnp.asarray(asked.lengths),
        jnp.asarray(asked.limits),
        jnp.asarray(member.byte_model.eos_ids, jnp.int32),
        jnp.asarray(settings.log_threshold, jnp.float32),
        jax.tree.map(jnp.asarray, settings.token_sampling),
        asked.choice,
    )


def _first_loop(group: _Group, index: int, member: BeamMember, asked: _Asked) -> BeamLoop:
    """The beams of a member before the first byte, behind what its tokenizer puts in front of a text."""
    (num_rows, width), prefix, settings = asked.data.shape, member.byte_model.prefix, member.settings
    request, model = group.requests[index], member.byte_model.model
    data = asked.data
    if prefix:
        data = np.zeros_like(asked.data)
        data[:, : len(prefix)] = np.frombuffer(prefix, np.uint8)
        size = jnp.full((num_rows,), len(prefix), jnp.int32)
        request = request._replace(prompt_lengths=size, limits=size + 1)
    opening = np.tile(np.array(member.byte_model.opening_ids, np.int32), (num_rows, 1))
    longest = min(opening.shape[1] + len(prefix) + width, models.longest_text(model.config))
    loop = start_beam_loop(
        model,
        member.byte_model.params,
        member.byte_model.trie,
        jnp.asarray(opening),
        jnp.asarray(data),
        request,
        jnp.asarray(asked.utf8),
        num_slots=ops.fine_bucket(
            longest + (_SPARE_TURNS + settings.num_candidates) * settings.num_extensions
        ),
        num_contexts=settings.num_candidates + settings.reserve + settings.num_extensions,
    )
    if not prefix:
        return loop
    (loop,) = group.alone(index, request).go_on((loop,), len(prefix))
    return loop._replace(
        data=jnp.array(asked.data),
        log_probs=jnp.zeros_like(loop.log_probs),
        counts=jnp.zeros_like(loop.counts),
        log_kept=jnp.zeros_like(loop.log_kept),
        status=jnp.where(jnp.asarray(asked.limits) > 0, loop.status, FULL_TEXT),
        utf8=jnp.array(asked.utf8),
    )


def _with_stopped(
    loops: tuple[BeamLoop, ...], lengths: np.ndarray, stops: Sequence[bytes], stopped: np.ndarray
) -> tuple[BeamLoop, ...]:
    """The loops without the texts in which a stop string stands; `stopped` gets where the string ends."""
    if not stops:
        return loops
    data, counts = np.asarray(loops[0].data), np.asarray(loops[0].counts)
    for row in np.flatnonzero(stopped == 0).tolist():
        text = data[row, lengths[row] : counts[row]].astype(np.uint8).tobytes()
        ends = [place + len(stop) for stop in stops if (place := text.find(stop)) >= 0]
        if ends:
            stopped[row] = min(ends)
    # An array of its own for each, whose memory is used again.
    return tuple(
        loop._replace(status=jnp.where(jnp.asarray(stopped > 0), ENDED_TEXT, loop.status)) for loop in loops
    )


def _results(
    loop: BeamLoop, texts: Sequence[bytes], lengths: np.ndarray, stops: Sequence[bytes], stopped: np.ndarray
) -> list[GeneratedBytes | None]:
    data, log_probs, counts, status, kept = jax.device_get(
        (loop.data, loop.log_probs, loop.counts, loop.status, loop.log_kept)
    )
    results: list[GeneratedBytes | None] = []
    for row, prompt in enumerate(texts):
        first, size = lengths[row], counts[row] - lengths[row]
        ended_by: EndedBy = "end" if status[row] == ENDED_TEXT else "length"
        if stopped[row]:
            ended_by, size = "stop_string", stopped[row]
        elif status[row] == DEAD_TEXT or size < 0:
            results.append(None)
            continue
        own = data[row, first : first + size].astype(np.uint8).tobytes()
        chosen = log_probs[row, first : first + size + (ended_by == "end")]
        dropped = 0.0 - float(np.expm1(kept[row]))
        results.append(finished_text(prompt, own, chosen, ended_by, stops, dropped=dropped))
    return results
