"""Scoring at the speed of the hardware: pieces are packed on the host while all local devices work."""

import dataclasses
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlm import pretrained
from jaxlm.scoring._forward import COMBINES, Answers, Combine, make_forward
from jaxlm.scoring._measure import Needs
from jaxlm.scoring._packer import Packed, Shape, pack
from jaxlm.scoring._pieces import Piece, PieceScores

# Batches that wait for a device, and those that it has been given.
AHEAD, IN_FLIGHT = 2, 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """How the work is cut; beyond rounding no number depends on it, but for `combine`.

    Attributes:
      row_length: tokens of a row, and the most that a piece may have; None: the model's `max_length`, at most
        1,024 on a CPU and 2,048 elsewhere.
      rows: of a batch, over all devices; None: some 2,048 positions a device on a CPU, 65,536 elsewhere,
        fewer for models wider than 1,024.
      buffer: pieces that are looked at together to fill rows.
      tile: places whose logits are held at once; None: as many as 64 MiB of logits are on a CPU, 512 MiB
        elsewhere.
      combine: parameters are those of stacked members, whose predictions become one by the mean of "probs"
        or of "log_probs" (renormalised), or of the log-"scores" of what is asked; None: one model.
      devices: local devices; None: all of them.

    Raises:
      ValueError: if a number is not positive or a word unknown.

    Example:
      >>> EngineConfig(rows=0)
      Traceback (most recent call last):
      ValueError: rows: expected a whole number from 1, or None, got 0
    """

    row_length: int | None = None
    rows: int | None = None
    buffer: int = 1024
    tile: int | None = None
    combine: Combine | None = None
    devices: tuple[jax.Device, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("row_length", "rows", "buffer", "tile"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: expected a whole number from 1, or None, got {value}")
        if self.combine is not None and self.combine not in COMBINES:
            raise ValueError(f"combine: expected one of {', '.join(COMBINES)}, or None, got {self.combine!r}")


class Work(NamedTuple):
    """What an engine has done so far.

    Attributes:
      pieces: answered.
      batches: computed.
      tokens: that were read; fewer than the pieces have where they share.
      positions: that were computed, padding among them.
      scored: places that were asked.
      traces: how often the computation was traced, each of which is a compilation.
    """

    pieces: int = 0
    batches: int = 0
    tokens: int = 0
    positions: int = 0
    scored: int = 0
    traces: int = 0

    @property
    def padding_share(self) -> float:
        """Share of the computed positions that held no token."""
        return 1 - self.tokens / self.positions if self.positions else 0.0


class Engine:
    """A model on all local devices, compiled once, that answers pieces.

    Attributes:
      config: with everything filled in.
      longest: the most tokens that a piece may have.
      work: what was done so far.

    Args:
      loaded: a causal or a masked LM.
      config: how the work is cut.
      needs: what is asked beside log-probabilities.

    Raises:
      ValueError: if the model has no token head, rows do not divide by the devices, or an option does not fit
        the model.
    """

    def __init__(
        self, loaded: pretrained.Loaded, config: EngineConfig | None = None, needs: Needs | None = None
    ) -> None:
        if loaded.objective not in ("causal_lm", "masked_lm"):
            raise ValueError(
                f"tokens are scored by a causal_lm or a masked_lm: this model is a {loaded.objective!r}"
            )
        needs = Needs() if needs is None else needs
        self._model_config = loaded.config
        self.config = _filled(EngineConfig() if config is None else config, loaded)
        self._needs = needs._replace(
            shared_contexts=needs.shared_contexts and can_share_contexts(loaded),
        )
        devices = self.config.devices
        wide = loaded.config.position == "instruction"
        self._shape = Shape(len(devices), self.config.rows // len(devices), self.config.row_length, wide)
        limit = loaded.config.max_length if loaded.config.position == "learned" else self.config.row_length
        self.longest = min(self.config.row_length, limit)
        self.work = Work()
        self._step = self._compiled(loaded)
        self._params = _replicated(loaded.params, devices)

    def __call__(self, pieces: Iterable[Piece]) -> Iterator[PieceScores]:
        """Yields the scores of each piece, in order, as the pieces come; memory does not grow with them.

        Pieces are drawn, packed and laid out by a thread while the devices work.

        Args:
          pieces: at most `longest` tokens each, and at most as many questions.

        Raises:
          ValueError: if a piece is empty, too long, or asks for what is not there.
        """
        checked = ((piece, self._positions(piece)) for piece in pieces)
        batches = pack(checked, self._shape, buffer=self.config.buffer, shared=self._needs.shared_contexts)
        ready: dict[int, PieceScores] = {}
        first, flying = 0, deque()
        for packed in _ahead(batches):
            flying.append((packed, self._step(self._params, packed.rows)))
            while len(flying) >= IN_FLIGHT:
                self._land(*flying.popleft(), ready)
            while first in ready:
                yield ready.pop(first)
                first += 1
        while flying:
            self._land(*flying.popleft(), ready)
        while first in ready:
            yield ready.pop(first)
            first += 1

    def _compiled(self, loaded: pretrained.Loaded) -> Callable[..., Answers]:
        forward = make_forward(loaded.model, self._needs, tile=self.config.tile, combine=self.config.combine)

        def step(params: Any, rows: Any) -> Answers:
            self.work = self.work._replace(traces=self.work.traces + 1)
            return forward(params, rows)

        return jax.pmap(step, in_axes=(None, 0), devices=list(self.config.devices))

    def _land(self, packed: Packed, answers: Answers, ready: dict[int, PieceScores]) -> None:
        found = jax.tree.map(np.asarray, answers)
        for device, ask in packed.asks:
            span = slice(ask.start, ask.start + ask.count)
            ready[ask.piece] = PieceScores(
                *(None if field is None else field[device, span].copy() for field in found)
            )
        self.work = self.work._replace(
            pieces=self.work.pieces + len(packed.asks),
            batches=self.work.batches + 1,
            tokens=self.work.tokens + packed.num_tokens,
            positions=self.work.positions + self._shape.num_positions,
            scored=self.work.scored + int(packed.rows.count.sum()),
        )

    def _positions(self, piece: Piece) -> np.ndarray:
        """The positions of a piece, which is checked on the way."""
        num, asked = len(piece.tokens), len(piece.scored)
        if not 1 <= num <= self.longest or asked > self.config.row_length:
            raise ValueError(
                f"a piece has 1 to {self.longest} tokens and at most {self.config.row_length} questions: got "
                f"{num} and {asked}"
            )
        if len(piece.targets) != asked or (asked and not 0 <= piece.scored.min() <= piece.scored.max() < num):
            raise ValueError(f"a piece of {num} tokens is asked {piece.scored} for {piece.targets}")
        if piece.positions is not None:
            return piece.positions
        if self._model_config.position == "instruction":
            return instruction_positions(piece.tokens, self._model_config.next_id)
        return np.arange(num, dtype=np.int32)


def score_pieces(
    loaded: pretrained.Loaded,
    pieces: Iterable[Piece],
    config: EngineConfig | None = None,
    needs: Needs | None = None,
) -> Iterator[PieceScores]:
    """Yields the scores of pieces in order; an `Engine` that is used once.

    Args:
      loaded: a causal or a masked LM.
      pieces: see `Engine`.
      config: how the work is cut.
      needs: what is asked beside log-probabilities.
    """
    yield from Engine(loaded, config, needs)(pieces)


def can_share_contexts(loaded: pretrained.Loaded) -> bool:
    """Returns whether what a model makes of a context is the same whatever is laid out behind it.

    A window counts places, which a tree moves apart, and some positions depend on the whole text.

    Args:
      loaded: the model.
    """
    config = loaded.config
    moved = config.window is not None or config.rotary_scaling == "dynamic"
    return (
        loaded.objective == "causal_lm" and config.causal and not moved and config.position != "instruction"
    )


def instruction_positions(tokens: np.ndarray, next_id: int) -> np.ndarray:
    """Returns `Int32[n 2]`, which instruction each token is of and its place in it.

    The host's `ops.instruction_positions` of one segment.

    Example:
      >>> instruction_positions(np.array([7, 5, 8, 9]), 5).tolist()
      [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    begins = np.concatenate([[True], tokens[:-1] == next_id])
    starts = np.flatnonzero(begins)
    number = np.cumsum(begins) - 1
    return np.stack([number, np.arange(len(tokens)) - starts[number]], 1).astype(np.int32)


def _filled(config: EngineConfig, loaded: pretrained.Loaded) -> EngineConfig:
    """The config with numbers for what was left to model and device."""
    devices = tuple(jax.local_devices()) if config.devices is None else config.devices
    on_cpu = devices[0].platform == "cpu"
    row_length = config.row_length or min(loaded.config.max_length, 1024 if on_cpu else 2048)
    positions = (2048 if on_cpu else 65536) * 1024 // max(loaded.config.width, 1024)
    rows = config.rows or len(devices) * max(positions // row_length, 1)
    if rows % len(devices):
        raise ValueError(f"rows divide over the {len(devices)} devices: got {rows}")
    budget = (1 << 24) if on_cpu else (1 << 27)
    members = 1 if config.combine is None else jax.tree.leaves(loaded.params)[0].shape[0]
    tile = config.tile or max(budget // (loaded.config.vocab_size * members), 16)
    return dataclasses.replace(config, row_length=row_length, rows=rows, tile=tile, devices=devices)


def _replicated(params: Any, devices: tuple[jax.Device, ...]) -> Any:
    mesh = jax.sharding.Mesh(np.asarray(devices), ("devices",))
    return jax.device_put(params, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))


def _ahead(items: Iterable[Packed]) -> Iterator[Packed]:
    """Yields the items, drawn by a thread that is a few of them ahead and stops when nobody listens."""
    waiting: queue.Queue = queue.Queue(AHEAD)
    stopped = threading.Event()

    def put(thing: tuple[str, Any]) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(thing, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def draw() -> None:
        try:
            for item in items:
                if not put(("item", item)):
                    return
            put(("end", None))
        except BaseException as error:
            put(("error", error))

    thread = threading.Thread(target=draw, name="jaxlm-pieces", daemon=True)
    thread.start()
    try:
        while True:
            kind, thing = waiting.get()
            if kind == "error":
                raise thing
            if kind == "end":
                return
            yield thing
    finally:
        stopped.set()
        thread.join()
