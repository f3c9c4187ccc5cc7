"""Evaluation of parameters on a split, batch by batch over all devices."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax import lax

from jaxlm import corruption, data, models, tokenizers
from jaxlm.devices import Layout, fetch, local_layout
from jaxlm.models import Evaluation, SequenceEvaluation
from jaxlm.training.losses import LossFunction, Setting, Split, named_rng, summarize
from jaxlm.training.objectives import MASKED_TOKENS, Objective, as_objective
from jaxlm.training.step._compiled import compile_unless_cancelled
from jaxlm.typing import Array

EvaluationResult = Evaluation | SequenceEvaluation
# Evaluations of different runs draw the same masks, from this key: neither the run's seed nor
# JAX_DEFAULT_PRNG_IMPL changes them.
EVALUATION_SEED, EVALUATION_KEY = 0, "threefry2x32"


def make_eval_step(loss: LossFunction, apply_fn: Callable[..., Any]) -> Callable[..., dict[str, Array]]:
    """Returns the evaluation of a batch on one data shard: `eval_step(params, batch, *, axis_name=None)`.

    Args:
      loss: deterministic; see `Objective.bound` and `masked_lm_loss`. It is called with step 0.
      apply_fn: `model.apply`.

    Returns:
      A function to be mapped by a `Layout`; it returns the loss's sums, `loss_sum` and `weight` included.
    """

    def eval_step(params: Any, batch: data.Batch, *, axis_name: str | None = None) -> dict[str, Array]:
        rngs = {"mask": named_rng(jax.random.key(EVALUATION_SEED, impl=EVALUATION_KEY), "evaluation")}
        loss_sum, weight, metrics = loss(apply_fn, params, batch, rngs, 0)
        sums = metrics | {"loss_sum": loss_sum, "weight": weight}
        return sums if axis_name is None else lax.psum(sums, axis_name)

    return eval_step


class Evaluator:
    """Evaluates parameters on splits, with a program that is compiled once.

    Args:
      loss: deterministic; see `Objective.bound`.
      apply_fn: `model.apply`.
      layout: of the devices that hold the parameters.
      options: XLA compiler options.
    """

    def __init__(
        self,
        loss: LossFunction,
        apply_fn: Callable[..., Any],
        layout: Layout,
        *,
        options: Mapping[str, bool] | None = None,
    ) -> None:
        self._layout, self._options = layout, options
        eval_step = make_eval_step(loss, apply_fn)
        self._program = layout.parallel(eval_step, (False, True), is_reduced=True)
        self._step: Callable[..., dict[str, Array]] | None = None

    def __call__(
        self,
        params: Any,
        batches: Iterable[data.Batch],
        *,
        summarize: Callable[[Mapping[str, Any]], EvaluationResult | None] = summarize,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> EvaluationResult | None:
        """Returns the evaluation of host batches; None where no target has a weight, or when cancelled.

        Args:
          params: replicated on the devices.
          batches: their rows are divided over the devices.
          summarize: from the sums over all batches to the scores; see `Objective.summary`.
          cancelled: called before each batch, and several times a second during compilation; True cancels.
        """
        totals: dict[str, Any] = {}
        pending = None
        for batch in batches:
            if cancelled():
                return None
            divided = self._layout.divide(batch)
            if self._step is None:
                self._step = compile_unless_cancelled(
                    cancelled, self._program, params, divided, options=self._options
                )
                if self._step is None:
                    return None
            # Sums are fetched one batch late, so that the devices never wait for the host.
            pending, before = self._step(params, divided), pending
            totals = _added(totals, before)
        return summarize(_added(totals, pending))


def evaluate(
    model: models.Model,
    params: Any,
    tokenizer: tokenizers.Tokenizer,
    cache: data.TokenCache,
    *,
    objective: Objective | str = MASKED_TOKENS,
    noise: corruption.NoiseConfig | None = None,
    spans: corruption.SpanConfig | None = None,
    row_length: int | None = None,
    long: Literal["split", "truncate"] = "split",
    batch_size: int = 16,
    log_unigrams: np.ndarray | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> EvaluationResult | None:
    """Returns a model's scores on records; every call draws the same masks.

    Each draw depends on its record only: with records no longer than a row, `row_length`, `batch_size` and
    the number of devices change the result by rounding alone. A causal model predicts every token of a record
    but the first exactly once: the pieces of longer records overlap by one token.

    Args:
      model: of the objective's kind.
      params: the model's parameters, its "params" collection.
      tokenizer: the tokenizer that the records were encoded with.
      cache: the records; labelled, for a classifier or a regression.
      objective: the model's objective, a name or a record.
      noise: corrupts what the model reads. None: 15 % of the tokens as in BERT for a masked LM, and no
        corruption for others.
      spans: how much of an encoder-decoder's text is removed; None: T5's numbers.
      row_length: tokens of a packed row; None: the model's `max_length`.
      long: whether longer records are split or truncated.
      batch_size: rows of a batch over all devices.
      log_unigrams: the unigram baseline, from `unigram_log_probs`; None: no baseline.
      devices: local devices; None: as many of them as divide `batch_size`.

    Returns:
      `Evaluation` for a language model, `SequenceEvaluation` for others; None where nothing is scored.

    Raises:
      UsageError: if the devices do not divide the batch.
      CorpusError: if nothing in the records may be masked, or labels are missing.
    """
    layout = local_layout(devices or None, rows=batch_size)
    length = row_length or model.config.max_length
    objective = as_objective(objective)
    overlap = int(objective.kind.causal and length > 1)
    plan = data.plan_packing(cache.lengths, length, long=long, overlap=overlap)
    if noise is None and objective.noise_rate:
        noise = corruption.NoiseConfig()
    if noise is not None and noise.rate is None:
        noise = dataclasses.replace(noise, rate=objective.noise_rate)
    split, head = Split(cache, plan), getattr(model, "head_config", None)
    setting = Setting(
        config=model.config,
        tokenizer=tokenizer,
        splits=(split,),
        rows=batch_size // len(layout.devices),
        head=head,
        num_segments=max(1, plan.max_segments),
        input_noise=noise,
        spans=spans or corruption.SpanConfig(),
        is_evaluation=True,
    )
    asks_tokens = objective.kind.question is not None
    loss = objective.bound(setting, log_unigrams=log_unigrams if asks_tokens else None)
    evaluator = Evaluator(loss, model.apply, layout)
    return evaluator(
        layout.replicate(params),
        data.eval_batches(cache, plan, batch_size),
        # Bits per byte of a corrupted text are not comparable with those of a clean one: none are given.
        summarize=objective.summary(setting, is_whole=noise is None),
    )


def sample_rows_evenly(plan: data.PackingPlan, rows: int) -> data.PackingPlan:
    """Returns a plan of at most `rows` rows of a plan, evenly spread over it.

    The first rows alone would be no sample: rows are packed from the longest record to the shortest.

    Args:
      plan: of a split.
      rows: how many rows to keep; 0 keeps all.
    """
    if not rows or rows >= plan.num_rows:
        return plan
    chosen = np.linspace(0, plan.num_rows - 1, rows).round().astype(int)
    counts = np.diff(plan.row_starts)[chosen]
    bounds = zip(plan.row_starts[chosen].tolist(), plan.row_starts[chosen + 1].tolist(), strict=True)
    pieces = np.concatenate([np.arange(first, end) for first, end in bounds])
    return plan._replace(
        example=plan.example[pieces],
        start=plan.start[pieces],
        length=plan.length[pieces],
        column=plan.column[pieces],
        row_starts=np.concatenate([[0], np.cumsum(counts)]),
    )


def _added(totals: dict[str, Any], computed: Mapping[str, Array] | None) -> dict[str, Any]:
    """Returns totals with a batch's sums added, in float64 and int64, in which counts stay exact."""
    if computed is None:
        return totals
    return {
        name: totals.get(name, 0) + np.asarray(value).astype(np.result_type(value.dtype, np.int64))
        for name, value in fetch(computed).items()
    }
