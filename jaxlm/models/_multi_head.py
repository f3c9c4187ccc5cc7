"""Several heads on one body: token heads and sequence heads by name."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from jaxlm import ops
from jaxlm.errors import ConfigError
from jaxlm.models._body_model import ModelOnBody
from jaxlm.models._cache import Cache
from jaxlm.models._config import TransformerConfig
from jaxlm.models._head_config import HeadConfig
from jaxlm.models._inputs import Inputs, as_inputs
from jaxlm.models._interventions import Intervention
from jaxlm.models._language_models import TokenHead
from jaxlm.models._model_kind import CAUSAL_LM, MASKED_LM
from jaxlm.models._sequence_model import SequenceHead, StandardizedOutputs
from jaxlm.models._sites import Site
from jaxlm.models._transformer import Output, Transformer
from jaxlm.typing import Array, Float, Int

HeadKind = HeadConfig | str
"""A head of a joint model: the config of a sequence head, or "masked_lm" or "causal_lm" for a token head."""
TOKEN_HEADS = {kind.name: kind for kind in (MASKED_LM, CAUSAL_LM)}
PREFIX = "head_"


class MultiHeadModel(ModelOnBody):
    """One body and several heads; every call names its head: `partial(model.apply, head=name)`.

    The result of `partial` is called like the `apply` of a model that has only this head, so each objective
    can use it. For a "causal_lm" head on a bidirectional body, the body runs with a causal attention mask;
    for other heads it attends to both sides. The parameters are `body` and, for each head, `head_<name>`.

    Attributes:
      config: the config of the body.
      heads: a mapping from the name of each head to "masked_lm", "causal_lm" or the `HeadConfig` of a
        sequence head.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.models import HeadConfig, MultiHeadModel, TransformerConfig
      >>> import jax
      >>> from functools import partial
      >>> config = TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2)
      >>> model = MultiHeadModel(config, {"fill": "masked_lm", "label": HeadConfig(num_outputs=3)})
      >>> tokens = jnp.array([[1, 2, 3]])
      >>> variables = model.init(jax.random.key(0), tokens)
      >>> fill, label = (partial(model.apply, variables, head=name) for name in ("fill", "label"))
      >>> fill(fill(tokens).hidden, method="logits").shape
      (1, 3, 7)
      >>> label(label(tokens).hidden, method="outputs").shape
      (1, 1, 3)
    """

    heads: Mapping[str, HeadKind]

    def setup(self) -> None:
        """Creates the body and the heads."""
        check_head_kinds(self.config, self.heads)
        self.body = Transformer(self.config)
        config = self.config.resolved()
        for name, kind in self.heads.items():
            module = SequenceHead(config, kind) if isinstance(kind, HeadConfig) else TokenHead(config)
            setattr(self, PREFIX + name, module)

    def __call__(
        self,
        inputs: Inputs | Int[Array, "B L"],
        *,
        head: str | None = None,
        cache: Cache | None = None,
        slots: Int[Array, "B L"] | None = None,
        interventions: Sequence[Intervention] = (),
        intermediates: Collection[Site] = (),
        deterministic: bool = True,
    ) -> Output:
        """Returns the body's `Output` for a head.

        Args:
          inputs: an `Inputs` record; `Int[B L]` tokens stand for `Inputs(tokens=tokens)`.
          head: the name of the head. It may be left out at `init`, which creates the parameters of all heads.
          cache: keys and values of earlier tokens, see `Transformer`; None: nothing is cached.
          slots: `Int[B L]`, the index of the cache entry (slot) that each token is written to; None: the
            first L slots.
          interventions: changes of the values at sites, applied in this order.
          intermediates: the sites whose values are returned in `Output.intermediates`; static.
          deterministic: whether dropout is off. If it is on, `rngs={"dropout": key}` is needed where a rate
            is not 0.

        Raises:
          ValueError: if no head is named, or there is no head of this name.
        """
        if head is None and not self.is_initializing():
            raise ValueError(
                f"each call of a joint model names its head: head is one of {', '.join(self.heads)}"
            )
        if head is not None and self._is_causal(head) and not self.config.causal:
            inputs = _earlier_only(as_inputs(inputs), cache)
        return super().__call__(
            inputs,
            cache=cache,
            slots=slots,
            interventions=interventions,
            intermediates=intermediates,
            deterministic=deterministic,
        )

    def features(self, hidden: Float[Array, "*batch D"], *, head: str) -> Float[Array, "*batch D"]:
        """Returns the features of a token head, which are multiplied with its output kernel."""
        return self._token_head(head).features(hidden)

    def output_weights(self, *, head: str) -> tuple[Float[Array, "V D"], Float[Array, " V"] | None]:
        """Returns a token head's output kernel `[V D]` and its bias `[V]` or None."""
        return self._token_head(head).output_weights(self.body.token_table())

    def logits(self, hidden: Float[Array, "*batch D"], *, head: str) -> Float[Array, "*batch V"]:
        """Returns a token head's float32 logits, bounded by its soft cap if there is one."""
        return self._token_head(head).logits(hidden, self.body.token_table())

    def output_softcap(self, *, head: str) -> float | None:
        """Returns the bound of a token head's logits; None: the logits have no bound."""
        del head
        return self.config.logit_softcap

    def outputs(
        self,
        hidden: Float[Array, "B L D"],
        *,
        head: str,
        segments: Int[Array, "B L"] | None = None,
        num_segments: int = 1,
        deterministic: bool = True,
    ) -> Float[Array, "B G C"]:
        """Returns a sequence head's float32 outputs for each segment, `[B G C]`, in the labels' units.

        Args:
          hidden: `Float[B L D]`, the whole `Output.hidden`.
          head: the name of the head.
          segments: `Int[B L]`, the segments that the model was given; None: each row is one segment without
            padding.
          num_segments: G, the number of segments of a row that get outputs; static. Later segments are left
            out.
          deterministic: whether dropout is off. If it is on, `rngs={"dropout": key}` is needed where the rate
            is not 0.
        """
        rows = jnp.ones(hidden.shape[:2], jnp.int32) if segments is None else segments
        return self._sequence_head(head)(hidden, rows, num_segments, deterministic).in_units(rows)

    def standardized_outputs(
        self,
        hidden: Float[Array, "B L D"],
        *,
        head: str,
        segments: Int[Array, "B L"] | None = None,
        num_segments: int = 1,
        deterministic: bool = True,
    ) -> StandardizedOutputs:
        """Returns a sequence head's outputs before its scale multiplies and its center shifts them.

        Args:
          hidden: `Float[B L D]`, the whole `Output.hidden`.
          head: the name of the head.
          segments: `Int[B L]`, the segments that the model was given; None: each row is one segment without
            padding.
          num_segments: G, the number of segments of a row that get outputs; static. Later segments are left
            out.
          deterministic: whether dropout is off. If it is on, `rngs={"dropout": key}` is needed where the rate
            is not 0.
        """
        rows = jnp.ones(hidden.shape[:2], jnp.int32) if segments is None else segments
        return self._sequence_head(head)(hidden, rows, num_segments, deterministic)

    def token_vectors(
        self,
        tokens: Int[Array, "B L"],
        segments: Int[Array, "B L"] | None = None,
        *,
        head: str | None = None,
    ) -> Float[Array, "B L D"]:
        """Returns the embeddings that `Inputs` takes in place of tokens, the same for every head.

        Args:
          tokens: `Int[B L]` token ids.
          segments: `Int[B L]`, 0 = padding; None: each row is one segment without padding.
          head: not used: the embeddings are the same for every head.
        """
        del head
        return self.body.token_vectors(tokens, segments)

    def _kind(self, head: str) -> HeadKind:
        if head not in self.heads:
            raise ValueError(f"this model has no head {head!r}: its heads are {', '.join(self.heads)}")
        return self.heads[head]

    def _is_causal(self, head: str) -> bool:
        kind = self._kind(head)
        return not isinstance(kind, HeadConfig) and TOKEN_HEADS[kind].causal

    def _token_head(self, head: str) -> TokenHead:
        if isinstance(self._kind(head), HeadConfig):
            raise ValueError(f"head {head!r} reads sequences, not positions: it has outputs, no logits")
        return getattr(self, PREFIX + head)

    def _sequence_head(self, head: str) -> SequenceHead:
        if not isinstance(self._kind(head), HeadConfig):
            raise ValueError(f"head {head!r} reads positions, not sequences: it has logits, no outputs")
        return getattr(self, PREFIX + head)

    def _make_head(self, hidden: Float[Array, "B 1 D"]) -> None:
        for name, kind in self.heads.items():
            (self.outputs if isinstance(kind, HeadConfig) else self.logits)(hidden, head=name)


def _earlier_only(inputs: Inputs, cache: Cache | None) -> Inputs:
    """Returns the inputs with a causal attention mask, for a causal head on a bidirectional body."""
    if cache is not None:
        return inputs  # with a cache, the caller's mask is causal already
    rows = jnp.ones((inputs.num_rows, inputs.length), jnp.int32)
    earlier, mask = ops.attention_mask(rows, causal=True), inputs.attention_mask
    return inputs._replace(attention_mask=earlier if mask is None else mask & earlier)


def head_params(params: Mapping[str, Any], head: str) -> dict[str, Any]:
    """Returns the parameters of the model that has only this head: those of the body and of the head.

    Args:
      params: the "params" collection of a `MultiHeadModel`.
      head: the name of the head.

    Raises:
      ValueError: if the model has no head of this name.

    Example:
      >>> from jaxlm.models import head_params
      >>> sorted(head_params({"body": {}, "head_fill": {}, "head_label": {}}, "fill"))
      ['body', 'head']
    """
    if PREFIX + head not in params:
        known = ", ".join(name.removeprefix(PREFIX) for name in params if name.startswith(PREFIX))
        raise ValueError(f"these parameters have no head {head!r}: their heads are {known}")
    return {"body": params["body"], "head": params[PREFIX + head]}


def check_head_kinds(config: TransformerConfig, heads: Mapping[str, HeadKind]) -> None:
    """Refuses heads with invalid names, without `num_outputs`, or that contradict the body.

    Raises:
      ConfigError: with the reason.
    """
    if not heads:
        raise ConfigError("a model of several heads has at least one: got none")
    for name, kind in heads.items():
        if not name.isidentifier():
            raise ConfigError(f"a head's name is an identifier such as 'fill': got {name!r}")
        if isinstance(kind, HeadConfig):
            if kind.num_outputs is None:
                raise ConfigError(f"head {name!r} needs num_outputs: got None")
        elif kind not in TOKEN_HEADS:
            raise ConfigError(f"head {name!r} is {' or '.join(TOKEN_HEADS)} or a HeadConfig: got {kind!r}")
        elif TOKEN_HEADS[kind].fill and config.causal:
            raise ConfigError(f"head {name!r}: a masked LM sees both sides: got causal=True for the body")
