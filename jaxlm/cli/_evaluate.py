"""`jaxlm evaluate MODEL [CORPUS]`: held-out loss, perplexity, accuracy, bits per byte."""

import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from jaxlm import corruption, data, pretrained, tokenizers, training
from jaxlm.cli._arguments import known_options, read_arguments
from jaxlm.cli._evaluate_bytes import evaluate_models_of_bytes
from jaxlm.cli._evaluate_options import Evaluate
from jaxlm.cli._evaluation_text import as_values, counts_in_words, show_scores
from jaxlm.cli._failures import UsageError, say
from jaxlm.cli._models import model_folder, open_model
from jaxlm.cli._options import parse
from jaxlm.cli._runs import run_folder_of
from jaxlm.devices import enable_compilation_cache

LONGEST_ROW = 512


def run(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Args:
      arguments: what follows the command.

    Raises:
      UsageError: if the request cannot be met.
    """
    options = parse(Evaluate, arguments, program="jaxlm evaluate")
    _check(options)
    if options.unit == "byte":
        given = read_arguments(arguments, known_options(Evaluate), program="jaxlm evaluate").given
        return evaluate_models_of_bytes(options, given)
    folder = model_folder(options.model)
    enable_compilation_cache()
    loaded = open_model(str(folder), dtype=options.dtype)
    if loaded.kind.encoder and not tokenizers.sentinel_ids(loaded.text_tokenizer):
        raise UsageError(
            f"{options.model} was not trained to fill in spans, which is what evaluate scores: its tokenizer "
            "has no <extra_id_0>; see what it writes: jaxlm generate"
        )
    run_folder = run_folder_of(folder)
    experiment = _experiment(folder, run_folder, loaded, options)
    own = _own_data(run_folder, experiment, needed=not options.corpus)
    with _records(options, loaded, own, experiment) as cache:
        scores = training.evaluate(
            loaded.model,
            loaded.params,
            loaded.text_tokenizer,
            cache,
            objective=experiment.objective,
            noise=_noise(run_folder, experiment, noisy=options.noisy),
            spans=experiment.spans,
            row_length=experiment.data.row_length,
            long=experiment.data.long,
            batch_size=options.batch_size,
            log_unigrams=_log_unigrams(loaded, own),
        )
    if scores is None:
        raise UsageError("nothing was scored: no token of the corpus can be predicted")
    name = " ".join(options.corpus) or "its own test split"
    if options.json:
        print(json.dumps({"model": options.model, "corpus": name, **as_values(scores)}))
    else:
        print(f"{options.model} on {name}: {counts_in_words(scores, loaded.kind)}")
        show_scores(scores, experiment, is_own=not options.corpus)
    return 0


def _check(options: Evaluate) -> None:
    """Raises `UsageError` for numbers out of range and options that would change nothing."""
    for name in ("batch_size", "row_length", "max_document"):
        value, option = getattr(options, name), f"--{name.replace('_', '-')}"
        if value is not None and not 1 <= value < 2**31:
            raise UsageError(f"{option} is at least 1{' and below 2**31' * (value > 0)}, got {value}")
    for name in ("format", "document", "field", "label_field", "max_document"):
        if getattr(options, name) is not None and not options.corpus:
            raise UsageError(f"--{name.replace('_', '-')} is for a CORPUS: name one, or leave it out")


def _experiment(
    folder: Path, run_folder: Path | None, loaded: pretrained.Loaded, options: Evaluate
) -> training.Experiment:
    """Returns the run's experiment; for another model a default one, with rows that the model can read."""
    if run_folder is not None:
        experiment = training.load_experiment(run_folder)
    elif not options.corpus:
        raise UsageError(f"CORPUS is missing: {options.model} is no run, so that it has no held-out split")
    else:
        rows = data.DataConfig(row_length=min(LONGEST_ROW, loaded.config.max_length))
        objective = training.objective_of(loaded.kind)
        if objective is None:
            raise UsageError(f"{options.model} is a {loaded.kind.name}, which no objective of jaxlm trains")
        model = dataclasses.replace(loaded.config, param_dtype="float32")
        tokenizer = tokenizers.TokenizerConfig(path=str(folder))
        experiment = training.Experiment(objective=objective, data=rows, tokenizer=tokenizer, model=model)
    if options.row_length is None:
        return experiment
    rows = dataclasses.replace(experiment.data, row_length=options.row_length)
    return dataclasses.replace(experiment, data=rows)


def _frame(loaded: pretrained.Loaded) -> tokenizers.Frame:
    """Returns the ids around a record, as in training."""
    reader = "text" if loaded.kind.encoder or loaded.kind.sequence_outputs else "training"
    return tokenizers.text_frame(loaded.text_tokenizer, reader, loaded.frame)


def _noise(
    run_folder: Path | None, experiment: training.Experiment, *, noisy: bool
) -> corruption.NoiseConfig | None:
    """Returns the corruption of the texts that the model reads; None: they are read as they are."""
    noise = experiment.resolved_input_noise
    if experiment.resolved_objective.noise_rate:
        return noise
    is_known = run_folder is not None
    if noisy and (not is_known or (noise.schedule == "constant" and not noise.rate)):
        why = "was trained on texts as they are" if is_known else "is no run"
        raise UsageError(f"--noisy corrupts as in training, but this model {why}: leave it out")
    return noise if noisy else None


def _own_data(
    run_folder: Path | None, experiment: training.Experiment, *, needed: bool
) -> data.PreparedCorpus | None:
    """Returns the corpus of the run; None if it is gone or changed, and not needed."""
    if run_folder is None:
        return None
    tokenizer = tokenizers.TokenizerConfig(path=str(run_folder / "tokenizer.json"))
    try:
        prepared = data.prepare(experiment.data, tokenizer, ends=experiment.ends)
        checkpoints = training.checkpoints(run_folder / "checkpoints")
        known = {checkpoint.meta.get("data") for checkpoint in checkpoints} - {None}
        if known and prepared.fingerprint not in known:
            raise UsageError(
                f"the corpus has changed since {os.path.relpath(run_folder)} was trained on it: name one as "
                "CORPUS"
            )
        return prepared
    except (data.CorpusError, UsageError) as error:
        if needed:
            raise
        say("jaxlm evaluate", f"warning: no unigram baseline without the training data: {error}")
        return None


@contextmanager
def _records(
    options: Evaluate,
    loaded: pretrained.Loaded,
    own: data.PreparedCorpus | None,
    experiment: training.Experiment,
) -> Iterator[data.TokenCache]:
    """Opens the records to evaluate on: the corpus asked for, or the run's own test split."""
    if not options.corpus and own is not None:
        yield own.caches["test"]
        return
    labels = _label_config(options, experiment)

    def records() -> Iterator[data.Record]:
        records = data.open_source(
            options.corpus,
            options.format,
            document=options.document or "line",
            field="text" if options.field is None else options.field,
            fields=() if labels is None or labels.label_field is None else (labels.label_field,),
            max_document=options.max_document or data.MAX_DOCUMENT,
        )
        known = (record for record in records if isinstance(record, data.Record))
        return known if labels is None else data.label_records(known, labels, loaded.extra.get("classes"))

    with tempfile.TemporaryDirectory(prefix="jaxlm-") as folder:
        ends = _frame(loaded)
        tokenizer = loaded.text_tokenizer
        cache = data.build_cache(
            records,
            tokenizer,
            folder,
            source_fingerprint="corpus",
            ends=ends,
            labelled=labels is not None,
        )
        if not len(cache):
            raise UsageError(f"the corpus is empty: {' '.join(options.corpus)} holds no record with text")
        yield cache


def _label_config(options: Evaluate, experiment: training.Experiment) -> data.DataConfig | None:
    """Returns how the labels of CORPUS are found, as in training or in a field; None for a model without."""
    if not experiment.resolved_objective.labels:
        if options.label_field is not None:
            raise UsageError("--label-field is for a classifier or a regression: leave it out")
        return None
    own = dataclasses.replace(experiment.data, group_pattern=None, group_field=None, split="record")
    if options.label_field is not None:
        own = dataclasses.replace(own, label_field=options.label_field, label_pattern=None)
    if not own.is_labelled:
        raise UsageError(
            f"{options.model} is evaluated by labels, and nothing says where CORPUS has them: name the "
            "field, --label-field"
        )
    return own


def _log_unigrams(loaded: pretrained.Loaded, own: data.PreparedCorpus | None) -> np.ndarray | None:
    """Returns the baseline's log-probabilities; None without training data, or if no tokens are predicted."""
    if own is None or loaded.kind.question is None:
        return None
    special = tokenizers.special_mask(loaded.text_tokenizer, loaded.config.vocab_size)
    return training.unigram_log_probs(own.caches["train"], special, unless_seen=loaded.kind.causal)
