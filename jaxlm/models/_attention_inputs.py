"""What every block reads beside the stream: who may attend to whom, and how far features turn."""

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
    """One thing for the blocks that see everything, another for those with a window."""

    full: Any
    window: Any


class LayerAttentionInputs(NamedTuple):
    """What the self-attention of one block reads beside the stream.

    Attributes:
      mask: `Bool[B 1|N L S]`, True = may attend; None for everything, or, of a causal model, for everything
        up to the position itself.
      turns: of queries and keys, or None.
      bias: `Float32[B|1 N L S]`, added to the scores, or None.
    """

    mask: Bool[Array, " B #N L S"] | None
    turns: ops.Rotation | None
    bias: Float[Array, " #B N L S"] | None


class AttentionInputs(NamedTuple):
    """Masks, turns, the bias of the scores and the memory, computed once for all blocks.

    Attributes:
      masks: two of `Bool[B 1|N L S]`; a kind of block that the config has not has None, as has one in which
        nothing but causality restricts attention, which needs no mask.
      turns: two of `ops.Rotation`, None where positions are not rotary.
      bias: `Float32[B|1 N L S]`, None where positions are not relative.
      memory: `Float[B S D]` what an encoder made; None where there is none, or blocks have kept theirs.
      memory_mask: `Bool[B 1 L|1 S]`, True = may attend; None for everything.
      interventions: what is changed in the blocks.
    """

    masks: ByLayerKind
    turns: ByLayerKind
    bias: Float[Array, " #B N L S"] | None = None
    memory: Float[Array, "B S D"] | None = None
    memory_mask: Bool[Array, "B 1 #L S"] | None = None
    interventions: tuple[Intervention, ...] = ()

    def of_layer(self, config: ResolvedConfig, number: Int[Array, ""] | int) -> LayerAttentionInputs:
        """Returns what a block reads of it; its number is known when a scan runs, or before."""
        return LayerAttentionInputs(*self._of_kind(config, number), self.bias)

    def _of_kind(self, config: ResolvedConfig, number: Int[Array, ""] | int) -> tuple[Any, Any]:
        both = (self.masks, self.turns)
        windows = [config.has_window(layer) for layer in range(config.depth)]
        if len(set(windows)) == 1:
            return (
                (self.masks.window, self.turns.window) if windows[0] else (self.masks.full, self.turns.full)
            )
        if isinstance(number, int):
            return tuple(kinds.window if windows[number] else kinds.full for kinds in both)
        chosen = jnp.asarray(windows)[number]
        return tuple(
            jax.tree.map(lambda full, window: jnp.where(chosen, window, full), *kinds) for kinds in both
        )


def full_attention_inputs(
    config: ResolvedConfig,
    positions: Int[Array, "B L"] | Int[Array, "B L 2"],
    segments: Int[Array, "B L"] | None,
    attention_mask: Bool[Array, " B #N L L"] | None,
) -> AttentionInputs:
    """Returns the scope of rows that are read as a whole."""

    def mask(window: int | None) -> Array | None:
        # A scan over blocks of both kinds chooses between two masks, so that both have to be there.
        chosen = config.scan_layers and config.window is not None
        # What causality alone hides is hidden by the attention itself.
        is_told = not config.causal or attention_mask is None
        if segments is None and window is None and not chosen and is_told:
            return attention_mask
        rows = jnp.ones(positions.shape[:2], jnp.int32) if segments is None else segments
        found = ops.attention_mask(rows, causal=config.causal, window=window)
        return found if attention_mask is None else found & attention_mask

    lengths = ops.lengths_from_segments(positions, segments) if config.is_dynamic else None
    return AttentionInputs(_of_kinds(config, mask), _turns(config, positions, lengths))


def cached_attention_inputs(
    config: ResolvedConfig,
    positions: Int[Array, "B L"] | Int[Array, "B L 2"],
    attention_mask: Bool[Array, " B #N L S"],
    cache: Cache,
) -> AttentionInputs:
    """Returns the scope of new tokens beside a cache in which their positions are already."""

    def mask(window: int | None) -> Array:
        return slot_mask(attention_mask, positions, cache.positions, window)

    return AttentionInputs(_of_kinds(config, mask), _turns(config, positions, None))


def memory_mask(
    segments: Int[Array, "B L"] | None, memory_segments: Int[Array, "B S"] | None, *, is_cached: bool
) -> Bool[Array, "B 1 #L S"] | None:
    """Returns which positions of a memory may be read: those of the same segment.

    Args:
      segments: of the rows that read; None: each row is one segment without padding.
      memory_segments: of the memory; None: likewise.
      is_cached: whether the new tokens are of the memory's one text, wherever they stand.

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


def _of_kinds(config: ResolvedConfig, mask: Callable[[int | None], Array | None]) -> ByLayerKind:
    windows = {config.has_window(layer) for layer in range(config.depth)}
    return ByLayerKind(
        mask(None) if False in windows else None, mask(config.window) if True in windows else None
    )


def _turns(config: ResolvedConfig, positions: Array, lengths: Array | None) -> ByLayerKind:
    rotary = config.position
    if not isinstance(rotary, Rotary):
        return ByLayerKind(None, None)
    scaling = to_rotary_scaling(rotary.scaling, rotary.amplitude)
    width = int(config.head_width * rotary.share)
    full = ops.make_rotation(positions, width, rotary.base, scaling, lengths)
    if rotary.window_base is None:
        return ByLayerKind(full, full)
    return ByLayerKind(full, ops.make_rotation(positions, width, rotary.window_base))
