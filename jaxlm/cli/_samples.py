"""A text that a causal model writes, which shows a person during training what it has learnt."""

import jax

from jaxlm import decoding, pretrained, training

SAMPLE = decoding.GenerationConfig(max_new_tokens=48, sampling=decoding.Sampling(temperature=0.8, top_p=0.95))


def can_write(experiment: training.Experiment) -> bool:
    """Returns whether the model of an experiment begins texts: it is causal, and its texts are opened."""
    kind = experiment.resolved_objective.kind
    return kind.next_token and not kind.encoder and bool(experiment.ends)


def write_sample(loaded: pretrained.Loaded) -> str:
    """Returns a text of up to 48 tokens, drawn by the same key each time.

    Args:
      loaded: a causal LM that has tokens which open texts.
    """
    (written,) = decoding.generate(loaded, [""], SAMPLE, rng=jax.random.key(0))
    return written.text
