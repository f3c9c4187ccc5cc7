"""Training of a model's last layers only: which parameters are trained, and no gradient for the others."""

import re
from collections.abc import Callable
from typing import Any

import jax
from jax import lax

from jaxlm import models
from jaxlm.training.losses import LossFunction

# From a tree of parameters to a tree of bools: True where a parameter is trained.
TrainableFilter = Callable[[Any], Any]


def last_layers(depth: int, last: int | None) -> TrainableFilter | None:
    """Returns the function that tells which parameters are trained: last blocks, final norm and head.

    The embeddings come before all blocks and stay frozen; of a head that is tied to them, only the other
    parameters are trained. In an encoder-decoder the last blocks of the decoder are trained, and the encoder
    stays frozen.

    Args:
      depth: number of blocks of the body, or of an encoder-decoder's decoder.
      last: how many of the last blocks are trained; 0: only the final norm and the head are trained; None:
        everything is trained.

    Returns:
      A function from a tree of parameters to a tree of bools, True for parameters that are trained. None if
      all parameters are trained.

    Example:
      >>> from jaxlm.training import last_layers
      >>> body = {"block_00": {"k": 0.0}, "block_01": {"k": 0.0}, "embeddings": {"e": 0.0}, "final_norm": 0.0}
      >>> last_layers(2, 1)({"body": body, "head": 0.0})["body"]
      {'block_00': {'k': False}, 'block_01': {'k': True}, 'embeddings': {'e': False}, 'final_norm': True}
    """
    if last is None:
        return None

    def is_trained(path: tuple, _: Any) -> bool:
        names = [str(getattr(part, "key", part)) for part in path]
        if names[0] == "encoder":
            return False
        if names[0] not in models.BODIES:
            return True
        block = re.fullmatch(r"block_(\d+)", names[1])
        return names[1] == "final_norm" if block is None else int(block[1]) >= depth - last

    return lambda params: jax.tree_util.tree_map_with_path(is_trained, params)


def freeze(loss: LossFunction, trained: TrainableFilter | None) -> LossFunction:
    """Returns the loss function with gradients 0 for frozen parameters, which are not computed.

    Args:
      loss: a loss function, see `loss_function`.
      trained: the function that tells which parameters are trained, see `last_layers`; None: all parameters
        are trained.
    """
    if trained is None:
        return loss

    def frozen(apply_fn: Callable[..., Any], params: Any, *arguments: Any) -> Any:
        stopped = jax.tree.map(
            lambda leaf, moves: leaf if moves else lax.stop_gradient(leaf), params, trained(params)
        )
        return loss(apply_fn, stopped, *arguments)

    return frozen
