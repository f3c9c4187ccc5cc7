"""From ids to the first residual stream: token vectors, positions, norm and dropout."""

import flax.linen as nn
import jax.numpy as jnp

from jaxlm import ops
from jaxlm.models._config import TransformerConfig
from jaxlm.models._layers import Norm, Table, drop
from jaxlm.typing import Array, Float, Int


class Embeddings(nn.Module):
    """Token vectors, scaled, plus those of their positions; then norm and dropout, as the config says."""

    config: TransformerConfig

    def setup(self) -> None:
        config = self.config
        if config.vocab_size is None:
            raise ValueError(
                "a model needs vocab_size: got None; set it, or let training take the tokenizer's"
            )
        self.token = Table(config, config.vocab_size)
        if config.position == "learned":
            self.position = Table(config, config.max_length)
        if config.position == "instruction":
            self.instruction = Table(config, config.max_length)
            self.argument = Table(config, config.max_length)
        if config.embedding_norm:
            self.norm = Norm(config, config.embedding_norm_epsilon)

    def token_vectors(self, tokens: Int[Array, "B L"]) -> Float[Array, "B L D"]:
        """The table's rows; an id outside the vocabulary gives NaN, which is seen, not a neighbour's row."""
        return self.token(tokens, "fill")

    def __call__(
        self,
        vectors: Float[Array, "B L D"],
        positions: Int[Array, "B L"] | Int[Array, "B L 2"],
        deterministic: bool,
    ) -> Float[Array, "B L D"]:
        config = self.config
        hidden = vectors.astype(jnp.dtype(config.dtype)) * config.embedding_scale
        if config.position == "learned":
            hidden += self.position(positions, "clip")
        if config.position == "instruction":
            hidden += self.instruction(positions[..., 0], "clip") + self.argument(positions[..., 1], "clip")
        if config.embedding_norm:
            hidden = self.norm(hidden)
        return drop(self, hidden, config.embedding_dropout, deterministic)


def resolve_positions(
    config: TransformerConfig,
    shape: tuple[int, int],
    tokens: Int[Array, "B L"] | None,
    segments: Int[Array, "B L"] | None,
    positions: Int[Array, "B L"] | Int[Array, "B L 2"] | None,
) -> Int[Array, "B L"] | Int[Array, "B L 2"]:
    """The positions that the config's scheme reads: the caller's, or what tokens and segments say."""
    wanted = (*shape, 2) if config.position == "instruction" else shape
    if positions is not None:
        if positions.shape != wanted:
            raise ValueError(
                f"position={config.position!r} reads positions of shape {wanted}: got {positions.shape}"
            )
        return positions
    if config.position == "instruction":
        if tokens is None:
            raise ValueError(
                "instruction positions come from tokens: got embeddings alone, pass positions too"
            )
        if config.next_id is None:
            raise ValueError("instruction positions need next_id in the config, or positions: got neither")
        return ops.instruction_positions(tokens, segments, config.next_id)
    if segments is not None:
        return ops.positions_from_segments(segments)
    if config.position == "learned" and shape[1] > config.max_length:
        raise ValueError(
            f"learned positions end at max_length={config.max_length}: got rows of {shape[1]} tokens; "
            "cut them or pass segments"
        )
    return jnp.broadcast_to(jnp.arange(shape[1], dtype=jnp.int32), shape)
