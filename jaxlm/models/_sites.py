"""Sites: the named values inside a model that can be returned and changed.

Letters: `R` layers, `B` rows, `L` positions, `S` positions attended to (of an encoder too), `D`
width, `N` query heads, `K` key/value heads, `H` head width.
"""

import enum
from typing import Any

from jaxlm.errors import UsageError
from jaxlm.typing import Array


class Site(enum.StrEnum):
    """A named array inside a model. Every block has each of these sites, except the embeddings.

    With pre-norm blocks, `RESIDUAL = BLOCK_INPUT + ATTENTION_OUTPUT + FEED_FORWARD_OUTPUT`, in a decoder with
    cross-attention plus `CROSS_ATTENTION_OUTPUT`.

    Attributes:
      EMBEDDINGS: `Float[B L D]` the input of the first block: token and position embeddings, after norm and
        dropout. Its only layer is 0.
      BLOCK_INPUT: `Float[B L D]` the residual stream before a block, which is `RESIDUAL` of the previous
        block.
      QUERIES: `Float[B L N H]` queries after norm and rotation, before they are multiplied by the factor of
        the scores.
      KEYS: `Float[B L K H]` keys after norm and rotation. With a cache they are the keys of the new tokens,
        and a changed key is cached.
      VALUES: `Float[B L K H]` values. With a cache they are the values of the new tokens, and a changed value
        is cached.
      ATTENTION_PROBS: `Float32[B N L S]` attention probabilities before dropout. Attention is not fused if
        they are returned or changed; other sites do not prevent fused attention.
      ATTENTION_OUTPUT: `Float[B L D]` what attention adds to the residual stream.
      CROSS_QUERIES: `Float[B L N H]` queries of the attention to a memory, the encoder's output.
      CROSS_KEYS: `Float[B S K H]` keys of the memory. With a cache, a change in the first call, which is
        given the memory, is cached; a change in a later call holds for that call alone.
      CROSS_VALUES: `Float[B S K H]` values of the memory, which are cached as `CROSS_KEYS` are.
      CROSS_ATTENTION_PROBS: `Float32[B N L S]` probabilities of the attention to the memory, before dropout.
      CROSS_ATTENTION_OUTPUT: `Float[B L D]` what the attention to the memory adds to the residual stream.
      FEED_FORWARD_OUTPUT: `Float[B L D]` what the feed-forward adds to the residual stream.
      RESIDUAL: `Float[B L D]` the residual stream after a block, before the final norm.
      ENCODER_EMBEDDINGS: `EMBEDDINGS` of an encoder-decoder's encoder.
      ENCODER_BLOCK_INPUT: `BLOCK_INPUT` of the encoder.
      ENCODER_QUERIES: `QUERIES` of the encoder.
      ENCODER_KEYS: `KEYS` of the encoder.
      ENCODER_VALUES: `VALUES` of the encoder.
      ENCODER_ATTENTION_PROBS: `ATTENTION_PROBS` of the encoder.
      ENCODER_ATTENTION_OUTPUT: `ATTENTION_OUTPUT` of the encoder.
      ENCODER_FEED_FORWARD_OUTPUT: `FEED_FORWARD_OUTPUT` of the encoder.
      ENCODER_RESIDUAL: `RESIDUAL` of the encoder.

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


# From the encoder's sites to their names within the encoder's own stack of blocks.
ENCODER_SITES = {site: Site(site.removeprefix("encoder_")) for site in Site if site.startswith("encoder_")}
PROBS = (Site.ATTENTION_PROBS, Site.CROSS_ATTENTION_PROBS)
Sites = tuple[Site, ...]


def as_sites(intermediates: Any) -> Sites:
    """Returns sites as a tuple, without repetitions.

    Raises:
      UsageError: if one of them is not a `Site`.

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
    """Returns the encoder's sites among some, by their names within the encoder's own stack of blocks."""
    return tuple(ENCODER_SITES[site] for site in sites if site in ENCODER_SITES)


def decoder_sites(sites: Sites) -> Sites:
    """Returns the sites among some that are not the encoder's."""
    return tuple(site for site in sites if site not in ENCODER_SITES)


def named_for_encoder(values: dict[Site, Array]) -> dict[Site, Array]:
    """Returns values of the encoder's own stack of blocks under the sites' names in the whole model."""
    return {Site(f"encoder_{site}"): array for site, array in values.items()}


def check_site(site: Any) -> None:
    """Refuses anything but a `Site`.

    Raises:
      UsageError: if it is none.
    """
    if not isinstance(site, Site):
        raise UsageError(f"a site is one of models.Site: got {site!r}; they are {', '.join(Site)}")
