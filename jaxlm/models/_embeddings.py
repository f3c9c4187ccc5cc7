"""The embedding layer: token vectors, positions, token types, norm and dropout."""

import flax.linen as nn
import jax.numpy as jnp

from jaxlm import ops
from jaxlm.errors import UsageError
from jaxlm.models._config import ResolvedConfig
from jaxlm.models._inputs import Inputs
from jaxlm.models._layers import Norm, Table, apply_dropout
from jaxlm.models._position import Instruction, Learned, Sinusoidal
from jaxlm.typing import Array, Float, Int


class Embeddings(nn.Module):
    """Scaled token vectors plus position and type embeddings, then norm and dropout, as the config says."""

    config: ResolvedConfig
    own_tokens: bool = True  # False: the token vectors come from another module's table

    def setup(self) -> None:
        """Creates the tables and the norm."""
        config = self.config
        vocab_size = config.required_vocab_size()
        if self.own_tokens:
            self.token = Table(config, vocab_size)
        if isinstance(config.position, Learned):
            self.position = Table(config, config.max_length + config.position.offset)
        if isinstance(config.position, Instruction):
            self.instruction = Table(config, config.max_length)
            self.argument = Table(config, config.max_length)
        if config.token_types:
            self.type = Table(config, config.token_types)
        if config.embedding_norm:
            epsilon = config.embedding_norm_epsilon
            self.norm = Norm(config, config.norm_epsilon if epsilon is None else epsilon)

    def token_vectors(
        self, tokens: Int[Array, "B L"], segments: Int[Array, "B L"] | None = None
    ) -> Float[Array, "B L D"]:
        """Returns the table's rows, with token dropout; an id outside the vocabulary gives NaN.

        Args:
          tokens: `Int[B L]` token ids.
          segments: `Int[B L]`, read by token dropout; None: each row is one segment.
        """
        vectors = self.token(tokens, "fill")
        mask_id = self.config.mask_id
        if not self.config.token_dropout or mask_id is None:
            return vectors
        factors = token_dropout_factors(tokens, segments, mask_id)
        return vectors * factors[..., None].astype(vectors.dtype)

    def __call__(
        self,
        vectors: Float[Array, "B L D"],
        positions: Int[Array, "B L"] | Int[Array, "B L 2"],
        deterministic: bool,
        types: Int[Array, "B L"] | None = None,
    ) -> Float[Array, "B L D"]:
        """Returns the input of the first block.

        Args:
          vectors: the token vectors.
          positions: of the tokens.
          deterministic: whether dropout is off.
          types: token types; None: all 0.
        """
        config = self.config
        hidden = vectors.astype(jnp.dtype(config.dtype)) * config.embedding_scale
        if isinstance(config.position, Learned):
            hidden += self.position(positions + config.position.offset, "clip")
        if isinstance(config.position, Sinusoidal):
            waves = jnp.asarray(ops.sinusoids(config.max_length, config.width), hidden.dtype)
            hidden += jnp.take(waves, positions, axis=0, mode="clip")
        if isinstance(config.position, Instruction):
            hidden += self.instruction(positions[..., 0], "clip") + self.argument(positions[..., 1], "clip")
        if config.token_types:
            hidden += self.type(jnp.zeros(hidden.shape[:2], jnp.int32) if types is None else types, "fill")
        if config.embedding_norm:
            hidden = self.norm(hidden)
        return apply_dropout(self, hidden, config.embedding_dropout, deterministic)


# The share of mask tokens in the training of ESM's models: 15 % of tokens chosen, 80 % of them masked.
_TRAINED_SHARE = 0.15 * 0.8


def token_dropout_factors(
    tokens: Int[Array, "B L"], segments: Int[Array, "B L"] | None, mask_id: int
) -> Float[Array, "B L"]:
    """Returns the factors of the token embeddings: 0 for masks, else `(1 - 0.12) / (1 - m)`.

    m is the share of masks in the token's segment, 0.12 the share of masks in training.

    Args:
      tokens: `Int[B L]` token ids.
      segments: `Int[B L]`, 0 = padding; None: each row is one segment.
      mask_id: id of the mask token.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.models._embeddings import token_dropout_factors
      >>> token_dropout_factors(jnp.array([[7, 9, 7, 7]]), None, mask_id=9).round(4).tolist()
      [[1.1733..., 0.0, 1.1733..., 1.1733...]]

    References:
      Lin et al., "Evolutionary-scale prediction of atomic-level protein structure with a language model",
        2023 (ESM-2; the rule is that of its code).
    """
    is_unmasked = tokens != mask_id
    rows = jnp.ones_like(tokens) if segments is None else segments
    same = (rows[:, :, None] == rows[:, None, :]).astype(jnp.float32)
    share = (same * is_unmasked[:, None].astype(jnp.float32)).sum(-1) / same.sum(-1)
    return jnp.where(is_unmasked, (1.0 - _TRAINED_SHARE) / jnp.where(is_unmasked, share, 1.0), 0.0)


def resolve_positions(config: ResolvedConfig, inputs: Inputs) -> Int[Array, "B L"] | Int[Array, "B L 2"]:
    """Returns the positions: those of the inputs, or else those that follow from segments and tokens.

    Args:
      config: its `position` decides whether they are offsets or (instruction, argument) pairs.
      inputs: of the model.

    Raises:
      UsageError: if instruction positions are needed and there are no tokens or no `next_id`.
    """
    if inputs.positions is not None:
        return inputs.positions
    if isinstance(config.position, Instruction):
        next_id = config.position.next_id
        if next_id is None:
            raise UsageError("instruction positions need next_id in the config, or positions: got neither")
        return ops.instruction_positions(inputs.required_tokens(), inputs.segments, next_id)
    if inputs.segments is not None:
        return ops.positions_from_segments(inputs.segments)
    shape = (inputs.num_rows, inputs.length)
    return jnp.broadcast_to(jnp.arange(inputs.length, dtype=jnp.int32), shape)
