"""Masked and causal language models: a body and a separate head, so that a loss can tile its product."""

import flax.linen as nn
import jax.numpy as jnp

from jaxlm import ops
from jaxlm.errors import ConfigError
from jaxlm.models._block import NONLINEARITIES
from jaxlm.models._body_model import ModelOnBody
from jaxlm.models._config import TransformerConfig
from jaxlm.models._config_parts import TransformHead
from jaxlm.models._layers import Linear, Norm
from jaxlm.models._transformer import Transformer
from jaxlm.typing import Array, Float, Int


class OutputBias(nn.Module):
    """The bias of an output whose kernel is the token embedding."""

    config: TransformerConfig

    def setup(self) -> None:
        """Creates the bias."""
        shape, dtype = (self.config.vocab_size,), jnp.dtype(self.config.param_dtype)
        self.bias = self.param("bias", nn.initializers.zeros, shape, dtype)


class TokenHead(nn.Module):
    """The head of a language model: from hidden states to logits over the vocabulary.

    `logits = apply_softcap(features(hidden) @ kernel.T + bias)`, where the kernel is a parameter of the head
    or the token embedding. It is part of a language model, and can also be called alone on any body.

    Attributes:
      config: the config, of which the head reads `vocab_size`, `width`, `tie_embeddings`, `head`,
        `head_bias`, `output_scale`, `logit_softcap`, `norm` and the dtypes.
      table_owner: needed by a tied head that is called alone: the module whose `token_table()` returns the
        token embedding `[V D]`, a `Transformer` or a module of your own. The head and this module must have
        the same parent, so that linen shares the parameters. None: the head is not tied, or the table is
        passed to it.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.models import TokenHead, TransformerConfig
      >>> import jax
      >>> head = TokenHead(TransformerConfig(vocab_size=7, width=8, tie_embeddings=False))
      >>> params = head.init(jax.random.key(0), jnp.ones((2, 8)))["params"]
      >>> sorted(params), head.apply({"params": params}, jnp.ones((2, 8))).shape
      (['decode', 'norm', 'transform'], (2, 7))
    """

    config: TransformerConfig
    table_owner: nn.Module | None = None

    def setup(self) -> None:
        """Creates the layers of the head."""
        config = self.config.resolved()
        if isinstance(config.head, TransformHead):
            self.transform = Linear(config, config.width, config.width, config.use_bias)
            epsilon = config.head.epsilon
            self.norm = Norm(config, config.norm_epsilon if epsilon is None else epsilon)
        if not config.tie_embeddings:
            self.decode = Linear(config, config.width, config.required_vocab_size(), config.head_bias)
        elif config.head_bias:
            self.decode = OutputBias(config)

    def __call__(self, hidden: Float[Array, "*batch D"]) -> Float[Array, "*batch V"]:
        """Returns float32 logits `[... V]` of hidden vectors.

        Args:
          hidden: `Float[... D]`, hidden vectors at any selection of positions.

        Raises:
          ValueError: if the width of `hidden` is not the config's, or the head is tied and has no table or a
            table of another shape.
        """
        config = self.config
        if hidden.shape[-1] != config.width:
            raise ValueError(
                f"this head reads vectors of width {config.width}: got {hidden.shape[-1]}; make it with "
                f"width={hidden.shape[-1]}, or give it vectors of its width"
            )
        table = self._own_table() if config.tie_embeddings else None
        return self.logits(hidden, table)

    def features(self, hidden: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
        """Returns the features that are multiplied with the output kernel."""
        config = self.config.resolved()
        if isinstance(config.head, TransformHead):
            hidden = self.norm(
                NONLINEARITIES[config.head.activation or config.activation](self.transform(hidden))
            )
        return hidden if config.output_scale == 1.0 else hidden * config.output_scale

    def output_weights(
        self, table: Float[Array, "V D"] | None
    ) -> tuple[Float[Array, "V D"], Float[Array, " V"] | None]:
        """Returns the output kernel `[V D]`, which is `table` if the head is tied, and the bias or None.

        Raises:
          ValueError: if the head is tied and `table` is None.
        """
        bias = self.decode.bias if self.config.head_bias else None
        if not self.config.tie_embeddings:
            return self.decode.kernel, bias
        if table is None:
            raise ValueError("a tied head's kernel is the token embedding: got table=None")
        return table, bias

    def logits(
        self, hidden: Float[Array, "*batch D"], table: Float[Array, "V D"] | None
    ) -> Float[Array, "*batch V"]:
        """Returns float32 logits, within the soft cap; `table` is the kernel of a tied head."""
        kernel, bias = self.output_weights(table)
        logits = ops.linear(self.features(hidden), kernel, bias, preferred=jnp.float32)
        return ops.apply_softcap(logits, self.config.logit_softcap)

    def _own_table(self) -> Float[Array, "V D"]:
        if self.table_owner is None:
            raise ValueError(
                "a tied head needs the token embedding: got table_owner=None; give the module that holds it, "
                "or set tie_embeddings=False"
            )
        table = self.table_owner.token_table()
        wanted = (self.config.vocab_size, self.config.width)
        if table.shape != wanted:
            raise ValueError(f"a tied head of [V, D] = {wanted} has the token embedding's: got {table.shape}")
        return table


class HeadedModel(nn.Module):
    """Base class of models with a head over tokens, applied to positions that the caller chooses."""

    config: TransformerConfig

    def features(self, hidden: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
        """Returns the features that are multiplied with the output kernel.

        They are `hidden`, or with a `TransformHead` `norm(activation(linear(hidden)))`, times `output_scale`.

        Args:
          hidden: `Float[... D]`, any selection of positions of `Output.hidden`.
        """
        return self.head.features(hidden)

    def output_weights(self) -> tuple[Float[Array, "V D"], Float[Array, " V"] | None]:
        """Returns the output's kernel `[V D]` and bias `[V]` (or None), in the dtype of the parameters."""
        return self.head.output_weights(self.table_owner().token_table())

    def logits(self, hidden: Float[Array, "*batch D"]) -> Float[Array, "*batch V"]:
        """Returns float32 logits, `features(hidden) @ kernel.T + bias`, within the config's soft cap.

        Args:
          hidden: `Float[... D]`, any selection of positions of `Output.hidden`.
        """
        return self.head.logits(hidden, self.table_owner().token_table())

    def output_softcap(self) -> float | None:
        """Returns the soft cap, for callers that compute logits from the kernel; None: no cap."""
        return self.config.logit_softcap

    def token_vectors(
        self, tokens: Int[Array, "B L"], segments: Int[Array, "B L"] | None = None
    ) -> Float[Array, "B L D"]:
        """Returns the embeddings that `Inputs` takes in place of tokens.

        Args:
          tokens: `Int[B L]` token ids.
          segments: `Int[B L]`; None: each row is one segment.
        """
        return self.table_owner().token_vectors(tokens, segments)

    def table_owner(self) -> Transformer:
        """Returns the body that holds the token embedding.

        Raises:
          TypeError: always; subclasses override it.
        """
        raise TypeError("a model with a head over tokens is a MaskedLM, a CausalLM or a Seq2SeqLM")


class _LanguageModel(ModelOnBody, HeadedModel):
    """A body and a head. `__call__` runs the body alone; `logits` applies the head."""

    def setup(self) -> None:
        self._check()
        self.body = Transformer(self.config)
        self.head = TokenHead(self.config)

    def table_owner(self) -> Transformer:
        """Returns the body."""
        return self.body

    def _make_head(self, hidden: Float[Array, "B 1 D"]) -> None:
        self.logits(hidden)

    def _check(self) -> None:
        raise TypeError("a language model is a MaskedLM or a CausalLM")


class MaskedLM(_LanguageModel):
    """A bidirectional transformer and a head that predicts each position's own token.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.models import MaskedLM, TransformerConfig
      >>> import jax
      >>> model = MaskedLM(TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2))
      >>> tokens = jnp.array([[1, 2, 3]])
      >>> variables = model.init(jax.random.key(0), tokens)
      >>> hidden = model.apply(variables, tokens).hidden
      >>> model.apply(variables, hidden[:, 1], method="logits").shape  # of one masked position
      (1, 7)

    References:
      Devlin et al., "BERT", 2019, https://arxiv.org/abs/1810.04805 (section 3.1).
    """

    def _check(self) -> None:
        if self.config.causal:
            raise ConfigError("a masked LM sees both sides: got causal=True; use causal=False, or causal_lm")


class CausalLM(_LanguageModel):
    """A causal transformer and a head that predicts each position's next token.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.models import CausalLM, TransformerConfig
      >>> import jax
      >>> model = CausalLM(TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2, causal=True))
      >>> tokens = jnp.array([[1, 2, 3]])
      >>> variables = model.init(jax.random.key(0), tokens)
      >>> hidden = model.apply(variables, tokens).hidden
      >>> model.apply(variables, hidden, method="logits").shape
      (1, 3, 7)

    References:
      Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.
    """

    def _check(self) -> None:
        if not self.config.causal:
            raise ConfigError(
                "a causal LM hides what comes later: got causal=False; use causal=True, or masked_lm"
            )
