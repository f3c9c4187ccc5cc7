"""Noise for a run: a config applied to a tokenizer's ids, and one function that corrupts a batch."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxlm import tokenizers
from jaxlm.corruption._blosum import BLOSUM62_ORDER
from jaxlm.corruption._corrupt import Corrupted, Replacement, corrupt, corruptible
from jaxlm.corruption._matrix import by_matrix
from jaxlm.corruption._noise_config import NoiseConfig
from jaxlm.corruption._replacements import keep, mixture, to_mask, to_other, to_random
from jaxlm.corruption._timesteps import draw_fractions, fraction_table
from jaxlm.corruption._transitions import blosum62_transitions
from jaxlm.corruption._units import UnitBoundaries, make_units, unit_starts
from jaxlm.errors import ConfigError
from jaxlm.typing import Array, Float, Key


class Noise(NamedTuple):
    """A `NoiseConfig` applied to a tokenizer's ids. Jitted functions capture it in a closure: it is no
    pytree.

    Attributes:
      config: the config; if its schedule is constant, its rate is known.
      replacement: the function from random words and chosen ids to new ids.
      mask_id: the id of the mask token; None: the tokenizer has none.
      random_ids: `Int32[...]`, the ids from which random ids are drawn.
      forbidden: `Bool[V]`, True = ids that are never chosen.
      units: where the words or instructions that are chosen as a whole begin, see `unit_starts`; None: every
        token is chosen on its own.
      fraction_table: `UInt32[65536]`, quantiles of the share of an example that is corrupted, in units of
        2^-32; None: the rate is constant.

    Example:
      >>> from jaxlm import tokenizers
      >>> from jaxlm.corruption import NoiseConfig, make_noise
      >>> noise = make_noise(NoiseConfig(rate=0.15), tokenizers.bytes_tokenizer())
      >>> noise.mask_id, noise.random_ids.size, int(noise.forbidden.sum())
      (259, 256, 4)
    """

    config: NoiseConfig
    replacement: Replacement
    mask_id: int | None
    random_ids: np.ndarray
    forbidden: np.ndarray
    units: UnitBoundaries | None
    fraction_table: np.ndarray | None


def make_noise(
    config: NoiseConfig,
    tokenizer: tokenizers.Tokenizer,
    *,
    vocab_size: int | None = None,
    may_choose_next: bool = False,
) -> Noise:
    """Returns a config applied to a tokenizer's ids.

    Special tokens are neither chosen nor drawn. Of protein residues only the 20 canonical ones are drawn: X,
    B, Z, U, O and the gap may be chosen, but no token becomes one of them.

    Args:
      config: the settings of the noise; a constant schedule needs a rate.
      tokenizer: the tokenizer whose ids are chosen and drawn.
      vocab_size: V of the model, at least the tokenizer's; ids that only the model has are neither chosen nor
        drawn. None: the tokenizer's.
      may_choose_next: whether [NEXT], the token that ends an instruction, may be chosen like any other token.

    Raises:
      ConfigError: if the tokenizer lacks what the config needs (a mask, words, instructions, residues, two
        ids to draw from), or a constant schedule has no rate.

    Example:
      >>> from jaxlm import tokenizers
      >>> from jaxlm.corruption import NoiseConfig, make_noise
      >>> config = NoiseConfig(rate=0.1, mask_share=0.0, random_share=0.0, keep_share=0.0,
      ...                      substitute_share=1.0, substitution="blosum62")
      >>> noise = make_noise(config, tokenizers.residue_tokenizer())
      >>> int((~noise.forbidden).sum())
      20
    """
    if config.schedule == "constant":
        config.required_rate()
    size = tokenizer.vocab_size if vocab_size is None else vocab_size
    if size < tokenizer.vocab_size:
        raise ConfigError(
            f"vocab_size has no room for the tokenizer's ids: got {size}, not {tokenizer.vocab_size}"
        )
    special = tokenizers.special_mask(tokenizer, size)
    random_ids = _random_ids(tokenizer, special)
    forbidden = special.copy()
    if config.substitution == "blosum62" and config.substitute_share > 0:
        forbidden[:] = True
        forbidden[list(canonical_residue_ids(tokenizer))] = False
    if may_choose_next and tokenizer.specials.next is not None:
        forbidden[tokenizer.specials.next] = False
    return Noise(
        config,
        _replacement(config, tokenizer, random_ids),
        tokenizer.specials.mask,
        random_ids,
        forbidden,
        make_units(config.unit, tokenizer, size),
        fraction_table(config),
    )


def corrupt_batch(
    rng: Key[Array, ""], batch: Any, noise: Noise, *, rate: Float[Array, ""] | None = None
) -> Corrupted:
    """Returns a packed batch corrupted: `corrupt`, with its arguments taken from noise and batch.

    Args:
      rng: PRNG key, the same one for the whole run; use it for no draws of your own.
      batch: any record with the fields `tokens`, `segments`, `example_ids`, `offsets`, which are `Int[B L]`,
        and `epochs`, which is `Int[B]`, such as `data.Batch`.
      noise: the noise, from `make_noise`.
      rate: the share that is chosen of every example, instead of the noise's own; it may be traced. None: the
        share, or the schedule, that the noise has.

    Returns:
      `Corrupted`: the new ids, the clean ids, the mask of chosen positions, and the rates.

    Example:
      >>> from typing import NamedTuple
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import tokenizers
      >>> from jaxlm.corruption import NoiseConfig, corrupt_batch, make_noise
      >>> from jaxlm.typing import Array
      >>> class Batch(NamedTuple):
      ...     tokens: Array
      ...     segments: Array
      ...     example_ids: Array
      ...     offsets: Array
      ...     epochs: Array
      >>> tokens = jnp.full((1, 20), 97)
      >>> batch = Batch(tokens, tokens // 97, tokens * 0, jnp.arange(20)[None], jnp.array([0]))
      >>> noise = make_noise(NoiseConfig(rate=0.15), tokenizers.bytes_tokenizer())
      >>> int(corrupt_batch(jax.random.key(0), batch, noise).loss_mask.sum())
      3
    """
    tokens, segments = jnp.asarray(batch.tokens), jnp.asarray(batch.segments)
    example_ids, epochs = jnp.asarray(batch.example_ids), jnp.asarray(batch.epochs)
    if rate is not None:
        share = jnp.broadcast_to(rate, tokens.shape)
    elif noise.fraction_table is None:
        share = noise.config.required_rate()
    else:
        share = draw_fractions(rng, noise.fraction_table, epochs=epochs, example_ids=example_ids)
    return corrupt(
        rng,
        tokens,
        corruptible(tokens, segments, noise.forbidden),
        example_ids=example_ids,
        offsets=jnp.asarray(batch.offsets),
        segments=segments,
        epochs=epochs,
        replacement=noise.replacement,
        rate=share,
        count=noise.config.count,
        starts=unit_starts(tokens, noise.units),
    )


def canonical_residue_ids(tokenizer: tokenizers.Tokenizer) -> tuple[int, ...]:
    """Returns the ids of the 20 canonical residues, in the order of `BLOSUM62_ORDER`.

    Raises:
      ConfigError: if the tokenizer has no token for each residue.

    Example:
      >>> from jaxlm import tokenizers
      >>> from jaxlm.corruption._noise import canonical_residue_ids
      >>> canonical_residue_ids(tokenizers.residue_tokenizer())[:3]
      (5, 10, 17)
    """
    ids = [id for id in map(tokenizer.id, BLOSUM62_ORDER) if id is not None]
    if tokenizer.kind in ("instructions", "subwords") or len(ids) < len(BLOSUM62_ORDER):
        raise ConfigError(
            "noise.substitution='blosum62' needs a token for each residue: "
            f"got a tokenizer of kind {tokenizer.kind!r}; use tokenizer.kind='residues'"
        )
    return tuple(ids)


def _random_ids(tokenizer: tokenizers.Tokenizer, special: np.ndarray) -> np.ndarray:
    drawn = ~special
    if tokenizer.kind == "residues":
        drawn &= np.isin(np.arange(special.size), canonical_residue_ids(tokenizer))
    return np.flatnonzero(drawn).astype(np.int32)


def _replacement(config: NoiseConfig, tokenizer: tokenizers.Tokenizer, random_ids: np.ndarray) -> Replacement:
    parts = [(config.keep_share, keep())]
    if config.mask_share > 0:
        if tokenizer.specials.mask is None:
            raise ConfigError(
                "noise.mask_share is above 0 and the tokenizer has no mask token such as [MASK]; set it to 0"
            )
        parts.insert(0, (config.mask_share, to_mask(tokenizer.specials.mask)))
    if config.random_share > 0:
        parts.append((config.random_share, to_random(random_ids)))
    if config.substitute_share > 0:
        parts.append((config.substitute_share, _substitution(config, tokenizer, random_ids)))
    return mixture(parts)


def _substitution(
    config: NoiseConfig, tokenizer: tokenizers.Tokenizer, random_ids: np.ndarray
) -> Replacement:
    if config.substitution == "uniform":
        return to_other(random_ids)
    rows = blosum62_transitions(
        temperature=config.temperature, keep_diagonal=config.keep_diagonal, background=config.background
    )
    return by_matrix(rows, canonical_residue_ids(tokenizer))
