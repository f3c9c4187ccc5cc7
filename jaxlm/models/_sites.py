"""Places in the network that can be looked at and changed.

Letters: `R` layers, `B` rows, `L` positions, `S` positions attended to (of an encoder too), `D`
width, `N` query heads, `K` key/value heads, `H` head width.
"""

import enum
from typing import Any

from jaxlm.errors import UsageError
from jaxlm.typing import Array


class Site(enum.StrEnum):
    """A place in the network: every block has one of each, but for the embeddings.

    Where norms come before a sub-layer, `RESIDUAL = BLOCK_INPUT + ATTENTION_OUTPUT + FEED_FORWARD_OUTPUT`, in
    a decoder with cross-attention plus `CROSS_ATTENTION_OUTPUT`.

    Attributes:
      EMBEDDINGS: `Float[B L D]` the stream that the first block reads: tokens and positions, after norm and
        dropout. It has one layer, 0.
      BLOCK_INPUT: `Float[B L D]` the stream before a block, which is `RESIDUAL` of the block before.
      QUERIES: `Float[B L N H]` as they meet the keys: normalised and turned, before the scores' factor.
      KEYS: `Float[B L K H]` likewise; of new tokens, where there is a cache, which keeps them as changed.
      VALUES: `Float[B L K H]`, likewise.
      ATTENTION_PROBS: `Float32[B N L S]` before dropout; attention is not fused where they are looked at or
        changed, and is where other sites are.
      ATTENTION_OUTPUT: `Float[B L D]` what attention adds to the stream.
      CROSS_QUERIES: `Float[B L N H]`, of the attention to a memory as those above.
      CROSS_KEYS: `Float[B S K H]` of the memory. A cache keeps them as changed by the call that is given the
        memory; a change by a later call is of that call alone.
      CROSS_VALUES: `Float[B S K H]`, likewise.
      CROSS_ATTENTION_PROBS: `Float32[B N L S]`.
      CROSS_ATTENTION_OUTPUT: `Float[B L D]`.
      FEED_FORWARD_OUTPUT: `Float[B L D]` what the feed-forward adds to the stream.
      RESIDUAL: `Float[B L D]` the stream after a block; the final norm comes behind the last one.
      ENCODER_EMBEDDINGS: of an encoder-decoder's encoder what `EMBEDDINGS` is of its decoder, and so on.
      ENCODER_BLOCK_INPUT: likewise.
      ENCODER_QUERIES: likewise.
      ENCODER_KEYS: likewise.
      ENCODER_VALUES: likewise.
      ENCODER_ATTENTION_PROBS: likewise.
      ENCODER_ATTENTION_OUTPUT: likewise.
      ENCODER_FEED_FORWARD_OUTPUT: likewise.
      ENCODER_RESIDUAL: likewise.

    Example:
      >>> from jaxlm.models import Site
      >>> Site("residual") is Site.RESIDUAL
      True
    """

    EMBEDDINGS = "embeddings"
    BLOCK_INPUT = "block_input"
    QUERIES = "queries"
    KEYS = "keys"
    VALUES = "values"
    ATTENTION_PROBS = "attention_probs"
    ATTENTION_OUTPUT = "attention_output"
    CROSS_QUERIES = "cross_queries"
    CROSS_KEYS = "cross_keys"
    CROSS_VALUES = "cross_values"
    CROSS_ATTENTION_PROBS = "cross_attention_probs"
    CROSS_ATTENTION_OUTPUT = "cross_attention_output"
    FEED_FORWARD_OUTPUT = "feed_forward_output"
    RESIDUAL = "residual"
    ENCODER_EMBEDDINGS = "encoder_embeddings"
    ENCODER_BLOCK_INPUT = "encoder_block_input"
    ENCODER_QUERIES = "encoder_queries"
    ENCODER_KEYS = "encoder_keys"
    ENCODER_VALUES = "encoder_values"
    ENCODER_ATTENTION_PROBS = "encoder_attention_probs"
    ENCODER_ATTENTION_OUTPUT = "encoder_attention_output"
    ENCODER_FEED_FORWARD_OUTPUT = "encoder_feed_forward_output"
    ENCODER_RESIDUAL = "encoder_residual"


# The encoder's sites, by the names that a stack of blocks of its own has for them.
OF_ENCODER = {site: Site(site.removeprefix("encoder_")) for site in Site if site.startswith("encoder_")}
PROBS = (Site.ATTENTION_PROBS, Site.CROSS_ATTENTION_PROBS)
Sites = tuple[Site, ...]


def as_sites(intermediates: Any) -> Sites:
    """Returns the sites that are asked for, each once.

    Raises:
      UsageError: if something is no site.

    Example:
      >>> from jaxlm.models._sites import as_sites
      >>> as_sites(["hidden"])
      Traceback (most recent call last):
      jaxlm.errors.UsageError: a site is one of models.Site: got 'hidden'; they are embeddings, ...
    """
    if isinstance(intermediates, (str, bool)):
        raise UsageError(
            f"intermediates are sites, such as (models.Site.RESIDUAL,): got {intermediates!r} alone"
        )
    for site in intermediates:
        check_site(site)
    return tuple(dict.fromkeys(intermediates))


def encoder_sites(sites: Sites) -> Sites:
    """Returns those of the encoder, by the names that its stack of blocks has for them."""
    return tuple(OF_ENCODER[site] for site in sites if site in OF_ENCODER)


def decoder_sites(sites: Sites) -> Sites:
    """Returns those that are not of the encoder."""
    return tuple(site for site in sites if site not in OF_ENCODER)


def named_for_encoder(values: dict[Site, Array]) -> dict[Site, Array]:
    """Returns what an encoder's stack of blocks showed, by the names that the whole model has for it."""
    return {Site(f"encoder_{site}"): array for site, array in values.items()}


def check_site(site: Any) -> None:
    if not isinstance(site, Site):
        raise UsageError(f"a site is one of models.Site: got {site!r}; they are {', '.join(Site)}")
