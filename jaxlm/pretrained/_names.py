"""The names of a file's tensors in the form that transformers writes today, without wrappers."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from jaxlm.errors import ModelError

# Parts that wrappers add to names: data parallelism, torch.compile, FSDP, recomputation, Lightning.
WRAPPERS = frozenset(
    ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"]
)


class TensorNames(NamedTuple):
    """The names of a file's tensors, sorted by what the tensors are.

    Attributes:
      found: by canonical name, the name in the file.
      repeated: by name in the file of a tensor that repeats another (a tied output kernel, for example), the
        canonical name of that other. If the two differ, the file is not of this model.
      unused: names in the file of tensors that no model needs: positions, masks.
      further: by name in the file of a tensor of a further head, the module of the file to which it belongs.
    """

    found: dict[str, str]
    repeated: dict[str, str]
    unused: tuple[str, ...]
    further: dict[str, str]


class NamingScheme(NamedTuple):
    """How a family names the tensors of its files.

    Attributes:
      prefix: begins the names of all tensors but the head's; files of the bare body leave it out.
      head: beginnings of the names of the head's tensors.
      body: the same for the body, of an encoder-decoder for the encoder.
      decoder: the same for the decoder of an encoder-decoder.
      tables: all names of the token embedding, which every file has, without the prefix.
      aliases: patterns of older names, and what replaces them.
      unused: patterns of tensors that no model needs.
      copies: by name of a tensor that repeats another, the name of that other.
      tied: the same, if embeddings are tied.
    """

    prefix: str
    head: tuple[str, ...]
    body: tuple[str, ...]
    decoder: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    unused: tuple[str, ...] = ()
    copies: Mapping[str, str] = {}
    tied: Mapping[str, str] = {}


def canonical_names(names: Iterable[str], scheme: NamingScheme) -> dict[str, str]:
    """Returns, by the name that transformers writes today, the name in the file.

    `module.`, `_orig_mod.` and similar parts are removed wherever they stand. If the model is a part of
    another one (`model.bert.`), its token embedding shows what stands in front of its names; that is removed,
    and all other tensors keep their names.

    Args:
      names: the names in the file.
      scheme: the family's.

    Raises:
      ModelError: the names are of several models.

    Example:
      >>> from jaxlm.pretrained._names import NamingScheme, canonical_names
      >>> scheme = NamingScheme("bert.", ("cls.",), ("bert.table",), tables=("table",))
      >>> canonical_names(["module.table", "module.cls.bias"], scheme)
      {'bert.table': 'module.table', 'cls.bias': 'module.cls.bias'}
      >>> canonical_names(["model.bert.table", "model.cls.bias", "score"], scheme)
      {'bert.table': 'model.bert.table', 'cls.bias': 'model.cls.bias', 'score': 'score'}
    """
    plain = {name: _unwrapped(name) for name in names}
    root = _root(plain.values(), scheme)
    inner = {name: _renamed(new.removeprefix(root), scheme.aliases) for name, new in plain.items()}
    is_bare = not any(name.startswith(scheme.prefix) for name in inner.values())
    canonical = {}
    for name, new in inner.items():
        if is_bare and plain[name].startswith(root) and not new.startswith(scheme.head):
            new = scheme.prefix + new
        elif new.removeprefix(scheme.prefix).startswith(scheme.head):
            new = new.removeprefix(scheme.prefix)  # a bare file that is wrapped under the prefix's own name
        canonical[new] = name
    return canonical


def sort_names(
    names: Iterable[str],
    scheme: NamingScheme,
    wanted: Collection[str],
    *,
    is_body: bool = False,
    is_tied: bool,
) -> TensorNames:
    """Sorts the names of a file's tensors: of the model, repeated, unused, or of further heads.

    An unknown name inside one of the model's modules is put into `found` under itself, because the tensor
    may change what the model computes. If a tensor is in the file only under the name of its repetition, that
    name is taken.

    Args:
      names: the names in the file.
      scheme: the family's.
      wanted: canonical names of the tensors that the model has.
      is_body: whether the model has neither head nor decoder.
      is_tied: whether the output kernel is the token embedding.

    Raises:
      ModelError: the names are of several models.

    Example:
      >>> from jaxlm.pretrained._names import NamingScheme, sort_names
      >>> scheme = NamingScheme("bert.", ("cls.",), ("bert.table",), tables=("table",))
      >>> sort_names(["table", "pooler.bias"], scheme, ["bert.table"], is_body=True, is_tied=False)[::3]
      ({'bert.table': 'table'}, {'pooler.bias': 'pooler'})
    """
    canonical = canonical_names(names, scheme)
    repeats = {**scheme.copies, **(scheme.tied if is_tied else {})}
    # A tensor of untied embeddings that a file holds under both names is read under one of them.
    spare = {old for name, old in scheme.tied.items() if name in wanted and old not in wanted}
    own = scheme.body if is_body else (*scheme.body, *scheme.decoder, *scheme.head)
    found = _in_their_place(wanted, canonical, scheme)
    moved, repeated, unused, further = {*found.values()}, {}, [], {}
    for new, name in canonical.items():
        original = repeats.get(new)
        if name in moved:
            continue
        if original is not None and original not in canonical and original not in found:
            found[original] = name
        elif original is not None:
            repeated[name] = original
        elif new in wanted:
            found[new] = name
        elif new in spare or any(re.fullmatch(pattern, new) for pattern in scheme.unused):
            unused.append(name)
        elif new.startswith(own) or (scheme.prefix and scheme.prefix + new in canonical):
            found[new] = name
        else:
            further[name] = _module(new, name, wanted)
    return TensorNames(found, repeated, tuple(unused), further)


def _in_their_place(
    wanted: Collection[str], canonical: Mapping[str, str], scheme: NamingScheme
) -> dict[str, str]:
    """Wanted tensors that the file holds only under the name that they repeat if embeddings are tied.

    transformers 4 writes the bias of untied embeddings once, under another name than transformers 5 reads.
    """
    return {
        name: canonical[original]
        for name, original in scheme.tied.items()
        if name in wanted and name not in canonical and original not in wanted and original in canonical
    }


def _module(name: str, own: str, wanted: Collection[str]) -> str:
    """The largest module around a tensor that holds no wanted tensor, by its name in the file."""
    parts = name.split(".")
    paths = (".".join(parts[:length]) + "." for length in range(1, len(parts)))
    is_apart = (not any(other.startswith(path) for other in wanted) for path in paths)
    within = next((len(parts) - length for length, apart in enumerate(is_apart, 1) if apart), 0)
    return own.rsplit(".", within)[0] if within else own


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _renamed(name: str, aliases: Iterable[tuple[str, str]]) -> str:
    for pattern, replacement in aliases:
        name = re.sub(pattern, replacement, name)
    return name


def _root(names: Iterable[str], scheme: NamingScheme) -> str:
    """What stands in front of the names of a model that is a part of another one."""
    before = {
        name.removesuffix(table)
        for name in names
        for table in scheme.tables
        if name == table or name.endswith(f".{table}")
    }
    roots = {_without(scheme.prefix, path) for path in before}
    if len(roots) > 1:
        told = ", ".join(repr(root) for root in sorted(roots))
        raise ModelError(f"its tensors are of {len(roots)} models, whose names begin with {told}: keep one")
    return roots.pop() if roots else ""


def _without(prefix: str, path: str) -> str:
    """A path without the prefix at its end, if the prefix is a whole part of it."""
    return path.removesuffix(prefix) if path == prefix or path.endswith(f".{prefix}") else path
