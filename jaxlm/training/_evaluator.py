"""Evaluating parameters on a split, batch by batch over all devices."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import jax
import numpy as np
from jax import lax

from jaxlm import corruption, data, models, tokenizers
from jaxlm.devices import Layout, fetch, local_layout
from jaxlm.models import Evaluation, SequenceEvaluation
from jaxlm.training._compiled import compile_unless
from jaxlm.training._evaluation import (
    baseline_loss,
    summarize,
    summarize_sequences,
)
from jaxlm.training._goals import evaluation_objective
from jaxlm.training._objective import Objective, named_rng
from jaxlm.training._run_config import Goal
from jaxlm.training._task import Split
from jaxlm.typing import Array

Scores = Evaluation | SequenceEvaluation
# Evaluations are comparable between runs: their masks come from this key, whatever the run's seed and the
# kind of key that JAX_DEFAULT_PRNG_IMPL asks for.
EVALUATION_SEED, EVALUATION_KEY = 0, "threefry2x32"


def make_eval_step(objective: Objective, apply_fn: Callable[..., Any]) -> Callable[..., dict[str, Array]]:
    """Returns the evaluation of a batch, a data shard's view: `eval_step(params, batch, *, axis_name=None)`.

    Args:
      objective: deterministic; see `masked_lm_objective`.
      apply_fn: `model.apply`.

    Returns:
      A function to be mapped by a `Layout`, giving the objective's sums with `loss_sum` and `weight`.
    """

    def eval_step(params: Any, batch: data.Batch, *, axis_name: str | None = None) -> dict[str, Array]:
        rngs = {"mask": named_rng(jax.random.key(EVALUATION_SEED, impl=EVALUATION_KEY), "evaluation")}
        loss_sum, weight, metrics = objective(apply_fn, params, batch, rngs)
        sums = metrics | {"loss_sum": loss_sum, "weight": weight}
        return sums if axis_name is None else lax.psum(sums, axis_name)

    return eval_step


class Evaluator:
    """Evaluates parameters on splits; compiled once.

    Args:
      objective: deterministic; see `evaluation_objective`.
      apply_fn: `model.apply`.
      layout: of the devices that hold the parameters.
      options: of XLA, for the program.
    """

    def __init__(
        self,
        objective: Objective,
        apply_fn: Callable[..., Any],
        layout: Layout,
        *,
        options: Mapping[str, bool] | None = None,
    ) -> None:
        self._layout, self._options = layout, options
        eval_step = make_eval_step(objective, apply_fn)
        self._program = layout.parallel(eval_step, (False, True), is_reduced=True)
        self._step: Callable[..., dict[str, Array]] | None = None

    def __call__(
        self,
        params: Any,
        batches: Iterable[data.Batch],
        *,
        summarize: Callable[[Mapping[str, Any]], Scores | None] = summarize,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Scores | None:
        """Returns the evaluation over host batches; None where nothing is scored in them, or when cancelled.

        Args:
          params: replicated on the devices.
          batches: their rows are divided over the devices.
          summarize: makes an evaluation of the objective's sums over all batches; see `summary`.
          cancelled: asked before each batch, and several times a second while the program is compiled.
        """
        totals: dict[str, Any] = {}
        pending = None
        for batch in batches:
            if cancelled():
                return None
            divided = self._layout.divide(batch)
            if self._step is None:
                self._step = compile_unless(cancelled, self._program, params, divided, options=self._options)
                if self._step is None:
                    return None
            # One batch late, so that the devices never wait for the host.
            pending, before = self._step(params, divided), pending
            totals = _added(totals, before)
        return summarize(_added(totals, pending))


def evaluate(
    model: models.Model,
    params: Any,
    tokenizer: tokenizers.Tokenizer,
    cache: data.TokenCache,
    *,
    objective: Goal = "masked_lm",
    noise: corruption.NoiseConfig | None = None,
    spans: corruption.SpanConfig | None = None,
    row_length: int | None = None,
    long: Literal["split", "truncate"] = "split",
    batch_size: int = 16,
    log_unigrams: np.ndarray | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> Scores | None:
    """Returns a model's scores on records; what is masked is the same at every call.

    A draw belongs to its record: with records no longer than a row, neither `row_length` nor `batch_size`
    nor the number of devices changes the result beyond rounding. A causal model predicts every token but a
    record's first exactly once: pieces of longer records overlap by one.

    Args:
      model: of the objective.
      params: its parameters.
      tokenizer: that the records were encoded with.
      cache: the records, labelled for a model of sequences.
      objective: that the model was trained on.
      noise: what is masked of a masked LM's text (None: BERT's 15 %), or how what another model reads is
        corrupted (None: not at all).
      spans: what is taken out of an encoder-decoder's text; None: T5's numbers.
      row_length: tokens of a packed row; None: the model's `max_length`.
      long: whether longer records are split or truncated.
      batch_size: rows of a batch over all devices.
      log_unigrams: of a baseline, from `unigram_log_probs`; None: no baseline.
      devices: local devices; None: all of them that `batch_size` divides by.

    Returns:
      `Evaluation` of a language model, `SequenceEvaluation` of others; None where nothing is scored.

    Raises:
      UsageError: if nothing in the records may be masked, labels are missing, or the devices do not divide
        the batch.
    """
    layout = local_layout(devices or None, rows=batch_size)
    length = row_length or model.config.max_length
    overlap = int(objective == "causal_lm" and length > 1)
    plan = data.plan_packing(cache.lengths, length, long=long, overlap=overlap)
    noise = corruption.NoiseConfig() if noise is None and objective == "masked_lm" else noise
    if noise is not None and noise.rate is None:
        noise = dataclasses.replace(noise, rate=0.15 if objective == "masked_lm" else 0.0)
    split, rows = Split(cache, plan), batch_size // len(layout.devices)
    head = getattr(model, "head_config", None)
    sums = evaluation_objective(
        objective,
        model.config,
        tokenizer,
        [split],
        rows,
        head=head,
        noise=noise,
        spans=spans,
        log_unigrams=log_unigrams,
    )
    batches = data.eval_batches(cache, plan, batch_size)
    evaluator = Evaluator(sums, model.apply, layout)
    return evaluator(
        layout.replicate(params),
        batches,
        # Of a text that was not read as it is, bits per byte would be compared with those of one that was.
        summarize=summary(objective, split, tokenizer, head=head, is_whole=noise is None),
    )


def summary(
    objective: Goal,
    split: Split,
    tokenizer: tokenizers.Tokenizer,
    train: data.TokenCache | None = None,
    *,
    head: models.HeadConfig | None = None,
    is_whole: bool = True,
) -> Callable[[Mapping[str, Any]], Scores | None]:
    """Returns what makes an evaluation of an objective's sums over a split.

    Args:
      objective: of the model.
      split: that is evaluated.
      tokenizer: that its records were encoded with.
      train: the training split, whose labels are a baseline for a model of sequences.
      head: of a model of sequences.
      is_whole: whether all of its rows are summed, and read as they are; only then there are bits per byte.
    """
    if head is None:
        # Bits per byte are of a whole text: every token of it predicted, the first one too.
        is_whole &= objective == "causal_lm" and not split.plan.num_dropped
        is_whole &= _is_opened(split.cache, tokenizer)
        return partial(summarize, num_bytes=split.cache.num_bytes if is_whole else None)
    labels = None if train is None else train.labels
    return partial(summarize_sequences, baseline_loss=baseline_loss(split.cache.labels, labels, head))


def _is_opened(cache: data.TokenCache, tokenizer: tokenizers.Tokenizer) -> bool:
    """Whether every record begins with a special token, which predicts the first of its text."""
    return bool(np.isin(cache.tokens[cache.offsets[:-1]], tokenizer.special_ids).all())


def spread(plan: data.PackingPlan, rows: int) -> data.PackingPlan:
    """Returns a plan with at most `rows` rows of a plan, evenly spread over it; 0 for all.

    Rows are planned from the longest record to the shortest, so that the first ones stand for the longest
    only.

    Args:
      plan: of a split.
      rows: how many to keep.
    """
    if not rows or rows >= plan.num_rows:
        return plan
    kept = np.linspace(0, plan.num_rows - 1, rows).round().astype(int)
    counts = np.diff(plan.row_starts)[kept]
    pieces = np.concatenate([np.arange(plan.row_starts[row], plan.row_starts[row + 1]) for row in kept])
    return plan._replace(
        example=plan.example[pieces],
        start=plan.start[pieces],
        length=plan.length[pieces],
        column=plan.column[pieces],
        row_starts=np.concatenate([[0], np.cumsum(counts)]),
    )


def _added(totals: dict[str, Any], computed: Mapping[str, Array] | None) -> dict[str, Any]:
    """Sums in float64 and int64, which lose no count."""
    if computed is None:
        return totals
    return {
        name: totals.get(name, 0) + np.asarray(value).astype(np.result_type(value.dtype, np.int64))
        for name, value in fetch(computed).items()
    }
