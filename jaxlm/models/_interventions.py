"""Interventions: changes of the values at sites of a model, as data.

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
from jaxlm.models._sites import ENCODER_SITES, PROBS, Site, Sites, as_sites, check_site
from jaxlm.typing import Array, Bool, Int


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["value", "layer", "mask"],
    meta_fields=["site", "operation"],
)
@dataclass(frozen=True, kw_only=True)
class Intervention:
    """A change of the values at a site, a named array inside the model: a pytree whose arrays may be traced.

    Attributes:
      site: the `Site` whose values are changed; static.
      value: the array that replaces the values or is added to them. It is broadcast to the site's shape and
        cast to the site's dtype.
      layer: `Int[]`, the number of the block, from 0; for the embeddings it is 0. A traced number of a block
        that does not exist changes nothing.
      mask: True = change. It is either `Bool[B L]` over positions (for attention probabilities, over the
        positions of the queries), or an array with as many axes as the site, broadcast to the site's shape,
        such as `[1 1 N 1]` to choose heads. None: everything is changed.
      operation: "replace" or "add"; static.

    Raises:
      UsageError: if the site is no `Site`, or the operation is neither "replace" nor "add".

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
    """The sites of one block, or of the embeddings: applies interventions and records values.

    Args:
      wanted: the sites whose values are recorded.
      interventions: the changes to apply.
      number: of the block; 0 for the embeddings.

    Attributes:
      values: the recorded values by site, after interventions.
    """

    def __init__(
        self, wanted: Sites, interventions: tuple[Intervention, ...], number: Int[Array, ""] | int
    ) -> None:
        self.values: dict[Site, Array] = {}
        self._wanted, self._number = wanted, number
        self._interventions = [change for change in interventions if _may_be_at(change.layer, number)]

    def changer(self, site: Site) -> Callable[[Array], Array] | None:
        """Returns the function `at` of a site; None where it is neither recorded nor changed."""
        is_used = site in self._wanted or any(change.site == site for change in self._interventions)
        return partial(self.at, site) if is_used else None

    def at(self, site: Site, array: Array) -> Array:
        """Returns the values of a site after its interventions, and records them if they are wanted."""
        for change in self._interventions:
            if change.site == site:
                array = _changed(array, change, self._number)
        if site in self._wanted:
            self.values[site] = array
        return array


def check_sites(
    config: TransformerConfig, intermediates: Collection[Site], interventions: Sequence[Intervention]
) -> tuple[Sites, tuple[Intervention, ...]]:
    """Returns the sites to record and the interventions, checked against a stack of blocks.

    Args:
      config: of the stack of blocks.
      intermediates: the sites to record.
      interventions: the changes to apply.

    Raises:
      UsageError: if the stack does not have a site, or an intervention's layer.
    """
    wanted, changes = as_sites(intermediates), as_interventions(interventions)
    for site in (*wanted, *(change.site for change in changes)):
        if site in ENCODER_SITES or (site.startswith("cross_") and not config.cross_attention):
            raise UsageError(f"site {site} is not one of this model's, or not of the half of it that runs")
    for change in changes:
        depth = 1 if change.site == Site.EMBEDDINGS else config.depth
        if _is_known(change.layer) and not 0 <= change.layer < depth:
            raise UsageError(
                f"the layers of site {change.site} are 0 to {depth - 1}: got layer={change.layer}"
            )
    return wanted, changes


def as_interventions(interventions: Any) -> tuple[Intervention, ...]:
    """Returns the interventions as a tuple.

    Raises:
      UsageError: if they are not a tuple or list of `Intervention`.
    """
    is_sequence = isinstance(interventions, (tuple, list))
    if not is_sequence or not all(isinstance(one, Intervention) for one in interventions):
        raise UsageError(
            f"interventions are a tuple of models.Intervention: got {type(interventions).__name__}"
        )
    return tuple(interventions)


def encoder_interventions(interventions: tuple[Intervention, ...]) -> tuple[Intervention, ...]:
    """Returns the interventions at the encoder's sites, with the sites' names in the encoder's own stack."""
    own = [change for change in interventions if change.site in ENCODER_SITES]
    return tuple(replace(change, site=ENCODER_SITES[change.site]) for change in own)


def decoder_interventions(interventions: tuple[Intervention, ...]) -> tuple[Intervention, ...]:
    """Returns the interventions at all other sites than the encoder's."""
    return tuple(change for change in interventions if change.site not in ENCODER_SITES)


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
    """Returns a mask that broadcasts to the array, from one of positions or one with as many axes."""
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
