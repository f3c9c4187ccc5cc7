"""What methods need that read a model's blocks: its layers one by one, and what a prediction can see.

Letters: `B` rows, `L` positions, `M` positions at which the model predicts.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxlm import models, ops
from jaxlm.errors import UsageError
from jaxlm.typing import Array, Bool, Int


def unrolled(model: nn.Module, params: Mapping[str, Any]) -> tuple[nn.Module, Mapping[str, Any]]:
    """Returns a model whose blocks are not scanned, so that a compiler drops blocks whose results are unused.

    Args:
      model: a language model.
      params: its "params" collection.
    """
    config = language_config(model)
    if not config.scan_layers:
        return model, params
    changed = dataclasses.replace(config, scan_layers=False)
    return model.clone(config=changed), models.unstack_blocks(params)


def encoded_inputs(model: nn.Module, params: Mapping[str, Any], inputs: models.Inputs) -> models.Inputs:
    """Returns an encoder-decoder's inputs with the output of its encoder in place of what the encoder reads.

    Args:
      model: a language model.
      params: its "params" collection.
      inputs: of the model; those without an encoder's are returned as they are.

    Raises:
      TypeError: if the encoder returns something other than an `Output`.
    """
    if inputs.encoder is None:
        return inputs
    encoded = model.apply({"params": params}, inputs.encoder, method="encode")
    if not isinstance(encoded, models.Output):
        raise TypeError(f"an encoder returns an Output: got {type(encoded).__name__}")
    return inputs._replace(encoder=None, memory=encoded.hidden, memory_segments=inputs.encoder.segments)


def language_config(model: nn.Module) -> models.TransformerConfig:
    """Returns a language model's config.

    Raises:
      UsageError: if the model is none.

    Example:
      >>> from jaxlm import models
      >>> from jaxlm.attribution._site_runs import language_config
      >>> language_config(models.CausalLM(models.TransformerConfig(vocab_size=7, causal=True))).vocab_size
      7
    """
    if not isinstance(model, (models.CausalLM, models.MaskedLM, models.Seq2SeqLM)):
        raise UsageError(
            f"this method reads the blocks of a CausalLM, a MaskedLM or a Seq2SeqLM: got a "
            f"{type(model).__name__}"
        )
    return model.config


def rows_at(hidden: Array, positions: Int[Array, "B M"]) -> Array:
    """Returns the vectors, or matrices, at each row's positions, `[B M ...]`; zeros at position -1.

    Args:
      hidden: `[B L ...]`, of any dtype.
      positions: `Int[B M]`, indices into a row; -1 in unused entries.
    """
    index = positions.reshape(*positions.shape, *[1] * (hidden.ndim - 2))
    values = jnp.take_along_axis(hidden, jnp.maximum(index, 0), axis=1)
    return jnp.where(index >= 0, values, jnp.zeros((), values.dtype))


def visible_inputs(
    config: models.TransformerConfig, inputs: models.Inputs, positions: Int[Array, "B M"]
) -> Bool[Array, "B L M"]:
    """Returns which tokens of its own row each prediction can depend on: those of its segment, and if the
    model is causal those up to the position.

    Args:
      config: of a language model.
      inputs: what the model reads.
      positions: `Int[B M]`, the positions at which it predicts; nothing is seen from -1, an unused entry.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.attribution._site_runs import visible_inputs
      >>> config = models.TransformerConfig(vocab_size=7, causal=True)
      >>> visible_inputs(config, models.Inputs(tokens=jnp.ones((1, 3), int)), jnp.array([[0, 1]]))[0].tolist()
      [[True, True], [False, True], [False, False]]
    """
    segments = segments_of(inputs)
    is_causal = config.causal or config.decoder is not None
    allowed = ops.attention_mask(segments, causal=is_causal)[:, 0]
    return rows_at(allowed, positions).swapaxes(1, 2)


def segments_of(inputs: models.Inputs) -> Int[Array, "B L"]:
    """Returns the segments of the rows; 1 everywhere where they are not given."""
    if inputs.segments is None:
        return jnp.ones((inputs.num_rows, inputs.length), jnp.int32)
    return inputs.segments


def chosen(choice: int | Sequence[int] | None, number: int, what: str) -> tuple[int, ...]:
    """Returns the indices of the layers, or the heads, that are asked for.

    Args:
      choice: an index, several, or None for all. Negative ones count from the end.
      number: how many there are.
      what: "layers" or "heads", for the message.

    Raises:
      UsageError: if there is no such layer, or none is asked for.

    Example:
      >>> from jaxlm.attribution._site_runs import chosen
      >>> chosen(None, 3, "layers"), chosen(-1, 3, "layers"), chosen((0, 2), 3, "layers")
      ((0, 1, 2), (2,), (0, 2))
    """
    asked = (
        tuple(range(number)) if choice is None else (choice,) if isinstance(choice, int) else tuple(choice)
    )
    wrong = next((index for index in asked if not -number <= index < number), None)
    if wrong is not None or not asked:
        told = "none" if wrong is None else wrong
        raise UsageError(f"{what} of this model are 0 to {number - 1}: got {told}; leave {what} out for all")
    return tuple(index % number for index in asked)
