"""From an experiment to what a step needs: the tokenizer, the model, packed splits and their masking."""

import dataclasses
from typing import NamedTuple

import jax
import numpy as np

from jaxlm import corruption, data, models, tokenizers
from jaxlm.training._experiment import Experiment
from jaxlm.training._objective import Masking, Objective, masked_lm_objective


class Split(NamedTuple):
    """Records and where they lie in rows."""

    cache: data.TokenCache
    plan: data.PackingPlan


class Task(NamedTuple):
    """What an experiment means on this machine's data.

    Attributes:
      tokenizer: trained, loaded or fixed.
      config: the model's, vocabulary and NEXT known.
      splits: "train", "validation", "test"; the latter two may have no rows.
      fingerprint: of corpus, division and tokenizer: a run goes on with the data that it began with.
      notes: what a log should say.
    """

    tokenizer: tokenizers.Tokenizer
    config: models.TransformerConfig
    splits: dict[str, Split]
    fingerprint: str
    notes: tuple[str, ...]


def make_task(experiment: Experiment) -> Task:
    """Returns what an experiment means on its data, prepared or read from the cache.

    Raises:
      ValueError: if there are no data to train on, or model and tokenizer contradict each other.
    """
    prepared = data.prepare(experiment.data, experiment.tokenizer)
    tokenizer, notes = prepared.tokenizer, list(prepared.notes)
    if tokenizer.specials.mask is None:
        raise ValueError("a masked LM needs a tokenizer with a mask token such as [MASK]; this one has none")
    config = model_config(experiment.model, tokenizer)
    splits = {
        name: Split(
            cache, data.plan_packing(cache.lengths, experiment.data.row_length, long=experiment.data.long)
        )
        for name, cache in prepared.caches.items()
    }
    notes += [f"{name}: {line}" for name in splits for line in splits[name].plan.notes]
    return Task(tokenizer, config, splits, prepared.fingerprint, tuple(notes))


def model_config(
    config: models.TransformerConfig, tokenizer: tokenizers.Tokenizer
) -> models.TransformerConfig:
    """Returns the model's config with what the tokenizer decides filled in.

    Args:
      config: `vocab_size` and `next_id` None are filled in.
      tokenizer: decides them.

    Raises:
      ValueError: if `vocab_size` has no room for the tokenizer's ids, or positions by instruction have no
        [NEXT] of the tokenizer to count by.

    Example:
      >>> model_config(models.TransformerConfig(), tokenizers.bytes_tokenizer()).vocab_size
      260
    """
    size = tokenizer.vocab_size if config.vocab_size is None else config.vocab_size
    if size < tokenizer.vocab_size:
        raise ValueError(
            f"model.vocab_size has no room for the tokenizer's ids: got {size} for {tokenizer.vocab_size}; "
            "leave it out to take the tokenizer's"
        )
    if config.position != "instruction":
        return dataclasses.replace(config, vocab_size=size)
    next_id = tokenizer.specials.next
    if next_id is None:
        raise ValueError(
            "model.position='instruction' counts instructions by [NEXT]: got a tokenizer without it; "
            "use model.position='rotary', or data in instructions"
        )
    if config.next_id not in (None, next_id):
        raise ValueError(
            f"model.next_id is the tokenizer's [NEXT]: got {config.next_id} for {next_id}; leave it out"
        )
    return dataclasses.replace(config, vocab_size=size, next_id=next_id)


def make_masking(
    config: corruption.MaskingConfig,
    model: models.TransformerConfig,
    tokenizer: tokenizers.Tokenizer,
    split: Split,
    rows: int,
) -> Masking:
    """Returns the masking of `rows` rows of a split: a micro-batch of one device.

    Specials are neither masked nor drawn. [NEXT] is masked only where positions come from the corrupted ids:
    with clean ones its place gives it away.

    Args:
      config: rate, shares, exact or Bernoulli counts.
      model: decides whether [NEXT] may be masked.
      tokenizer: its special ids.
      split: K is the most that any `rows` of its rows can hold (exact) or a bound of it (Bernoulli).
      rows: rows of a micro-batch of one device.

    Raises:
      ValueError: if nothing in the split may be masked.
    """
    special = np.ones(model.vocab_size, bool)
    special[: tokenizer.vocab_size] = False
    special[list(tokenizer.special_ids)] = True
    forbidden = special.copy()
    if model.position == "instruction" and model.instruction_positions == "corrupted":
        forbidden[model.next_id] = False
    capacity = data.masked_capacity(split.cache, split.plan, rows, forbidden, config.rate)
    if capacity < 1:
        raise ValueError(
            "nothing in this corpus may be masked: it holds special tokens only, or masking.rate is 0"
        )
    if config.count == "bernoulli":
        capacity = corruption.bernoulli_capacity(rows * split.plan.row_length, config.rate)
    return Masking(
        config, tokenizer.specials.mask, np.flatnonzero(~special).astype(np.int32), forbidden, capacity
    )


def make_objective(
    model: models.TransformerConfig,
    masking: Masking,
    *,
    deterministic: bool = False,
    log_unigrams: np.ndarray | None = None,
) -> Objective:
    """Returns the masked-LM objective with the positions that the model's config asks for."""
    return masked_lm_objective(
        masking,
        next_id=model.next_id if model.position == "instruction" else None,
        positions_from=model.instruction_positions,
        deterministic=deterministic,
        log_unigrams=log_unigrams,
    )


def describe_devices(devices: list[jax.Device]) -> str:
    """Returns e.g. "1 x cpu" or "8 x NVIDIA H100".

    Example:
      >>> describe_devices(jax.local_devices()[:1])
      '1 x cpu'
    """
    return f"{len(devices)} x {devices[0].device_kind}"
