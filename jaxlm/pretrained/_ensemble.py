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
    """Writes the members of an ensemble as `member_00`, `member_01`, ..., each as `save_model` does.

    A shared body is written into each member.

    Args:
      folder: made if it does not exist; must hold no members.
      config: of every member.
      params: stacked parameters; with `shared_body`, all but `body` are stacked.
      tokenizer: written into every member, or None.
      kind: as for `save_model`.
      head: as for `save_model`.
      shared_body: whether the members share one body, see `training.init_ensemble`.
      extra: as for `save_model`.

    Raises:
      FolderTakenError: the folder holds members already.
      JaxlmError: as for `save_model`.

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
    """Opens several models of one kind as an ensemble with stacked parameters.

    Args:
      folders: a folder that `save_ensemble` wrote, or one folder for each member (runs with several seeds).
      shared_body: whether the members have the same body, which is then kept once.

    Returns:
      `Loaded` with `members` set and a leading axis `E` on every parameter (with `shared_body`, on all but
      those of `body`); everything else is that of the first member.

    Raises:
      ModelNotFoundError: there is no member, or a member is no model.
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
