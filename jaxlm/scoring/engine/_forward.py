"""What a device computes for a batch: the body once, then the head at the asked places only, tile by tile.

Letters: `B L` rows, `M` asked places, `T` places of a tile, `E` ensemble members, `V` vocabulary, `D` width.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxlm import models, ops
from jaxlm.scoring.engine._device_rows import DeviceRows
from jaxlm.scoring.engine._forward_contract import CombineMembers, Forward, ForwardSetting, hidden_states
from jaxlm.scoring.engine._queries import QueryScores
from jaxlm.typing import Array, Bool, Float, Int

# Where only log-probabilities are asked for, this many tiles are processed for one part of the vocabulary
# after the other, so that the part's weights stay in the cache; CACHED_LOGITS float32 logits fit into a
# core's cache.
STREAMED_TILES = 8
CACHED_LOGITS = 1 << 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogProbForward(Forward):
    """A forward that computes the log-probability of each target and, on request, further numbers.

    The answer to a query is a `QueryScores`, which holds one entry for each place: a position at which the
    model is asked about a target id.

    Attributes:
      details: whether the rank of the target, the entropy and the probability of the likeliest id are
        computed (`ranks`, `entropy` and `confidence` of `QueryScores`).
      top_k: how many of the likeliest ids are returned for each place; 0: none.
      sets: `Bool[s V]`, one row for each set of ids; the log of each set's summed probability is returned as
        `QueryScores.masses`. None: no sets.
      vocabulary: the ids that distributions are over; all other ids have probability 0. All targets must be
        among these ids. None: every id of the model.

    Example:
      >>> from jaxlm.scoring import LogProbForward
      >>> LogProbForward(top_k=5).each
      'place'
    """

    details: bool = False
    top_k: int = 0
    sets: np.ndarray | None = None
    vocabulary: tuple[int, ...] | None = None

    def program(
        self, model: models.Model, setting: ForwardSetting
    ) -> Callable[[Any, DeviceRows], QueryScores]:
        """Returns the function of the parameters and one device's rows that computes the scores."""
        return make_forward(model, self, setting)

    def fault(self, answer: QueryScores) -> str:
        """Returns a line that says that a log-probability is infinite or NaN; "" if all are finite."""
        is_sound = np.isfinite(answer.log_probs).all()
        return "" if is_sound else "the model's log-probabilities are not finite numbers"


def make_forward(
    model: models.Model, needs: LogProbForward, setting: ForwardSetting
) -> Callable[[Any, DeviceRows], QueryScores]:
    """Returns a pure function of the parameters and one device's rows, with static shapes.

    How many tiles are computed follows from `rows.count` when the function runs: places that are not asked
    cost nothing.

    Args:
      model: a language model.
      needs: what is computed beside log-probabilities.
      setting: how the program is to be made.
    """
    tile, combine = setting.tile, setting.combine

    def forward(params: Any, rows: DeviceRows) -> QueryScores:
        mask = tree_mask(jnp.asarray(rows.branches)) if needs.shared_contexts else None
        # A list of parameter trees, so that one model and many members share the code.
        members = [params] if combine is None else _unstacked(params)
        flat = [hidden_states(model, member, rows, mask) for member in members]
        heads = [scoring_head(model, member, needs) for member in members]

        def streamed(places: Array, targets: Array) -> QueryScores:
            head = heads[0]
            features = head.features(flat[0][places])
            ids = ids_at_once(places.shape[0], tile, head.kernel.shape[0])
            log_probs = ops.streamed_log_probs(
                features, head.kernel, head.bias, targets, ids=ids, softcap=head.softcap
            )
            return QueryScores(log_probs)

        def one_tile(places: Array, targets: Array) -> QueryScores:
            logits = [_logits(head, hidden[places]) for head, hidden in zip(heads, flat, strict=True)]
            return tile_scores(logits, targets, needs, combine)

        targets = _indices(jnp.asarray(rows.targets), needs)
        asked = (jnp.asarray(rows.places), targets), jnp.asarray(rows.count)
        if streams:
            return ops.map_counted_tiles(streamed, *asked, [STREAMED_TILES * tile, tile])
        return ops.map_counted_tiles(one_tile, *asked, [tile])

    has_more = needs.details or needs.top_k or needs.sets is not None
    streams = combine is None and not has_more and setting.on_cpu
    return forward


def tree_mask(branches: Int[Array, "B L"]) -> Bool[Array, "B 1 L L"]:
    """Returns which positions of a tree may attend to which: all to branch 0, and each branch to itself.

    Args:
      branches: `Int[B L]`, 0 = the trunk.

    Returns:
      `Bool[B 1 L L]`, True = may attend.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.scoring.engine._forward import tree_mask
      >>> tree_mask(jnp.array([[0, 1, 2]]))[0, 0].astype(int).tolist()
      [[1, 0, 0], [1, 1, 0], [1, 0, 1]]
    """
    keys, queries = branches[:, None, :], branches[:, :, None]
    return ((keys == 0) | (keys == queries))[:, None]


def scoring_head(model: models.Model, params: Any, needs: LogProbForward) -> models.HeadProjection:
    """Returns the model's head with the rows of the ids that distributions are over, in the compute dtype.

    Args:
      model: a language model.
      params: its parameters.
      needs: with the ids.
    """
    head = models.head_projection(model.apply, params)
    head = head._replace(kernel=head.kernel.astype(jnp.dtype(model.config.dtype)))
    if needs.vocabulary is None:
        return head
    ids = jnp.asarray(needs.vocabulary, jnp.int32)
    return head._replace(kernel=head.kernel[ids], bias=None if head.bias is None else head.bias[ids])


def tile_scores(
    logits: list[Float[Array, "V T"]],
    targets: Int[Array, " T"],
    needs: LogProbForward,
    combine: CombineMembers | None,
) -> QueryScores:
    """Returns the scores of one tile.

    Args:
      logits: `Float[V T]` of each member, a column a place.
      targets: `Int[T]` indices of the logits' rows.
      needs: what is computed.
      combine: "probs" and "log_probs" as in `ops.mixture_log_probs`; "scores" is the mean of the members'
        log-probabilities without renormalising, so that probabilities sum to less than 1; None: one member.
    """
    values = logits[0] if combine is None else _combined(logits, combine)
    # The mean of log-probabilities is not renormalised.
    is_plain = combine == "scores"
    log_probs = _chosen(values, targets) if is_plain else ops.column_log_probs(values, targets)
    details = ops.column_scores(values, targets) if needs.details else None
    top = masses = None
    if needs.top_k or needs.sets is not None:
        total = values.T if is_plain else jax.nn.log_softmax(values, axis=0).T
        top = lax.top_k(total, needs.top_k) if needs.top_k else None
        masses = _masses(total, needs)
    return QueryScores(
        log_probs=log_probs,
        ranks=None if details is None else details.ranks,
        entropy=None if details is None else details.entropy,
        confidence=None if details is None else details.confidence,
        top_tokens=None if top is None else _ids(top[1], needs),
        top_log_probs=None if top is None else top[0],
        masses=masses,
    )


def ids_at_once(places: int, tile: int, vocab_size: int) -> int:
    """Returns how many ids have logits at once, so that they fit a CPU's cache and are no more than a tile's.

    Args:
      places: places that are processed together.
      tile: places whose logits over all ids may be in memory at once.
      vocab_size: V.

    Example:
      >>> from jaxlm.scoring.engine._forward import ids_at_once
      >>> ids_at_once(1024, 128, 50_257), ids_at_once(1024, 128, 600)
      (1024, 75)
    """
    return max(min(max(CACHED_LOGITS // places, 256), tile * vocab_size // places), 1)


def _unstacked(params: Any) -> list[Any]:
    number = jax.tree.leaves(params)[0].shape[0]
    return [jax.tree.map(lambda leaf, e=e: leaf[e], params) for e in range(number)]


def _logits(head: models.HeadProjection, hidden: Float[Array, "T D"]) -> Float[Array, "V T"]:
    # Kernel times features: a column a place, because CPUs reduce over columns faster than over rows.
    logits = ops.linear(head.kernel, head.features(hidden), preferred=jnp.float32)
    logits = logits if head.bias is None else logits + head.bias.astype(jnp.float32)[:, None]
    return ops.apply_softcap(logits, head.softcap)


def _combined(logits: list[Float[Array, "V T"]], combine: CombineMembers) -> Float[Array, "V T"]:
    each = jnp.stack([jax.nn.log_softmax(member, axis=0).T for member in logits])
    return (each.mean(0) if combine == "scores" else ops.mixture_log_probs(each, combine)).T


def _chosen(values: Float[Array, "V T"], targets: Int[Array, " T"]) -> Float[Array, " T"]:
    return jnp.take_along_axis(values, targets[None], axis=0)[0]


def _indices(targets: Int[Array, " M"], needs: LogProbForward) -> Int[Array, " M"]:
    """Rows of the logits: in a restricted vocabulary the index of the id in it."""
    if needs.vocabulary is None:
        return targets
    order = jnp.argsort(jnp.asarray(needs.vocabulary, jnp.int32)).astype(jnp.int32)
    return order[jnp.searchsorted(jnp.sort(jnp.asarray(needs.vocabulary, jnp.int32)), targets)]


def _ids(columns: Int[Array, "T k"], needs: LogProbForward) -> Int[Array, "T k"]:
    return columns if needs.vocabulary is None else jnp.asarray(needs.vocabulary, jnp.int32)[columns]


def _masses(log_probs: Float[Array, "T V"], needs: LogProbForward) -> Float[Array, "T s"] | None:
    """The log of the probability of each set of ids."""
    if needs.sets is None:
        return None
    sets = needs.sets if needs.vocabulary is None else needs.sets[:, list(needs.vocabulary)]
    masked = (jnp.where(jnp.asarray(ids)[None], log_probs, -jnp.inf) for ids in sets)
    return jnp.stack([jax.nn.logsumexp(own, axis=-1) for own in masked], -1)
