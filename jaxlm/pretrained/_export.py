"""Writes models as Hugging Face folders, and converts a model's folder into the other kind of folder."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxlm import io, models
from jaxlm.pretrained._conversion import check_free, converting
from jaxlm.pretrained._exported_tokenizer import exported_tokenizer
from jaxlm.pretrained._families import family_for
from jaxlm.pretrained._folder import CONFIG, TOKENIZER, save_model, write_tensors
from jaxlm.pretrained._hub import find_folder
from jaxlm.pretrained._load import GENERATION_CONFIG, SETTINGS, DType, load
from jaxlm.pretrained._loaded import ENDS, HUGGINGFACE, Loaded, end_id, training_frame
from jaxlm.pretrained._rows import TensorRow, to_file_tensors
from jaxlm.pretrained._sequence_heads import fold_units, write_labels
from jaxlm.pretrained._tensors import check_tensors, flatten
from jaxlm.pretrained._weights import INDEXED, TENSORS

SHARD_BYTES = 5 * 10**9
# Files that are copied unchanged: names of special tokens, chat templates, defaults of generation.
BESIDE = (SETTINGS, "special_tokens_map.json", "chat_template.jinja", GENERATION_CONFIG)
MARIAN_PIECES = ("source.spm", "target.spm", "vocab.json")
# Patterns of all files that a conversion writes.
WRITTEN_FILES = (TOKENIZER, *BESIDE, *MARIAN_PIECES, TENSORS, "model-*-of-*.safetensors", next(iter(INDEXED)))
# Entries for generation that older files have in config.json.
RULES = (
    "forced_bos_token_id",
    "force_bos_token_to_be_generated",
    "forced_eos_token_id",
    "bad_words_ids",
    "suppress_tokens",
)


def save_huggingface(
    folder: str | os.PathLike[str], loaded: Loaded, *, shard_bytes: int = SHARD_BYTES
) -> str:
    """Writes a model as a folder that `transformers` opens, with the same logits.

    Tensors keep their dtype; of two tied tensors one is written. Entries are added to an existing
    tokenizer_config.json; files of other names stay as they are. The written tokenizer puts the opening and
    closing tokens of the training texts around a text. For a causal model it puts only the opening tokens,
    because a closed prompt cannot be continued; the closing tokens are then stored under "jaxlm_ends" in
    tokenizer_config.json, where `load` reads them.

    Args:
      folder: the folder to write. It is made if it does not exist.
      loaded: the model. Without a tokenizer (None) no tokenizer files are written.
      shard_bytes: the largest size of a file of tensors, in bytes. A larger model is written as several files
        with an index. A single tensor that is larger gets a file of its own.

    Returns:
      The name of the class in `transformers` that opens the folder, such as "GPT2LMHeadModel".

    Raises:
      ModelError: no architecture of `transformers` computes what the model does; the message names what the
        nearest architecture lacks.
      UsageError: the model is an ensemble.
      WriteError: a file cannot be written.

    Example:
      >>> from jaxlm import models
      >>> from jaxlm.pretrained import Loaded, save_huggingface
      >>> import tempfile
      >>> config = models.TransformerConfig(vocab_size=7, position="none")
      >>> loaded = Loaded(config, "masked_lm", models.build(config), {}, None, {})
      >>> save_huggingface(tempfile.mkdtemp(), loaded)
      Traceback (most recent call last):
      jaxlm.errors.ModelError: no architecture of transformers computes what this model does; the ...
    """
    loaded.check_single("save_huggingface")
    config = loaded.config.resolved()
    family = family_for(config, loaded.kind, loaded.head)
    rows = family.rows(config, loaded.kind)
    tensors = flatten(models.unstack_blocks(loaded.params) if config.scan_layers else loaded.params)
    labels: dict[str, Any] = {}
    if family.sequence_head is not None:
        tensors = fold_units(family.sequence_head, tensors)
        labels = write_labels(loaded.kind, family.sequence_head, loaded.extra)
    shapes = {name: leaf.shape for name, leaf in tensors.items()}
    check_tensors("the params to save", shapes, {row.ours: row.shape for row in rows})
    values = family.config_json(config, _token_ids(loaded), loaded.kind) | labels
    folder = Path(folder)
    with io.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if loaded.tokenizer is not None:
        _write_tokenizer(folder, loaded, config.max_length)
    if loaded.kind.head is None:  # the class of a bare body has no prefix
        rows = [_without_prefix(row, family.prefix) for row in rows]
    _write_shards(folder, tensors, rows, shard_bytes)
    _write_json(folder / CONFIG, values)
    return values["architectures"][0]


def convert(
    name: str | os.PathLike[str], folder: str | os.PathLike[str], *, dtype: DType | None = None
) -> str:
    """Writes a model of jaxlm as a Hugging Face folder, or a Hugging Face model as a folder of jaxlm.

    The files with the names of special tokens, the chat template and the settings of generation
    (generation_config.json) are copied. A call that raises an error removes the files that it wrote. A call
    that is killed leaves files behind, which the next call with the same folder replaces.

    Args:
      name: the model to convert: a folder, a run's checkpoint such as `RUN@best`, or the name of a model on
        the Hugging Face hub (see `load`).
      folder: the folder to write. It must be missing, empty, or left behind by a conversion that was killed.
      dtype: the dtype of the written parameters. None: a model of jaxlm keeps its own dtype, and a Hugging
        Face model is written in float32.

    Returns:
      What was written: the name of the class in `transformers` that opens the folder, such as
      "LlamaForCausalLM", or "a jaxlm folder".

    Raises:
      ModelNotFoundError: there is no model of this name.
      FolderTakenError: the folder holds other files, such as a finished conversion, or another process is
        writing it.
      ModelError: the model cannot be opened (see `load`), or no architecture of `transformers` computes what
        it does.
      WriteError: a file cannot be written.
    """
    source, folder = find_folder(name), Path(folder)
    request = json.dumps({"model": str(source.resolve()), "dtype": dtype})
    check_free(folder, request, last=CONFIG)
    loaded = _with_told_ends(load(source, dtype=dtype))
    is_ours = "model" in io.parse_json((source / CONFIG).read_text(encoding="utf-8"))
    if is_ours:
        family_for(loaded.config.resolved(), loaded.kind, loaded.head)
    with converting(folder, request, last=CONFIG, own=WRITTEN_FILES):
        return _converted(source, folder, loaded, is_ours=is_ours)


def _converted(source: Path, folder: Path, loaded: Loaded, *, is_ours: bool) -> str:
    # Marian's tokenizers have two sides, and tokenizer.json holds only one of them.
    pieces = MARIAN_PIECES if (source / MARIAN_PIECES[0]).exists() else ()
    for beside in (*BESIDE, *pieces):
        if (source / beside).exists():
            io.write_atomically(folder / beside, partial(shutil.copyfile, source / beside))
    if is_ours:
        return save_huggingface(folder, loaded)
    save_model(
        folder,
        loaded.config,
        loaded.params,
        loaded.tokenizer,
        kind=loaded.kind,
        head=loaded.head,
        extra=loaded.extra,
    )
    return "a jaxlm folder"


def _token_ids(loaded: Loaded) -> dict[str, Any]:
    """The ids of special tokens for config.json: as in the original, else by the tokenizer's roles."""
    original = loaded.extra.get(HUGGINGFACE)
    original = original if isinstance(original, Mapping) else {}
    roles = {} if loaded.tokenizer is None else loaded.tokenizer.specials._asdict() | _ends(loaded)
    names = ("pad", "bos", "eos", "cls", "sep", "mask")
    ids = {f"{role}_token_id": original.get(f"{role}_token_id", roles.get(role)) for role in names}
    written = {name: id for name, id in ids.items() if id is not None or name[:3] in ("pad", "bos", "eos")}
    return written | {name: original[name] for name in RULES if original.get(name) is not None}


def _ends(loaded: Loaded) -> dict[str, int | None]:
    """The ids with which `transformers` opens and closes the texts that it generates with the model."""
    tokenizer, kind = loaded.text_tokenizer, loaded.kind
    roles = tokenizer.specials
    frame = training_frame(tokenizer, kind, loaded.extra)
    if frame is None or kind.encoder:
        return dict(zip(("bos", "eos"), roles.ends or (None, None), strict=True))
    opening = frame.opening[0] if frame.opening else roles.bos
    return {"bos": opening, "eos": end_id(tokenizer, kind, frame)}


def _with_told_ends(loaded: Loaded) -> Loaded:
    """The model, with a note of its empty ends if it was trained without and its files do not say so."""
    if loaded.ends or loaded.frame is None or ENDS in loaded.extra:
        return loaded
    return loaded._replace(extra={**loaded.extra, ENDS: {"opening": [], "closing": []}})


def _write_tokenizer(folder: Path, loaded: Loaded, max_length: int) -> None:
    path = folder / SETTINGS
    known = io.parse_json(path.read_text(encoding="utf-8")) if path.exists() else {}
    tokenizer, told = exported_tokenizer(loaded)
    known.pop(ENDS, None)
    tokenizer.save(folder / TOKENIZER)
    roles = {key: name for key, name in tokenizer.role_settings().items() if key != "next_token"}
    kind = "MarianTokenizer" if (folder / MARIAN_PIECES[0]).exists() else "PreTrainedTokenizerFast"
    defaults = {"tokenizer_class": kind, "model_max_length": max_length}
    _write_json(path, {**defaults, "clean_up_tokenization_spaces": False, **roles, **known, **told})


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    io.write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def _write_shards(folder: Path, tensors: Mapping[str, Any], rows: list[TensorRow], shard_bytes: int) -> None:
    shards = list(_shards(tensors, rows, shard_bytes))
    if len(shards) == 1:
        write_tensors(folder / TENSORS, _theirs(tensors, shards[0]))
        return
    weight_map, stem = {}, TENSORS.removesuffix(".safetensors")
    for number, shard in enumerate(shards, 1):
        name = f"{stem}-{number:05d}-of-{len(shards):05d}.safetensors"
        arrays = _theirs(tensors, shard)
        weight_map |= dict.fromkeys(arrays, name)
        write_tensors(folder / name, arrays)
    total = sum(leaf.nbytes for leaf in tensors.values())
    _write_json(folder / next(iter(INDEXED)), {"metadata": {"total_size": total}, "weight_map": weight_map})


def _shards(tensors: Mapping[str, Any], rows: list[TensorRow], shard_bytes: int) -> Iterator[list[TensorRow]]:
    shard, free_bytes = [], shard_bytes
    for row in rows:
        size = tensors[row.ours].nbytes
        if shard and size > free_bytes:
            yield shard
            shard, free_bytes = [], shard_bytes
        shard.append(row)
        free_bytes -= size
    yield shard


def _without_prefix(row: TensorRow, prefix: str) -> TensorRow:
    return row._replace(theirs=tuple(name.removeprefix(prefix) for name in row.theirs))


def _theirs(tensors: Mapping[str, Any], rows: list[TensorRow]) -> dict[str, np.ndarray]:
    return {
        name: np.ascontiguousarray(part)
        for row in rows
        for name, part in zip(row.theirs, to_file_tensors(row, np.asarray(tensors[row.ours])), strict=True)
    }
