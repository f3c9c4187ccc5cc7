"""Draws a text from a sparse ergodic Markov chain, and says how unpredictable the chain is.

    python experiments/markov/data.py markov.txt [--lines 16000] [--length 64] [--states 16] [--seed 0]

A line is a walk of `length` states, each a letter, that starts in the stationary law: from its second state
on, the uncertainty of each is the entropy rate, `-sum_i p_i sum_j T_ij log T_ij` with `p` the stationary law.
"""

import argparse
import string
from pathlib import Path

import numpy as np

LETTERS = string.ascii_lowercase + string.ascii_uppercase


def transition_matrix(
    states: int, bandwidth: int, temperature: float = 1.0, seed: int = 0, tries: int = 1000
) -> np.ndarray:
    """Returns a row-stochastic matrix with `2 * bandwidth + 1` steps from each state, ergodic as a whole.

    Softmax of normal draws over a temperature, kept on a circular band whose rows are shuffled: which states
    follow a state is then no matter of their order.

    Raises:
      ValueError: if the band is wider than the matrix, or no shuffle gave an ergodic chain.
    """
    if 2 * bandwidth + 1 > states:
        raise ValueError(f"a band of {2 * bandwidth + 1} states does not fit in {states}")
    draw = np.random.default_rng(seed)
    distance = (np.arange(states)[:, None] - np.arange(states)) % states
    band = np.minimum(distance, states - distance) <= bandwidth
    for _ in range(tries):
        weights = np.exp(draw.normal(size=(states, states)) / temperature) * draw.permutation(band)
        matrix = weights / weights.sum(1, keepdims=True)
        # Wielandt: a primitive matrix of n states is positive at this power, and no other is.
        reached = np.linalg.matrix_power((matrix > 0).astype(object), (states - 1) ** 2 + 1)
        if (reached > 0).all():
            return matrix
    raise ValueError(f"none of {tries} matrices was ergodic: take more than {bandwidth=}")


def stationary_law(matrix: np.ndarray) -> np.ndarray:
    """Returns the law that a step leaves as it is: the left eigenvector of eigenvalue 1, summing to 1."""
    states = len(matrix)
    equations = np.vstack([matrix.T - np.eye(states), np.ones(states)])
    return np.linalg.lstsq(equations, np.append(np.zeros(states), 1.0), rcond=None)[0]


def entropy_rate(matrix: np.ndarray) -> float:
    """Returns the uncertainty of the next state given the last one, nats."""
    logs = np.log(matrix, where=matrix > 0, out=np.zeros_like(matrix))
    return float(-(stationary_law(matrix)[:, None] * matrix * logs).sum())


def walks(matrix: np.ndarray, number: int, length: int, seed: int = 0) -> np.ndarray:
    """Returns `number` walks of `length` states, `Int[number length]`, started in the stationary law."""
    draw = np.random.default_rng(seed)
    chances = np.cumsum(matrix, axis=1)
    chances[:, -1] = 1.0
    states = np.empty((number, length), np.int32)
    states[:, 0] = draw.choice(len(matrix), size=number, p=stationary_law(matrix))
    for step in range(1, length):
        states[:, step] = (draw.random((number, 1)) >= chances[states[:, step - 1]]).sum(1)
    return states


def loss_of_source(matrix: np.ndarray, states: np.ndarray) -> float:
    """Returns what the chain itself would score on walks: mean of -log T of their steps, nats."""
    return float(-np.log(matrix[states[:, :-1], states[:, 1:]]).mean())


def write_text(path: Path, states: np.ndarray) -> None:
    """Writes walks, a line each, a letter a state."""
    letters = np.array(list(LETTERS))
    path.write_text("\n".join("".join(line) for line in letters[states]) + "\n")


def main(arguments: list[str] | None = None) -> None:
    """Writes the file and prints what a model of it can reach at best."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    for name, value in (("lines", 16_000), ("length", 64), ("states", 16), ("bandwidth", 3), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--temperature", type=float, default=1.0)
    options = parser.parse_args(arguments)
    if not 1 <= options.states <= len(LETTERS):
        parser.error(f"--states: a state is a letter, so there are 1 to {len(LETTERS)}: got {options.states}")
    matrix = transition_matrix(options.states, options.bandwidth, options.temperature, options.seed)
    states = walks(matrix, options.lines, options.length, options.seed)
    write_text(options.path, states)
    print(f"{options.path}: {states.size:,} states in {options.lines:,} lines")
    print(f"entropy rate {entropy_rate(matrix):.4f} nats; this text under the source itself: ", end="")
    print(f"{loss_of_source(matrix, states):.4f} nats")


if __name__ == "__main__":
    main()
