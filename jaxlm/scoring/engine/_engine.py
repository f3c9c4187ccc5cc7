"""A model on all local devices that answers queries: they are packed on the host while the devices work."""

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
from jaxlm.scoring.engine._asked_models import check_answers
from jaxlm.scoring.engine._block_answers import AnswerCollector, BlockAnswers
from jaxlm.scoring.engine._device_rows import BatchShape, DeviceRows, PackedBatch
from jaxlm.scoring.engine._engine_config import (
    EngineConfig,
    WorkCounts,
    can_share_contexts,
    complete_config,
    longest_query,
    shorter_rows,
)
from jaxlm.scoring.engine._forward import LogProbForward
from jaxlm.scoring.engine._forward_contract import MIN_QUERY_POSITIONS, Forward, ForwardSetting
from jaxlm.scoring.engine._instruction_positions import instruction_positions_on_host
from jaxlm.scoring.engine._packer import pack
from jaxlm.scoring.engine._prefetch import prefetch
from jaxlm.scoring.engine._queries import Query, QueryBlock, QueryContrast, query_blocks

# Batches that are computed at the same time, each started by a thread of its own: on a CPU the second batch
# uses the cores that the first one leaves idle.
BATCHES_IN_FLIGHT = 2
# Parameters of these names are multiplied, or looked up, in the compute dtype.
MATRICES = ("kernel", "embedding")


class Engine:
    """A model on the local devices that answers queries: `engine(queries)` yields an answer to each of them.

    A query (`Query`) is one sequence that the model reads, with the positions at which the model is asked
    about a target, its places. Queries are packed into rows. The computation is compiled once for each row
    length.

    Attributes:
      config: the config that is used: the given one, with every None replaced by the value that was chosen
        for the model and the devices.
      longest: the largest number of tokens that a query may have.
      work: what has been computed so far, as `WorkCounts`: numbers of queries, batches, tokens and positions.

    Args:
      loaded: a model that answers one of the forward's `questions`, by default a causal or a masked LM.
      config: how queries are packed into batches; None: `EngineConfig()`, whose values follow from the model
        and the devices.
      forward: what the devices compute for each query, such as `LogProbForward(top_k=5)` or a `StepForward`;
        None: `LogProbForward()`, the log-probability of each target.

    Raises:
      ScoreError: if the model answers none of the forward's `questions`, or does not fit the forward.
      ConfigError: if the number of rows in a batch is not a multiple of the number of devices, or the model
        is an ensemble that shares one body.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from jaxlm import models, pretrained, scoring, tokenizers
      >>> size = dict(vocab_size=260, width=8, depth=1, num_heads=2, max_length=16)
      >>> config, tokenizer = models.TransformerConfig(causal=True, **size), tokenizers.bytes_tokenizer()
      >>> model = models.build(config, "causal_lm")
      >>> params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
      >>> engine = scoring.Engine(loaded, forward=scoring.LogProbForward(top_k=2))
      >>> query = scoring.Query(*(np.array(ids, np.int32) for ids in ([1, 7, 8], [0, 1, 2], [7, 8, 9])))
      >>> [(scores.log_probs.shape, scores.top_tokens.shape) for scores in engine([query])]
      [((3,), (3, 2))]
    """

    def __init__(
        self,
        loaded: pretrained.Loaded,
        config: EngineConfig | None = None,
        forward: Forward | None = None,
    ) -> None:
        forward = LogProbForward() if forward is None else forward
        check_answers(loaded.kind, forward.questions, type(forward).__name__)
        self._model_config = loaded.config
        self.config = complete_config(config, loaded)
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
        self._params = self._layout.replicate(_in_compute_dtype(loaded))

    @property
    def description(self) -> dict[str, Any]:
        """What the answers depend on beyond the model, as JSON values."""
        return {"row_length": self.config.row_length, "combine": self.config.combine}

    def __call__(self, queries: Iterable[Query]) -> Iterator[Any]:
        """Yields the answer to each query, in order, as the queries come.

        The answer of a `LogProbForward` is a `QueryScores`; the answer of another forward is what that
        forward computes, cut to the one query. A thread draws and packs queries while the devices work.
        Memory does not grow with the number of queries.

        Args:
          queries: sequences of 1 to `longest` tokens each, asked at no more places than a row has tokens.

        Raises:
          ValueError: if a query is empty or too long, or is asked at a place outside of its tokens.
        """
        computed = self.computed(self.packed(query_blocks(queries)))
        for answers in self.answers(computed):
            for index in range(answers.block.num_queries):
                yield answers.of_query(index)

    def packed(self, blocks: Iterable[QueryBlock]) -> Iterator[PackedBatch]:
        """Yields batches of rows that hold the queries of all blocks.

        Args:
          blocks: blocks of at least one query each. A query has 1 to `longest` tokens, and is asked at no
            more places than a row has tokens.

        Raises:
          ValueError: if a query is empty or too long, or is asked at a place outside of its tokens.
        """
        return pack(
            (self._checked(block) for block in blocks),
            self._shape,
            buffer=self.config.buffer,
            shared=self._forward.shared_contexts,
            shorter=self._shorter,
            # On a CPU the products of a position take as long as attention to `width` keys.
            beside=self._model_config.width,
        )

    def computed(self, batches: Iterable[PackedBatch]) -> Generator[tuple[PackedBatch, Any], None, None]:
        """Yields batches with what the devices computed for them, in order.

        Args:
          batches: the batches that `packed` yields; a thread draws them while the devices work.
        """
        flying: deque[tuple[PackedBatch, Future[Any]]] = deque()
        workers, coming = ThreadPoolExecutor(BATCHES_IN_FLIGHT, "jaxlm-batches"), prefetch(batches)
        try:
            for batch in coming:
                # Compiled here, because JAX's settings may be those of the caller's thread alone.
                step = self._executable(batch.rows)
                flying.append((batch, workers.submit(self._computed_rows, step, batch.rows)))
                # One batch more than the workers hold waits for them, so that they never wait for a batch.
                while flying and (len(flying) > BATCHES_IN_FLIGHT or flying[0][1].done()):
                    yield _next_result(flying)
            while flying:
                yield _next_result(flying)
        finally:
            # A caller that stops early does not wait for the batches that are under way.
            workers.shutdown(wait=False, cancel_futures=True)
            coming.close()

    def answers(self, computed: Generator[tuple[PackedBatch, Any], None, None]) -> Iterator[BlockAnswers]:
        """Yields the answers to each block of queries, in the order of the blocks.

        Args:
          computed: pairs of a batch and what the devices computed for it, as `Engine.computed` yields them.
        """
        collector = AnswerCollector(self._forward.each)
        with contextlib.closing(computed):
            for batch, values in computed:
                self._count(self._work_of(batch))
                yield from collector.add(batch, values)

    def _executable(self, rows: DeviceRows) -> Callable[..., Any]:
        shape = rows.tokens.shape
        with self._compiling:
            if shape not in self._executables:
                self._executables[shape] = self._step.lower(self._params, rows).compile()
        return self._executables[shape]

    def _computed_rows(self, step: Callable[..., Any], rows: DeviceRows) -> Any:
        """What the devices compute for rows, as arrays of the host."""
        return jax.tree.map(np.asarray, step(self._params, rows))

    def _mapped(self, loaded: pretrained.Loaded) -> Callable[..., Any]:
        on_cpu = self._layout.target.platform == "cpu"
        setting = ForwardSetting(self.config.tile, self.config.combine, on_cpu)
        forward = self._forward.program(loaded.model, setting)

        def step(params: Any, rows: Any) -> Any:
            self._count(WorkCounts(traces=1))
            return forward(params, rows)

        return self._layout.parallel(step, (False, True))

    def _work_of(self, batch: PackedBatch) -> WorkCounts:
        return WorkCounts(
            queries=len(batch.slots.numbers),
            batches=1,
            tokens=batch.num_tokens,
            positions=self._shape.num_positions * (2 if self._shape.contrasts else 1),
            scored=int(batch.rows.count.sum()),
        )

    def _count(self, done: WorkCounts) -> None:
        # Several threads may use one engine, and all of their work is counted.
        with self._counting:
            self.work = WorkCounts(*map(sum, zip(self.work, done, strict=True)))

    def _checked(self, block: QueryBlock) -> QueryBlock:
        """The block, after its limits were checked, with positions if these follow from the tokens."""
        if (block.contrasts is not None) != self._shape.contrasts:
            raise ValueError("queries have contrasts if the forward compares, and only then")
        nums, asked = np.diff(block.token_starts), np.diff(block.place_starts)
        misfits = (nums < 1) | (nums > self.longest) | (asked > self.config.row_length)
        if misfits.any():
            index = int(misfits.argmax())
            raise ValueError(
                f"a query has 1 to {self.longest} tokens and at most {self.config.row_length} asked places: "
                f"got {nums[index]} and {asked[index]}"
            )
        outside = (block.places < 0) | (block.places >= np.repeat(nums, asked))
        if outside.any():
            index = int(np.searchsorted(block.place_starts, outside.argmax(), side="right")) - 1
            places = block.places[block.place_starts[index] : block.place_starts[index + 1]]
            raise ValueError(f"a query of {nums[index]} tokens is asked at {places}")
        for contrast, num_asked in zip(block.contrasts or (), asked.tolist(), strict=False):
            self._check_contrast(contrast, num_asked)
        position = self._model_config.position
        if block.positions is None and isinstance(position, models.Instruction):
            if position.next_id is None:
                raise AssertionError("a model that was built knows which id ends an instruction")
            queries, next_id = np.split(block.tokens, block.token_starts[1:-1]), position.next_id
            own = [instruction_positions_on_host(tokens, next_id) for tokens in queries]
            return block._replace(positions=np.concatenate(own))
        return block

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
    queries: Iterable[Query],
    config: EngineConfig | None = None,
    forward: Forward | None = None,
) -> Iterator[Any]:
    """Yields the answer to each query, in order, from an `Engine` that is made for this call.

    Args:
      loaded: a causal or a masked LM.
      queries: sequences with the places where the model is asked about a target; for their limits see
        `Engine.__call__`.
      config: how queries are packed into batches; None: values that follow from the model and the devices.
      forward: what the devices compute for each query; None: the log-probability of each target, as
        `QueryScores`.
    """
    yield from Engine(loaded, config, forward)(queries)


def _next_result(flying: deque[tuple[PackedBatch, Future[Any]]]) -> tuple[PackedBatch, Any]:
    packed, answers = flying.popleft()
    return packed, answers.result()


def _in_compute_dtype(loaded: pretrained.Loaded) -> Any:
    """The parameters, with matrices cast once to the dtype that they are multiplied in."""
    dtype = jnp.dtype(loaded.config.dtype)

    def cast(path: tuple[Any, ...], leaf: Any) -> Any:
        return leaf.astype(dtype) if path[-1].key in MATRICES else leaf

    return jax.tree_util.tree_map_with_path(cast, loaded.params)
