"""Evaluating parameters on a split, batch by batch over all devices."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax import lax

from jaxlm import corruption, data, models, tokenizers
from jaxlm.training._evaluation import Evaluation, summarize
from jaxlm.training._objective import Objective, named_rng
from jaxlm.training._placement import divide, fetch, parallel, replicate
from jaxlm.training._task import Split, make_masking, make_objective
from jaxlm.typing import Array

# Evaluations are comparable between runs: their masks come from this key, whatever the run's seed.
EVALUATION_SEED = 0


def make_eval_step(objective: Objective, apply_fn: Callable[..., Any]) -> Callable[..., dict[str, Array]]:
    """Returns the evaluation of a batch, a data shard's view: `eval_step(params, batch, *, axis_name=None)`.

    Args:
      objective: deterministic; see `masked_lm_objective`.
      apply_fn: `model.apply`.

    Returns:
      A function to be wrapped in `parallel`, giving the objective's sums with `loss_sum` and `weight`.
    """

    def eval_step(params: Any, batch: data.Batch, *, axis_name: str | None = None) -> dict[str, Array]:
        rngs = {"mask": named_rng(jax.random.key(EVALUATION_SEED), "evaluation")}
        loss_sum, weight, metrics = objective(apply_fn, params, batch, rngs)
        sums = metrics | {"loss_sum": loss_sum, "weight": weight}
        return sums if axis_name is None else lax.psum(sums, axis_name)

    return eval_step


class Evaluator:
    """Evaluates parameters on splits; compiled once.

    Args:
      objective: deterministic; see `masked_lm_objective`.
      apply_fn: `model.apply`.
      devices: that hold the parameters.
    """

    def __init__(
        self, objective: Objective, apply_fn: Callable[..., Any], devices: Sequence[jax.Device]
    ) -> None:
        self._num_devices = len(devices)
        self._step = parallel(make_eval_step(objective, apply_fn), devices, donate=False)

    def __call__(
        self,
        params: Any,
        batches: Iterable[data.Batch],
        *,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Evaluation | None:
        """Returns the evaluation over host batches; None where nothing is masked in them, or when cancelled.

        Args:
          params: replicated on the devices.
          batches: their rows are divided over the devices.
          cancelled: asked before each batch.
        """
        totals: dict[str, int | float] = {}
        pending = None
        for batch in batches:
            if cancelled():
                return None
            # One batch late, so that the devices never wait for the host.
            pending, before = self._step(params, divide(batch, self._num_devices)), pending
            totals = _added(totals, before)
        return summarize(_added(totals, pending))


def evaluate(
    model: models.MaskedLM,
    params: Any,
    tokenizer: tokenizers.Tokenizer,
    cache: data.TokenCache,
    *,
    masking: corruption.MaskingConfig | None = None,
    row_length: int | None = None,
    long: Literal["split", "truncate"] = "split",
    batch_size: int = 16,
    log_unigrams: np.ndarray | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> Evaluation | None:
    """Returns a masked LM's scores on records, with masks that are the same at every call.

    A mask belongs to its record: with records no longer than a row, neither `row_length` nor `batch_size`
    nor the number of devices changes the result beyond rounding.

    Args:
      model: a masked LM.
      params: its parameters.
      tokenizer: that the records were encoded with.
      cache: the records.
      masking: what is masked; None: the defaults.
      row_length: tokens of a packed row; None: the model's `max_length`.
      long: whether longer records are split or truncated.
      batch_size: rows of a batch over all devices.
      log_unigrams: of a baseline, from `unigram_log_probs`; None: no baseline.
      devices: local devices; None: all of them that `batch_size` divides by.

    Returns:
      The evaluation; None where nothing is masked.

    Raises:
      ValueError: if nothing in the records may be masked, or the devices do not divide the batch.
    """
    devices = list(devices or jax.local_devices()[: _most_devices(batch_size)])
    if batch_size % len(devices):
        raise ValueError(f"batch_size is a multiple of the {len(devices)} devices, got {batch_size}")
    plan = data.plan_packing(cache.lengths, row_length or model.config.max_length, long=long)
    config = masking or corruption.MaskingConfig()
    rows = batch_size // len(devices)
    drawn = make_masking(config, model.config, tokenizer, Split(cache, plan), rows)
    objective = make_objective(model.config, drawn, deterministic=True, log_unigrams=log_unigrams)
    evaluator = Evaluator(objective, model.apply, devices)
    return evaluator(replicate(params, devices), data.eval_batches(cache, plan, batch_size))


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


def _added(totals: dict[str, int | float], computed: Mapping[str, Array] | None) -> dict[str, int | float]:
    if computed is None:
        return totals
    return {name: totals.get(name, 0) + value.item() for name, value in fetch(computed).items()}


def _most_devices(batch_size: int) -> int:
    """The most local devices that divide a batch."""
    return max(count for count in range(1, jax.local_device_count() + 1) if batch_size % count == 0)
