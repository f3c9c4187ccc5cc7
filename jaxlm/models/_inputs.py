"""The inputs of a model, as one record, and all checks of them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.errors import ConfigError, UsageError
from jaxlm.models._cache import Cache
from jaxlm.models._config import ResolvedConfig
from jaxlm.models._position import Instruction, Learned, Rotary, Sinusoidal
from jaxlm.models._rotary_scaling import DynamicScaling
from jaxlm.typing import Array, Bool, Float, Int


class Inputs(NamedTuple):
    """The inputs of a model. An array of tokens stands for `Inputs(tokens=tokens)`.

    A row may hold several texts, its segments, which do not attend to each other; the rest of the row is
    padding. Padding does not change the results at other positions, whatever ids it holds. Letters: `B` rows,
    `L` positions, `S` positions attended to (slots of a cache, or positions of a memory), `D` width, `N`
    query heads.

    Attributes:
      tokens: `Int[B L]` ids; an id outside of the vocabulary gives NaN. None: `embeddings` are given instead.
      embeddings: `Float[B L D]`, vectors that are read in place of tokens, as `token_vectors` returns them.
        None: `tokens` are given instead. Exactly one of the two is given.
      segments: `Int[B L]`, the number of each position's segment in its row, from 1; 0 = padding. A segment's
        positions are contiguous. None: each row is one segment without padding.
      positions: `Int[B L]`, the index of each token in its segment; for instruction positions `Int[B L 2]`,
        the index of the instruction and the index within it. None: they are computed from the segments, and
        for instruction positions from the tokens and `next_id`. A position beyond a table of `max_length`
        rows takes the last row.
      attention_mask: `Bool[B 1|N L L]`, True = may attend; it restricts attention further than segments,
        `causal` and window do. With a cache it is `Bool[B 1|N L S]` over the slots, and the only mask. None:
        no further restriction; with a cache, the cache is empty.
      token_types: `Int[B L]`, rows of the table of token types, for a model that has one; None: all are 0.
      memory: `Float[B S D]`, the `hidden` of an encoder, for a decoder with cross-attention. With a cache,
        the memory is given in the first call only: the cache keeps the keys and values that the blocks
        compute from it. None: there is no memory, or the cache has it.
      memory_segments: `Int[B S]`, the segments of the memory; 0 = padding. A position attends to the memory's
        segment of the same number; with a cache, to all of the memory but padding. None: each row is one
        segment without padding.
      encoder: the inputs of the encoder, for an encoder-decoder, instead of a memory; None: there is no
        encoder.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.models import Inputs
      >>> inputs = Inputs(tokens=jnp.array([[7, 8, 9, 0]]), segments=jnp.array([[1, 1, 2, 0]]))
      >>> inputs.num_rows, inputs.length
      (1, 4)
    """

    tokens: Int[Array, "B L"] | None = None
    embeddings: Float[Array, "B L D"] | None = None
    segments: Int[Array, "B L"] | None = None
    positions: Int[Array, "B L"] | Int[Array, "B L 2"] | None = None
    attention_mask: Bool[Array, " B #N L S"] | None = None
    token_types: Int[Array, "B L"] | None = None
    memory: Float[Array, "B S D"] | None = None
    memory_segments: Int[Array, "B S"] | None = None
    encoder: "Inputs | None" = None

    @property
    def num_rows(self) -> int:
        """B, the number of rows."""
        return self._shape[0]

    @property
    def length(self) -> int:
        """L, the number of positions of a row."""
        return self._shape[1]

    @property
    def _shape(self) -> tuple[int, ...]:
        given = self.tokens if self.embeddings is None else self.embeddings
        return self.required_tokens().shape if given is None else given.shape

    def required_tokens(self) -> Int[Array, "B L"]:
        """Returns `tokens`, which must be given.

        Raises:
          UsageError: if `tokens` is None.
        """
        if self.tokens is None:
            told = "neither" if self.embeddings is None else "embeddings alone"
            raise UsageError(f"a model reads tokens here: got {told}")
        return self.tokens


def as_inputs(inputs: Inputs | Int[Array, "B L"]) -> Inputs:
    """Returns the inputs as a record with JAX arrays; an array stands for the tokens.

    Raises:
      UsageError: if tokens and embeddings are both given or both missing, or a field has a wrong dtype or
        shape.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.models._inputs import as_inputs
      >>> as_inputs(jnp.array([[7, 8]])).tokens.tolist()
      [[7, 8]]
    """
    inputs = inputs if isinstance(inputs, Inputs) else Inputs(tokens=inputs)
    if inputs.encoder is not None:
        inputs = inputs._replace(encoder=as_inputs(inputs.encoder))
    if (inputs.tokens is None) == (inputs.embeddings is None):
        told = "neither" if inputs.tokens is None else "both"
        raise UsageError(f"a model reads tokens or embeddings: got {told}")
    _check_field(inputs, "tokens", np.integer, (None, None))
    _check_field(inputs, "embeddings", np.floating, (None, None, None))
    rows = inputs.num_rows, inputs.length
    _check_field(inputs, "segments", np.integer, rows)
    _check_field(inputs, "token_types", np.integer, rows)
    _check_field(inputs, "attention_mask", np.bool_, (rows[0], None, rows[1], None))
    _check_field(inputs, "memory", np.floating, (rows[0], None, None))
    length = None if inputs.memory is None else inputs.memory.shape[1]
    _check_field(inputs, "memory_segments", np.integer, (rows[0], length))
    return jax.tree.map(jnp.asarray, inputs)


def check_inputs(
    config: ResolvedConfig, inputs: Inputs, cache: Cache | None, slots: Int[Array, "B L"] | None
) -> None:
    """Refuses inputs that contradict the config, the cache or each other.

    Args:
      config: of the stack of blocks that reads the inputs.
      inputs: from `as_inputs`.
      cache: the cache that is read and written, or None.
      slots: `Int[B L]` of the new tokens in the cache, or None.

    Raises:
      UsageError: if an input that is needed is missing, or two of them contradict each other.
      ConfigError: if a model of this config cannot use a cache.
    """
    if inputs.encoder is not None:
        raise UsageError("one stack of blocks has no encoder: got inputs for one; give its output as memory")
    if cache is None and slots is not None:
        raise UsageError("slots are those of a cache: got slots without one; give cache, or leave slots out")
    _check_positions(config, inputs)
    _check_memory(config, inputs, cache)
    if cache is not None:
        _check_cached(config, inputs, cache, slots)


def check_both_sides(inputs: Inputs, cache: Cache | None) -> None:
    """Refuses inputs of an encoder-decoder whose two sides contradict each other.

    Args:
      inputs: of the decoder, from `as_inputs`.
      cache: of the decoder, or None.

    Raises:
      UsageError: if both an encoder's inputs and a memory are given, or segments for one side only.
    """
    if inputs.encoder is None:
        return
    if inputs.memory is not None or inputs.memory_segments is not None:
        raise UsageError("a decoder reads an encoder's text or its memory: got both; leave one out")
    of_encoder = inputs.encoder.segments is not None
    if cache is None and of_encoder != (inputs.segments is not None):
        side = "encoder" if of_encoder else "decoder"
        raise UsageError(
            "segments say which text of the encoder each one of the decoder is written from: "
            f"got them of the {side} alone; give both, or none"
        )


_KINDS = {np.integer: "integers", np.floating: "floats", np.bool_: "booleans"}


def _check_field(inputs: Inputs, name: str, kind: type, shape: tuple[int | None, ...]) -> None:
    """Refuses a field whose array has another kind of dtype or another shape; None stands for any size."""
    array = getattr(inputs, name)
    if array is None:
        return
    given = getattr(array, "shape", None)
    if given is None or not jnp.issubdtype(array.dtype, kind):
        told = type(array).__name__ if given is None else f"one of {array.dtype}"
        raise UsageError(f"inputs.{name} is an array of {_KINDS[kind]}: got {told}")
    is_right = len(given) == len(shape) and all(
        wanted in (None, size) for wanted, size in zip(shape, given, strict=True)
    )
    if not is_right:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise UsageError(f"inputs.{name} has the shape [{wanted}] here: got {list(given)}")


def _check_positions(config: ResolvedConfig, inputs: Inputs) -> None:
    shape = (inputs.num_rows, inputs.length)
    if inputs.positions is not None:
        wanted = (*shape, 2) if isinstance(config.position, Instruction) else shape
        if inputs.positions.shape != wanted:
            raise UsageError(
                f"position={config.position.kind!r} reads positions of shape {wanted}: "
                f"got {inputs.positions.shape}"
            )
        return
    if isinstance(config.position, Instruction):
        if inputs.tokens is None:
            raise UsageError(
                "instruction positions come from tokens: got embeddings alone, pass positions too"
            )
        if config.position.next_id is None:
            raise UsageError("instruction positions need next_id in the config, or positions: got neither")
    is_bounded = isinstance(config.position, (Learned, Sinusoidal))
    if is_bounded and inputs.segments is None and inputs.length > config.max_length:
        raise UsageError(
            f"{config.position.kind} positions end at max_length={config.max_length}: got rows of "
            f"{inputs.length} tokens; cut them or pass segments"
        )


def _check_memory(config: ResolvedConfig, inputs: Inputs, cache: Cache | None) -> None:
    is_kept = cache is not None and cache.memory is not None
    if config.cross_attention and (inputs.memory is None) != is_kept:
        told = "none" if inputs.memory is None else "one beside what the cache keeps of it"
        raise UsageError(f"cross-attention reads one memory, given once: got {told}")
    if not config.cross_attention and inputs.memory is not None:
        raise UsageError("a model without cross-attention reads no memory: got one; set cross_attention")
    if inputs.memory is None and inputs.memory_segments is not None:
        raise UsageError("memory_segments are those of a memory: got them without one")
    is_told = inputs.memory is None or inputs.segments is None or inputs.memory_segments is not None
    if not is_told:
        raise UsageError(
            "segments of a decoder's rows say which of the memory's they read: got no memory_segments"
        )


def _check_cached(
    config: ResolvedConfig, inputs: Inputs, cache: Cache, slots: Int[Array, "B L"] | None
) -> None:
    given = {"slots": slots, "positions": inputs.positions}
    if inputs.attention_mask is None:
        del given["slots"]
    missing = [name for name, array in given.items() if array is None]
    if missing:
        raise UsageError(f"with a cache the caller says {', '.join(given)}: got no {', no '.join(missing)}")
    if inputs.segments is not None:
        raise UsageError("with a cache the attention mask says who reads whom: got segments too; drop them")
    if inputs.attention_mask is None and not config.causal:
        raise UsageError("without an attention mask a causal model fills an empty cache: got causal=False")
    if inputs.attention_mask is not None and inputs.attention_mask.shape[-1] != cache.num_slots:
        raise UsageError(
            f"the attention mask is over the cache's {cache.num_slots} slots: "
            f"got {inputs.attention_mask.shape[-1]}"
        )
    if slots is None and inputs.length > cache.num_slots:
        raise UsageError(
            f"the first slots hold what an empty cache is given: got {inputs.length} tokens for "
            f"{cache.num_slots}; name their slots"
        )
    _check_cacheable(config, inputs, cache)


def _check_cacheable(config: ResolvedConfig, inputs: Inputs, cache: Cache) -> None:
    """Refuses a cache for models in which later tokens change the keys and values of earlier ones."""
    if config.token_dropout:
        raise ConfigError(
            "token_dropout counts the masks of a whole text: a model that has it reads no cache"
        )
    scaling = config.position.scaling if isinstance(config.position, Rotary) else None
    longest = scaling.length if isinstance(scaling, DynamicScaling) else None
    if longest is not None and cache.num_slots > longest:
        raise ConfigError(
            "dynamic rotary scaling turns keys anew where a text grows longer than "
            f"{longest} tokens, and a cache keeps them turned: got {cache.num_slots} slots"
        )
    if config.window is not None and inputs.positions is not None and inputs.positions.ndim == 3:
        raise ConfigError(
            "a window needs offsets, which instruction positions are not: no cache for such models"
        )
