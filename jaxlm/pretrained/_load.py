"""Opens a model: a run's folder or a Hugging Face folder, by path or by name."""

import dataclasses
import functools
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jaxlm import io, models, tokenizers
from jaxlm.errors import ModelError, ModelNotFoundError
from jaxlm.pretrained._attributes import architecture_names
from jaxlm.pretrained._bodies import body_config, infer_model_kind, sequence_family, usual_head
from jaxlm.pretrained._description import OWN_KEYS, Description, read_description, select_head
from jaxlm.pretrained._family import Family
from jaxlm.pretrained._folder import CONFIG, TOKENIZER, member_folders
from jaxlm.pretrained._hub import find_folder
from jaxlm.pretrained._huggingface import check_repeated, find_tensors, read_config
from jaxlm.pretrained._loaded import ENDS, GENERATION, HUGGINGFACE, Loaded, without_head
from jaxlm.pretrained._names import canonical_names
from jaxlm.pretrained._other_folders import ADAPTER_WEIGHTS, describe_other
from jaxlm.pretrained._run_checkpoints import is_checkpoint, open_checkpoint
from jaxlm.pretrained._sentence_folders import SENTENCE_SETTINGS, sentence_settings
from jaxlm.pretrained._size_checks import check_sizes
from jaxlm.pretrained._stored import Shape, StoredTensor
from jaxlm.pretrained._tensors import Parts, check_stored, expected_shapes, read_params
from jaxlm.pretrained._weights import open_weights

GENERATION_CONFIG, SETTINGS = "generation_config.json", "tokenizer_config.json"
LOG = logging.getLogger(__name__)
DType = Literal["float32", "bfloat16"]
# A folder with one of these files has a tokenizer, which `tokenizers.load_tokenizer` opens.
VOCABULARIES = (TOKENIZER, "vocab.json", "vocab.txt", "*.model", "*.spm")


class ModelSummary(NamedTuple):
    """What a model's folder holds, as `inspect` finds it without reading a tensor.

    Attributes:
      folder: the path of the folder.
      config: the config of the model.
      kind: the kind of the model, such as `models.CAUSAL_LM`.
      head: the `HeadConfig` of a classifier or a regression; for a "joint" model the heads by name. None: the
        kind has no config of a head.
      extra: further entries of config.json. For a Hugging Face folder the entry "huggingface" is the whole
        config.json, and "generation" the whole generation_config.json.
      family: the `model_type` in the config.json of a Hugging Face folder. None: the folder is one of jaxlm.
      shapes: the shape of every parameter by its dotted name.
      stored: the names of the dtypes of the tensors in the files, sorted, such as ("bfloat16", "float32").
      left_out: the names of modules in the files that the model does not use, such as further heads.
      usual_head: the head of the family's class for sequence classification, without a number of outputs;
        None: the folder is one of jaxlm, or its family has no such class here.
    """

    folder: Path
    config: models.TransformerConfig
    kind: models.ModelKind
    head: models.Heads
    extra: dict[str, Any]
    family: str | None
    shapes: dict[str, Shape]
    stored: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    usual_head: models.HeadConfig | None = None


class ModelSource(NamedTuple):
    """A folder, and the description of its model.

    Attributes:
      folder: the folder.
      description: of the model.
      family: of a Hugging Face folder; None: the folder is one of jaxlm.
      left_out: the names of modules in the files that the model does not use.
    """

    folder: Path
    description: Description
    family: Family | None
    left_out: tuple[str, ...] = ()


def load(
    name: str | os.PathLike[str],
    *,
    dtype: DType | None = None,
    compute_dtype: DType | None = None,
    kind: models.KindOrName | None = None,
    head: str | None = None,
    needs_head: bool = False,
) -> Loaded:
    """Opens a model: a training run, one of its checkpoints, a folder of `save_model` or of Hugging Face.

    Weights are memory-mapped and become parameters one by one. The process therefore needs memory for the
    parameters alone, or, if the parameters go to a GPU, for the largest parameter. Weight files are chosen as
    in `transformers`: model.safetensors, its shards, then torch's .bin files, which are read with
    `weights_only` alone.

    A folder of a class for sequence classification, such as BertForSequenceClassification, opens as a
    "classification" or a "regression", if its family's head is supported. A sentence-transformers folder
    opens as its transformer.

    A folder that holds an encoder without a head, such as BertModel, opens as the kind "body": the model
    returns hidden states, and `training.experiment_from_model` adds a new head to it. Further heads in the
    files are left out with a warning.

    Args:
      name: the path of a folder; `RUN@best`, `RUN@last` or `RUN@STEP` for a checkpoint of the run in the
        folder RUN; or the name of a model on the Hugging Face hub, `OWNER/NAME@REVISION`, which is looked up
        in the local cache and otherwise downloaded (see `find_folder`).
      dtype: the dtype of the parameters and of the computation. None: a model of jaxlm keeps the dtypes of
        its config, and a Hugging Face model gets float32.
      compute_dtype: the dtype of the computation, if it differs from that of the parameters. None: the
        computation has the dtype that `dtype` says.
      kind: the kind of the model, which is needed only if a folder of jaxlm holds a model of your own
        `ModelKind` that cannot be imported by its name "module:NAME". Names are never imported for a folder
        from the hub, nor from a module inside the folder. None: the kind follows from the files.
      head: the name of one head of a "joint" model (one with several heads), which is then opened as a model
        with that head alone. None: the model is opened with all its heads.
      needs_head: whether a model without a head is an error, which is raised before any tensor is read.

    Returns:
      A `Loaded` with the model, its parameters and its tokenizer.

    Raises:
      ModelNotFoundError: there is no model of this name.
      ReadError: the operating system refuses to read a file.
      ModelError: the folder is an ensemble's; a file cannot be read or is not whole; the config has something
        that is not supported; tensors are missing, unexpected or misshapen (one line names them all); the
        tokenizer has ids without a row in the embedding; the model has no head named `head`; or `needs_head`
        is True and the model has no head.

    Example:
      >>> from jaxlm.pretrained import load
      >>> load("./nowhere")
      Traceback (most recent call last):
      jaxlm.errors.ModelNotFoundError: no model at ./nowhere: no such folder
    """
    with io.reading_from(name):
        source, stored = open_stored(name, kind)
        config, kind, _, _ = source.description
        if needs_head and kind.head is None:
            raise ModelError(without_head(str(name)))
        parts = _parts(source, stored)
        if source.family is not None:
            check_repeated(str(source.folder), stored, source.family, config, kind)
        if source.left_out:
            told = ", ".join(source.left_out)
            LOG.warning("%s: left out, as no part of a %s: %s", source.folder, kind.name, told)
        tokenizer = _tokenizer(source)
        description = _in_dtype(source.description, dtype, compute_dtype)
        params = read_params(parts, description.config)
        if head is not None:
            description, params = select_head(description, head), models.head_params(params, head)
        config, kind, heads, extra = description
        return Loaded(config, kind, models.build(config, kind, heads), params, tokenizer, extra, heads)


def inspect(name: str | os.PathLike[str], *, kind: models.KindOrName | None = None) -> ModelSummary:
    """Returns the config, kind and shapes of a model; of the files of weights only the headers are read.

    Args:
      name: the path of a folder, a run's checkpoint such as `RUN@best`, or the name of a model on the Hugging
        Face hub (see `load`).
      kind: the kind of the model, which is needed only for a model of your own `ModelKind` that cannot be
        imported by its name. None: the kind follows from the files.

    Raises:
      ModelNotFoundError: there is no model of this name.
      ModelError: a file cannot be read, or the config has something that is not supported.

    Example:
      >>> from jaxlm.pretrained import inspect
      >>> inspect("./nowhere")
      Traceback (most recent call last):
      jaxlm.errors.ModelNotFoundError: no model at ./nowhere: no such folder
    """
    with io.reading_from(name):
        source, stored = open_stored(name, kind)
        config, kind, head, extra = source.description
        _parts(source, stored)
        shapes = expected_shapes(dataclasses.replace(config, scan_layers=False), kind, head)
        kinds = tuple(sorted({tensor.dtype.name for tensor in stored.values()}))
        return ModelSummary(
            source.folder,
            config,
            kind,
            head,
            extra,
            source.family and source.family.name,
            shapes,
            kinds,
            source.left_out,
            usual_head(extra.get(HUGGINGFACE, {}), source.family),
        )


def kind_name(name: str | os.PathLike[str]) -> str | None:
    """Returns the name of a model's kind, such as "causal_lm", from the config.json of a folder of jaxlm.

    None for a Hugging Face folder, whose config.json does not name it.

    Args:
      name: the path of a folder, a run's checkpoint such as `RUN@best`, or the name of a model on the Hugging
        Face hub (see `load`).

    Raises:
      ModelNotFoundError: there is no model of this name.
    """
    with io.reading_from(name):
        values = _values(find_folder(name) / CONFIG)
        return values.get("objective") if _is_ours(values) else None


def open_stored(
    name: str | os.PathLike[str], kind: models.KindOrName | None = None
) -> tuple[ModelSource, dict[str, StoredTensor]]:
    """Returns a model and its tensors, which are not read; their names complete the description.

    Args:
      name: the model, as `load` takes it.
      kind: the kind of the model, if the files do not tell it.

    Raises:
      ModelNotFoundError: there is no model of this name.
      ModelError: a file cannot be read, or the config has something that is not supported.
    """
    source = _find(name, kind)
    if is_checkpoint(source.folder):
        return source, open_checkpoint(source.folder, source.description.config)
    stored = open_weights(source.folder)
    try:
        check_sizes(source.description.config, stored)
    except ModelError as error:
        raise ModelError(f"{source.folder / CONFIG}: {error}") from error
    if source.family is None:
        return source, stored
    try:
        return _completed(source, source.family, stored), stored
    except ValueError as error:
        raise ModelError(f"{_where(source.folder, stored)}: {error}") from error


def _completed(source: ModelSource, family: Family, stored: Mapping[str, StoredTensor]) -> ModelSource:
    """The description of a Hugging Face folder, completed by the names of its tensors."""
    config, _, heads, extra = source.description
    config = family.settle(config, canonical_names(stored, family.scheme))
    classes = architecture_names(extra[HUGGINGFACE])
    if family.sequences is not None and family.sequences.architecture in classes:
        family, labels = sequence_family(family, extra[HUGGINGFACE])
        kind, heads, extra = family.kind, family.sequence_head, extra | labels.extra
    else:
        kind = infer_model_kind(family, config, stored, classes)
    config = body_config(family, config) if kind.head is None else config
    further = {*family.names(config, stored, kind).further.values()}
    beside = [name for name in ADAPTER_WEIGHTS if (source.folder / name).exists()]
    description = Description(config, kind, heads, extra)
    return source._replace(description=description, family=family, left_out=(*sorted(further), *beside))


def _find(name: str | os.PathLike[str], kind: models.KindOrName | None) -> ModelSource:
    folder = find_folder(name)
    path = folder / CONFIG
    if not path.exists() and is_checkpoint(folder):
        run = folder.parent.parent
        raise ModelNotFoundError(
            f"{folder} does not say what its model is, as those of earlier versions; the run's next "
            f"checkpoint does: jaxlm train --resume --out {run}"
        )
    members = [] if path.exists() else member_folders(folder)
    if members:
        raise ModelError(
            f"{folder} is an ensemble of {len(members)} members: load_ensemble opens them together, load one "
            f"of them, {members[0]}"
        )
    if not path.exists():
        raise ModelNotFoundError(f"no model in {folder}: it has no {CONFIG}; {describe_other(folder)}")
    values = _values(path)
    if _is_ours(values):
        return ModelSource(folder, read_description(path, kind), None)
    family, config = read_config(path, values)
    if kind is not None:
        raise ModelError(
            f"{folder} says itself of which kind it is, as a Hugging Face folder: leave kind out"
        )
    generation = _values(folder / GENERATION_CONFIG)
    extra = {HUGGINGFACE: dict(values), **({GENERATION: dict(generation)} if generation else {})}
    extra |= _told_ends(folder / SETTINGS)
    settings = sentence_settings(folder)
    extra |= {SENTENCE_SETTINGS: settings} if settings else {}
    return ModelSource(folder, Description(config, family.kind, None, extra), family)


def _is_ours(values: Mapping[str, Any]) -> bool:
    """Whether a config.json is a run's; a damaged one counts as a run's too."""
    if {"model_type", "architectures"} & values.keys():
        return {"model", "objective"} <= values.keys()
    return not values or bool({*OWN_KEYS} & values.keys())


def _told_ends(path: Path) -> dict[str, Any]:
    """The entry "jaxlm_ends" in the tokenizer_config.json of an exported model, if there is one."""
    told = _values(path).get(ENDS)
    if told is None:
        return {}
    sides = [told.get(side) for side in ("opening", "closing")] if isinstance(told, dict) else [None]
    if not all(isinstance(side, list) and all(isinstance(token, str) for token in side) for side in sides):
        example = '{"opening": ["[CLS]"], "closing": ["[SEP]"]}'
        raise ModelError(f"{path}: {ENDS} holds lists of tokens, such as {example}: got {told!r}")
    return {ENDS: told}


def _values(path: Path) -> Mapping[str, Any]:
    """The values of a JSON file; empty if it is damaged, which `read_description` then reports."""
    try:
        values = io.parse_json(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _in_dtype(description: Description, dtype: DType | None, compute_dtype: DType | None) -> Description:
    config = description.config
    param_dtype, compute_dtype = dtype or config.param_dtype, compute_dtype or dtype or config.dtype
    return description._replace(
        config=dataclasses.replace(config, dtype=compute_dtype, param_dtype=param_dtype)
    )


def _parts(source: ModelSource, stored: Mapping[str, StoredTensor]) -> dict[str, Parts]:
    """The functions that read the parameters, whose presence and shapes have been checked."""
    (config, kind, heads, _), where = source.description, _where(source.folder, stored)
    if source.family is not None:
        return find_tensors(where, stored, source.family, config, kind)
    shapes = expected_shapes(dataclasses.replace(config, scan_layers=False), kind, heads)
    check_stored(where, stored, shapes)
    return {name: lambda tensor=stored[name]: [tensor.read()] for name in shapes}


def _where(folder: Path, stored: Mapping[str, StoredTensor]) -> str:
    files = {tensor.file for tensor in stored.values()}
    return str(files.pop() if len(files) == 1 else folder)


def _tokenizer(source: ModelSource) -> tokenizers.Tokenizer | None:
    folder, config = source.folder, source.description.config
    # A run's tokenizer is one file; a Hugging Face folder may have it in several.
    path = folder if source.family is not None else folder / TOKENIZER
    names = VOCABULARIES if source.family is not None else (TOKENIZER,)
    if not any(list(folder.glob(name)) for name in names):
        return None
    tokenizer = tokenizers.load_tokenizer(path, rows=config.vocab_size)
    vocab_size = tokenizer.vocab_size if config.vocab_size is None else config.vocab_size
    try:
        tokenizer, dropped = tokenizers.fit_tokenizer(tokenizer, vocab_size)
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from error
    if dropped:
        LOG.warning("%s: tokens without a row in the embedding are not known: %s", folder, ", ".join(dropped))
    if tokenizer.vocab_size < vocab_size:
        _tell_spare_rows(str(folder), vocab_size, tokenizer.vocab_size)
    return tokenizer


@functools.cache
def _tell_spare_rows(folder: str, rows: int, ids: int) -> None:
    """Logs, once in a process, that a model can predict ids which have no token."""
    LOG.warning(
        "%s: the embedding has %d rows and the tokenizer %d ids: the last %d rows stand for no token",
        *(folder, rows, ids, rows - ids),
    )
