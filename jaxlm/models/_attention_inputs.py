"""What the attention of every block reads beside the residual stream: masks, rotations, biases, memory."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxlm import ops
from jaxlm.errors import UsageError
from jaxlm.models._cache import Cache, slot_mask
from jaxlm.models._config import ResolvedConfig
from jaxlm.models._interventions import Intervention
from jaxlm.models._position import Rotary
from jaxlm.models._rotary_scaling import to_rotary_scaling
from jaxlm.typing import Array, Bool, Float, Int


class ByLayerKind(NamedTuple):
    """A value for the blocks with full attention, and one for the blocks with a window.

    Attributes:
      full: for blocks that attend to all positions.
      window: for blocks whose attention has a window.
    """

    full: Any
    window: Any


class LayerAttentionInputs(NamedTuple):
    """What the self-attention of one block reads beside the residual stream.

    Attributes:
      mask: `Bool[B 1|N L S]`, True = may attend. None: to everything; in a causal model, to everything up to
        the position itself.
      rotation: of queries and keys; None where positions are not rotary.
      bias: `Float32[B|1 N L S]`, added to the scores, or None.
    """

    mask: Bool[Array, " B #N L S"] | None
    rotation: ops.Rotation | None
    bias: Float[Array, " #B N L S"] | None


class AttentionInputs(NamedTuple):
    """What attention reads beside the residual stream, computed once for all blocks.

    Attributes:
      masks: `Bool[B 1|N L S]` for each kind of block. None for a kind that the config does not use, and where
        nothing is masked, or only what causality hides.
      rotations: `ops.Rotation` for each kind of block; None where positions are not rotary.
      bias: `Float32[B|1 N L S]`; None where positions are not relative.
      memory: `Float[B S D]` the output of an encoder; None without cross-attention, and where a cache holds
        its keys and values.
      memory_mask: `Bool[B 1 L|1 S]`, True = may attend; None for everything.
      interventions: the changes to make in the blocks.
    """

    masks: ByLayerKind
    rotations: ByLayerKind
    bias: Float[Array, " #B N L S"] | None = None
    memory: Float[Array, "B S D"] | None = None
    memory_mask: Bool[Array, "B 1 #L S"] | None = None
    interventions: tuple[Intervention, ...] = ()

    def of_layer(self, config: ResolvedConfig, number: Int[Array, ""] | int) -> LayerAttentionInputs:
        """Returns the part for one block.

        Args:
          config: of the stack of blocks.
          number: of the block, from 0; traced inside a scan, else an int.
        """
        return LayerAttentionInputs(*self._of_kind(config, number), self.bias)

    def _of_kind(self, config: ResolvedConfig, number: Int[Array, ""] | int) -> tuple[Any, Any]:
        both = (self.masks, self.rotations)
        windows = [config.has_window(layer) for layer in range(config.depth)]
        if len(set(windows)) == 1:
            return (
                (self.masks.window, self.rotations.window)
                if windows[0]
                else (self.masks.full, self.rotations.full)
            )
        if isinstance(number, int):
            return tuple(values.window if windows[number] else values.full for values in both)
        chosen = jnp.asarray(windows)[number]
        return tuple(
            jax.tree.map(lambda full, window: jnp.where(chosen, window, full), *values) for values in both
        )


def full_attention_inputs(
    config: ResolvedConfig,
    positions: Int[Array, "B L"] | Int[Array, "B L 2"],
    segments: Int[Array, "B L"] | None,
    attention_mask: Bool[Array, " B #N L L"] | None,
) -> AttentionInputs:
    """Returns the attention inputs for whole rows, without cached keys.

    Args:
      config: of the stack of blocks.
      positions: of each token.
      segments: None: each row is one segment without padding.
      attention_mask: restricts attention further; None: it does not.
    """

    def mask(window: int | None) -> Array | None:
        # A scan over blocks of both kinds selects one of two masks, so that neither may be None.
        is_selected = config.scan_layers and config.window is not None
        # Attention hides later positions itself where there is no mask; a given mask must hide them.
        is_complete = not config.causal or attention_mask is None
        if segments is None and window is None and not is_selected and is_complete:
            return attention_mask
        rows = jnp.ones(positions.shape[:2], jnp.int32) if segments is None else segments
        allowed = ops.attention_mask(rows, causal=config.causal, window=window)
        return allowed if attention_mask is None else allowed & attention_mask

    lengths = ops.lengths_from_segments(positions, segments) if config.is_dynamic else None
    return AttentionInputs(_masks_by_kind(config, mask), _rotations(config, positions, lengths))


def cached_attention_inputs(
    config: ResolvedConfig,
    positions: Int[Array, "B L"] | Int[Array, "B L 2"],
    attention_mask: Bool[Array, " B #N L S"],
    cache: Cache,
) -> AttentionInputs:
    """Returns the attention inputs for new tokens that attend to a cache.

    Args:
      config: of the stack of blocks.
      positions: of the new tokens.
      attention_mask: over the slots of the cache.
      cache: with the positions of the new tokens already written.
    """

    def mask(window: int | None) -> Array:
        return slot_mask(attention_mask, positions, cache.positions, window)

    return AttentionInputs(_masks_by_kind(config, mask), _rotations(config, positions, None))


def memory_mask(
    segments: Int[Array, "B L"] | None, memory_segments: Int[Array, "B S"] | None, *, is_cached: bool
) -> Bool[Array, "B 1 #L S"] | None:
    """Returns which positions of a memory each position may attend to: those of the same segment.

    Args:
      segments: of the decoder's rows; None: each row is one segment without padding.
      memory_segments: of the memory; None: likewise.
      is_cached: whether there is a cache: then all of the memory but its padding may be attended to.

    Raises:
      UsageError: if the decoder's rows have segments and the memory has none.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.models._attention_inputs import memory_mask
      >>> memory_mask(jnp.array([[1, 2, 0]]), jnp.array([[1, 2, 2, 0]]), is_cached=False)[0, 0].astype(int)
      Array([[1, 0, 0, 0],
             [0, 1, 1, 0],
             [0, 0, 0, 0]], dtype=int32)
    """
    if memory_segments is not None and is_cached:
        return (memory_segments > 0)[:, None, None, :]
    if memory_segments is None:
        if segments is None:
            return None
        raise UsageError(
            "segments of a decoder's rows say which of the memory's they read: got no memory_segments"
        )
    rows = jnp.ones((memory_segments.shape[0], 1), jnp.int32) if segments is None else segments
    return ((rows[:, :, None] == memory_segments[:, None, :]) & (rows > 0)[:, :, None])[:, None]


def _masks_by_kind(config: ResolvedConfig, mask: Callable[[int | None], Array | None]) -> ByLayerKind:
    windows = {config.has_window(layer) for layer in range(config.depth)}
    return ByLayerKind(
        mask(None) if False in windows else None, mask(config.window) if True in windows else None
    )


def _rotations(config: ResolvedConfig, positions: Array, lengths: Array | None) -> ByLayerKind:
    rotary = config.position
    if not isinstance(rotary, Rotary):
        return ByLayerKind(None, None)
    scaling = to_rotary_scaling(rotary.scaling, rotary.amplitude)
    width = int(config.head_width * rotary.share)
    full = ops.make_rotation(positions, width, rotary.base, scaling, lengths)
    if rotary.window_base is None:
        return ByLayerKind(full, full)
    return ByLayerKind(full, ops.make_rotation(positions, width, rotary.window_base))
