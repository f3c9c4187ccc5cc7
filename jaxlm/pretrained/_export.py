"""Models written as Hugging Face folders, and any model's folder turned into the other kind."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxlm import models, tokenizers
from jaxlm.pretrained._families import family_for
from jaxlm.pretrained._files import write_whole
from jaxlm.pretrained._folder import CONFIG, TOKENIZER, save_model, write_tensors
from jaxlm.pretrained._hub import find_folder
from jaxlm.pretrained._load import GENERATION_CONFIG, DType, load
from jaxlm.pretrained._loaded import HUGGINGFACE, Loaded
from jaxlm.pretrained._rows import Row, to_theirs
from jaxlm.pretrained._tensors import check_tensors, flatten
from jaxlm.pretrained._weights import INDEXED, TENSORS

SHARD_BYTES = 5 * 10**9
SETTINGS = "tokenizer_config.json"
# What is carried along as it is: names of special tokens, chat templates, defaults of generation.
BESIDE = (SETTINGS, "special_tokens_map.json", "chat_template.jinja", GENERATION_CONFIG)
MARIAN_PIECES = ("source.spm", "target.spm", "vocab.json")
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
    is in the folder is completed, other files are left alone.

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
      OSError: if a file cannot be written.

    Example:
      >>> import tempfile
      >>> config = models.TransformerConfig(vocab_size=7, position="none")
      >>> loaded = Loaded(config, "masked_lm", models.build(config), {}, None, {})
      >>> save_huggingface(tempfile.mkdtemp(), loaded)
      Traceback (most recent call last):
      ValueError: no architecture of transformers computes what this model does; the nearest, ...
    """
    config = loaded.config.resolved()
    family = family_for(config, loaded.objective)
    rows = family.rows(config, loaded.objective)
    tensors = flatten(models.unstack_blocks(loaded.params) if config.scan_layers else loaded.params)
    shapes = {name: leaf.shape for name, leaf in tensors.items()}
    check_tensors("the params to save", shapes, {row.ours: row.shape for row in rows})
    values = family.config_json(config, _token_ids(loaded), loaded.objective)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if loaded.tokenizer is not None:
        _write_tokenizer(folder, loaded.tokenizer, config.max_length)
    if loaded.objective == "body":  # whose own class knows no prefix
        rows = [
            row._replace(theirs=tuple(it.removeprefix(family.prefix) for it in row.theirs)) for row in rows
        ]
    _write_shards(folder, tensors, rows, shard_bytes)
    _write_json(folder / CONFIG, values)
    return values["architectures"][0]


def convert(
    name: str | os.PathLike[str], folder: str | os.PathLike[str], *, dtype: DType | None = None
) -> str:
    """Writes a run's model as a Hugging Face folder, or a Hugging Face model as a folder like a run's.

    Names of special tokens, chat templates and defaults of generation go with it.

    Args:
      name: the model, as for `load`.
      folder: what to write; missing or empty.
      dtype: what to keep parameters in; None: as in the run, and float32 of a Hugging Face folder.

    Returns:
      What was written: the class in `transformers`, or "a jaxlm folder".

    Raises:
      FileNotFoundError: if there is no model.
      FileExistsError: if the folder holds something.
      ValueError: as `load` and `save_huggingface`.
    """
    source, folder = find_folder(name), Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there and not an empty folder: name another one")
    loaded = load(source, dtype=dtype)
    is_ours = "model" in json.loads((source / CONFIG).read_text(encoding="utf-8"))
    if is_ours:
        family_for(loaded.config.resolved(), loaded.objective)
    folder.mkdir(parents=True, exist_ok=True)
    # Marian's have two sides, of which tokenizer.json holds one.
    pieces = MARIAN_PIECES if (source / MARIAN_PIECES[0]).exists() else ()
    for beside in (*BESIDE, *pieces):
        if (source / beside).exists():
            shutil.copyfile(source / beside, folder / beside)
    if is_ours:
        return save_huggingface(folder, loaded)
    config, objective, _, params, tokenizer, extra, head = loaded
    save_model(folder, config, params, tokenizer, objective=objective, head=head, extra=extra)
    return "a jaxlm folder"


def _token_ids(loaded: Loaded) -> dict[str, Any]:
    """What generation and padding ask a config.json for: as it was, else by the tokenizer's roles."""
    was = loaded.extra.get(HUGGINGFACE)
    was = was if isinstance(was, Mapping) else {}
    if loaded.tokenizer is None:
        roles = {}
    else:
        roles = loaded.tokenizer.specials._asdict()
        ends = loaded.tokenizer.specials.ends or (None, None)
        roles |= {"bos": ends[0], "eos": ends[1]}
    names = ("pad", "bos", "eos", "cls", "sep", "mask")
    found = {f"{role}_token_id": was.get(f"{role}_token_id", roles.get(role)) for role in names}
    kept = {name: id for name, id in found.items() if id is not None or name[:3] in ("pad", "bos", "eos")}
    return kept | {name: was[name] for name in RULES if was.get(name) is not None}


def _write_tokenizer(folder: Path, tokenizer: tokenizers.Tokenizer, max_length: int) -> None:
    path = folder / SETTINGS
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    tokenizer.save(folder / TOKENIZER)
    roles = {
        f"{role}_token": tokenizer.token(id)
        for role, id in tokenizer.specials._asdict().items()
        if id is not None and role != "next"
    }
    kind = "MarianTokenizer" if (folder / MARIAN_PIECES[0]).exists() else "PreTrainedTokenizerFast"
    defaults = {"tokenizer_class": kind, "model_max_length": max_length}
    _write_json(path, {**defaults, "clean_up_tokenization_spaces": False, **roles, **known})


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def _write_shards(folder: Path, tensors: Mapping[str, Any], rows: list[Row], shard_bytes: int) -> None:
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


def _shards(tensors: Mapping[str, Any], rows: list[Row], shard_bytes: int) -> Iterator[list[Row]]:
    shard, room = [], shard_bytes
    for row in rows:
        size = tensors[row.ours].nbytes
        if shard and size > room:
            yield shard
            shard, room = [], shard_bytes
        shard.append(row)
        room -= size
    yield shard


def _without_prefix(row: Row, prefix: str) -> Row:
    return row._replace(theirs=tuple(name.removeprefix(prefix) for name in row.theirs))


def _theirs(tensors: Mapping[str, Any], rows: list[Row]) -> dict[str, np.ndarray]:
    return {
        name: np.ascontiguousarray(part)
        for row in rows
        for name, part in zip(row.theirs, to_theirs(row, np.asarray(tensors[row.ours])), strict=True)
    }
