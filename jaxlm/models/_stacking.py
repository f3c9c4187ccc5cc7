"""Conversion of block parameters: one by one, or stacked for a scan."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxlm.models._transformer import block_name

# The parameters that contain blocks: the body, or the two sides of an encoder-decoder.
BODY = "body"
BODIES = (BODY, "encoder", "decoder")


def stack_blocks(params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters of an unrolled model in the form of `scan_layers=True`.

    The blocks `body.block_00`, `body.block_01`, ... become one `body.blocks`, whose arrays have a leading
    axis over the blocks. In an encoder-decoder the blocks of `encoder` and of `decoder` are stacked.

    Args:
      params: the "params" collection of a model.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.models import stack_blocks
      >>> kernels = {"block_00": {"kernel": jnp.zeros(3)}, "block_01": {"kernel": jnp.ones(3)}}
      >>> stack_blocks({"body": kernels})["body"]["blocks"]["kernel"].shape
      (2, 3)
    """
    return {**params, **{name: _stacked(params[name]) for name in BODIES if name in params}}


def _stacked(body: Mapping[str, Any]) -> dict[str, Any]:
    body = dict(body)
    depth = sum(name.startswith("block_") for name in body)
    blocks = [body.pop(block_name(layer)) for layer in range(depth)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *blocks)
    return {**body, "blocks": stacked}


def unstack_blocks(params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters of a scanned model in the form of `scan_layers=False`; undoes `stack_blocks`.

    Args:
      params: the "params" collection of a model.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.models import unstack_blocks
      >>> params = unstack_blocks({"body": {"blocks": {"kernel": jnp.zeros((2, 3))}}})
      >>> sorted(params["body"])
      ['block_00', 'block_01']
    """
    return {**params, **{name: _unstacked(params[name]) for name in BODIES if name in params}}


def _unstacked(body: Mapping[str, Any]) -> dict[str, Any]:
    body = dict(body)
    stacked = body.pop("blocks")
    depth = jax.tree.leaves(stacked)[0].shape[0]
    blocks = {
        block_name(layer): jax.tree.map(lambda leaf, layer=layer: leaf[layer], stacked)
        for layer in range(depth)
    }
    return {**body, **blocks}
