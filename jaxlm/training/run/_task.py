"""From an experiment to its tokenizer, the config of its model and its packed splits."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxlm import data, models, tokenizers
from jaxlm.corruption import NoiseConfig
from jaxlm.errors import ConfigError, CorpusError
from jaxlm.training.losses import LossConfig, Setting, Split
from jaxlm.training.run._experiment import Experiment


class Task(NamedTuple):
    """An experiment with its data prepared: tokenizer, model config and packed splits.

    Attributes:
      tokenizer: the tokenizer, which was trained, loaded or is a fixed one.
      config: the config of the transformer, with known `vocab_size` and `next_id`.
      head: the config of the head of a classifier or a regression, with known `num_outputs`; None: the model
        is a language model.
      splits: a mapping with the packed splits "train", "validation" and "test"; the last two may have no
        rows.
      num_segments: the most segments (texts) that a row of any split holds.
      label_names: for a classifier, the name of each class; else empty.
      fingerprint: a digest of corpus, split and tokenizer; a run is resumed only if its data still have the
        same one.
      notes: lines of text for the log.
    """

    tokenizer: tokenizers.Tokenizer
    config: models.TransformerConfig
    head: models.HeadConfig | None
    splits: dict[str, Split]
    num_segments: int
    label_names: tuple[str, ...]
    fingerprint: str
    notes: tuple[str, ...]


def make_task(experiment: Experiment) -> Task:
    """Returns the task of an experiment: its data prepared, or read from the cache of an earlier call.

    Raises:
      ValueError: if there is no training data, or model, labels and tokenizer contradict each other.
    """
    prepared = data.prepare(experiment.data, experiment.tokenizer, ends=experiment.ends)
    splits = {name: make_split(experiment, cache) for name, cache in prepared.caches.items()}
    if experiment.resolved_objective.kind.causal:
        _check_predicts(splits["train"])
    notes = [*prepared.notes, *(f"{name}: {line}" for name in splits for line in splits[name].plan.notes)]
    return Task(
        tokenizer=prepared.tokenizer,
        config=model_config(experiment.model, prepared.tokenizer, experiment.resolved_objective.kind),
        head=_head(experiment, prepared, splits) if experiment.resolved_objective.labels else None,
        splits=splits,
        num_segments=max(1, *(split.plan.max_segments for split in splits.values())),
        label_names=tuple(prepared.label_names or ()),
        fingerprint=prepared.fingerprint,
        notes=tuple(notes),
    )


def task_classes(task: Task) -> dict[str, list[str]]:
    """Returns the entry of config.json with a classifier's class names, one for each output: "classes"."""
    return {"classes": list(task.label_names)} if task.label_names else {}


def make_split(experiment: Experiment, cache: data.TokenCache) -> Split:
    """Returns records packed into rows as the experiment's objective needs them.

    For a causal model, the pieces of a record that is longer than a row overlap by one token, so that each
    token but the record's first is predicted exactly once.

    Args:
      experiment: the experiment, whose objective and row length decide.
      cache: the encoded records.
    """
    config = experiment.data
    overlap = int(experiment.resolved_objective.kind.causal and config.row_length > 1)
    return Split(
        cache, data.plan_packing(cache.lengths, config.row_length, long=config.long, overlap=overlap)
    )


def _check_predicts(split: Split) -> None:
    """Refuses a split in which a causal model predicts nothing."""
    if split.plan.length.max() < 2:
        raise CorpusError(
            "a causal model predicts every token of a record but the first: no record of the train split, or "
            f"piece of one in a row of {split.plan.row_length}, has a second; give longer records, "
            "data.ends=True or a greater data.row_length"
        )


def model_config(
    config: models.TransformerConfig,
    tokenizer: tokenizers.Tokenizer,
    kind: models.KindOrName = models.MASKED_LM,
) -> models.TransformerConfig:
    """Returns the config of the transformer with the fields filled in that the tokenizer decides.

    Args:
      config: the config; `vocab_size`, `position.next_id` and `decoder.start_id` are filled in if they are
        None.
      tokenizer: the tokenizer that gives these values; a decoder's start token is the tokenizer's padding
        token.
      kind: the kind of model that is to be built.

    Raises:
      ConfigError: if `vocab_size` is smaller than the tokenizer's, or the config has instruction positions
        and the tokenizer has no [NEXT].

    Example:
      >>> from jaxlm import models, tokenizers
      >>> from jaxlm.training import model_config
      >>> model_config(models.TransformerConfig(), tokenizers.bytes_tokenizer()).vocab_size
      260
    """
    size = tokenizer.vocab_size if config.vocab_size is None else config.vocab_size
    if size < tokenizer.vocab_size:
        raise ConfigError(
            f"model.vocab_size is at least the tokenizer's: got {size} for {tokenizer.vocab_size}; "
            "leave it out to take the tokenizer's"
        )
    if models.as_kind(kind).encoder:
        decoder = config.decoder or models.DecoderConfig()
        start_id = tokenizer.specials.pad if decoder.start_id is None else decoder.start_id
        config = dataclasses.replace(config, decoder=dataclasses.replace(decoder, start_id=start_id))
    if not isinstance(config.position, models.Instruction):
        return dataclasses.replace(config, vocab_size=size)
    next_id = tokenizer.specials.next
    if next_id is None:
        raise ConfigError(
            "model.position='instruction' counts instructions by [NEXT]: got a tokenizer without it; "
            "use model.position='rotary', or data in instructions"
        )
    if config.position.next_id not in (None, next_id):
        raise ConfigError(
            f"model.position.next_id is the tokenizer's [NEXT]: got {config.position.next_id} for {next_id}; "
            "leave it out"
        )
    position = dataclasses.replace(config.position, next_id=next_id)
    return dataclasses.replace(config, vocab_size=size, position=position)


def _head(
    experiment: Experiment, prepared: data.PreparedCorpus, splits: dict[str, Split]
) -> models.HeadConfig:
    """Returns the head's config, with outputs, and a regression's center and scale, from the labels."""
    objective, labels = experiment.resolved_objective, prepared.caches["train"].labels
    if labels is None:
        raise ConfigError(
            f"objective={objective.name!r} learns labels: got data without; give data.label_pattern or "
            "data.label_field"
        )
    for name, split in splits.items():
        if split.plan.num_split:
            raise ConfigError(
                f"a label belongs to a whole record: {split.plan.num_split:,} records of the {name} split "
                f"are longer than a row of {split.plan.row_length}; raise data.row_length, or set "
                "data.long='truncate'"
            )
    names = prepared.label_names or ()
    if (objective.labels == "classes") != bool(names):
        labelled = f"classes ({', '.join(names[:3])}, ...)" if names else "numbers"
        remedy = "data.label_kind='class' takes each number as the name of a class"
        if names:
            remedy = "data.label_kind='number' names the first that is none; names are for 'classification'"
        raise ConfigError(
            f"objective={objective.name!r} does not fit the labels, which are {labelled}: {remedy}"
        )
    if objective.labels == "classes":
        # Classes have no unit; a head config taken from a regression may have one.
        return dataclasses.replace(_with_outputs(experiment.head, len(names)), center=0.0, scale=1.0)
    known = labels[~np.isnan(labels)].astype(np.float64)
    scale = float(known.std()) or 1.0
    return dataclasses.replace(_with_outputs(experiment.head, 1), center=float(known.mean()), scale=scale)


def _with_outputs(head: models.HeadConfig, number: int) -> models.HeadConfig:
    if head.num_outputs not in (None, number):
        raise ConfigError(f"head.num_outputs is {number} by the labels: got {head.num_outputs}; leave it out")
    return dataclasses.replace(head, num_outputs=number)


def setting_of(experiment: Experiment, task: Task, rows: int) -> Setting:
    """Returns the setting in which the experiment's objective is trained.

    Args:
      experiment: the experiment, which gives noises, spans and loss.
      task: the experiment's prepared data.
      rows: number of rows of a micro-batch on one device.
    """
    return Setting(
        config=task.config,
        tokenizer=task.tokenizer,
        splits=(task.splits["train"],),
        rows=rows,
        head=task.head,
        num_segments=task.num_segments,
        input_noise=experiment.resolved_input_noise,
        target_noise=experiment.resolved_target_noise,
        spans=experiment.spans,
        loss=experiment.loss,
        steps=experiment.run.steps,
    )


def evaluation_setting(setting: Setting, splits: Sequence[Split], rows: int, *, is_noisy: bool) -> Setting:
    """Returns the setting in which an objective is evaluated.

    Args:
      setting: the setting in which the objective is trained.
      splits: the packed records to evaluate.
      rows: number of rows of a batch on one device.
      is_noisy: whether the model's input is corrupted as in training.
    """
    return setting._replace(
        splits=tuple(splits),
        rows=rows,
        num_segments=max(1, *(split.plan.max_segments for split in splits)),
        input_noise=_final(setting.input_noise) if is_noisy else None,
        target_noise=None,
        loss=LossConfig(),
        is_evaluation=True,
    )


def _final(noise: NoiseConfig | None) -> NoiseConfig | None:
    """Returns the noise at the end of training, at whose rate held-out text is corrupted."""
    if noise is None or noise.final_rate is None:
        return noise
    return dataclasses.replace(noise, rate=noise.final_rate, final_rate=None)
