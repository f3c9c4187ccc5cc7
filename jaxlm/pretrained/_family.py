"""A family of models in transformers as data: tables that map its config.json and its tensors to ours."""

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
from jaxlm.pretrained._sequence_heads import SequenceHeadTable
from jaxlm.pretrained._size_checks import check_layers
from jaxlm.pretrained._tensors import Shape, expected_shapes

# The last part of a parameter's name: ours, and the one in files of transformers.
LEAVES = {"kernel": "weight", "bias": "bias", "scale": "weight", "embedding": "weight"}
BLOCK_NUMBER = re.compile(r"\bblock_(\d+)\b")


class SourceModules(NamedTuple):
    """The modules of a file that make one of ours, where one plain name is not enough.

    Attributes:
      names: the modules that are joined along the first axis, in order.
      layout: see `TensorRow`.
    """

    names: tuple[str, ...]
    layout: TensorLayout = "same"


def no_fields(values: Mapping[str, Any]) -> Fields:
    """Returns no fields: the reader of a family whose table has all its attributes."""
    del values
    return {}


def no_attributes(config: models.TransformerConfig) -> Fields:
    """Returns no attributes: the writer of a family whose table has all its attributes."""
    del config
    return {}


def unchanged_config(config: models.TransformerConfig, names: Collection[str]) -> models.TransformerConfig:
    """Returns the config unchanged: for a family whose config.json says everything."""
    del names
    return config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """One architecture of transformers, as tables.

    Attributes:
      name: its `model_type`.
      architecture: the class with the head of a language model.
      body_architecture: the class without a head; for an encoder-decoder, the class of the encoder alone.
      kind: the kind of the models with that head.
      constants: fields of `TransformerConfig` that are the same for all models of it, by dotted name.
      attributes: the attributes of config.json that are fields of ours, one row each.
      inert: names of attributes that have no effect on what is computed.
      only: by attribute, the values that are supported; all others are refused.
      synonyms: second names of attributes; if a file has both names, transformers takes the second.
      follows: by attribute, the other attribute whose value it has if the file leaves it out.
      read: makes fields of several attributes of config.json together.
      write: makes those attributes of a config; undoes `read`.
      read_names: the attributes that `read` looks at.
      settle: completes the config by the names of the file's tensors, where config.json is not enough.
      tensors: by module of ours (`body.block.` stands for every block) or single parameter, the module or
        tensor of the file, in which `{layer}` stands for the block's number.
      prefix: begins the names of all tensors but the head's; files of the bare body leave it out.
      head: beginnings of the names of the head's tensors.
      aliases: patterns of older names, and what replaces them.
      unused: patterns of tensors in files that belong to no further head and that not every language model
        needs.
      copies: by name of a tensor that repeats another, the name of that other.
      tied: the same, if embeddings are tied.
      zeros: tensors that a file may leave out and that are zeros then.
      untied: changes to `tensors` if embeddings are not tied.
      gated: changes to `tensors` if the feed-forward has a gate.
      sequences: the head of the class for sequence classification; None: there is no such class.
      sequence_head: the head of the models, for the family of that class (see `with_sequence_head`); None:
        the models are language models or bodies.
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
    sequences: SequenceHeadTable | None = None
    sequence_head: models.HeadConfig | None = None

    def with_sequence_head(self, kind: models.ModelKind, head: models.HeadConfig) -> "Family":
        """Returns this family with the class for sequence classification in place of the language model's.

        Args:
          kind: classification or regression.
          head: of the models.

        Raises:
          ModelError: transformers has no such class, or none that is supported.
        """
        if self.sequences is None:
            raise ModelError(f"the family {self.name} has no class for sequence classification here")
        body = {ours: theirs for ours, theirs in self.tensors.items() if not ours.startswith("head.")}
        return dataclasses.replace(
            self,
            architecture=self.sequences.architecture,
            kind=kind,
            tensors={**body, **self.sequences.tensors},
            head=self.sequences.beginnings,
            tied={},
            untied={},
            zeros=frozenset(),
            sequence_head=head,
        )

    def config(self, values: Mapping[str, Any]) -> models.TransformerConfig:
        """Returns the config that a config.json of this family describes.

        Raises:
          ModelError: one line that names every attribute that is not supported, or the contradiction.
        """
        file, values = values, self._in_first_names(values)
        # transformers lets a decoder look ahead if this attribute says so.
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
        """Returns the names in a config.json that neither jaxlm nor transformers reads for this family."""
        attributes = {attribute.theirs for attribute in self.attributes}
        known = attributes | self.read_names | self.inert | self.only.keys() | self.synonyms.keys()
        words = unknown_words(values) if self.read_names >= ROPE_NAMES else []
        return (*unknown_names(values, known), *words)

    def _in_first_names(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """A config.json with first names only; the value of a second name wins, as in transformers."""
        usual = {attribute.theirs: attribute.default for attribute in self.attributes}
        left_out = {name: other for name, other in self.follows.items() if values.get(name) is None}
        followed = {name: values.get(other, usual[other]) for name, other in left_out.items()}
        second = {self.synonyms[name]: value for name, value in values.items() if name in self.synonyms}
        second = {name: value for name, value in second.items() if value is not None}
        return {name: plain_number(value) for name, value in {**values, **followed, **second}.items()}

    def _layers(self) -> dict[str, str]:
        """The attributes that count layers, and the first field of ours for each."""
        depths = {"depth", "decoder.depth"}
        return {row.theirs: row.ours[0] for row in self.attributes if depths & {*row.ours}}

    def _told(self, error: ValueError, values: Mapping[str, Any]) -> str:
        """The message of an error, with the attributes of the file from which the field was made."""
        text, second = str(error), {first: name for name, first in self.synonyms.items() if name in values}
        fields = {attribute.theirs: attribute.ours for attribute in self.attributes}
        named = {second.get(name, name): ours for name, ours in fields.items()}
        by_field = [
            name
            for name, ours in named.items()
            if any(re.search(rf"(?<![\w.]){re.escape(field)}\b", text) for field in ours)
        ]
        # An error that comes from several attributes is told with all of them that the file has.
        followed = (
            by_field if any(name in values for name in by_field) else [*named, *sorted(self.read_names)]
        )
        told = [f"{name}={values[name]!r}" for name in followed if name in values and name not in text]
        return f"{text} (here {', '.join(told)})" if told else text

    def class_of(self, kind: models.ModelKind) -> str | None:
        """Returns the class of transformers for a kind of model of this family; None if there is none."""
        return {self.kind: self.architecture, models.BODY_ALONE: self.body_architecture}.get(kind)

    def config_json(
        self,
        config: models.TransformerConfig,
        token_ids: Mapping[str, int | None] | None = None,
        kind: models.ModelKind | None = None,
    ) -> dict[str, Any]:
        """Returns the config.json of a config; `family_for` checks that it describes the same model.

        Args:
          config: of the model, with a vocabulary.
          token_ids: `pad_token_id` and similar entries, from the tokenizer.
          kind: the kind of a model without a head; None: the family's kind.
        """
        config = config.resolved()
        return {
            "architectures": [self.class_of(kind or self.kind)],
            "model_type": self.name,
            "dtype": config.param_dtype,
            **write_attributes(config, self.attributes),
            **(token_ids or {}),
            **self.write(config),
            **self._head_attributes(),
        }

    def _head_attributes(self) -> Fields:
        """The attributes of config.json that describe the head for whole sequences, if there is one."""
        if self.sequences is None or self.sequence_head is None:
            return {}
        return self.sequences.write(self.sequence_head)

    def rows(self, config: models.TransformerConfig, kind: models.ModelKind | None = None) -> list[TensorRow]:
        """Returns a row for every parameter of the model, which names its tensors in a file; block by block.

        Args:
          config: of the model.
          kind: the kind of a model without a head; None: the family's kind.

        Raises:
          ModelError: a model of this family has no such parameter.
        """
        config = config.resolved()
        head = self.sequence_head if (kind or self.kind).sequence_outputs else None
        shapes = _shapes(dataclasses.replace(config, scan_layers=False), kind or self.kind, head)
        return [self._row(config, ours, shape) for ours, shape in shapes.items()]

    def names(
        self,
        config: models.TransformerConfig,
        names: Iterable[str],
        kind: models.ModelKind | None = None,
    ) -> TensorNames:
        """Sorts the names of a file's tensors, see `sort_names`.

        Args:
          config: of the model.
          names: the names in the file.
          kind: the kind of a model without a head; None: the family's kind.

        Raises:
          ModelError: the names are of several models.
        """
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
        """How the file's names of some modules begin: the prefix and the next part."""
        theirs = (self._module(name) for name in self.tensors if name.startswith(ours))
        tops = {self.prefix + name.removeprefix(self.prefix).split(".")[0] + "." for name in theirs}
        return tuple(sorted(tops))

    def _module(self, ours: str) -> str:
        """The file's name of a module, or of the first of several that it joins."""
        theirs = self._theirs(self.tensors, ours)
        if theirs is None:
            raise AssertionError(f"the table of {self.name} has no row for {ours}")
        return theirs if isinstance(theirs, str) else theirs.names[0]

    def _theirs(self, tensors: Mapping[str, str | SourceModules], ours: str) -> str | SourceModules | None:
        """The entry of a module in a table; tables of an encoder-decoder call its body the encoder."""
        return tensors.get(ours, tensors.get(re.sub(r"^body\.", "encoder.", ours)))

    def _row(self, config: models.TransformerConfig, ours: str, shape: Shape) -> TensorRow:
        layer = BLOCK_NUMBER.search(ours)
        name = BLOCK_NUMBER.sub("block", ours)
        module, leaf = name.rsplit(".", 1)
        tensors = {
            **self.tensors,
            **({} if config.tie_embeddings else self.untied),
            **(self.gated if config.activation in models.GATED else {}),
        }
        whole = self._theirs(tensors, name)
        theirs = self._theirs(tensors, module) if whole is None else whole
        if theirs is None:
            raise ModelError(f"{self.architecture} has no place for {ours}")
        names, layout = ((theirs,), "same") if isinstance(theirs, str) else theirs
        number = {"layer": int(layer[1])} if layer else {}
        suffix = f".{LEAVES[leaf]}" if whole is None else ""
        full = tuple(name.format(**number) + suffix for name in names)
        return TensorRow(ours, full, shape, _sizes(config, name, len(full), shape), layout, config.num_heads)


@functools.lru_cache(maxsize=8)
def _shapes(
    config: models.TransformerConfig, kind: models.ModelKind, head: models.HeadConfig | None
) -> dict[str, Shape]:
    return expected_shapes(config, kind, head)


def _sizes(config: models.TransformerConfig, name: str, parts: int, shape: Shape) -> tuple[int, ...]:
    """The parts of the first axis: queries, keys and values where these are joined, else equal parts."""
    if parts == 3 and ".attention.qkv." in name:
        head_width = config.head_width or config.width // config.num_heads
        keys = (config.num_kv_heads or config.num_heads) * head_width
        return (config.num_heads * head_width, keys, keys)
    return (shape[0] // parts,) * parts
