"""Training of a model's last layers: which parameters move, and that the others cost no gradient."""

import re
from collections.abc import Callable
from typing import Any

import jax
from jax import lax

from jaxlm import models
from jaxlm.training.losses import LossFunction

# Of every parameter whether it is trained: a tree like the parameters.
TrainableFilter = Callable[[Any], Any]


def last_layers(depth: int, last: int | None) -> TrainableFilter | None:
    """Returns which parameters of a model are trained: its last blocks, its last norm and its head.

    A head whose kernel is the token embedding trains what else it has: embeddings lie before all blocks.
    Of an encoder-decoder it is the decoder's last blocks, behind an encoder that stays.

    Args:
      depth: blocks of the body, or of the decoder.
      last: how many of them are trained; 0: the last norm and the head alone; None: all, and all the rest.

    Returns:
      A function of a tree of parameters to a tree of bools, True where a parameter is trained; None: all are.

    Example:
      >>> from jaxlm.training import last_layers
      >>> body = {"block_00": {"k": 0.0}, "block_01": {"k": 0.0}, "embeddings": {"e": 0.0}, "final_norm": 0.0}
      >>> last_layers(2, 1)({"body": body, "head": 0.0})["body"]
      {'block_00': {'k': False}, 'block_01': {'k': True}, 'embeddings': {'e': False}, 'final_norm': True}
    """
    if last is None:
        return None

    def one(path: tuple, _: Any) -> bool:
        names = [str(getattr(part, "key", part)) for part in path]
        if names[0] == "encoder":
            return False
        if names[0] not in models.BODIES:
            return True
        block = re.fullmatch(r"block_(\d+)", names[1])
        return names[1] == "final_norm" if block is None else int(block[1]) >= depth - last

    return lambda params: jax.tree_util.tree_map_with_path(one, params)


def freeze(loss: LossFunction, trained: TrainableFilter | None) -> LossFunction:
    """Returns a loss whose gradient is zero for what is not trained, and is not computed there.

    Args:
      loss: sums and counts of a batch.
      trained: of every parameter whether it is trained; None: all are.
    """
    if trained is None:
        return loss

    def held(apply_fn: Callable[..., Any], params: Any, *arguments: Any) -> Any:
        free = jax.tree.map(
            lambda leaf, moves: leaf if moves else lax.stop_gradient(leaf), params, trained(params)
        )
        return loss(apply_fn, free, *arguments)

    return held
