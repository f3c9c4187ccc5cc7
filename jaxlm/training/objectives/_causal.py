"""The objective of causal LMs: each token from those before it in its document."""

from functools import partial
from typing import Any

import jax.numpy as jnp

from jaxlm import corruption, data, ops
from jaxlm.training.losses import (
    LossFunction,
    LossInputs,
    Smoothing,
    TokenPlan,
    check_smoothing,
    named_rng,
    token_loss_function,
)
from jaxlm.typing import Array, Int, Key


def shift_batch(
    rng: Key[Array, ""],
    batch: data.Batch,
    *,
    input_noise: corruption.Noise | None = None,
    target_noise: corruption.Noise | None = None,
) -> LossInputs:
    """Returns a batch as a causal model reads it, the targets shifted, each kind of noise where it belongs.

    No target crosses from a document into the next one of its row, padding counts nowhere, and a document of
    n tokens has n - 1 predictions. The two kinds of noise draw from keys of their own. The fractions are the
    input noise's where there is one, else the target noise's.

    Args:
      rng: key of the run's masks, the same at every step.
      batch: packed rows.
      input_noise: corrupts what is read, never a target.
      target_noise: corrupts the targets (real tokens that are no specials), never what is read.

    Returns:
      `LossInputs` of all `M = B * L` positions in order.
    """
    clean, fractions = jnp.asarray(batch.tokens), None
    read = wanted = clean
    if target_noise is not None:
        corrupted = corruption.corrupt_batch(named_rng(rng, "target"), batch, target_noise)
        wanted, fractions = corrupted.tokens, corrupted.fractions
    if input_noise is not None:
        corrupted = corruption.corrupt_batch(rng, batch, input_noise)
        read, fractions = corrupted.tokens, corrupted.fractions
    targets, loss_mask = ops.next_token_targets(wanted, jnp.asarray(batch.segments))
    return LossInputs(
        tokens=read,
        targets=targets.reshape(-1),
        weights=loss_mask.reshape(-1).astype(jnp.float32),
        fractions=None if fractions is None else fractions.reshape(-1),
    )


def prepare_next(
    rng: Key[Array, ""], batch: data.Batch, step: Int[Array, ""] | int, plan: TokenPlan
) -> LossInputs:
    """Returns what a causal LM reads of a batch, and every next token of the same document."""
    del step
    shifted = shift_batch(rng, batch, input_noise=plan.input_noise, target_noise=plan.noise_of_targets)
    return plan.completed(shifted, batch)


def causal_lm_loss(
    *,
    input_noise: corruption.Noise | None = None,
    target_noise: corruption.Noise | None = None,
    label_smoothing: Smoothing = 0.0,
    next_id: int | None = None,
    positions_from: str = "clean",
    deterministic: bool = False,
    **options: Any,
) -> LossFunction:
    """Returns the loss of a causal LM: cross-entropy in nats of every next token of the same document.

    Args:
      input_noise: see `TokenPlan`; an evaluation has it too.
      target_noise: see `TokenPlan`.
      label_smoothing: see `LossConfig`; "fraction": by the input noise, without one by the target noise.
      next_id: see `TokenPlan`.
      positions_from: see `TokenPlan`.
      deterministic: see `token_loss_function`.
      options: of `token_loss_function`: `z_loss`, `tile`, `log_unigrams`.

    Returns:
      As `token_loss_function`.

    Raises:
      ConfigError: if `label_smoothing` is "fraction" and there is no noise that has one.

    Example:
      >>> from jaxlm.training import causal_lm_loss
      >>> causal_lm_loss(label_smoothing="fraction")
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: label_smoothing='fraction' smooths by the noise of each example: give ...
    """
    check_smoothing(label_smoothing, has_noise=input_noise is not None or target_noise is not None)
    plan = TokenPlan(input_noise, target_noise, next_id, positions_from, deterministic)
    prepare = partial(prepare_next, plan=plan)
    return token_loss_function(
        prepare, label_smoothing=label_smoothing, deterministic=deterministic, **options
    )
