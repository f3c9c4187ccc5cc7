"""`jaxlm evaluate --unit byte`: models beside each other in bits per byte, whatever their tokenizers."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from jaxlm import data, pretrained, reports, scoring, tokenizers, training
from jaxlm.cli._byte_models import naming_unknown_bytes, refuse_model_without_bytes
from jaxlm.cli._evaluate_options import Evaluate
from jaxlm.cli._failures import UsageError, say
from jaxlm.cli._models import model_folder, open_model
from jaxlm.cli._output import show
from jaxlm.cli._runs import run_folder_of
from jaxlm.devices import enable_compilation_cache
from jaxlm.errors import ModelNotFoundError

# Options that say nothing about bytes.
OF_TOKEN_ROWS = ("--batch-size", "--noisy", "--row-length")


def evaluate_models_of_bytes(options: Evaluate, given: Iterable[str]) -> int:
    """Runs the command for bytes and returns its exit code.

    Args:
      options: of the command line.
      given: the full names of the options that were given.

    Raises:
      UsageError: if the request cannot be met.
    """
    name = next((name for name in given if name in OF_TOKEN_ROWS), None)
    if name is not None:
        raise UsageError(f"{name} is of rows of tokens, and bytes are scored without them: leave it out")
    models, corpus = divide_models(options.model, options.corpus)
    enable_compilation_cache()
    evaluations = scoring.evaluate_bytes(_opened(models, options), _records(models, corpus, options))
    by_model = dict(zip(models, evaluations, strict=True))
    first = evaluations[0]
    if not first.documents:
        reason = next((one.reason for one in evaluations if one.reason is not None), "the corpus is empty")
        raise UsageError(f"nothing was scored: {reason}")
    where = " ".join(corpus) or "its own test split"
    _tell_left_out(by_model)
    if options.json:
        print(
            json.dumps({"corpus": where, "models": [evaluation_as_json(*item) for item in by_model.items()]})
        )
        return 0
    count = "1 document" if first.documents == 1 else f"{first.documents:,} documents"
    print(f"{where}: {count}, {first.num_bytes:,} bytes")
    show(reports.byte_evaluation_table(by_model))
    return 0


def divide_models(model: str, others: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Returns the models and the corpus of the arguments MODEL [MODEL2 ...] [CORPUS ...].

    Further models come first: all arguments that are folders of models, up to the first one that is not.

    Args:
      model: the first model.
      others: what follows it.

    Raises:
      UsageError: if a model is named twice.

    Example:
      >>> from jaxlm.cli._evaluate_bytes import divide_models
      >>> divide_models("./gpt2", ["a.txt", "b.txt"])
      (['./gpt2'], ('a.txt', 'b.txt'))
    """
    models = [model]
    rest = list(others)
    while rest and _is_model(rest[0]):
        models.append(rest.pop(0))
    double = next((name for name in models if models.count(name) > 1), None)
    if double is not None:
        raise UsageError(f"{double} is named twice: name each model once")
    return models, tuple(rest)


def evaluation_as_json(model: str, evaluation: scoring.ByteEvaluation) -> dict[str, Any]:
    """Returns the evaluation of a model as JSON values.

    Args:
      model: as the user named it.
      evaluation: of the model.
    """
    rates = {"bits_per_byte": evaluation.bits_per_byte, "nats_per_byte": evaluation.nats_per_byte}
    return {"model": model, **rates, **evaluation._asdict()}


def _is_model(argument: str) -> bool:
    """Whether an argument names a model: a folder with a model's files, or a checkpoint of a run."""
    if Path(argument).is_file():
        return False
    try:
        model_folder(argument)
    except UsageError:
        return False
    return True


def _opened(models: Sequence[str], options: Evaluate) -> Iterator[pretrained.Loaded]:
    """Yields the models one after the other, all of which are looked at before the first is scored."""
    for model in models:
        folder = model_folder(model)
        refuse_model_without_bytes(model, pretrained.inspect(folder).kind)
        # A folder without a tokenizer is refused when the model is opened.
        with suppress(ModelNotFoundError), naming_unknown_bytes(model):
            tokenizers.token_bytes(tokenizers.load_tokenizer(folder))
    for model in models:
        yield open_model(model, dtype=options.dtype)


def _records(
    models: Sequence[str], corpus: Sequence[str], options: Evaluate
) -> Callable[[], Iterator[data.Record | str]]:
    """Returns a function that returns the documents: of the corpus, or of the one run's held-out split."""
    if corpus:

        def records() -> Iterator[data.Record | str]:
            documents = data.open_source(
                corpus,
                options.format,
                document=options.document or "line",
                field="text" if options.field is None else options.field,
                max_document=options.max_document or data.MAX_DOCUMENT,
            )
            return (document for document in documents if isinstance(document, data.Record))

        return records
    folder = run_folder_of(model_folder(models[0]))
    if len(models) > 1 or folder is None:
        why = (
            "several models have no held-out split in common" if len(models) > 1 else f"{models[0]} is no run"
        )
        raise UsageError(f"CORPUS is missing: {why}; name files, folders or globs")
    experiment = training.load_experiment(folder)
    return lambda: iter(data.split_texts(experiment.data, "test"))


def _tell_left_out(evaluations: dict[str, scoring.ByteEvaluation]) -> None:
    """Says on stderr how many documents were left out, and why the first of each model was."""
    first = next(iter(evaluations.values()))
    if not first.left_out:
        return
    reasons = (f"{model}: {one.reason}" for model, one in evaluations.items() if one.reason is not None)
    count = "1 document is" if first.left_out == 1 else f"{first.left_out:,} documents are"
    for_all = " for all models" if len(evaluations) > 1 else ""
    say("jaxlm evaluate", f"warning: {count} left out{for_all}: {'; '.join(reasons)}")
