"""The objective of causal LMs: predict each token from those before it in its document."""

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
    """Returns the inputs of a causal LM for a batch: noisy tokens, and the next tokens as targets.

    No target crosses from a document into the next one of its row, and padding has weight 0: a document of n
    tokens has n - 1 predictions. The two noises draw from different keys. `fractions` are the corrupted
    shares of the input noise; without input noise, of the target noise.

    Args:
      rng: PRNG key of the run's masks, the same one in every step.
      batch: the batch of packed rows.
      input_noise: the noise that corrupts what the model reads, never a target; None: the model reads clean
        tokens.
      target_noise: the noise that corrupts targets (special tokens excepted), never what the model reads;
        None: the targets are clean.

    Returns:
      `LossInputs` with a target for all `M = B * L` positions, in order.
    """
    clean, fractions = jnp.asarray(batch.tokens), None
    inputs = labels = clean
    if target_noise is not None:
        corrupted = corruption.corrupt_batch(named_rng(rng, "target"), batch, target_noise)
        labels, fractions = corrupted.tokens, corrupted.fractions
    if input_noise is not None:
        corrupted = corruption.corrupt_batch(rng, batch, input_noise)
        inputs, fractions = corrupted.tokens, corrupted.fractions
    targets, loss_mask = ops.next_token_targets(labels, jnp.asarray(batch.segments))
    return LossInputs(
        tokens=inputs,
        targets=targets.reshape(-1),
        weights=loss_mask.reshape(-1).astype(jnp.float32),
        fractions=None if fractions is None else fractions.reshape(-1),
    )


def prepare_next(
    rng: Key[Array, ""], batch: data.Batch, step: Int[Array, ""] | int, plan: TokenPlan
) -> LossInputs:
    """Returns a causal LM's inputs for a batch: the `Objective.prepare` of the objective "causal_lm".

    Args:
      rng: PRNG key of the run's masks, the same one in every step.
      batch: the batch of packed rows.
      step: number of batches before this one; not used here.
      plan: the noises, and how positions are computed.
    """
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
    """Returns a causal LM's loss function: cross-entropy in nats of each next token of the same document.

    Args:
      input_noise: the noise that corrupts what the model reads, in evaluations too; None: it reads clean
        tokens.
      target_noise: the noise that corrupts the targets, in training only; None: the targets are clean.
      label_smoothing: share of the target's probability that is spread over the vocabulary, in training only.
        "fraction": the share of the example that the input noise, or else the target noise, was to corrupt.
      next_id: id of the token that ends an instruction, for a model with instruction positions; None:
        positions are the indices of tokens in their segments.
      positions_from: whether instruction positions are computed from the "clean" or the "corrupted" token
        ids.
      deterministic: whether the loss is that of an evaluation: no dropout, smoothing or z-loss, and the sums
        of `token_metrics`.
      options: further arguments of `token_loss_function`: `z_loss`, `tile` and `log_unigrams`.

    Returns:
      A loss function, see `token_loss_function`.

    Raises:
      ConfigError: if `label_smoothing` is "fraction" and there is no noise.

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
