"""The objective of masked LMs: predict the original tokens at corrupted positions."""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxlm import corruption, data, models, tokenizers
from jaxlm.errors import ConfigError, CorpusError
from jaxlm.training.losses import (
    LossFunction,
    LossInputs,
    Setting,
    Split,
    TokenPlan,
    model_noise,
    named_rng,
    token_loss_function,
    token_plan,
)
from jaxlm.typing import Array, Float, Int, Key


class Masking(NamedTuple):
    """The noise of a masked LM and the static number of positions that it predicts.

    Attributes:
      noise: which tokens are corrupted, and what they become.
      capacity: M, the most corrupted positions of a micro-batch on one device; static.
    """

    noise: corruption.Noise
    capacity: int


def mask_batch(
    rng: Key[Array, ""], batch: data.Batch, masking: Masking, *, rate: Float[Array, ""] | None = None
) -> LossInputs:
    """Returns a masked LM's inputs for a batch: corrupted tokens, and M positions to predict.

    Every draw depends only on (rng, epoch, example id, offset in the example): the masks do not change with
    the batch size, the packing or the number of devices.

    Args:
      rng: PRNG key of the run's masks, the same one in every step.
      batch: the batch of packed rows.
      masking: the noise, and the static number M of positions.
      rate: the share of the tokens that is masked, instead of the noise's own; it may be traced.

    Returns:
      `LossInputs`, whose shapes depend only on the shape of `batch` and on M. `overflow` counts the drawn
      positions beyond M, which stay clean and are not predicted.
    """
    drawn = corruption.corrupt_batch(rng, batch, masking.noise, rate=rate)
    corrupted, overflow = drawn, jnp.zeros((), jnp.int32)
    if not has_exact_capacity(masking.noise.config):
        corrupted, overflow = corruption.limit_masked(drawn, masking.capacity)
    slots = corruption.gather_masked(corrupted.loss_mask, masking.capacity)
    targets, fractions = (
        array.reshape(-1)[slots.indices] for array in (corrupted.targets, corrupted.fractions)
    )
    overflow = overflow + slots.overflow
    return LossInputs(corrupted.tokens, targets, slots.weights, slots.indices, fractions, overflow)


def has_exact_capacity(config: corruption.NoiseConfig) -> bool:
    """Whether the number of positions that a noise corrupts in a row follows from the row's lengths alone."""
    return (config.count, config.unit, config.schedule) == ("exact", "token", "constant")


def prepare_masked(
    rng: Key[Array, ""], batch: data.Batch, step: Int[Array, ""] | int, plan: TokenPlan
) -> LossInputs:
    """Returns a masked LM's inputs for a batch: the `Objective.prepare` of the objective "masked_lm".

    Args:
      rng: PRNG key of the run's masks, the same one in every step.
      batch: the batch of packed rows.
      step: number of batches before this one, on which the rate may depend (`NoiseConfig.final_rate`).
      plan: the noises, the capacity M, and how positions are computed.

    Raises:
      AssertionError: if the plan has no input noise or no capacity.
    """
    if plan.input_noise is None or plan.capacity is None:
        raise AssertionError("the plan of a masked LM has input_noise and capacity: got None for one of them")
    masking, config = Masking(plan.input_noise, plan.capacity), plan.input_noise.config
    masked = mask_batch(rng, batch, masking, rate=rate_at_step(config, step, plan.steps))
    if plan.noise_of_targets is not None:
        noisy = corruption.corrupt_batch(named_rng(rng, "target"), batch, plan.noise_of_targets).tokens
        masked = masked._replace(targets=noisy.reshape(-1)[masked.indices])
    return plan.completed(masked, batch)


def rate_at_step(
    config: corruption.NoiseConfig, step: Int[Array, ""] | int, steps: int | None
) -> Float[Array, ""] | None:
    """Returns the masked share of a step: `rate` at the first, `final_rate` at the last, a line between.

    Args:
      config: the noise.
      step: number of steps before this one.
      steps: number of steps of the run.

    Returns:
      A float32 scalar; None: the rate does not change, or the run's length is not known.

    Example:
      >>> from jaxlm.corruption import NoiseConfig
      >>> from jaxlm.training.objectives._masked import rate_at_step
      >>> config = NoiseConfig(rate=0.5, final_rate=0.25)
      >>> [float(rate_at_step(config, step, 5)) for step in (0, 2, 4, 9)]
      [0.5, 0.375, 0.25, 0.25]
    """
    if config.final_rate is None or steps is None:
        return None
    part = jnp.clip(jnp.asarray(step, jnp.float32) / max(steps - 1, 1), 0.0, 1.0)
    return config.required_rate() + (config.final_rate - config.required_rate()) * part


def masked_lm_loss(
    masking: Masking,
    *,
    target_noise: corruption.Noise | None = None,
    next_id: int | None = None,
    positions_from: str = "clean",
    deterministic: bool = False,
    **options: Any,
) -> LossFunction:
    """Returns a masked LM's loss function: cross-entropy in nats at the corrupted positions.

    Args:
      masking: the noise, and M for one micro-batch on one device.
      target_noise: the noise that corrupts the targets, in training only; None: the targets are clean.
      next_id: id of the token that ends an instruction, for a model with instruction positions; None:
        positions are the indices of tokens in their segments.
      positions_from: whether instruction positions are computed from the "clean" or the "corrupted" token
        ids.
      deterministic: whether the loss is that of an evaluation: no dropout, smoothing or z-loss, and the sums
        of `token_metrics`.
      options: further arguments of `token_loss_function`: `label_smoothing`, `z_loss`, `tile` and
        `log_unigrams`.

    Returns:
      A loss function, see `token_loss_function`; its `overflow` counts the drawn positions beyond M.
    """
    noise, capacity = masking
    plan = TokenPlan(noise, target_noise, next_id, positions_from, deterministic, capacity)
    return token_loss_function(partial(prepare_masked, plan=plan), deterministic=deterministic, **options)


def plan_masked(setting: Setting) -> TokenPlan:
    """Returns the plan that `prepare_masked` takes: `Objective.plan` of the masked objective.

    Raises:
      CorpusError: if nothing in the records may be masked.
    """
    config = corruption.NoiseConfig(rate=0.15) if setting.input_noise is None else setting.input_noise
    maskings = [
        make_masking(config, setting.config, setting.tokenizer, split, setting.rows)
        for split in setting.splits
    ]
    capacity = max(masking.capacity for masking in maskings)
    return token_plan(setting)._replace(input_noise=maskings[0].noise, capacity=capacity)


def make_masking(
    config: corruption.NoiseConfig,
    model: models.TransformerConfig,
    tokenizer: tokenizers.Tokenizer,
    split: Split,
    rows: int,
) -> Masking:
    """Returns the masking of a split: the noise, and an M that no micro-batch of `rows` rows exceeds.

    Args:
      config: how much is corrupted, and what tokens become. The rate of a constant schedule is known.
      model: the config of the transformer, which decides whether [NEXT], the end of an instruction, may be
        masked.
      tokenizer: the tokenizer, whose special tokens are never masked.
      split: the packed records, from which M is computed.
      rows: number of rows of a micro-batch on one device.

    Raises:
      CorpusError: if nothing in the split may be masked.
      ConfigError: if the rate of a constant schedule is None.
    """
    noise, plan = model_noise(config, model, tokenizer), split.plan
    # The static size holds at the highest rate of the run.
    most = noise
    if config.final_rate is not None:
        highest = max(config.rate or 0.0, config.final_rate)
        most = model_noise(dataclasses.replace(config, rate=highest, final_rate=None), model, tokenizer)
    rate = most.config.rate if config.schedule == "constant" else 1.0
    if rate is None:
        raise ConfigError("the noise of a masking has a known rate: got input_noise.rate=None")
    capacity = data.masked_capacity(split.cache, plan, rows, noise.forbidden, rate)
    if capacity < 1:
        raise CorpusError(
            "nothing in this corpus may be masked: it holds special tokens only, or input_noise.rate is 0"
        )
    if not has_exact_capacity(config):
        capacity = corruption.noise_capacity(
            most,
            rows * plan.row_length,
            row_length=plan.row_length,
            lengths=plan.length,
            row_starts=plan.row_starts,
        )
    return Masking(noise, capacity)
