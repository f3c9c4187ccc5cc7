"""Many texts written with beams over bytes, in a loop on the device that the host looks at now and then.

Letters: `B` texts.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import models, ops
from jaxlm.decoding.bytes._beam_loop import (
    DEAD_TEXT,
    ENDED_TEXT,
    RUNNING_TEXT,
    BeamLoop,
    BeamRequest,
    compact_beam_loop,
    continue_beam_loop,
    start_beam_loop,
)
from jaxlm.decoding.bytes._beam_settings import BeamSettings
from jaxlm.decoding.bytes._byte_model import ByteModel
from jaxlm.decoding.bytes._choice import ByteChoice
from jaxlm.decoding.bytes._utf8 import utf8_state

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
    """

    prompt: bytes
    data: bytes
    log_probs: np.ndarray
    ended_by: EndedBy

    @property
    def text(self) -> str:
        """The new bytes as text; what is no UTF-8 becomes a replacement character."""
        return self.data.decode(errors="replace")

    @property
    def log_likelihood(self) -> float:
        """Nats of all choices together."""
        return float(self.log_probs.sum(dtype=np.float64))


def finished_text(
    prompt: bytes, data: bytes, log_probs: np.ndarray, ended_by: EndedBy, stops: Sequence[bytes]
) -> GeneratedBytes:
    """Returns a text that has ended, without the stop string that ended it.

    Args:
      prompt: its bytes.
      data: the new bytes.
      log_probs: `Float32[...]` of each choice.
      ended_by: what ended it.
      stops: stop strings.
    """
    if ended_by == "stop_string":
        size = max(len(stop) for stop in stops if data.endswith(stop))
        data = data[: len(data) - size]
    return GeneratedBytes(prompt, data, log_probs, ended_by)


def write_with_beams(
    byte_model: ByteModel,
    settings: BeamSettings,
    texts: Sequence[bytes],
    choice: ByteChoice,
    max_new_bytes: int,
    stops: Sequence[bytes],
) -> list[GeneratedBytes | None]:
    """Returns what a model writes after each prompt; None where the beam of a text is empty.

    Args:
      byte_model: a model and the bytes of its tokens.
      settings: of the beams.
      texts: the prompts, at least one.
      choice: how bytes are chosen.
      max_new_bytes: the most new bytes.
      stops: stop strings.
    """
    if any(byte_model.encoder.table.values[id] for id in byte_model.eos_ids if _has_entry(byte_model, id)):
        return [None] * len(texts)  # in prompts these are text, which the loop does not know
    model, params, trie = byte_model.model, byte_model.params, byte_model.trie
    datas = [byte_model.prefix + text for text in texts]
    num_rows = ops.bucket(len(texts))
    lengths = np.zeros(num_rows, np.int32)
    lengths[: len(texts)] = [len(data) for data in datas]
    width = ops.fine_bucket(int(lengths.max()) + max_new_bytes)
    data, utf8 = np.zeros((num_rows, width), np.int32), np.zeros(num_rows, np.int32)
    for row, text in enumerate(datas):
        data[row, : len(text)] = np.frombuffer(text, np.uint8)
        utf8[row] = utf8_state(text)
    limits = np.where(np.arange(num_rows) < len(texts), lengths + max_new_bytes, 0).astype(np.int32)
    names = jnp.asarray(np.pad(np.asarray(choice.names), ((0, num_rows - len(texts)), (0, 0))))
    request = BeamRequest(
        jnp.asarray(lengths),
        jnp.asarray(limits),
        jnp.asarray(byte_model.eos_ids, jnp.int32),
        jnp.asarray(settings.log_threshold, jnp.float32),
        jax.tree.map(jnp.asarray, settings.token_sampling),
        choice._replace(names=names),
    )
    opening = np.tile(np.array(byte_model.opening_ids, np.int32), (num_rows, 1))
    num_contexts = settings.num_candidates + settings.reserve + settings.num_extensions
    longest = min(opening.shape[1] + width, models.longest_text(model.config))
    spare = (_SPARE_TURNS + settings.num_candidates) * settings.num_extensions
    loop = start_beam_loop(
        model,
        params,
        trie,
        jnp.asarray(opening),
        jnp.asarray(data),
        request,
        jnp.asarray(utf8),
        num_slots=ops.fine_bucket(longest + spare),
        num_contexts=num_contexts,
    )
    stopped = np.zeros(num_rows, int)
    turns = jnp.asarray(_TURNS_BETWEEN_LOOKS if stops else width, jnp.int32)
    while True:
        before = np.array(loop.counts)  # a copy, because the loop gives its memory away
        loop = continue_beam_loop(
            model,
            params,
            trie,
            loop,
            request,
            turns,
            num_candidates=settings.num_candidates,
            num_extensions=settings.num_extensions,
            num_duplicates=int(np.asarray(trie.num_exact).max()),
            reserve=settings.reserve,
        )
        loop = _with_stopped(loop, lengths, stops, stopped)
        status, counts = np.asarray(loop.status), np.asarray(loop.counts)
        if not (status == RUNNING_TEXT).any():
            break
        loop = compact_beam_loop(loop)
        if (counts == before).all():  # no room, even after the tree was made compact
            loop = loop._replace(status=jnp.where(loop.status == RUNNING_TEXT, DEAD_TEXT, loop.status))
            break
    return _results(loop, texts, lengths, stops, stopped)


def _has_entry(byte_model: ByteModel, id: int) -> bool:
    return id < len(byte_model.encoder.table.values)


def _with_stopped(
    loop: BeamLoop, lengths: np.ndarray, stops: Sequence[bytes], stopped: np.ndarray
) -> BeamLoop:
    """The loop without the texts in which a stop string stands; `stopped` gets where the string ends."""
    if not stops:
        return loop
    data, counts = np.asarray(loop.data), np.asarray(loop.counts)
    for row in np.flatnonzero(stopped == 0).tolist():
        text = data[row, lengths[row] : counts[row]].astype(np.uint8).tobytes()
        ends = [place + len(stop) for stop in stops if (place := text.find(stop)) >= 0]
        if ends:
            stopped[row] = min(ends)
    return loop._replace(status=jnp.where(jnp.asarray(stopped > 0), ENDED_TEXT, loop.status))


def _results(
    loop: BeamLoop, texts: Sequence[bytes], lengths: np.ndarray, stops: Sequence[bytes], stopped: np.ndarray
) -> list[GeneratedBytes | None]:
    data, log_probs, counts, status = jax.device_get((loop.data, loop.log_probs, loop.counts, loop.status))
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
        results.append(finished_text(prompt, own, chosen, ended_by, stops))
    return results
