"""The causal objective: each token from those before it in its document, with noise before or behind it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxlm import corruption, data, models, ops
from jaxlm.errors import ConfigError
from jaxlm.training._objective import Objective, named_rng, read_positions, unigram_sums
from jaxlm.training._token_loss import Predictions, Smoothing, count, prediction_sums
from jaxlm.typing import Array, Float, Int, Key


class Shifted(NamedTuple):
    """What a causal model reads and what it is compared with.

    Attributes:
      tokens: `Int[B L]` what the model reads.
      targets: `Int[M]` what the position is to predict, for all `M = B * L` positions in order.
      weights: `Float[M]` 1 where that counts: the next token is of the same segment; else 0.
      fractions: `Float[M]` what the position's example was corrupted by; None without noise.
    """

    tokens: Int[Array, "B L"]
    targets: Int[Array, " M"]
    weights: Float[Array, " M"]
    fractions: Float[Array, " M"] | None


def shift_batch(
    rng: Key[Array, ""],
    batch: data.Batch,
    *,
    input_noise: corruption.Noise | None = None,
    target_noise: corruption.Noise | None = None,
) -> Shifted:
    """Returns a batch as a causal model reads it, the targets shifted, each kind of noise where it belongs.

    The two kinds draw from keys of their own. The fractions are the input noise's where there is one, else
    the target noise's.

    Args:
      rng: key of the run's masks, the same at every step.
      batch: packed rows.
      input_noise: corrupts what is read, never a target.
      target_noise: corrupts the targets (real tokens that are no specials), never what is read.

    Returns:
      `Shifted`.
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
    return Shifted(
        tokens=read,
        targets=targets.reshape(-1),
        weights=loss_mask.reshape(-1).astype(jnp.float32),
        fractions=None if fractions is None else fractions.reshape(-1),
    )


def causal_lm_objective(
    *,
    input_noise: corruption.Noise | None = None,
    target_noise: corruption.Noise | None = None,
    label_smoothing: Smoothing = 0.0,
    z_loss: float = 0.0,
    next_id: int | None = None,
    positions_from: str = "clean",
    tile: int = 1024,
    deterministic: bool = False,
    log_unigrams: np.ndarray | None = None,
) -> Objective:
    """Returns the objective of a causal LM: cross-entropy in nats of every next token of the same document.

    No target crosses from a document into the next one of its row, padding counts nowhere, and a document
    of n tokens has n - 1 predictions. The head's loss is computed in tiles, so that no array over positions
    times vocabulary exists. Nothing is divided: the sums of micro-batches and devices add up.

    Two noises, two meanings. With `input_noise` the model reads corrupted tokens, and every next token is
    still the clean one. With `target_noise` the loss compares with corrupted tokens: noise of the labels, a
    regulariser of training.

    Args:
      input_noise: of what the model reads; None: clean.
      target_noise: of the targets, in training only: a deterministic objective passes it over.
      label_smoothing: share of a target's probability spread over the vocabulary, or "fraction": as much as
        its example was corrupted by (by the input noise, without one by the target noise). In training only.
      z_loss: factor of the squared log-partition. In training only.
      next_id: as in `masked_lm_objective`.
      positions_from: as in `masked_lm_objective`.
      tile: rows of logits held at once.
      deterministic: for evaluation: no dropout, clean targets, a loss that is the negative log-likelihood;
        the input noise stays. The metrics are then those of `token_metrics`, by level of noise where the
        noise has a schedule.
      log_unigrams: `Float[V]`, a baseline, as in `masked_lm_objective`.

    Returns:
      `objective(apply_fn, params, batch, rngs) -> (loss_sum, weight, metrics)`, `rngs` as in
      `masked_lm_objective`; the metrics count `correct`, `tokens` (real ones) and `overflow` (always 0), and
      add the sums named above.

    Raises:
      ConfigError: if `label_smoothing` is "fraction" and there is no noise that has one.

    Example:
      >>> objective = causal_lm_objective(label_smoothing="fraction")
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: label_smoothing='fraction' smooths by the noise of each example: give ...
    """
    if label_smoothing == "fraction" and input_noise is None and target_noise is None:
        raise ConfigError(
            "label_smoothing='fraction' smooths by the noise of each example: give input_noise or "
            "target_noise, or a share in [0, 1)"
        )

    def objective(
        apply_fn: Callable[..., Any], params: Any, batch: data.Batch, rngs: Mapping[str, Key[Array, ""]]
    ) -> tuple[Float[Array, ""], Float[Array, ""], dict[str, Array]]:
        shifted = shift_batch(
            rngs["mask"],
            batch,
            input_noise=input_noise,
            target_noise=None if deterministic else target_noise,
        )
        inputs = models.Inputs(
            tokens=shifted.tokens,
            segments=batch.segments,
            positions=read_positions(batch, shifted.tokens, next_id, positions_from),
        )
        hidden = apply_fn(
            {"params": params},
            inputs,
            deterministic=deterministic,
            rngs={} if deterministic else {"dropout": rngs["dropout"]},
        ).hidden
        # Levels of noise say nothing where all examples have the same.
        is_one_level = deterministic and input_noise is not None and input_noise.config.schedule == "constant"
        predictions = Predictions(
            hidden.reshape(-1, hidden.shape[-1]),
            shifted.targets,
            shifted.weights,
            None if is_one_level else shifted.fractions,
        )
        sums = prediction_sums(
            apply_fn,
            params,
            predictions,
            deterministic=deterministic,
            label_smoothing=label_smoothing,
            z_loss=z_loss,
            tile=tile,
        )
        sums |= {"tokens": count(batch.segments > 0), "overflow": jnp.zeros((), jnp.int32)}
        if log_unigrams is not None:
            counts = shifted.weights > 0
            sums |= unigram_sums(log_unigrams, shifted.targets, counts)
        return sums.pop("loss_sum"), sums.pop("weight"), sums

    return objective
