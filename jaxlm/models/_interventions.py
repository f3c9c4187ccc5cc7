"""A change of what a site holds, as data, and where it happens.

Letters as in `_sites`.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.errors import UsageError
from jaxlm.models._config import TransformerConfig
from jaxlm.models._sites import OF_ENCODER, PROBS, Site, Sites, as_sites, check_site
from jaxlm.typing import Array, Bool, Int


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["value", "layer", "mask"],
    meta_fields=["site", "operation"],
)
@dataclass(frozen=True, kw_only=True)
class Intervention:
    """A change of what a site holds, as data: a pytree of arrays, of which any may be traced or mapped over.

    Attributes:
      site: where; static.
      value: what is put there, or added; it broadcasts to the site's shape and takes its dtype.
      layer: `Int[]` the number of the block, from 0; 0 for the embeddings. With a traced number that no block
        has, nothing is changed.
      mask: True = is changed: `Bool[B L]` positions of the site, of probabilities those of the queries, or
        what broadcasts to that; or with as many axes as the site what broadcasts to its whole shape, `[1 1 N
        1]` for some heads. None: everything.
      operation: "replace" or "add"; static.

    Raises:
      UsageError: if the site is no `Site`, or the operation is none of the two.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm.models import Intervention, Site
      >>> first = jnp.array([[True, False]])
      >>> zeros = Intervention(site=Site.RESIDUAL, layer=2, value=jnp.zeros(8), mask=first)
      >>> len(jax.tree.leaves(zeros))
      3
    """

    site: Site
    value: Any
    layer: Any = 0
    mask: Any = None
    operation: Literal["replace", "add"] = "replace"

    def __post_init__(self) -> None:
        check_site(self.site)
        if self.operation not in ("replace", "add"):
            raise UsageError(f"an intervention's operation is 'replace' or 'add': got {self.operation!r}")


class PassedSites:
    """The sites of one block, or of the embeddings, as its values pass them: looked at and changed.

    Attributes:
      values: by site, what was asked for, as changed.
    """

    def __init__(
        self, wanted: Sites, interventions: tuple[Intervention, ...], number: Int[Array, ""] | int
    ) -> None:
        self.values: dict[Site, Array] = {}
        self._wanted, self._number = wanted, number
        self._interventions = [one for one in interventions if _may_be_at(one.layer, number)]

    def changer(self, site: Site) -> Callable[[Array], Array] | None:
        """Returns `at` of a site; None where nothing asks for it or may change it."""
        is_read = site in self._wanted or any(one.site == site for one in self._interventions)
        return partial(self.at, site) if is_read else None

    def at(self, site: Site, array: Array) -> Array:
        """Returns what goes on from a site."""
        for one in self._interventions:
            if one.site == site:
                array = _changed(array, one, self._number)
        if site in self._wanted:
            self.values[site] = array
        return array


def check_sites(
    config: TransformerConfig, intermediates: Collection[Site], interventions: Sequence[Intervention]
) -> tuple[Sites, tuple[Intervention, ...]]:
    """Returns the sites that are asked for and the interventions, as one stack of blocks takes them.

    Raises:
      UsageError: if this stack has not a site, or not so many layers.
    """
    wanted, changes = as_sites(intermediates), as_interventions(interventions)
    for site in (*wanted, *(one.site for one in changes)):
        if site in OF_ENCODER or (site.startswith("cross_") and not config.cross_attention):
            raise UsageError(f"site {site} is not one of this model's, or not of the half of it that runs")
    for one in changes:
        depth = 1 if one.site == Site.EMBEDDINGS else config.depth
        if _is_known(one.layer) and not 0 <= one.layer < depth:
            raise UsageError(f"the layers of site {one.site} are 0 to {depth - 1}: got layer={one.layer}")
    return wanted, changes


def as_interventions(interventions: Any) -> tuple[Intervention, ...]:
    """Returns the interventions.

    Raises:
      UsageError: if they are not a sequence of them.
    """
    is_sequence = isinstance(interventions, (tuple, list))
    if not is_sequence or not all(isinstance(one, Intervention) for one in interventions):
        raise UsageError(
            f"interventions are a tuple of models.Intervention: got {type(interventions).__name__}"
        )
    return tuple(interventions)


def encoder_interventions(interventions: tuple[Intervention, ...]) -> tuple[Intervention, ...]:
    """Returns those of the encoder, likewise."""
    own = [one for one in interventions if one.site in OF_ENCODER]
    return tuple(replace(one, site=OF_ENCODER[one.site]) for one in own)


def decoder_interventions(interventions: tuple[Intervention, ...]) -> tuple[Intervention, ...]:
    """Returns those that are not of the encoder."""
    return tuple(one for one in interventions if one.site not in OF_ENCODER)


def _is_known(layer: Any) -> bool:
    return isinstance(layer, (int, np.integer))


def _may_be_at(layer: Any, number: Any) -> bool:
    return not (_is_known(layer) and _is_known(number)) or layer == number


def _changed(array: Array, change: Intervention, number: Int[Array, ""] | int) -> Array:
    value = jnp.asarray(change.value).astype(array.dtype)
    value = _broadcast(value, array.shape, f"an intervention's value at {change.site}")
    value = array + value if change.operation == "add" else value
    chosen = None if change.mask is None else _chosen(change.mask, array, change.site)
    if not (_is_known(change.layer) and _is_known(number)):
        is_here = jnp.asarray(change.layer) == number
        chosen = is_here if chosen is None else chosen & is_here
    return value if chosen is None else jnp.where(chosen, value, array)


def _chosen(mask: Any, array: Array, site: Site) -> Bool[Array, "..."]:
    """Where an array is changed, of a mask of positions or of one with as many axes."""
    mask = jnp.asarray(mask)
    if mask.dtype != jnp.bool_:
        raise UsageError(f"an intervention's mask at {site} is boolean: got {mask.dtype}")
    if mask.ndim != array.ndim:
        rows = array.shape[0], array.shape[2 if site in PROBS else 1]
        mask = _broadcast(mask, rows, f"an intervention's mask at {site}")
        axes = (1, 3) if site in PROBS else tuple(range(2, array.ndim))
        return jnp.expand_dims(mask, axes)
    return _broadcast(mask, array.shape, f"an intervention's mask at {site}")


def _broadcast(array: Array, shape: tuple[int, ...], what: str) -> Array:
    given = array.shape[::-1]
    is_right = len(given) <= len(shape) and all(
        size in (1, wanted) for size, wanted in zip(given, shape[::-1], strict=False)
    )
    if not is_right:
        raise UsageError(f"{what} broadcasts to {list(shape)}: got {list(array.shape)}")
    return jnp.broadcast_to(array, shape)
