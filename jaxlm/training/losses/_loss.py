"""The loss of every objective: the inputs made of a batch, and the sums that the head makes of them."""

import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxlm import data, models, ops
from jaxlm.typing import Array, Bool, Float, Int, Key

LossFunction = Callable[..., tuple[Float[Array, ""], Float[Array, ""], dict[str, Array]]]
"""`loss(apply_fn, params, batch, rngs, step) -> (loss_sum, weight, metrics)`, sums over the batch.

The mean loss is `loss_sum / weight`, divided only after micro-batches and devices are added up.
"""


class LossInputs(NamedTuple):
    """What an objective prepares from a batch: the inputs of the model and the targets of its head.

    Attributes:
      tokens: `Int[B L]`, the ids that the model reads.
      targets: the values that the loss compares predictions with: `Int[M]` ids, or whatever the objective
        predicts.
      weights: one float for each target. The mean loss is the sum of the losses times their weights, divided
        by the sum of the weights; a target of weight 0 does not count, whatever its value.
      indices: `Int[M]`, the positions that predict, as indices into the `B * L` flattened positions. M is
        static, an upper bound; entries beyond the last predicting position have weight 0. None: every
        position predicts, in order.
      fractions: one float in [0, 1] for each target, the share of its example that was to be corrupted. None:
        there is no noise, or in an evaluation all examples have the same share.
      overflow: how many targets were dropped because M was too small; None: no target was dropped.
      read: the `models.Inputs` that the model is called with; None: they are made of `tokens` and of the
        batch's segments and positions.
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
          AssertionError: if `read` is None.
        """
        if self.read is None:
            raise AssertionError("the inputs of a head say what the model read: got read=None")
        return self.read


class HeadCall(NamedTuple):
    """The body's output for a batch, and the means to call the model's head on it.

    Attributes:
      hidden: the `Output.hidden` that the model's body computed.
      apply_fn: `model.apply`, by which methods of the head are called.
      params: the model's parameters, for which the loss is differentiated.
      rngs: PRNG keys by name: a key "dropout" in training; empty in an evaluation.
    """

    hidden: Float[Array, "..."]
    apply_fn: Callable[..., Any]
    params: Any
    rngs: Mapping[str, Key[Array, ""]]

    def __call__(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Returns the result of a method of the model, called with its parameters.

        Args:
          method: the name of the method, such as "logits".
          arguments: positional arguments of the method.
          options: arguments of the method by name, which may include `rngs`.
        """
        return self.apply_fn({"params": self.params}, *arguments, method=method, **options)


HeadSums = Callable[..., dict[str, Array]]
"""`head_sums(head, inputs, config)`: sums by name, "loss_sum" and whatever else is counted."""


def loss_function(
    prepare: Callable[..., LossInputs],
    head_sums: HeadSums,
    *,
    deterministic: bool = False,
    splits_dropout: bool = False,
) -> LossFunction:
    """Returns the loss that a training step differentiates and an evaluation adds up.

    The loss is returned as sums, not as means: the sums of micro-batches and devices add up to the sums of
    the whole batch.

    Args:
      prepare: a function `prepare(rng, batch, step) -> LossInputs`.
      head_sums: a function: `head_sums(head: HeadCall, inputs: LossInputs)` returns a mapping of sums by
        name. It has `loss_sum`, the sum of the losses times their weights, and may have any others. If it has
        no `weight`, the sum of the weights is taken.
      deterministic: whether the loss is that of an evaluation, without dropout.
      splits_dropout: whether the dropout key is split into one key for the body and one for the head. If not,
        the body uses the key itself and the head a child of it.

    Returns:
      `loss(apply_fn, params, batch, rngs, step=0) -> (loss_sum, weight, metrics)`. `apply_fn` is
      `model.apply`; `rngs` holds a key "mask" (the same at every step) and a key "dropout"; `metrics` are the
      head's other sums and the int32 counts `scored` (targets whose weight is not 0), `tokens` (without
      padding) and `overflow`.
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
    """Returns the child of a PRNG key for a purpose that a name tells; children of other names stay the same.

    Example:
      >>> import jax
      >>> from jaxlm.training import named_rng
      >>> key = jax.random.key(0)
      >>> bool(named_rng(key, "mask") == named_rng(key, "init"))
      False
    """
    return jax.random.fold_in(rng, zlib.crc32(name.encode()))


def model_positions(
    batch: data.Batch, tokens: Int[Array, "B L"], next_id: int | None, positions_from: str
) -> Int[Array, "..."]:
    """Returns the positions that a model reads: offsets in the segment, or (instruction, argument) pairs.

    Args:
      batch: clean rows.
      tokens: `Int[B L]`, the ids that the model reads.
      next_id: id that ends an instruction, for instruction positions; None: offsets in the segment.
      positions_from: whether instructions are counted in the "clean" ids or in `tokens`.
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
    """Returns the dropout keys of body and head, which differ."""
    body, head = jax.random.split(rng) if is_split else (rng, named_rng(rng, "head"))
    return {"dropout": body}, {"dropout": head}
