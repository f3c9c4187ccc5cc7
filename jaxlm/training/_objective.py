"""The masked-LM objective: noise, the body, and the head at the hidden positions only."""

import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import corruption, data, models, ops
from jaxlm.training._token_loss import Predictions, Smoothing, count, prediction_sums
from jaxlm.typing import Array, Bool, Float, Int, Key

# objective(apply_fn, params, batch, rngs) -> (loss_sum, weight, metrics): sums and counts, divided last.
Objective = Callable[..., tuple[Float[Array, ""], Float[Array, ""], dict[str, Array]]]


class Masking(NamedTuple):
    """What the masking of a batch needs beside the batch.

    Attributes:
      noise: what is corrupted and how.
      capacity: K, how many corrupted positions a micro-batch of one device has room for; static.
    """

    noise: corruption.Noise
    capacity: int


class Masked(NamedTuple):
    """A masked batch, its masked positions gathered.

    Attributes:
      tokens: `Int[B L]` what the model reads.
      indices: `Int[K]` masked positions, flat in `B * L`; rows past the last one have weight 0.
      targets: `Int[K]` the clean ids there.
      weights: `Float[K]` 1 where the row counts, else 0.
      fractions: `Float[K]` the share by which the position's example was to be corrupted.
      overflow: how many drawn positions had no room and were left as they are.
    """

    tokens: Int[Array, "B L"]
    indices: Int[Array, " M"]
    targets: Int[Array, " M"]
    weights: Float[Array, " M"]
    fractions: Float[Array, " M"]
    overflow: Int[Array, ""]


def named_rng(rng: Key[Array, ""], name: str) -> Key[Array, ""]:
    """Returns the child of a key for one purpose; adding a purpose changes no other's draws.

    Example:
      >>> key = jax.random.key(0)
      >>> bool(named_rng(key, "mask") == named_rng(key, "init"))
      False
    """
    return jax.random.fold_in(rng, zlib.crc32(name.encode()))


def mask_batch(rng: Key[Array, ""], batch: data.Batch, masking: Masking) -> Masked:
    """Returns a batch with masked tokens and the masked positions gathered into K rows.

    Every draw is a function of (rng, epoch, example id, offset in the example), so the masks are the same
    however the examples are divided into batches, devices and rows.

    Args:
      rng: key of the run's masks, the same at every step.
      batch: packed rows.
      masking: what is masked and how.

    Returns:
      `Masked`, with shapes that depend on the shapes of `batch` and on K only.
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
    return Masked(corrupted.tokens, slots.indices, targets, slots.weights, fractions, overflow)


def has_exact_capacity(config: corruption.NoiseConfig) -> bool:
    """Whether the most positions that this noise takes of a batch can be counted beforehand."""
    return (config.count, config.unit, config.schedule) == ("exact", "token", "constant")


def masked_lm_objective(
    masking: Masking,
    *,
    target_noise: corruption.Noise | None = None,
    label_smoothing: Smoothing = 0.0,
    z_loss: float = 0.0,
    next_id: int | None = None,
    positions_from: str = "clean",
    tile: int = 1024,
    deterministic: bool = False,
    log_unigrams: np.ndarray | None = None,
) -> Objective:
    """Returns the objective of a masked LM: cross-entropy in nats at the masked positions.

    The head sees the K gathered rows of the `[B*L, D]` hidden states and its loss is computed in tiles over
    them, so that no array over positions times vocabulary exists. Nothing is divided: the sums of
    micro-batches and devices add up to those of the whole batch.

    Args:
      masking: what is masked and how; its K is of one micro-batch of one device.
      target_noise: what the targets are corrupted by; training only.
      label_smoothing: see `LossConfig`; training only.
      z_loss: see `LossConfig`; training only.
      next_id: id that ends an instruction, for models with instruction positions; None: the batch's offsets
        are the positions.
      positions_from: whether instruction positions come from the "clean" ids or from the "corrupted" ones.
      tile: rows of logits held at once.
      deterministic: an evaluation: no dropout, the negative log-likelihood alone, and all of `token_metrics`.
      log_unigrams: `Float[V]` log-probabilities of a model that knows frequencies only, to be judged at the
        same positions; None: no such model.

    Returns:
      `objective(apply_fn, params, batch, rngs) -> (loss_sum, weight, metrics)`. `apply_fn` is `model.apply`,
      `rngs` holds a key "mask" (the same at every step) and a key "dropout"; `metrics` are the int32 counts
      `correct`, `tokens` (real ones) and `overflow`, and with `log_unigrams` the sums `unigram_loss_sum` and
      `unigram_correct`.
    """

    def objective(
        apply_fn: Callable[..., Any], params: Any, batch: data.Batch, rngs: Mapping[str, Key[Array, ""]]
    ) -> tuple[Float[Array, ""], Float[Array, ""], dict[str, Array]]:
        masked = mask_batch(rngs["mask"], batch, masking)
        inputs = models.Inputs(
            tokens=masked.tokens,
            segments=batch.segments,
            positions=read_positions(batch, masked.tokens, next_id, positions_from),
        )
        hidden = apply_fn(
            {"params": params},
            inputs,
            deterministic=deterministic,
            rngs={} if deterministic else {"dropout": rngs["dropout"]},
        ).hidden
        if target_noise is not None and not deterministic:
            noisy = corruption.corrupt_batch(named_rng(rngs["mask"], "target"), batch, target_noise).tokens
            masked = masked._replace(targets=noisy.reshape(-1)[masked.indices])
        rows = hidden.reshape(-1, hidden.shape[-1])[masked.indices]
        # Levels of noise say nothing where all examples have the same.
        is_one_level = deterministic and masking.noise.config.schedule == "constant"
        sums = prediction_sums(
            apply_fn,
            params,
            Predictions(rows, masked.targets, masked.weights, None if is_one_level else masked.fractions),
            deterministic=deterministic,
            label_smoothing=label_smoothing,
            z_loss=z_loss,
            tile=tile,
        )
        sums |= {"tokens": count(batch.segments > 0), "overflow": masked.overflow}
        if log_unigrams is not None:
            sums |= unigram_sums(log_unigrams, masked.targets, masked.weights > 0)
        return sums.pop("loss_sum"), sums.pop("weight"), sums

    return objective


def read_positions(
    batch: data.Batch, tokens: Int[Array, "B L"], next_id: int | None, positions_from: str
) -> Int[Array, "..."]:
    """Returns the positions that a model is told: offsets, or instruction and argument indices.

    Args:
      batch: clean rows.
      tokens: `Int[B L]`, what the model reads.
      next_id: id that ends an instruction; None: offsets in the segment.
      positions_from: whether indices come from the "clean" ids or from those of `tokens`.
    """
    if next_id is None:
        return batch.positions
    source = batch.tokens if positions_from == "clean" else tokens
    return ops.instruction_positions(source, batch.segments, next_id)


def unigram_sums(
    log_unigrams: np.ndarray, targets: Int[Array, " M"], counts: Bool[Array, " M"]
) -> dict[str, Array]:
    """Returns what a model that knows frequencies only scores: `unigram_loss_sum` and `unigram_correct`.

    Args:
      log_unigrams: `Float[V]`, nats.
      targets: `Int[M]`.
      counts: `Bool[M]`, True = counts.
    """
    table = jnp.asarray(log_unigrams, jnp.float32)
    log_probs = table[targets]
    return {
        "unigram_loss_sum": -jnp.where(counts, log_probs, jnp.zeros_like(log_probs)).sum(),
        "unigram_correct": count((targets == jnp.argmax(table)) & counts),
    }
