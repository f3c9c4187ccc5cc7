"""The masked-LM objective: corruption, the body, and the head at the masked positions only."""

import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import corruption, data, ops
from jaxlm.typing import Array, Bool, Float, Int, Key

# objective(apply_fn, params, batch, rngs) -> (loss_sum, weight, metrics): sums and counts, divided last.
Objective = Callable[..., tuple[Float[Array, ""], Float[Array, ""], dict[str, Array]]]


class Masking(NamedTuple):
    """What the masking of a batch needs beside the batch.

    Attributes:
      config: rate, shares and how the number is drawn.
      mask_id: id that replaces a token.
      random_ids: `Int[R]` ids that a random replacement is drawn from.
      forbidden: `Bool[V]`, True for ids that are never masked.
      capacity: K, how many masked positions a micro-batch of one device has room for; static.
    """

    config: corruption.MaskingConfig
    mask_id: int
    random_ids: np.ndarray
    forbidden: np.ndarray
    capacity: int


class Masked(NamedTuple):
    """A masked batch, its masked positions gathered.

    Attributes:
      tokens: `Int[B L]` what the model reads.
      indices: `Int[K]` masked positions, flat in `B * L`; rows past the last one have weight 0.
      targets: `Int[K]` the clean ids there.
      weights: `Float[K]` 1 where the row counts, else 0.
      overflow: how many drawn positions had no room and were left as they are.
    """

    tokens: Int[Array, "B L"]
    indices: Int[Array, " M"]
    targets: Int[Array, " M"]
    weights: Float[Array, " M"]
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
    allowed = corruption.corruptible(batch.tokens, batch.segments, masking.forbidden)
    drawn = corruption.mask_tokens(
        rng,
        batch.tokens,
        allowed,
        example_ids=batch.example_ids,
        offsets=batch.offsets,
        segments=batch.segments,
        epochs=batch.epochs,
        config=masking.config,
        mask_id=masking.mask_id,
        random_ids=jnp.asarray(masking.random_ids),
    )
    corrupted, overflow = drawn, jnp.zeros((), jnp.int32)
    if masking.config.count == "bernoulli":
        corrupted, overflow = corruption.limit_masked(drawn, batch.tokens, masking.capacity)
    gathered = corruption.gather_masked(corrupted.loss_mask, masking.capacity)
    targets = corrupted.targets.reshape(-1)[gathered.indices]
    return Masked(corrupted.tokens, gathered.indices, targets, gathered.weights, overflow + gathered.overflow)


def masked_lm_objective(
    masking: Masking,
    *,
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
      next_id: id that ends an instruction, for models with instruction positions; None: the batch's offsets
        are the positions.
      positions_from: whether instruction positions come from the "clean" ids or from the "corrupted" ones.
      tile: rows of logits held at once.
      deterministic: whether dropout is off.
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
        positions = _positions(batch, masked.tokens, next_id, positions_from)
        hidden = apply_fn(
            {"params": params},
            masked.tokens,
            segments=batch.segments,
            positions=positions,
            deterministic=deterministic,
            rngs={} if deterministic else {"dropout": rngs["dropout"]},
        ).hidden
        rows = hidden.reshape(-1, hidden.shape[-1])[masked.indices]
        features = apply_fn({"params": params}, rows, method="features")
        kernel, bias = apply_fn({"params": params}, method="output_weights")
        result = ops.tiled_cross_entropy(
            features, kernel, bias, masked.targets, masked.weights, tile=min(tile, masking.capacity)
        )
        counts = masked.weights > 0
        metrics = {
            "correct": _count(result.correct & counts),
            "tokens": _count(batch.segments > 0),
            "overflow": masked.overflow,
        }
        if log_unigrams is not None:
            metrics |= _unigram_metrics(jnp.asarray(log_unigrams, jnp.float32), masked.targets, counts)
        return result.loss_sum, result.weight, metrics

    return objective


def _positions(
    batch: data.Batch, tokens: Int[Array, "B L"], next_id: int | None, positions_from: str
) -> Int[Array, "..."]:
    if next_id is None:
        return batch.positions
    source = batch.tokens if positions_from == "clean" else tokens
    return ops.instruction_positions(source, batch.segments, next_id)


def _unigram_metrics(
    log_unigrams: Float[Array, " V"], targets: Int[Array, " M"], counts: Bool[Array, " M"]
) -> dict[str, Array]:
    log_probs = log_unigrams[targets]
    return {
        "unigram_loss_sum": -jnp.where(counts, log_probs, jnp.zeros_like(log_probs)).sum(),
        "unigram_correct": _count((targets == jnp.argmax(log_unigrams)) & counts),
    }


def _count(flags: Bool[Array, "..."]) -> Int[Array, ""]:
    return flags.sum(dtype=jnp.int32)
