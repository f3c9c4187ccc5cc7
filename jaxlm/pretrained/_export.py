"""Models written as Hugging Face folders, and any model's folder turned into the other kind."""

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
from jaxlm.pretrained._tensors import check_tensors, flatten
from jaxlm.pretrained._weights import INDEXED, TENSORS

SHARD_BYTES = 5 * 10**9
# What is carried along as it is: names of special tokens, chat templates, defaults of generation.
BESIDE = (SETTINGS, "special_tokens_map.json", "chat_template.jinja", GENERATION_CONFIG)
MARIAN_PIECES = ("source.spm", "target.spm", "vocab.json")
# All that a conversion writes, by pattern.
WRITTEN_FILES = (TOKENIZER, *BESIDE, *MARIAN_PIECES, TENSORS, "model-*-of-*.safetensors", next(iter(INDEXED)))
# Rules of generation that older files keep in config.json.
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

    Tensors keep the dtype that they have; of two that are tied one is written. A tokenizer_config.json that
    is in the folder is completed, other files are left alone. The tokenizer's file puts around texts what
    training did, of a causal model only what opens them: a prompt that is closed cannot be gone on with. What
    the file cannot say then, the key "jaxlm_ends" of tokenizer_config.json says to `load`.

    Args:
      folder: made if it does not exist.
      loaded: the model; its tokenizer may be None.
      shard_bytes: what a file of tensors holds at most, unless a single tensor is larger; beyond it there are
        several and an index.

    Returns:
      The class in `transformers`, "GPT2LMHeadModel".

    Raises:
      ValueError: if no architecture of `transformers` computes what the model does; the line names what the
        nearest one lacks.
      WriteError: if a file cannot be written.

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
    family = family_for(config, loaded.kind)
    rows = family.rows(config, loaded.kind)
    tensors = flatten(models.unstack_blocks(loaded.params) if config.scan_layers else loaded.params)
    shapes = {name: leaf.shape for name, leaf in tensors.items()}
    check_tensors("the params to save", shapes, {row.ours: row.shape for row in rows})
    values = family.config_json(config, _token_ids(loaded), loaded.kind)
    folder = Path(folder)
    with io.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if loaded.tokenizer is not None:
        _write_tokenizer(folder, loaded, config.max_length)
    if loaded.kind.head is None:  # whose own class knows no prefix
        rows = [_without_prefix(row, family.prefix) for row in rows]
    _write_shards(folder, tensors, rows, shard_bytes)
    _write_json(folder / CONFIG, values)
    return values["architectures"][0]


def convert(
    name: str | os.PathLike[str], folder: str | os.PathLike[str], *, dtype: DType | None = None
) -> str:
    """Writes a run's model as a Hugging Face folder, or a Hugging Face model as a folder like a run's.

    Names of special tokens, chat templates and defaults of generation go with it. A call that failed or was
    killed can come again: what it left in the folder is written anew.

    Args:
      name: the model, as for `load`.
      folder: what to write; missing or empty, or left by a conversion that did not come to its end.
      dtype: what to keep parameters in; None: as in the run, and float32 of a Hugging Face folder.

    Returns:
      What was written: the class in `transformers`, or "a jaxlm folder".

    Raises:
      FileNotFoundError: if there is no model.
      FileExistsError: if the folder holds something else.
      ValueError: as `load` and `save_huggingface`.
      WriteError: if a file cannot be written; the folder is then as it was.
    """
    source, folder = find_folder(name), Path(folder)
    request = json.dumps({"model": str(source.resolve()), "dtype": dtype})
    check_free(folder, request, last=CONFIG)
    loaded = _with_told_ends(load(source, dtype=dtype))
    is_ours = "model" in io.parse_json((source / CONFIG).read_text(encoding="utf-8"))
    if is_ours:
        family_for(loaded.config.resolved(), loaded.kind)
    with converting(folder, request, last=CONFIG, own=WRITTEN_FILES):
        return _converted(source, folder, loaded, is_ours=is_ours)


def _converted(source: Path, folder: Path, loaded: Loaded, *, is_ours: bool) -> str:
    # Marian's have two sides, of which tokenizer.json holds one.
    pieces = MARIAN_PIECES if (source / MARIAN_PIECES[0]).exists() else ()
    for beside in (*BESIDE, *pieces):
        if (source / beside).exists():
            io.write_atomically(folder / beside, partial(shutil.copyfile, source / beside))
    if is_ours:
        return save_huggingface(folder, loaded)
    what = {"kind": loaded.kind, "head": loaded.head, "extra": loaded.extra}
    save_model(folder, loaded.config, loaded.params, loaded.tokenizer, **what)
    return "a jaxlm folder"


def _token_ids(loaded: Loaded) -> dict[str, Any]:
    """What generation and padding ask a config.json for: as it was, else by the tokenizer's roles."""
    was = loaded.extra.get(HUGGINGFACE)
    was = was if isinstance(was, Mapping) else {}
    roles = {} if loaded.tokenizer is None else loaded.tokenizer.specials._asdict() | _ends(loaded)
    names = ("pad", "bos", "eos", "cls", "sep", "mask")
    found = {f"{role}_token_id": was.get(f"{role}_token_id", roles.get(role)) for role in names}
    kept = {name: id for name, id in found.items() if id is not None or name[:3] in ("pad", "bos", "eos")}
    return kept | {name: was[name] for name in RULES if was.get(name) is not None}


def _ends(loaded: Loaded) -> dict[str, int | None]:
    """What opens and closes the texts that `transformers` writes with the model."""
    roles, kind = loaded.tokenizer.specials, loaded.kind
    frame = training_frame(loaded.tokenizer, kind, loaded.extra)
    if frame is None or kind.encoder:
        return dict(zip(("bos", "eos"), roles.ends or (None, None), strict=True))
    opening = frame.opening[0] if frame.opening else roles.bos
    return {"bos": opening, "eos": end_id(loaded.tokenizer, kind, frame)}


def _with_told_ends(loaded: Loaded) -> Loaded:
    """A model whose files say nothing of ends is read without any, and says so from now on."""
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
    places, stem = {}, TENSORS.removesuffix(".safetensors")
    for number, shard in enumerate(shards, 1):
        name = f"{stem}-{number:05d}-of-{len(shards):05d}.safetensors"
        arrays = _theirs(tensors, shard)
        places |= dict.fromkeys(arrays, name)
        write_tensors(folder / name, arrays)
    total = sum(leaf.nbytes for leaf in tensors.values())
    _write_json(folder / next(iter(INDEXED)), {"metadata": {"total_size": total}, "weight_map": places})


def _shards(tensors: Mapping[str, Any], rows: list[TensorRow], shard_bytes: int) -> Iterator[list[TensorRow]]:
    shard, room = [], shard_bytes
    for row in rows:
        size = tensors[row.ours].nbytes
        if shard and size > room:
            yield shard
            shard, room = [], shard_bytes
        shard.append(row)
        room -= size
    yield shard


def _without_prefix(row: TensorRow, prefix: str) -> TensorRow:
    return row._replace(theirs=tuple(name.removeprefix(prefix) for name in row.theirs))


def _theirs(tensors: Mapping[str, Any], rows: list[TensorRow]) -> dict[str, np.ndarray]:
    return {
        name: np.ascontiguousarray(part)
        for row in rows
        for name, part in zip(row.theirs, to_file_tensors(row, np.asarray(tensors[row.ours])), strict=True)
    }
