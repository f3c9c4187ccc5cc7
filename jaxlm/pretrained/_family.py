"""What a family of models in transformers is: data that says its config.json and its tensors in our words."""

import dataclasses
import functools
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from jaxlm import models
from jaxlm.errors import ModelError
from jaxlm.pretrained._attributes import (
    Attribute,
    check_attributes,
    collect_errors,
    plain_number,
    read_attributes,
    unknown_names,
    write_attributes,
)
from jaxlm.pretrained._dotted_fields import nested_fields
from jaxlm.pretrained._names import NamingScheme, TensorNames, sort_names
from jaxlm.pretrained._relatives import check_code
from jaxlm.pretrained._rope import NAMES as ROPE_NAMES
from jaxlm.pretrained._rope import Fields, unknown_words
from jaxlm.pretrained._rows import TensorLayout, TensorRow
from jaxlm.pretrained._size_checks import check_layers
from jaxlm.pretrained._tensors import Shape, expected_shapes

# The last part of a parameter's name, ours and theirs.
LEAVES = {"kernel": "weight", "bias": "bias", "scale": "weight", "embedding": "weight"}
BLOCK_NUMBER = re.compile(r"\bblock_(\d+)\b")


class SourceModules(NamedTuple):
    """Where a module's tensors are in a file, where a plain name does not say it.

    Attributes:
      names: the modules that ours joins, in order.
      layout: see `TensorRow`.
    """

    names: tuple[str, ...]
    layout: TensorLayout = "same"


def no_fields(values: Mapping[str, Any]) -> Fields:
    """What a family reads that has no attributes but those of its table."""
    del values
    return {}


def no_attributes(config: models.TransformerConfig) -> Fields:
    """What a family writes that has no attributes but those of its table."""
    del config
    return {}


def unchanged_config(config: models.TransformerConfig, names: Collection[str]) -> models.TransformerConfig:
    """What a config is of a family whose config.json says all."""
    del names
    return config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """One architecture of transformers, as tables.

    Attributes:
      name: its `model_type`.
      architecture: its class with a language model's head.
      body_architecture: its class without one; of an encoder-decoder that of the encoder.
      kind: of the models with that head.
      constants: fields of `TransformerConfig` that every member has, dotted in a record of it.
      attributes: those that are fields of ours, one row each.
      inert: names of further attributes that mean nothing to the computation.
      only: values that an attribute may have, where others have no equal here.
      synonyms: second names of attributes; where a file has both, transformers takes the second name's.
      follows: attributes that, left out, are what another one says under its first name.
      read: fields that several attributes make together, from config.json.
      write: those attributes, from a config; undoes `read`.
      read_names: the attributes that `read` looks at.
      settle: what only the names of a file's tensors say of the config.
      tensors: our modules (`body.block.` stands for every block) or single parameters, and theirs, in which
        `{layer}` stands for the block's number.
      prefix: of every tensor but the head's; files of the bare body leave it out.
      head: how names of the head's tensors begin.
      aliases: patterns of older names and what they are called now.
      unused: patterns of tensors that files hold, that are no further head and that a language model does
        not need, or not every one.
      copies: tensors that repeat another one, and that one.
      tied: the same where embeddings are tied.
      zeros: tensors that a file may leave out, which are zeros then.
      untied: what differs in `tensors` where embeddings are not tied.
      gated: what differs in them where the feed-forward has a gate.
    """

    name: str
    architecture: str
    body_architecture: str | None = None
    kind: models.ModelKind
    constants: Mapping[str, Any]
    attributes: tuple[Attribute, ...]
    inert: frozenset[str] = frozenset()
    only: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
    synonyms: Mapping[str, str] = dataclasses.field(default_factory=dict)
    follows: Mapping[str, str] = dataclasses.field(default_factory=dict)
    read: Callable[[Mapping[str, Any]], Fields] = no_fields
    write: Callable[[models.TransformerConfig], Fields] = no_attributes
    read_names: frozenset[str] = frozenset()
    settle: Callable[[models.TransformerConfig, Collection[str]], models.TransformerConfig] = unchanged_config
    tensors: Mapping[str, str | SourceModules]
    prefix: str
    head: tuple[str, ...]
    aliases: tuple[tuple[str, str], ...] = ()
    unused: tuple[str, ...] = ()
    copies: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tied: Mapping[str, str] = dataclasses.field(default_factory=dict)
    zeros: frozenset[str] = frozenset()
    untied: Mapping[str, str | SourceModules] = dataclasses.field(default_factory=dict)
    gated: Mapping[str, str | SourceModules] = dataclasses.field(default_factory=dict)

    def config(self, values: Mapping[str, Any]) -> models.TransformerConfig:
        """Returns the config that a config.json of this family says.

        Raises:
          ModelError: one line that names every attribute that is not supported, or what contradicts what.
        """
        file, values = values, self._in_first_names(values)
        # What looks back is a decoder; what computes it, transformers decides by this name too.
        causal = {"is_causal": (True,)} if self.kind.next_token else {}
        steps = (
            lambda: check_attributes(values, {**causal, **self.only}),
            lambda: check_code(values, self.architecture),
            lambda: read_attributes(values, self.attributes),
            lambda: self.read(values),
        )
        try:
            check_layers(values, self._layers())
            return models.from_dict(nested_fields({**self.constants, **collect_errors(steps)}))
        except ValueError as error:
            raise ModelError(f"config.json of {self.name}: {self._told(error, file)}") from error
        except (ArithmeticError, AttributeError, KeyError, TypeError) as error:
            raise ModelError(
                f"config.json of {self.name} has a value of another type than the family's: {error}"
            ) from error

    def unknown(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """Returns the names in a config.json of this family that nothing reads, here or in transformers."""
        attributes = {attribute.theirs for attribute in self.attributes}
        known = attributes | self.read_names | self.inert | self.only.keys() | self.synonyms.keys()
        words = unknown_words(values) if self.read_names >= ROPE_NAMES else []
        return (*unknown_names(values, known), *words)

    def _in_first_names(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """A config.json without its second names, which transformers sets after all else is settled."""
        usual = {attribute.theirs: attribute.default for attribute in self.attributes}
        left_out = {name: other for name, other in self.follows.items() if values.get(name) is None}
        followed = {name: values.get(other, usual[other]) for name, other in left_out.items()}
        said = {self.synonyms[name]: value for name, value in values.items() if name in self.synonyms}
        said = {name: value for name, value in said.items() if value is not None}
        return {name: plain_number(value) for name, value in {**values, **followed, **said}.items()}

    def _layers(self) -> dict[str, str]:
        """The attributes that count layers, and the first field of ours that each is."""
        return {
            one.theirs: one.ours[0] for one in self.attributes if {"depth", "decoder.depth"} & {*one.ours}
        }

    def _told(self, error: ValueError, values: Mapping[str, Any]) -> str:
        """What is wrong with a field, and the attributes that say the field."""
        text, second = str(error), {first: name for name, first in self.synonyms.items() if name in values}
        fields = {attribute.theirs: attribute.ours for attribute in self.attributes}
        named = {second.get(name, name): ours for name, ours in fields.items()}
        by_field = [
            name
            for name, ours in named.items()
            if any(re.search(rf"(?<![\w.]){re.escape(field)}\b", text) for field in ours)
        ]
        # What follows from several attributes is told with all that the file has.
        followed = (
            by_field if any(name in values for name in by_field) else [*named, *sorted(self.read_names)]
        )
        said = [f"{name}={values[name]!r}" for name in followed if name in values and name not in text]
        return f"{text} (here {', '.join(said)})" if said else text

    def class_of(self, kind: models.ModelKind) -> str | None:
        """Returns the class in transformers of a model of this family; None where it has none."""
        return {self.kind: self.architecture, models.BODY_ALONE: self.body_architecture}.get(kind)

    def config_json(
        self,
        config: models.TransformerConfig,
        token_ids: Mapping[str, int | None] | None = None,
        kind: models.ModelKind | None = None,
    ) -> dict[str, Any]:
        """Returns the config.json of a config; `family_for` says whether it is the same model.

        Args:
          config: with a vocabulary.
          token_ids: `pad_token_id` and its like, from the tokenizer.
          kind: that of a model without a head; None: the family's.
        """
        config = config.resolved()
        return {
            "architectures": [self.class_of(kind or self.kind)],
            "model_type": self.name,
            "dtype": config.param_dtype,
            **write_attributes(config, self.attributes),
            **(token_ids or {}),
            **self.write(config),
        }

    def rows(self, config: models.TransformerConfig, kind: models.ModelKind | None = None) -> list[TensorRow]:
        """Returns how every parameter of the config's model lies in a file; its blocks one by one.

        Args:
          config: of the model.
          kind: that of a model without a head; None: the family's.

        Raises:
          ValueError: if a parameter has no place in this family.
        """
        config = config.resolved()
        shapes = _shapes(dataclasses.replace(config, scan_layers=False), kind or self.kind)
        return [self._row(config, ours, shape) for ours, shape in shapes.items()]

    def names(
        self,
        config: models.TransformerConfig,
        names: Iterable[str],
        kind: models.ModelKind | None = None,
    ) -> TensorNames:
        """Sorts the names of a file's tensors, see `sort_names`; kind as for `rows`."""
        is_body = kind is not None and kind.head is None
        wanted = {name for row in self.rows(config, kind) for name in row.theirs}
        return sort_names(
            names, self.scheme, wanted, is_body=is_body, is_tied=config.tie_embeddings and not is_body
        )

    @functools.cached_property
    def scheme(self) -> NamingScheme:
        """How this family names the tensors of its files."""
        token = f"{self._module('body.embeddings.token')}.weight"
        tables = (token, *(name for name, other in self.copies.items() if other == token))
        return NamingScheme(
            prefix=self.prefix,
            head=self.head,
            body=self._tops("body.", "encoder."),
            decoder=self._tops("decoder."),
            tables=tuple(name.removeprefix(self.prefix) for name in tables),
            aliases=self.aliases,
            unused=self.unused,
            copies=self.copies,
            tied=self.tied,
        )

    def _tops(self, *ours: str) -> tuple[str, ...]:
        """How their names of modules of ours begin: the prefix and one part more."""
        theirs = (self._module(name) for name in self.tensors if name.startswith(ours))
        tops = {self.prefix + name.removeprefix(self.prefix).split(".")[0] + "." for name in theirs}
        return tuple(sorted(tops))

    def _module(self, ours: str) -> str:
        """Their name of a module of ours, or the first of theirs that it joins."""
        theirs = self._theirs(self.tensors, ours)
        return theirs if isinstance(theirs, str) else theirs.names[0]

    def _theirs(self, tensors: Mapping[str, str | SourceModules], ours: str) -> str | SourceModules | None:
        """What a module is in a table, in which an encoder-decoder's body is the encoder."""
        return tensors.get(ours, tensors.get(re.sub(r"^body\.", "encoder.", ours)))

    def _row(self, config: models.TransformerConfig, ours: str, shape: Shape) -> TensorRow:
        layer = BLOCK_NUMBER.search(ours)
        place = BLOCK_NUMBER.sub("block", ours)
        module, leaf = place.rsplit(".", 1)
        tensors = {
            **self.tensors,
            **({} if config.tie_embeddings else self.untied),
            **(self.gated if config.activation in models.GATED else {}),
        }
        whole, theirs = (self._theirs(tensors, name) for name in (place, module))
        theirs = theirs if whole is None else whole
        if theirs is None:
            raise ModelError(f"{self.architecture} has no place for {ours}")
        names, layout = ((theirs,), "same") if isinstance(theirs, str) else theirs
        number = {"layer": int(layer[1])} if layer else {}
        suffix = f".{LEAVES[leaf]}" if whole is None else ""
        full = tuple(name.format(**number) + suffix for name in names)
        return TensorRow(ours, full, shape, _sizes(config, place, len(full), shape), layout, config.num_heads)


@functools.lru_cache(maxsize=8)
def _shapes(config: models.TransformerConfig, kind: models.ModelKind) -> dict[str, Shape]:
    return expected_shapes(config, kind)


def _sizes(config: models.TransformerConfig, place: str, parts: int, shape: Shape) -> tuple[int, ...]:
    """How the first axis is divided: by heads where queries, keys and values are joined, else evenly."""
    if parts == 3 and ".attention.qkv." in place:
        keys = config.num_kv_heads * config.head_width
        return (config.num_heads * config.head_width, keys, keys)
    return (shape[0] // parts,) * parts
