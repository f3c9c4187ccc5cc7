"""Which instruction each token of a text belongs to, on the host."""

import numpy as np


def instruction_positions_on_host(tokens: np.ndarray, next_id: int) -> np.ndarray:
    """Returns the number of each token's instruction and its offset in that instruction, both from 0.

    The same as `ops.instruction_positions` of one segment, without a compilation for each length.

    Args:
      tokens: `Int[n]` ids.
      next_id: the id that ends an instruction, and belongs to it.

    Returns:
      `Int32[n 2]`, (instruction, argument).

    Example:
      >>> import numpy as np
      >>> from jaxlm.scoring.engine import instruction_positions_on_host
      >>> instruction_positions_on_host(np.array([7, 5, 8, 9]), 5).tolist()
      [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    begins = np.ones(len(tokens), bool)
    begins[1:] = tokens[:-1] == next_id
    instructions = np.cumsum(begins) - 1
    arguments = np.arange(len(tokens)) - np.flatnonzero(begins)[instructions]
    return np.stack([instructions, arguments], axis=1).astype(np.int32)
