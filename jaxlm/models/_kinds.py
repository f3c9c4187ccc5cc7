"""The kinds of models that jaxlm comes with, by name."""

from collections.abc import Mapping

import flax.linen as nn

from jaxlm.errors import ConfigError
from jaxlm.models._body_model import BodyModel
from jaxlm.models._config import TransformerConfig
from jaxlm.models._head_config import HeadConfig
from jaxlm.models._model_kind import CAUSAL_LM, MASKED_LM, SEQ2SEQ_LM, KindOrName, ModelKind
from jaxlm.models._multi_head import HeadKind, MultiHeadModel, check_head_kinds
from jaxlm.models._sequence_model import SequenceModel

Model = nn.Module
"""A linen module of some `ModelKind`, which says which methods it has."""
Heads = HeadConfig | Mapping[str, HeadKind] | None
"""The config of a sequence head; the heads of a joint model by name; None for kinds that need neither."""


def _make_sequence_model(config: TransformerConfig, head: Heads) -> SequenceModel:
    if not isinstance(head, HeadConfig):
        raise ConfigError(f"a model of whole sequences takes a HeadConfig as head: got {head!r}")
    head.required_outputs()
    return SequenceModel(config, head)


def _make_joint(config: TransformerConfig, head: Heads) -> MultiHeadModel:
    if not isinstance(head, Mapping):
        raise ConfigError(f"a joint model takes a mapping of names to heads as head: got {head!r}")
    check_head_kinds(config, head)
    return MultiHeadModel(config, head)


def _make_body(config: TransformerConfig, head: Heads) -> BodyModel:
    if head is not None:
        raise ConfigError(f"a body has no head: got {head}; leave head out")
    return BodyModel(config)


CLASSIFICATION = ModelKind(name="classification", make=_make_sequence_model, head="sequences")
REGRESSION = ModelKind(name="regression", make=_make_sequence_model, head="sequences")
JOINT = ModelKind(name="joint", make=_make_joint, head="several")
BODY_ALONE = ModelKind(name="body", make=_make_body, head=None)

KINDS: dict[str, ModelKind] = {
    kind.name: kind
    for kind in (MASKED_LM, CAUSAL_LM, SEQ2SEQ_LM, CLASSIFICATION, REGRESSION, JOINT, BODY_ALONE)
}
"""The kinds of models that jaxlm comes with, by the name that config.json has for them."""


def as_kind(kind: KindOrName) -> ModelKind:
    """Returns a kind of model as a record, from its name or from the record itself.

    Args:
      kind: a `ModelKind`, which is returned as it is, or a name in `KINDS`, such as "causal_lm".

    Raises:
      ConfigError: if no kind has this name, or the given record has the name of a different one in `KINDS`.

    Example:
      >>> from jaxlm.models import as_kind
      >>> as_kind("causal_lm").next_token
      True
    """
    if not isinstance(kind, ModelKind):
        if not isinstance(kind, str) or kind not in KINDS:
            raise ConfigError(f"a model's kind is a ModelKind or one of {', '.join(KINDS)}: got {kind!r}")
        return KINDS[kind]
    if KINDS.get(kind.name, kind) != kind:
        raise ConfigError(f"kind {kind.name!r} is jaxlm's own: give yours another name")
    return kind
