"""From an experiment's objective to the function that a step differentiates, or that an evaluation sums."""

from typing import Any

import numpy as np

from jaxlm import corruption, data, models, tokenizers
from jaxlm.errors import ConfigError, CorpusError
from jaxlm.training._causal import causal_lm_objective
from jaxlm.training._experiment import Experiment
from jaxlm.training._objective import Masking, Objective, has_exact_capacity, masked_lm_objective
from jaxlm.training._run_config import Goal
from jaxlm.training._sequence import classification_objective, regression_objective
from jaxlm.training._span_corruption import Spans, span_corruption_objective, target_room
from jaxlm.training._task import Split, Task


def training_objective(experiment: Experiment, task: Task, rows: int) -> Objective:
    """Returns what a run trains on.

    Args:
      experiment: what to compute.
      task: its data.
      rows: of a micro-batch of one device.

    Raises:
      ValueError: if there is noise and nothing for it to act on.
    """
    goal, config, loss = experiment.run.objective, task.config, experiment.loss
    split, positions = task.splits["train"], position_options(config)
    noise = experiment.resolved_input_noise
    if goal == "seq2seq_lm":
        spans = make_spans(experiment.spans, config, task.tokenizer, [split])
        return span_corruption_objective(spans, label_smoothing=loss.label_smoothing, z_loss=loss.z_loss)
    if goal == "masked_lm":
        masking = make_masking(noise, config, task.tokenizer, split, rows)
        return masked_lm_objective(
            masking,
            target_noise=_noise(experiment.resolved_target_noise, config, task.tokenizer),
            label_smoothing=loss.label_smoothing,
            z_loss=loss.z_loss,
            **positions,
        )
    read = {"input_noise": _noise(noise, config, task.tokenizer), **positions}
    if goal == "causal_lm":
        return causal_lm_objective(
            target_noise=_noise(experiment.resolved_target_noise, config, task.tokenizer),
            label_smoothing=loss.label_smoothing,
            z_loss=loss.z_loss,
            **read,
        )
    rest = {"labels": split.cache.labels, "num_segments": task.num_segments, **read}
    if goal == "classification":
        return classification_objective(label_smoothing=loss.label_smoothing, **rest)
    return regression_objective(scale=task.head.scale, **rest)


def evaluation_objective(
    goal: Goal,
    config: models.TransformerConfig,
    tokenizer: tokenizers.Tokenizer,
    splits: list[Split],
    rows: int,
    *,
    head: models.HeadConfig | None = None,
    noise: corruption.NoiseConfig | None = None,
    spans: corruption.SpanConfig | None = None,
    log_unigrams: np.ndarray | None = None,
) -> Objective:
    """Returns what an evaluation sums: no dropout, no smoothing, no noise of the targets.

    Args:
      goal: of the model.
      config: the model's.
      tokenizer: that the records were encoded with.
      splits: the records; of several, the labels are the first one's, and masked positions have room in any.
      rows: of a batch of one device.
      head: of a model of sequences.
      noise: of what is read: what a masked LM is asked; None reads clean tokens.
      spans: what an encoder-decoder is asked; None: T5's numbers.
      log_unigrams: of a baseline for language models, from `unigram_baseline`.

    Raises:
      CorpusError: if nothing in the records may be masked, or labels are missing.
    """
    if goal == "seq2seq_lm":
        asked = make_spans(spans or corruption.SpanConfig(), config, tokenizer, splits)
        return span_corruption_objective(asked, deterministic=True)
    options: dict[str, Any] = {"deterministic": True, **position_options(config)}
    if goal == "masked_lm":
        maskings = [make_masking(noise, config, tokenizer, split, rows) for split in splits]
        masking = maskings[0]._replace(capacity=max(masking.capacity for masking in maskings))
        return masked_lm_objective(masking, log_unigrams=log_unigrams, **options)
    options["input_noise"] = None if noise is None else _noise(noise, config, tokenizer)
    if goal == "causal_lm":
        return causal_lm_objective(log_unigrams=log_unigrams, **options)
    labels, num_segments = splits[0].cache.labels, max(split.plan.max_segments for split in splits)
    if labels is None:
        raise CorpusError(f"a model of {goal} is evaluated by labels: got records without")
    options["num_segments"] = max(1, num_segments)
    if goal == "classification":
        return classification_objective(labels, **options)
    return regression_objective(labels, scale=head.scale, **options)


def make_masking(
    config: corruption.NoiseConfig,
    model: models.TransformerConfig,
    tokenizer: tokenizers.Tokenizer,
    split: Split,
    rows: int,
) -> Masking:
    """Returns the masking of `rows` rows of a split: a micro-batch of one device.

    Specials are neither masked nor drawn. [NEXT] is masked only where positions come from the corrupted ids:
    with clean ones its place gives it away.

    Args:
      config: how much is corrupted, and into what; its rate is known.
      model: decides whether [NEXT] may be masked.
      tokenizer: its special ids.
      split: K is the most that any `rows` of its rows can hold, or a bound of it.
      rows: rows of a micro-batch of one device.

    Raises:
      CorpusError: if nothing in the split may be masked.
    """
    noise = _made(config, model, tokenizer)
    rate = config.rate if config.schedule == "constant" else 1.0
    capacity = data.masked_capacity(split.cache, split.plan, rows, noise.forbidden, rate)
    if capacity < 1:
        raise CorpusError(
            "nothing in this corpus may be masked: it holds special tokens only, or input_noise.rate is 0"
        )
    if not has_exact_capacity(config):
        plan = split.plan
        bound = corruption.noise_capacity(
            noise,
            rows * plan.row_length,
            row_length=plan.row_length,
            lengths=plan.length,
            row_starts=plan.row_starts,
        )
        return Masking(noise, bound)
    return Masking(noise, capacity)


def make_spans(
    config: corruption.SpanConfig,
    model: models.TransformerConfig,
    tokenizer: tokenizers.Tokenizer,
    splits: list[Split],
) -> Spans:
    """Returns what spans take out of the rows of splits.

    Args:
      config: how much.
      model: whose decoder begins with its `decoder.start_id`.
      tokenizer: its sentinels, and what closes a text.
      splits: the decoder's rows have room for what is taken out of any of theirs.

    Raises:
      ConfigError: if the tokenizer has no sentinels, or no token begins the decoder's texts.
    """
    sentinels = tokenizers.sentinel_ids(tokenizer)
    if not sentinels:
        raise ConfigError(
            "spans give way to sentinels, <extra_id_0> and so on, and this tokenizer has none: take T5's, or "
            "train one with tokenizer.sentinels"
        )
    if model.decoder is None or model.decoder.start_id is None:
        raise ConfigError(
            "a decoder begins with a token of its own: the tokenizer has no padding; set "
            "model.decoder.start_id"
        )
    ends = tokenizer.specials.ends
    eos = tokenizer.specials.eos
    return Spans(
        rate=config.rate,
        mean_span=config.mean_span,
        sentinel_ids=sentinels,
        forbidden=tokenizers.special_mask(tokenizer, model.vocab_size),
        start_id=model.decoder.start_id,
        end_id=ends[1] if eos is None and ends else eos,
        target_length=max(target_room(split.plan, config.rate, config.mean_span) for split in splits),
    )


def _made(
    config: corruption.NoiseConfig, model: models.TransformerConfig, tokenizer: tokenizers.Tokenizer
) -> corruption.Noise:
    from_corrupted = position_options(model)["positions_from"] == "corrupted"
    return corruption.make_noise(
        config, tokenizer, vocab_size=model.vocab_size, may_choose_next=from_corrupted
    )


def _noise(
    config: corruption.NoiseConfig, model: models.TransformerConfig, tokenizer: tokenizers.Tokenizer
) -> corruption.Noise | None:
    """The noise of a config; None where it does nothing."""
    if config.schedule == "constant" and not config.rate:
        return None
    return _made(config, model, tokenizer)


def position_options(config: models.TransformerConfig) -> dict[str, Any]:
    """Returns what an objective needs to know of a model's positions: `next_id` and `positions_from`.

    Example:
      >>> position_options(models.TransformerConfig())
      {'next_id': None, 'positions_from': 'clean'}
    """
    position = config.position
    if isinstance(position, models.Instruction):
        return {"next_id": position.next_id, "positions_from": position.source}
    return {"next_id": None, "positions_from": "clean"}
