"""Trains nanoGPT's character model on nanoGPT's feed, from the library's public parts.

    python experiments/shakespeare_char/run.py tinyshakespeare.txt [--gpu] [--steps N] [--seed S] [--out F]

The vocabulary is the characters of the text, the first nine tenths are trained on, and a batch is windows
from anywhere in them. Evaluation takes every window of the last tenth once (nanoGPT estimates it from 20
batches).
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import config
import config_gpu
import jax
import numpy as np

from jaxlm import data, models, training

HELD_OUT = 0.1


class Text(NamedTuple):
    """A text as ids of its own characters.

    Attributes:
      characters: the vocabulary, in the order of their ids.
      train: `Int32[...]`, the first nine tenths.
      validation: `Int32[...]`, the rest.
    """

    characters: str
    train: np.ndarray
    validation: np.ndarray


def read_text(path: Path) -> Text:
    """Returns a text in characters, divided by position."""
    text = path.read_text(encoding="utf-8")
    characters = "".join(sorted(set(text)))
    ids = np.array([characters.index(character) for character in text], np.int32)
    cut = int(len(ids) * (1 - HELD_OUT))
    return Text(characters, ids[:cut], ids[cut:])


def windows(ids: np.ndarray, starts: np.ndarray, length: int) -> data.Batch:
    """Returns the windows that begin at `starts`, each a document of its own that fills its row."""
    tokens = ids[starts[:, None] + np.arange(length)]
    positions = np.broadcast_to(np.arange(length, dtype=np.int32), tokens.shape)
    examples = np.broadcast_to(starts[:, None].astype(np.int32), tokens.shape)
    return data.Batch(
        tokens=tokens,
        segments=np.ones_like(tokens),
        positions=positions,
        example_ids=examples,
        offsets=positions,
        epochs=np.zeros(len(starts), np.int32),
    )


def training_batches(ids: np.ndarray, length: int, batch_size: int, seed: int) -> Iterator[data.Batch]:
    """Yields windows from anywhere, without end."""
    draw = np.random.default_rng(seed)
    while True:
        yield windows(ids, draw.integers(0, len(ids) - length + 1, batch_size), length)


def evaluation_batches(ids: np.ndarray, length: int, batch_size: int) -> Iterator[data.Batch]:
    """Yields every window once, each from the last target of the one before; at the end, empty rows."""
    starts = np.arange(0, len(ids) - length + 1, length - 1)
    for first in range(0, len(starts), batch_size):
        batch = windows(ids, starts[first : first + batch_size], length)
        fill = (0, batch_size - len(batch.tokens))
        yield data.Batch(*(np.pad(leaf, [fill] + [(0, 0)] * (leaf.ndim - 1)) for leaf in batch))


class Steps(NamedTuple):
    """Compiled functions, and the state before the first step.

    Attributes:
      train: `(state, batch) -> (state, metrics)`.
      evaluate: `(params, batch) -> sums`.
      state: given up to the first step.
    """

    train: Callable[..., Any]
    evaluate: Callable[..., Any]
    state: training.TrainState


def compile_steps(experiment: training.Experiment, characters: str, batch: data.Batch) -> Steps:
    """Returns the compiled steps of an experiment's model over a vocabulary of characters."""
    model = models.build(dataclasses.replace(experiment.model, vocab_size=len(characters)), "causal_lm")
    optimizer = training.make_optimizer(experiment.optimizer, experiment.run.steps)
    state = training.init_state(model, optimizer, jax.random.key(experiment.run.seed))
    train_step = training.make_train_step(
        training.causal_lm_loss(),
        model.apply,
        optimizer,
        experiment.optimizer.schedule(experiment.run.steps),
        clip_norm=experiment.optimizer.clip_norm,
    )
    objective = training.causal_lm_loss(deterministic=True)
    return Steps(
        jax.jit(train_step, donate_argnums=0).lower(state, batch).compile(),
        jax.jit(training.make_eval_step(objective, model.apply)),
        state,
    )


def evaluate(steps: Steps, params: Any, batches: Iterator[data.Batch]) -> training.TokenSummary:
    """Returns the scores over batches."""
    totals: dict[str, Any] = {}
    for batch in batches:
        sums = jax.device_get(steps.evaluate(params, batch))
        totals = {name: totals.get(name, 0) + np.asarray(value, np.float64) for name, value in sums.items()}
    return training.summarize_tokens(totals)


def train(experiment: training.Experiment, text: Text) -> dict[str, Any]:
    """Trains and returns the losses and what they took, compilation and evaluations not counted."""
    run, length = experiment.run, experiment.data.row_length
    batches = training_batches(text.train, length, run.batch_size, run.seed)
    steps = compile_steps(experiment, text.characters, next(batches))
    state, losses, seconds = steps.state, [], 0.0
    for first in range(0, run.steps, run.eval_every):
        last = min(first + run.eval_every, run.steps)
        began = time.perf_counter()
        for _ in range(first, last):
            state, metrics = steps.train(state, next(batches))
        loss = float(metrics["loss_sum"]) / float(metrics["weight"])
        seconds += time.perf_counter() - began
        held_out = evaluate(steps, state.params, evaluation_batches(text.validation, length, 64))
        losses.append({"step": last, "train": loss, "validation": held_out.nll})
        print(f"step {last}  train {loss:.4f}  validation {held_out.nll:.4f}", flush=True)
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "losses": losses,
        "validation": losses[-1]["validation"],
        "best_validation": min(line["validation"] for line in losses),
        "accuracy": held_out.accuracy,
        "calibration_error": held_out.calibration_error,
        "seconds": seconds,
        "tokens_per_second": run.steps * run.batch_size * (length - 1) / seconds,
        "device": jax.devices()[0].device_kind,
    }


def main(arguments: list[str] | None = None) -> None:
    """Runs one of the two settings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("--gpu", action="store_true", help="nanoGPT's larger setting")
    parser.add_argument(
        "--steps", type=int, help="fewer than the setting's; the learning rate decays over them"
    )
    parser.add_argument("--seed", type=int, default=1337)
    parser.add_argument("--out", type=Path, help="a JSON file for the results")
    options = parser.parse_args(arguments)
    experiment = (config_gpu if options.gpu else config).get_experiment()
    run = dataclasses.replace(experiment.run, seed=options.seed)
    run = run if options.steps is None else dataclasses.replace(run, steps=options.steps)
    text = read_text(options.text)
    sizes = f"{len(text.train):,} to train on, {len(text.validation):,} held out"
    print(f"{len(text.characters)} characters, {sizes}")
    results = train(dataclasses.replace(experiment, run=run), text)
    print(
        f"validation loss {results['validation']:.4f} (best {results['best_validation']:.4f}), "
        f"{results['parameters']:,} parameters, {results['seconds']:.0f} s, "
        f"{results['tokens_per_second']:,.0f} tokens/s on {results['device']}"
    )
    if options.out is not None:
        options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
