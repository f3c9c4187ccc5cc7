"""The kind of a model: how it is built, and what it can predict; the kinds of language models."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn

from jaxlm.errors import ConfigError
from jaxlm.models._config import TransformerConfig
from jaxlm.models._language_models import CausalLM, MaskedLM
from jaxlm.models._seq2seq import Seq2SeqLM

Question = Literal["next_token", "fill", "vectors", "outputs"]
"""What a model can be asked about a text: the next token, the token at a mask, hidden vectors, or the numbers
that a head makes of the whole text."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelKind:
    """The kind of a model: how its module is built, and which predictions it can make.

    A kind of your own can be given wherever a name of `KINDS` can. Its module has the methods that its head
    needs: for "tokens" `features`, `output_weights`, `output_softcap` and `logits` as `MaskedLM` has them,
    for "sequences" `outputs` and `standardized_outputs` as `SequenceModel` has them. With `encoder`, the
    module is a `Seq2SeqLM`.

    Attributes:
      name: the kind's name in config.json; a kind of your own has a name that is not in `KINDS`.
      make: a function: `make(config, head)` returns the module, or raises ConfigError if config and head
        contradict each other.
      head: what the head predicts. "tokens": ids of the vocabulary at positions; "sequences": numbers for
        whole texts (the head has a `HeadConfig`); "several": the model has several heads by name; "own":
        something that only the model's objective can call; None: there is no head.
      causal: whether a position attends only to itself and earlier positions.
      encoder: whether the model has an encoder that reads one text and a causal decoder that writes another
        one.
      next_token: whether the model can predict the next token of a text.
      fill: whether the model can predict the token at a mask.
      score: whether the model can give the likelihood of a text's tokens, by `next_token` or by `fill`.
      reference: "module:NAME", from where the kind is imported when a saved model is opened and the kind is
        not given; it is never imported for a folder from the hub. None: the kind must be given to open the
        model, `pretrained.load(folder, kind=...)`.

    Raises:
      ConfigError: if the name is empty, or the fields contradict each other.

    Example:
      >>> from jaxlm.models import MaskedLM, ModelKind
      >>> speller = ModelKind(name="speller", make=lambda config, head: MaskedLM(config), fill=True)
      >>> speller.head, speller.fill, speller.next_token, speller.sequence_outputs
      ('tokens', True, False, False)
    """

    name: str
    make: Callable[[TransformerConfig, Any], nn.Module]
    head: Literal["tokens", "sequences", "several", "own"] | None = "tokens"
    causal: bool = False
    encoder: bool = False
    next_token: bool = False
    fill: bool = False
    score: bool = False
    reference: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ConfigError(f"a model kind has a name: got {self.name!r}")
        if self.head != "tokens" and (self.next_token or self.fill or self.score):
            raise ConfigError(f"kind {self.name!r} is asked for tokens: got head={self.head!r}")
        if self.score and not (self.next_token or self.fill):
            raise ConfigError(f"kind {self.name!r} is scored by next_token or by fill: got neither")
        if self.reference is not None and self.reference.count(":") != 1:
            raise ConfigError(f"a reference is module:NAME: got {self.reference!r}")

    @property
    def question(self) -> Literal["next_token", "fill"] | None:
        """Which prediction scores the tokens of a text; None if the model cannot score."""
        if not self.score:
            return None
        return "next_token" if self.next_token else "fill"

    @property
    def questions(self) -> tuple[Question, ...]:
        """Everything that the model can be asked about a text.

        It is the prediction that scores tokens (see `question`), "outputs" of a head for whole texts, and the
        "vectors" of the body, which a model with several heads gives only when it is opened with one of them.

        Example:
          >>> from jaxlm import models
          >>> models.CAUSAL_LM.questions, models.REGRESSION.questions, models.JOINT.questions
          (('next_token', 'vectors'), ('outputs', 'vectors'), ())
        """
        scores = () if self.question is None else (self.question,)
        outputs = ("outputs",) if self.sequence_outputs else ()
        vectors = () if self.head in ("several", "own") else ("vectors",)
        return (*scores, *outputs, *vectors)

    @property
    def sequence_outputs(self) -> bool:
        """Whether the head predicts numbers of whole sequences."""
        return self.head == "sequences"


KindOrName = ModelKind | str
"""A kind of model: the record, or a name in `KINDS`."""


def _language_model(module: type[nn.Module]) -> Callable[[TransformerConfig, Any], nn.Module]:
    def make(config: TransformerConfig, head: Any) -> nn.Module:
        if head is not None:
            raise ConfigError(f"a {module.__name__} has a head of its own: got {head}; leave head out")
        model = module(config)
        model._check()
        return model

    return make


MASKED_LM = ModelKind(name="masked_lm", make=_language_model(MaskedLM), fill=True, score=True)
CAUSAL_LM = ModelKind(
    name="causal_lm", make=_language_model(CausalLM), causal=True, next_token=True, score=True
)
SEQ2SEQ_LM = ModelKind(name="seq2seq_lm", make=_language_model(Seq2SeqLM), encoder=True, next_token=True)
