"""The shape both sides train: BERT-base, its masked-LM head, AdamW; and what a step of it costs in FLOPs."""

from typing import NamedTuple

VOCABULARY, WIDTH, DEPTH, HEADS, MLP, LONGEST = 30_522, 768, 12, 12, 3072, 512
MASK_ID, FIRST_WORD = 103, 1000
LEARNING_RATE, WEIGHT_DECAY, EPSILON = 1e-4, 0.01, 1e-12


class Flops(NamedTuple):
    """Executed FLOPs of a step, forward and backward, of products only."""

    body: float
    head: float

    @property
    def total(self) -> float:
        return self.body + self.head


FORMULA = (
    "6 FLOPs a matmul parameter and row: body 12 x (4 D^2 + 2 D F) on B L rows, attention 12 L D a row and "
    "layer, head D^2 + D V on its rows (ours: masked ones; torch: all)"
)


def step_flops(batch: int, length: int, head_rows: int, depth: int = DEPTH) -> Flops:
    """Returns a step's FLOPs: see `FORMULA`.

    >>> round(step_flops(8, 128, 160).total / 1e9)
    561
    """
    rows = batch * length
    linear = 6 * rows * depth * (4 * WIDTH**2 + 2 * WIDTH * MLP)
    attention = 12 * rows * depth * length * WIDTH
    return Flops(linear + attention, 6 * head_rows * (WIDTH**2 + WIDTH * VOCABULARY))
