"""A model that was opened: what it is, its parameters and its tokenizer."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxlm import models, tokenizers
from jaxlm.errors import ModelError, UsageError

HUGGINGFACE = "huggingface"
GENERATION = "generation"
# The key of tokenizer_config.json, and of `extra`, that says what stood around texts in training, where the
# template of tokenizer.json does not: tokens as `{"opening": ["[CLS]"], "closing": ["[SEP]"]}`.
ENDS = "jaxlm_ends"


class _LoadedFields(NamedTuple):
    config: models.TransformerConfig
    kind: models.ModelKind
    model: models.Model
    params: dict[str, Any]
    tokenizer: tokenizers.Tokenizer | None
    extra: dict[str, Any]
    head: models.Heads = None
    members: int | None = None
    shared_body: bool = False


class Loaded(_LoadedFields):
    """A model that is ready to use.

    Gradients of what it computes need nothing more; forward mode (`jax.jvp`, `jax.jacfwd`) needs the function
    that is differentiated to be decorated with `ops.derivatives("any")`.

    Attributes:
      config: what it is made of.
      kind: what it is made as and what may be asked of it; may be given by its name in `models.KINDS`.
      model: the module.
      params: its parameters; `model.apply({"params": params}, tokens)`.
      tokenizer: its tokenizer, or None where there is none beside it.
      extra: whatever else its config.json holds; of a Hugging Face folder the whole of it as "huggingface",
        and its generation_config.json as "generation"; of one that was exported from here, "jaxlm_ends", what
        opened and closed its texts in training where its tokenizer's file does not say so.
      head: of a classifier or a regression its `HeadConfig`; of a "joint" model its heads by name; else None.
      members: of an ensemble, how many models the parameters are of, on a leading axis; None: it is one.
      shared_body: of an ensemble, whether that axis is on all parameters but those of `body`.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        """Returns one line: the kind and size of the model, its tokenizer, and the members of an ensemble.

        Example:
          >>> from jaxlm import models, pretrained
          >>> config = models.TransformerConfig(vocab_size=7, depth=4, width=256)
          >>> pretrained.Loaded(config, "causal_lm", models.build(config), {}, None, {})
          Loaded(causal_lm, 4 x 256, 7 ids, 0 parameters, no tokenizer)
        """
        size = sum(math.prod(jnp.shape(leaf)) for leaf in jax.tree.leaves(self.params))
        config = self.config
        shape = f"{config.depth} x {config.width}, {config.vocab_size:,} ids"
        members = "" if self.members is None else f", {self.members} members"
        tokenizer = "no" if self.tokenizer is None else self.tokenizer.kind
        return f"Loaded({self.kind.name}, {shape}, {size:,} parameters, {tokenizer} tokenizer{members})"

    def __new__(
        cls,
        config: models.TransformerConfig,
        kind: models.KindOrName,
        model: models.Model,
        params: dict[str, Any],
        tokenizer: tokenizers.Tokenizer | None,
        extra: dict[str, Any],
        head: models.Heads = None,
        members: int | None = None,
        shared_body: bool = False,
    ) -> "Loaded":
        kind = models.as_kind(kind)
        return super().__new__(cls, config, kind, model, params, tokenizer, extra, head, members, shared_body)

    def check_single(self, what: str) -> None:
        """Refuses an ensemble where one model is wanted.

        Args:
          what: who wants it, for the message.

        Raises:
          UsageError: if it is an ensemble.

        Example:
          >>> config = models.TransformerConfig(vocab_size=7)
          >>> ensemble = Loaded(config, "causal_lm", models.build(config), {}, None, {}, members=3)
          >>> ensemble.check_single("generate")
          Traceback (most recent call last):
          jaxlm.errors.UsageError: generate takes one model: got an ensemble of 3 members; open one of ...
        """
        if self.members is not None:
            raise UsageError(
                f"{what} takes one model: got an ensemble of {self.members} members; open one of their "
                "folders, or ask them together: scoring.score, models.map_members"
            )

    @property
    def text_tokenizer(self) -> tokenizers.Tokenizer:
        """The tokenizer, for code that reads or writes texts and cannot go on without one.

        Raises:
          UsageError: if the model has none.

        Example:
          >>> from jaxlm import models, pretrained
          >>> config = models.TransformerConfig(vocab_size=7)
          >>> loaded = pretrained.Loaded(config, "causal_lm", models.build(config), {}, None, {})
          >>> loaded.text_tokenizer
          Traceback (most recent call last):
          jaxlm.errors.UsageError: there is no tokenizer beside this model: texts cannot be read; put its ...
        """
        if self.tokenizer is None:
            raise UsageError(
                "there is no tokenizer beside this model: texts cannot be read; put its tokenizer.json into "
                "the model's folder"
            )
        return self.tokenizer

    @property
    def ends(self) -> bool:
        """Whether it was trained on texts with ends (see `has_end_tokens`)."""
        return has_end_tokens(self.extra)

    @property
    def frame(self) -> tokenizers.Frame | None:
        """What it was trained to see around a text; None: what its tokenizer's file says, as published.

        It is what `tokenizers.text_frame` takes as `trained`.
        """
        told = training_frame(self.tokenizer, self.kind, self.extra)
        return told if told is not None or self.ends else tokenizers.Frame()


def has_end_tokens(extra: Mapping[str, Any]) -> bool:
    """Returns whether a model was trained on texts that tokens of its tokenizer open or close.

    One that was trained here says so in its experiment (`data.ends`), one that was exported in its
    tokenizer's settings; any other model of Hugging Face was.

    Args:
      extra: of `Loaded` or `ModelSummary`.

    Example:
      >>> has_end_tokens({"huggingface": {"model_type": "bert"}})
      True
      >>> has_end_tokens({"experiment": {"data": {"ends": False}}})
      False
      >>> has_end_tokens({"huggingface": {}, "jaxlm_ends": {"opening": [], "closing": []}})
      False
    """
    told = _told_ends(extra)
    if told is not None:
        return told
    if ENDS in extra:
        return bool(extra[ENDS]["opening"] or extra[ENDS]["closing"])
    return HUGGINGFACE in extra


def training_frame(
    tokenizer: tokenizers.Tokenizer | None, kind: models.KindOrName, extra: Mapping[str, Any]
) -> tokenizers.Frame | None:
    """Returns what a model's files say of the ids around the texts that it was trained on; None: nothing.

    Args:
      tokenizer: of the model.
      kind: of the model.
      extra: of `Loaded`.

    Raises:
      ValueError: if they name a token that the tokenizer does not have.

    Example:
      >>> experiment = {"data": {"ends": True}}
      >>> training_frame(tokenizers.bytes_tokenizer(), "causal_lm", {"experiment": experiment})
      Frame(opening=(258,), closing=(257,))
      >>> training_frame(tokenizers.bytes_tokenizer(), "causal_lm", {"huggingface": {}})
    """
    told = _told_ends(extra)
    if told is False:
        return tokenizers.Frame()
    if tokenizer is None:
        return None
    if told:
        # What an encoder-decoder's texts have around them is what its tokenizer's file puts there.
        has_encoder = models.as_kind(kind).encoder
        return tokenizers.text_frame(tokenizer, "text" if has_encoder else "training")
    if ENDS not in extra:
        return None
    return tokenizers.Frame(*(_ids(tokenizer, extra[ENDS][side]) for side in ("opening", "closing")))


def end_id(
    tokenizer: tokenizers.Tokenizer, kind: models.KindOrName, frame: tokenizers.Frame | None
) -> int | None:
    """Returns the id that ends what a model writes: what closed its texts in training, else its eos.

    Args:
      tokenizer: of the model.
      kind: of the model; an encoder-decoder's texts end with any token that closes texts.
      frame: of `Loaded`.

    Example:
      >>> tokenizer = tokenizers.bytes_tokenizer()
      >>> end_id(tokenizer, "causal_lm", tokenizers.Frame((258,), (257,)))
      257
      >>> end_id(tokenizer, "causal_lm", None)
    """
    roles = tokenizer.specials
    if models.as_kind(kind).encoder:
        return roles.ends[1] if roles.eos is None and roles.ends else roles.eos
    return frame.closing[0] if frame is not None and frame.closing else roles.eos


def _told_ends(extra: Mapping[str, Any]) -> bool | None:
    """What an experiment says of ends; None where there is none."""
    experiment = extra.get("experiment")
    told = experiment.get("data", {}).get("ends") if isinstance(experiment, dict) else None
    return None if told is None else bool(told)


def _ids(tokenizer: tokenizers.Tokenizer, tokens: Sequence[str]) -> tuple[int, ...]:
    ids = tuple(tokenizer.backend.token_to_id(token) for token in tokens)
    if None in ids:
        raise ModelError(f"{ENDS}: the tokenizer has no token {tokens[ids.index(None)]!r}")
    return ids


def without_head(name: str) -> str:
    """Returns the line that refuses a body where a head is needed.

    Args:
      name: of the model.

    Example:
      >>> without_head("minilm").partition(":")[0]
      'minilm is a body without a head, which gives hidden states and predicts nothing'
    """
    return (
        f"{name} is a body without a head, which gives hidden states and predicts nothing: draw a head and "
        f"train it, jaxlm train --init {name} --data CORPUS, or name a model that has one"
    )
