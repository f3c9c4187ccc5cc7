"""The loss of every objective: what is read and asked of a batch, and the sums that the head makes of it."""

import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxlm import data, models, ops
from jaxlm.typing import Array, Bool, Float, Int, Key

# loss(apply_fn, params, batch, rngs, step) -> (loss_sum, weight, metrics): sums and counts, divided last.
LossFunction = Callable[..., tuple[Float[Array, ""], Float[Array, ""], dict[str, Array]]]


class LossInputs(NamedTuple):
    """What a model reads of a batch, and what its head is compared with.

    Attributes:
      tokens: `Int[B L]` what the model reads.
      targets: what is to be predicted: `Int[M]` ids, or whatever the objective's loss compares with.
      weights: float, a weight a target: by how much it counts in the sum of the losses, which is divided by
        the sum of the weights. 0: not at all, whatever stands there.
      indices: `Int[M]` the positions that predict, flat in `B * L`; M is static, the most that there may be,
        and rows past the last one have weight 0. None: all of them in order.
      fractions: the share by which each target's example was to be corrupted; None without noise.
      overflow: how many targets had no room; None: none.
      read: what the model is called with; None: `tokens` with the batch's segments and positions.
    """

    tokens: Int[Array, "B L"]
    targets: Array
    weights: Float[Array, "..."]
    indices: Int[Array, " M"] | None = None
    fractions: Float[Array, "..."] | None = None
    overflow: Int[Array, ""] | None = None
    read: models.Inputs | None = None

    def required_read(self) -> models.Inputs:
        """Returns `read`, which `loss_function` fills in before the head is called.

        Raises:
          ValueError: if it is None.
        """
        if self.read is None:
            raise ValueError("the inputs of a head say what the model read: got read=None")
        return self.read


class HeadCall(NamedTuple):
    """What the body of a model made of what it read, and the head to be called on it.

    Attributes:
      hidden: what the model's call returned as its `hidden`.
      apply_fn: `model.apply`.
      params: the model's; the gradient of a loss is theirs.
      rngs: a key "dropout", or nothing in an evaluation.
    """

    hidden: Float[Array, "..."]
    apply_fn: Callable[..., Any]
    params: Any
    rngs: Mapping[str, Key[Array, ""]]

    def __call__(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Returns what a method of the model makes of arguments."""
        return self.apply_fn({"params": self.params}, *arguments, method=method, **options)


# sums(head, inputs, config) -> the sum `loss_sum`, and further ones by name.
HeadSums = Callable[..., dict[str, Array]]


def loss_function(
    prepare: Callable[..., LossInputs],
    head_sums: HeadSums,
    *,
    deterministic: bool = False,
    splits_dropout: bool = False,
) -> LossFunction:
    """Returns what a training step differentiates, or an evaluation sums.

    Nothing is divided: the sums of micro-batches and devices add up to those of the whole batch.

    Args:
      prepare: `prepare(rng, batch, step) -> LossInputs`.
      head_sums: `head_sums(head: HeadCall, inputs: LossInputs)`, the sum `loss_sum`, each loss times its
        weight, and further ones by name; `weight` is the sum of the weights where it is not among them.
      deterministic: an evaluation: no dropout.
      splits_dropout: whether body and head share one key of dropout between them; else the body has it.

    Returns:
      `loss(apply_fn, params, batch, rngs, step=0) -> (loss_sum, weight, metrics)`. `apply_fn` is
      `model.apply`; `rngs` holds a key "mask" (the same at every step) and a key "dropout"; `metrics` are the
      head's further sums and the int32 counts `scored` (targets of any weight), `tokens` (real ones) and
      `overflow`.
    """

    def loss(
        apply_fn: Callable[..., Any],
        params: Any,
        batch: data.Batch,
        rngs: Mapping[str, Key[Array, ""]],
        step: Int[Array, ""] | int = 0,
    ) -> tuple[Float[Array, ""], Float[Array, ""], dict[str, Array]]:
        inputs = prepare(rngs["mask"], batch, step)
        if inputs.read is None:
            segments, positions = jnp.asarray(batch.segments), jnp.asarray(batch.positions)
            inputs = inputs._replace(
                read=models.Inputs(inputs.tokens, segments=segments, positions=positions)
            )
        of_body, of_head = ({}, {}) if deterministic else _dropout_rngs(rngs["dropout"], splits_dropout)
        output = apply_fn({"params": params}, inputs.read, deterministic=deterministic, rngs=of_body)
        sums = head_sums(HeadCall(output.hidden, apply_fn, params, of_head), inputs)
        sums = {"weight": inputs.weights.sum()} | sums
        sums |= {
            "scored": count_true(inputs.weights > 0),
            "tokens": count_true(jnp.asarray(batch.segments) > 0),
        }
        sums["overflow"] = jnp.zeros((), jnp.int32) if inputs.overflow is None else inputs.overflow
        return sums.pop("loss_sum"), sums.pop("weight"), sums

    return loss


def named_rng(rng: Key[Array, ""], name: str) -> Key[Array, ""]:
    """Returns the child of a key for one purpose; adding a purpose changes no other's draws.

    Example:
      >>> key = jax.random.key(0)
      >>> bool(named_rng(key, "mask") == named_rng(key, "init"))
      False
    """
    return jax.random.fold_in(rng, zlib.crc32(name.encode()))


def model_positions(
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
        return jnp.asarray(batch.positions)
    source = jnp.asarray(batch.tokens) if positions_from == "clean" else tokens
    return ops.instruction_positions(source, jnp.asarray(batch.segments), next_id)


def count_true(flags: Bool[Array, "..."]) -> Int[Array, ""]:
    """Returns how many are True, as int32."""
    return flags.sum(dtype=jnp.int32)


def _dropout_rngs(
    rng: Key[Array, ""], is_split: bool
) -> tuple[dict[str, Key[Array, ""]], dict[str, Key[Array, ""]]]:
    """The keys of body and head, which draw apart."""
    body, head = jax.random.split(rng) if is_split else (rng, named_rng(rng, "head"))
    return {"dropout": body}, {"dropout": head}
