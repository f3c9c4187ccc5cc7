"""An opened model: its description, its parameters and its tokenizer."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxlm import models, tokenizers
from jaxlm.errors import ModelError, UsageError

HUGGINGFACE = "huggingface"
GENERATION = "generation"
# The key, in tokenizer_config.json and in `extra`, of the tokens around texts in training, if the template in
# tokenizer.json lacks them: `{"opening": ["[CLS]"], "closing": ["[SEP]"]}`.
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
    """An opened model with its parameters and its tokenizer, as `load` returns it.

    `jax.grad` works on it directly. Forward mode (`jax.jvp`, `jax.jacfwd`) requires that the differentiated
    function is decorated with `ops.derivatives("any")`.

    Attributes:
      config: the config of the transformer.
      kind: the kind of the model (a `models.ModelKind`), which says what the model can do. At construction it
        may be given by its name in `models.KINDS`, such as "causal_lm".
      model: the linen module, to be called as `model.apply({"params": params}, tokens)`.
      params: the parameters, a nested dict of arrays.
      tokenizer: the tokenizer. None: the folder of the model has no tokenizer (`text_tokenizer` then raises
        an error).
      extra: further entries of config.json. For a Hugging Face folder the entry "huggingface" is the whole
        config.json, and "generation" the whole generation_config.json. For a model that jaxlm exported,
        "jaxlm_ends" names the opening and closing tokens of the training texts. For a classifier, "classes"
        names its classes, and "problem_type" says if they do not exclude each other. For a folder of
        sentence-transformers, "sentence_transformers" says how it makes vectors.
      head: the `HeadConfig` of a classifier or a regression; for a "joint" model the heads by name. None: the
        kind has no config of a head.
      members: the number E of models in an ensemble, whose parameters have a leading axis E. None: this is a
        single model.
      shared_body: whether the models of an ensemble share one `body`, whose parameters then have no axis E.
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
        """Raises an error if this is an ensemble of several models.

        Args:
          what: the name of the function that takes only a single model, for the error message.

        Raises:
          UsageError: this is an ensemble.

        Example:
          >>> from jaxlm import models
          >>> from jaxlm.pretrained import Loaded
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
        """The tokenizer, for code that cannot do without one; unlike `tokenizer` it is never None.

        Raises:
          UsageError: the model has no tokenizer.

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
        """Whether the model was trained on texts with opening or closing tokens (see `has_end_tokens`)."""
        return has_end_tokens(self.extra)

    @property
    def frame(self) -> tokenizers.Frame | None:
        """The frame of the training texts: the ids of the opening and closing tokens around each text.

        It is what the argument `trained` of `tokenizers.text_frame` takes.

        None: the model is a published one, whose files do not say it; `text_frame` then follows the
        tokenizer's file.
        """
        told = training_frame(self.tokenizer, self.kind, self.extra)
        return told if told is not None or self.ends else tokenizers.Frame()


def has_end_tokens(extra: Mapping[str, Any]) -> bool:
    """Returns whether a model was trained on texts with opening or closing tokens.

    For a model that jaxlm trained, its experiment says whether it was (`data.ends`). For a model that jaxlm
    exported, the entry "jaxlm_ends" says it. Every other Hugging Face model counts as trained with such
    tokens.

    Args:
      extra: the field `extra` of a `Loaded` or a `ModelSummary`.

    Example:
      >>> from jaxlm.pretrained import has_end_tokens
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
    """Returns the frame of the training texts: the ids of their opening and closing tokens.

    None if the files of the model do not say it, as for most Hugging Face models.

    Args:
      tokenizer: the tokenizer of the model. None: the result is None.
      kind: the kind of the model, by name or as a `ModelKind`.
      extra: the field `extra` of the `Loaded`.

    Raises:
      ModelError: the files name a token that the tokenizer does not have.

    Example:
      >>> from jaxlm import tokenizers
      >>> from jaxlm.pretrained import training_frame
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
        # Texts of an encoder-decoder have the tokens around them that its tokenizer's file puts there.
        has_encoder = models.as_kind(kind).encoder
        return tokenizers.text_frame(tokenizer, "text" if has_encoder else "training")
    if ENDS not in extra:
        return None
    return tokenizers.Frame(*(_ids(tokenizer, extra[ENDS][side]) for side in ("opening", "closing")))


def end_id(
    tokenizer: tokenizers.Tokenizer, kind: models.KindOrName, frame: tokenizers.Frame | None
) -> int | None:
    """Returns the id that ends generated text: the closing id of training texts, or else the eos id.

    None if the tokenizer has no such token.

    Args:
      tokenizer: the tokenizer of the model.
      kind: the kind of the model, by name or as a `ModelKind`. For an encoder-decoder without an eos token,
        the token that can close a text counts (see `tokenizers.Specials.ends`).
      frame: the ids around the training texts, from `Loaded.frame`. None: the ids are not known, and eos is
        taken.

    Example:
      >>> from jaxlm import tokenizers
      >>> from jaxlm.pretrained import end_id
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
    """Whether the experiment puts tokens around texts; None if there is no experiment."""
    experiment = extra.get("experiment")
    told = experiment.get("data", {}).get("ends") if isinstance(experiment, dict) else None
    return None if told is None else bool(told)


def _ids(tokenizer: tokenizers.Tokenizer, tokens: Sequence[str]) -> tuple[int, ...]:
    ids = []
    for token in tokens:
        id = tokenizer.backend.token_to_id(token)
        if id is None:
            raise ModelError(f"{ENDS}: the tokenizer has no token {token!r}")
        ids.append(id)
    return tuple(ids)


def without_head(name: str) -> str:
    """Returns the error message for a model without a head in a place where a head is needed.

    Args:
      name: the name of the model in the message.

    Example:
      >>> from jaxlm.pretrained import without_head
      >>> without_head("minilm").partition(":")[0]
      'minilm is a body without a head, which gives hidden states and predicts nothing'
    """
    return (
        f"{name} is a body without a head, which gives hidden states and predicts nothing: take its vectors, "
        f"jaxlm embed {name}, draw a head and train it, jaxlm train --init {name} --data CORPUS, or name a "
        "model that has one"
    )
