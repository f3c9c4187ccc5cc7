"""Ensembles on disk: a folder a member, each of them a model that every command opens."""

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

    A shared body is written with each of its heads.

    Args:
      folder: made if it does not exist; holds no other members.
      config: of every member.
      params: stacked; with `shared_body` all but `body`.
      tokenizer: written to every member, or None.
      kind: as in `save_model`.
      head: as in `save_model`.
      shared_body: see `training.init_ensemble`.
      extra: as in `save_model`.

    Raises:
      FolderTakenError: if the folder holds members already: more or fewer would mix two ensembles.
      ValueError: as in `save_model`.

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
        place = folder / f"member_{number:02d}"
        save_model(place, config, own, tokenizer, kind=kind, head=head, extra=extra)


def load_ensemble(
    folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], *, shared_body: bool = False
) -> Loaded:
    """Opens several models of one kind as an ensemble, their parameters stacked.

    Args:
      folders: one that `save_ensemble` wrote, or one a member: runs of several seeds, for example.
      shared_body: whether the members' bodies are the same, and one of them is kept.

    Returns:
      `Loaded` that knows its number of members, with a leading axis on every parameter (with `shared_body` on
      all but those of `body`); the rest is the first member's.

    Raises:
      ModelNotFoundError: if there is no member, or a member is no model.
      ModelError: if two members differ in config, head, kind or tokenizer, or bodies differ that should
        not.

    Example:
      >>> from jaxlm.pretrained import load_ensemble
      >>> load_ensemble([])
      Traceback (most recent call last):
      jaxlm.errors.ModelNotFoundError: an ensemble has at least one member: got no folder
    """
    single = isinstance(folders, (str, os.PathLike))
    places = member_folders(Path(folders)) if single else [Path(folder) for folder in folders]
    if not places:
        where = f"{folders} holds no member_00" if single else "got no folder"
        raise ModelNotFoundError(f"an ensemble has at least one member: {where}")
    members = [load(place) for place in places]
    for place, member in zip(places, members, strict=True):
        for field in ("config", "kind", "head", "tokenizer"):
            if getattr(member, field) != getattr(members[0], field):
                raise ModelError(
                    f"members of an ensemble are of one kind: {places[0]} and {place} have another {field}"
                )
    params = {
        name: _one_body(places, members)
        if shared_body and name == models.BODY
        else jax.tree.map(lambda *leaves: jnp.stack(leaves), *(member.params[name] for member in members))
        for name in members[0].params
    }
    return members[0]._replace(params=params, members=len(members), shared_body=shared_body)


def _one_body(places: Sequence[Path], members: Sequence[Loaded]) -> Any:
    first = members[0].params[models.BODY]
    for place, member in zip(places, members, strict=True):
        pairs = zip(jax.tree.leaves(first), jax.tree.leaves(member.params[models.BODY]), strict=True)
        if not all(np.array_equal(ours, theirs) for ours, theirs in pairs):
            raise ModelError(f"these members do not share a body: {places[0]} and {place} differ")
    return first
