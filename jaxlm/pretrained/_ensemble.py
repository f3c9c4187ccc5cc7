"""Ensembles on disk: one folder for each member, which every command can open as a model."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import models, tokenizers
from jaxlm.errors import FolderTakenError, ModelError, ModelNotFoundError
from jaxlm.pretrained._folder import member_folders, save_model
from jaxlm.pretrained._load import load
from jaxlm.pretrained._loaded import Loaded


def save_ensemble(
    folder: str | os.PathLike[str],
    config: models.TransformerConfig,
    params: Mapping[str, Any],
    tokenizer: tokenizers.Tokenizer | None,
    *,
    kind: models.KindOrName,
    head: models.Heads = None,
    shared_body: bool = False,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Writes each model of an ensemble as a folder of its own: `member_00`, `member_01` and so on.

    An ensemble is several models (members) of one config, whose parameters are stacked along a leading axis.
    Each folder is written by `save_model`, so that `load` opens a single member too.

    A body that the members share is written into every folder.

    Args:
      folder: the parent folder of the members. It is made if it does not exist, and must not hold an ensemble
        already.
      config: the config that all members share.
      params: the parameters of all members, with a leading axis of members on every array. With
        `shared_body`, the arrays of `body` (the transformer below the head) have no such axis.
      tokenizer: the tokenizer, which is written into every folder. None: no tokenizer is written.
      kind: the kind of the models, by name (such as "causal_lm") or as a `ModelKind`; see `models.build`.
      head: the config of the head for the kinds that need one, as `models.build` takes it. None: the kind
        needs no config of a head.
      shared_body: whether the members differ only in their heads and share one body (see
        `training.init_ensemble`).
      extra: further entries of every config.json, with values that JSON can hold. None: no further entries.

    Raises:
      FolderTakenError: the folder holds an ensemble already.
      JaxlmError: `save_model` raises an error for a member.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.pretrained import load_ensemble, save_ensemble
      >>> import tempfile
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2)
      >>> keys, folder = jax.random.split(jax.random.key(0), 2), tempfile.mkdtemp()
      >>> init = jax.jit(jax.vmap(models.build(config).init, in_axes=(0, None)))
      >>> save_ensemble(folder, config, init(keys, jnp.array([[1]]))["params"], None, kind="masked_lm")
      >>> loaded = load_ensemble(folder)
      >>> loaded.members, loaded.params["body"]["final_norm"]["scale"].shape
      (2, (2, 8))
    """
    folder = Path(folder)
    if folder.is_dir() and member_folders(folder):
        raise FolderTakenError(f"{folder} holds an ensemble already: choose another folder, or remove it")
    stacked = {name: tree for name, tree in params.items() if not (shared_body and name == models.BODY)}
    members = jax.tree.leaves(stacked)[0].shape[0]
    for number in range(members):
        own = dict(params) | jax.tree.map(lambda leaf, number=number: leaf[number], stacked)
        member = folder / f"member_{number:02d}"
        save_model(member, config, own, tokenizer, kind=kind, head=head, extra=extra)


def load_ensemble(
    folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], *, shared_body: bool = False
) -> Loaded:
    """Opens several models of one kind as an ensemble, whose parameters are stacked along a leading axis.

    Args:
      folders: one folder that `save_ensemble` wrote, or a sequence with one folder for each member, such as
        runs with different seeds.
      shared_body: whether the members have equal bodies (the transformer below the head), which are then held
        in memory once.

    Returns:
      A `Loaded` with the number of models as `members`, and a leading axis of members on every parameter
      (with `shared_body`, on every parameter outside of `body`). All other fields are those of the first
      member.

    Raises:
      ModelNotFoundError: there is no member, or the folder of a member holds no model.
      ModelError: two members differ in config, head, kind or tokenizer, or in a body that should be shared.

    Example:
      >>> from jaxlm.pretrained import load_ensemble
      >>> load_ensemble([])
      Traceback (most recent call last):
      jaxlm.errors.ModelNotFoundError: an ensemble has at least one member: got no folder
    """
    single = isinstance(folders, (str, os.PathLike))
    paths = member_folders(Path(folders)) if single else [Path(folder) for folder in folders]
    if not paths:
        where = f"{folders} holds no member_00" if single else "got no folder"
        raise ModelNotFoundError(f"an ensemble has at least one member: {where}")
    members = [load(path) for path in paths]
    for path, member in zip(paths, members, strict=True):
        for field in ("config", "kind", "head", "tokenizer"):
            if getattr(member, field) != getattr(members[0], field):
                raise ModelError(
                    f"members of an ensemble are of one kind: {paths[0]} and {path} have another {field}"
                )
    params = {
        name: _common_body(paths, members)
        if shared_body and name == models.BODY
        else jax.tree.map(lambda *leaves: jnp.stack(leaves), *(member.params[name] for member in members))
        for name in members[0].params
    }
    return members[0]._replace(params=params, members=len(members), shared_body=shared_body)


def _common_body(paths: Sequence[Path], members: Sequence[Loaded]) -> Any:
    first = members[0].params[models.BODY]
    for path, member in zip(paths, members, strict=True):
        pairs = zip(jax.tree.leaves(first), jax.tree.leaves(member.params[models.BODY]), strict=True)
        if not all(np.array_equal(leaf, other) for leaf, other in pairs):
            raise ModelError(f"these members do not share a body: {paths[0]} and {path} differ")
    return first
