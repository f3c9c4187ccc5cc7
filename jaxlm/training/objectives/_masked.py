"""The objective of masked LMs: the tokens that noise hides."""

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
from jaxlm.typing import Array, Int, Key


class Masking(NamedTuple):
    """What the masking of a batch needs beside the batch.

    Attributes:
      noise: what is corrupted and how.
      capacity: M, how many corrupted positions a micro-batch of one device has room for; static.
    """

    noise: corruption.Noise
    capacity: int


def mask_batch(rng: Key[Array, ""], batch: data.Batch, masking: Masking) -> LossInputs:
    """Returns a batch with masked tokens and the masked positions gathered into M rows.

    Every draw is a function of (rng, epoch, example id, offset in the example), so the masks are the same
    however the examples are divided into batches, devices and rows.

    Args:
      rng: key of the run's masks, the same at every step.
      batch: packed rows.
      masking: what is masked and how.

    Returns:
      `LossInputs`, with shapes that depend on the shapes of `batch` and on M only; `overflow` is how many
      drawn positions had no room and were left as they are.
    """
    drawn = corruption.corrupt_batch(rng, batch, masking.noise)
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
    """Whether the most positions that this noise takes of a batch can be counted beforehand."""
    return (config.count, config.unit, config.schedule) == ("exact", "token", "constant")


def prepare_masked(
    rng: Key[Array, ""], batch: data.Batch, step: Int[Array, ""] | int, plan: TokenPlan
) -> LossInputs:
    """Returns what a masked LM reads of a batch and is asked at the masked positions."""
    del step
    if plan.input_noise is None or plan.capacity is None:
        raise ValueError("the plan of a masked LM has input_noise and capacity: got None for one of them")
    masked = mask_batch(rng, batch, Masking(plan.input_noise, plan.capacity))
    if plan.noise_of_targets is not None:
        noisy = corruption.corrupt_batch(named_rng(rng, "target"), batch, plan.noise_of_targets).tokens
        masked = masked._replace(targets=noisy.reshape(-1)[masked.indices])
    return plan.completed(masked, batch)


def masked_lm_loss(
    masking: Masking,
    *,
    target_noise: corruption.Noise | None = None,
    next_id: int | None = None,
    positions_from: str = "clean",
    deterministic: bool = False,
    **options: Any,
) -> LossFunction:
    """Returns the loss of a masked LM: cross-entropy in nats at the masked positions.

    Args:
      masking: what is masked and how; its M is of one micro-batch of one device.
      target_noise: see `TokenPlan`.
      next_id: see `TokenPlan`.
      positions_from: see `TokenPlan`.
      deterministic: see `token_loss_function`.
      options: of `token_loss_function`: `label_smoothing`, `z_loss`, `tile`, `log_unigrams`.

    Returns:
      As `token_loss_function`; `overflow` counts drawn positions that had no room.
    """
    noise, capacity = masking
    plan = TokenPlan(noise, target_noise, next_id, positions_from, deterministic, capacity)
    return token_loss_function(partial(prepare_masked, plan=plan), deterministic=deterministic, **options)


def plan_masked(setting: Setting) -> TokenPlan:
    """Returns what `prepare_masked` knows of model and data.

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
    """Returns the masking of `rows` rows of a split: a micro-batch of one device.

    Args:
      config: how much is corrupted, and into what; its rate is known.
      model: decides whether [NEXT] may be masked.
      tokenizer: its special ids.
      split: M is the most that any `rows` of its rows can hold, or a bound of it.
      rows: rows of a micro-batch of one device.

    Raises:
      CorpusError: if nothing in the split may be masked.
    """
    noise, plan = model_noise(config, model, tokenizer), split.plan
    rate = config.rate if config.schedule == "constant" else 1.0
    if rate is None:
        raise ConfigError("the noise of a masking has a known rate: got input_noise.rate=None")
    capacity = data.masked_capacity(split.cache, plan, rows, noise.forbidden, rate)
    if capacity < 1:
        raise CorpusError(
            "nothing in this corpus may be masked: it holds special tokens only, or input_noise.rate is 0"
        )
    if not has_exact_capacity(config):
        capacity = corruption.noise_capacity(
            noise,
            rows * plan.row_length,
            row_length=plan.row_length,
            lengths=plan.length,
            row_starts=plan.row_starts,
        )
    return Masking(noise, capacity)
