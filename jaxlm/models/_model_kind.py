"""What a model is made as, and what may be asked of it; the kinds of language models."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn

from jaxlm.errors import ConfigError
from jaxlm.models._config import TransformerConfig
from jaxlm.models._language_models import CausalLM, MaskedLM
from jaxlm.models._seq2seq import Seq2SeqLM


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelKind:
    """What a model is made as, and what may be asked of it; the same for every size of model.

    A kind of your own goes wherever a name of `KINDS` does. Its module keeps the contract of its head:
    "tokens" has `features`, `output_weights`, `output_softcap` and `logits` as `MaskedLM` has them,
    "sequences" has `outputs` and `standardized_outputs` as `SequenceModel`; with `encoder` it is a
    `Seq2SeqLM`.

    Attributes:
      name: what config.json calls it; a kind of your own has a name that is not in `KINDS`.
      make: from a config and a head to the module; raises ConfigError where they contradict each other.
      head: what the head predicts: "tokens" of a vocabulary at a position, numbers of whole "sequences" (by a
        `HeadConfig`), "several" heads by name, "own": what its objective alone can call, or None: there is
        none.
      causal: whether a position sees only itself and what comes before.
      encoder: whether an encoder reads one text and a decoder, which is causal, writes another.
      next_token: whether it may be asked what token comes next.
      fill: whether it may be asked what stands at a mask.
      score: whether it may be asked how likely the tokens of a text are, by `next_token` or by `fill`.
      reference: where the kind can be imported from, "module:NAME", for whoever opens a saved model without
        having the kind at hand: its folder names the module, and opening it imports that, but of a folder
        from the hub. None: the kind is given, `pretrained.load(folder, kind=...)`.

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
        """What the tokens of a text are scored by; None of a model that scores none."""
        if not self.score:
            return None
        return "next_token" if self.next_token else "fill"

    @property
    def sequence_outputs(self) -> bool:
        """Whether it may be asked for the numbers of whole sequences."""
        return self.head == "sequences"


# What is taken wherever a kind is: the record, or the name of one in `KINDS`.
KindOrName = ModelKind | str


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
