"""Scoring at the speed of the hardware: pieces are packed on the host while all local devices work."""

import contextlib
import dataclasses
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import models, pretrained
from jaxlm.devices import Layout
from jaxlm.errors import ScoreError
from jaxlm.scoring.engine._device_rows import BatchShape, DeviceRows, PackedBatch
from jaxlm.scoring.engine._engine_config import (
    EngineConfig,
    WorkCounts,
    can_share_contexts,
    filled,
    longest_query,
    shorter_rows,
)
from jaxlm.scoring.engine._forward import LogProbForward
from jaxlm.scoring.engine._forward_contract import MIN_QUERY_POSITIONS, Forward, ForwardSetting
from jaxlm.scoring.engine._instruction_positions import instruction_positions_on_host
from jaxlm.scoring.engine._packer import pack
from jaxlm.scoring.engine._prefetch import ahead
from jaxlm.scoring.engine._queries import Query, QueryContrast

# Batches that the devices have been given, each by a thread of its own: a CPU works on those of one thread
# one after another, and of two at once one keeps busy the cores that the other is not spread over.
BATCHES_IN_FLIGHT = 2
# Names of parameters that are multiplied or looked up in the compute dtype.
MATRICES = ("kernel", "embedding")


class Engine:
    """A model on all local devices, compiled once a row length, that answers pieces.

    Attributes:
      config: with everything filled in.
      longest: the most tokens that a piece may have.
      work: what was done so far.

    Args:
      loaded: a causal or a masked LM.
      config: how the work is cut.
      forward: what the devices compute; None: log-probabilities.

    Raises:
      ScoreError: if the model has no token head, rows do not divide by the devices, or an option does not fit
        the model.
    """

    def __init__(
        self,
        loaded: pretrained.Loaded,
        config: EngineConfig | None = None,
        forward: Forward | None = None,
    ) -> None:
        if loaded.kind.head is None:
            raise ScoreError(pretrained.without_head("this model"))
        if not loaded.kind.score:
            raise ScoreError(
                f"tokens are scored by a causal or a masked LM: this model is a {loaded.kind.name}"
            )
        forward = LogProbForward() if forward is None else forward
        self._model_config = loaded.config
        self.config = filled(config, loaded)
        is_shared = forward.shared_contexts and can_share_contexts(loaded)
        self._forward = dataclasses.replace(forward, shared_contexts=is_shared)
        self._layout = Layout(self.config.devices)
        num_devices = len(self.config.devices)
        self._shape = BatchShape(
            num_devices,
            self.config.rows // num_devices,
            self.config.row_length,
            wide=isinstance(loaded.config.position, models.Instruction),
            contrasts=forward.contrasts,
            least=min(MIN_QUERY_POSITIONS, self.config.row_length) if forward.each == "query" else 0,
        )
        self._shorter = shorter_rows(self.config)
        self.longest = longest_query(self.config, loaded)
        self.work, self._counting, self._compiling = WorkCounts(), threading.Lock(), threading.Lock()
        self._step, self._executables = self._mapped(loaded), {}
        self._params = self._layout.replicate(_kept(loaded))

    def __call__(self, pieces: Iterable[Query]) -> Iterator[Any]:
        """Yields the answer to each piece, in order, as the pieces come; memory does not grow with them.

        Of log-probabilities an answer is `QueryScores`; else what the forward computes, of that piece alone.

        Pieces are drawn, packed and laid out by a thread while the devices work.

        Args:
          pieces: at most `longest` tokens each, and at most as many questions.

        Raises:
          ValueError: if a piece is empty, too long, or asks for what is not there.
        """
        checked = ((piece, self._positions(piece)) for piece in pieces)
        how = {
            "buffer": self.config.buffer,
            "shared": self._forward.shared_contexts,
            "shorter": self._shorter,
        }
        # In a CPU's time, as many keys cost what the products of a position do as its features are wide.
        batches = pack(checked, self._shape, beside=self._model_config.width, **how)
        ready: dict[int, Any] = {}
        first = 0
        with contextlib.closing(self._answered(batches)) as answered:
            for packed, answers in answered:
                self._land(packed, answers, ready)
                while first in ready:
                    yield ready.pop(first)
                    first += 1

    def _answered(self, batches: Iterable[PackedBatch]) -> Generator[tuple[PackedBatch, Any], None, None]:
        """Yields batches with their answers, in order."""
        flying: deque[tuple[PackedBatch, Future[Any]]] = deque()
        workers, coming = ThreadPoolExecutor(BATCHES_IN_FLIGHT, "jaxlm-batches"), ahead(batches)
        try:
            for packed in coming:
                # Here, as JAX's settings may be those of the caller's thread alone.
                step = self._executable(packed.rows)
                flying.append((packed, workers.submit(self._answers, step, packed.rows)))
                # One more than they work on waits for them, so that they do not.
                while flying and (len(flying) > BATCHES_IN_FLIGHT or flying[0][1].done()):
                    yield _landed(flying)
            while flying:
                yield _landed(flying)
        finally:
            # Whoever stops listening does not wait for what is on its way.
            workers.shutdown(wait=False, cancel_futures=True)
            coming.close()

    def _executable(self, rows: DeviceRows) -> Callable[..., Any]:
        shape = rows.tokens.shape
        with self._compiling:
            if shape not in self._executables:
                self._executables[shape] = self._step.lower(self._params, rows).compile()
        return self._executables[shape]

    def _answers(self, step: Callable[..., Any], rows: DeviceRows) -> Any:
        """The answers of a batch, as arrays of the host."""
        return jax.tree.map(np.asarray, step(self._params, rows))

    def _mapped(self, loaded: pretrained.Loaded) -> Callable[..., Any]:
        on_cpu = self._layout.target.platform == "cpu"
        setting = ForwardSetting(self.config.tile, self.config.combine, on_cpu)
        forward = self._forward.program(loaded.model, setting)

        def step(params: Any, rows: Any) -> Any:
            self._count(WorkCounts(traces=1))
            return forward(params, rows)

        return self._layout.parallel(step, (False, True))

    def _land(self, packed: PackedBatch, answers: Any, ready: dict[int, Any]) -> None:
        leaves, tree = jax.tree.flatten(answers)
        is_each_query = self._forward.each == "query"
        for device, ask in packed.asks:
            own = ask.query if is_each_query else slice(ask.start, ask.start + ask.count)
            ready[ask.piece] = tree.unflatten([leaf[device, own].copy() for leaf in leaves])
        done = WorkCounts(
            pieces=len(packed.asks),
            batches=1,
            tokens=packed.num_tokens,
            positions=self._shape.num_positions * (2 if self._shape.contrasts else 1),
            scored=int(packed.rows.count.sum()),
        )
        self._count(done)

    def _count(self, done: WorkCounts) -> None:
        # Several threads may draw scores of one engine, and none of their work is to be lost.
        with self._counting:
            self.work = WorkCounts(*map(sum, zip(self.work, done, strict=True)))

    def _positions(self, piece: Query) -> np.ndarray:
        """The positions of a piece, which is checked on the way."""
        num, asked = len(piece.tokens), len(piece.scored)
        if (piece.contrast is not None) != self._shape.contrasts:
            raise ValueError("a piece has a contrast where the forward compares, and nowhere else")
        if not 1 <= num <= self.longest or asked > self.config.row_length:
            raise ValueError(
                f"a piece has 1 to {self.longest} tokens and at most {self.config.row_length} questions: got "
                f"{num} and {asked}"
            )
        if len(piece.targets) != asked or (asked and not 0 <= piece.scored.min() <= piece.scored.max() < num):
            raise ValueError(f"a piece of {num} tokens is asked {piece.scored} for {piece.targets}")
        if piece.contrast is not None:
            self._check_contrast(piece.contrast, asked)
        if piece.positions is not None:
            return piece.positions
        if isinstance(self._model_config.position, models.Instruction):
            return instruction_positions_on_host(piece.tokens, self._model_config.position.next_id)
        return np.arange(num, dtype=np.int32)

    def _check_contrast(self, contrast: QueryContrast, asked: int) -> None:
        num, places = len(contrast.tokens), contrast.places
        if self._shape.wide or not 1 <= num <= self.longest:
            raise ValueError(f"a contrast has 1 to {self.longest} tokens with one position each: got {num}")
        if not len(places) == len(contrast.targets) == asked or (
            asked and not 0 <= places.min() <= places.max() < num
        ):
            raise ValueError(f"a contrast of {num} tokens is asked {places} for {contrast.targets}")


def score_queries(
    loaded: pretrained.Loaded,
    pieces: Iterable[Query],
    config: EngineConfig | None = None,
    forward: Forward | None = None,
) -> Iterator[Any]:
    """Yields the answers to pieces in order; an `Engine` that is used once.

    Args:
      loaded: a causal or a masked LM.
      pieces: see `Engine`.
      config: how the work is cut.
      forward: what the devices compute; None: log-probabilities.
    """
    yield from Engine(loaded, config, forward)(pieces)


def _landed(flying: deque[tuple[PackedBatch, Future[Any]]]) -> tuple[PackedBatch, Any]:
    packed, answers = flying.popleft()
    return packed, answers.result()


def _kept(loaded: pretrained.Loaded) -> Any:
    """The parameters, matrices in the dtype that they are multiplied in: no batch casts them again."""
    dtype = jnp.dtype(loaded.config.dtype)

    def kept(path: tuple[Any, ...], leaf: Any) -> Any:
        return leaf.astype(dtype) if path[-1].key in MATRICES else leaf

    return jax.tree_util.tree_map_with_path(kept, loaded.params)
