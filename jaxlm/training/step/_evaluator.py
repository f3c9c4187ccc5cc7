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
    """Returns the evaluation of a batch on one device: `eval_step(params, batch, *, axis_name=None)`.

    Args:
      loss: the loss function of an evaluation, from `Objective.bound` or
        `masked_lm_loss(deterministic=True)`. It is called with step 0.
      apply_fn: `model.apply`.

    Returns:
      A function to be mapped over devices by a `Layout`. It returns the sums of the loss function, `loss_sum`
      and `weight` included.
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
      loss: the loss function of an evaluation, see `Objective.bound`.
      apply_fn: `model.apply`.
      layout: the `Layout` of the devices that hold the parameters.
      options: options of the XLA compiler; None: its defaults.
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
        """Returns the evaluation of host batches; None if no target has a weight, or it was cancelled.

        Args:
          params: the model's parameters, replicated on the devices.
          batches: the host batches, whose rows are divided over the devices.
          summarize: a function from the sums over all batches to the scores; see `Objective.summary`.
          cancelled: a function that is called before each batch, and several times a second during
            compilation; if it returns True, the evaluation ends.
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
      model: the model, of the kind that the objective trains.
      params: the model's parameters, its "params" collection.
      tokenizer: the tokenizer that the records were encoded with.
      cache: the encoded records; they have labels for a classifier or a regression.
      objective: the objective that the model was trained for, an `Objective` or a name in `OBJECTIVES`.
      noise: the noise that corrupts what the model reads. None: 15 % of the tokens as in BERT for a masked
        LM, and no corruption for others.
      spans: which share of an encoder-decoder's text is removed, and in how long spans; None: as in T5.
      row_length: number of tokens in a packed row; None: the model's `max_length`.
      long: whether records longer than a row are split or truncated.
      batch_size: number of rows of a batch, over all devices together.
      log_unigrams: `Float[V]`, log-probabilities of the ids' frequencies from `unigram_log_probs`, a baseline
        that is scored at the same positions; None: there is no baseline.
      devices: local devices to evaluate on; None: as many of the local devices as divide `batch_size`.

    Returns:
      `Evaluation` for a language model, `SequenceEvaluation` for a classifier or a regression; None if
      nothing is scored.

    Raises:
      UsageError: if `batch_size` is not a multiple of the number of devices.
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
