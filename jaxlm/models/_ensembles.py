"""Predictions of an ensemble with stacked parameters: each member's logits, their mean, their disagreement.

Letters: `E` members, `B` rows, `L` positions, `M` chosen ones, `G` segments, `V` vocabulary, `C` outputs.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxlm import ops
from jaxlm.models._inputs import Inputs
from jaxlm.models._kinds import Model
from jaxlm.models._stacking import BODY
from jaxlm.typing import Array, Bool, Float, Int


class EnsembleOutput(NamedTuple):
    """The logits of every member at every position, with targets and weights (cortex's formatted output).

    Attributes:
      logits: `Float32[E M V]`, the logits of E members at all `M = B * L` positions in order.
      targets: `Int[M]`, the id to predict at each position; for a causal LM the next token.
      weights: `Float32[M]`, 1 where a target counts, else 0, such as at padding.
    """

    logits: Float[Array, "E M V"]
    targets: Int[Array, " M"]
    weights: Float[Array, " M"]


class EnsemblePrediction(NamedTuple):
    """The combined prediction of an ensemble, and its uncertainty.

    Attributes:
      log_probs: `Float32[... V]`, the combined log-probabilities in nats.
      disagreement: `ops.Disagreement`, arrays `Float32[...]` in nats: the entropy of the mean prediction, the
        mean entropy of the members' predictions, and their difference.
    """

    log_probs: Float[Array, "*batch V"]
    disagreement: ops.Disagreement


class EnsembleValues(NamedTuple):
    """The predictions of an ensemble of regressions.

    Attributes:
      mean: `Float32[B G C]`, mean of the predictions over the members, in the labels' units.
      deviation: `Float32[B G C]`, standard deviation of the predictions over the members, in the labels'
        units.
    """

    mean: Float[Array, "B G C"]
    deviation: Float[Array, "B G C"]


def map_members(function: Callable[..., Any], params: Mapping[str, Any], *, shared_body: bool = False) -> Any:
    """Returns `function(params)` for every member, stacked along a leading axis E.

    With a shared body, whatever depends on the body alone is computed once.

    Args:
      function: a function of the parameters ("params") of one model.
      params: the parameters of all members, stacked along a leading axis E; with `shared_body`, `body` has no
        such axis.
      shared_body: whether the members are separate heads on one common body, as in `training.init_ensemble`.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.models import map_members
      >>> params = {"body": jnp.ones(2), "head": jnp.arange(6.0).reshape(3, 2)}
      >>> map_members(lambda params: params["body"] @ params["head"], params, shared_body=True).tolist()
      [1.0, 5.0, 9.0]
    """
    axes = {name: None if shared_body and name == BODY else 0 for name in params}
    return jax.vmap(function, in_axes=(axes,))(dict(params))


def ensemble_output(
    model: Model,
    params: Mapping[str, Any],
    tokens: Int[Array, "B L"],
    targets: Int[Array, "B L"],
    loss_mask: Bool[Array, "B L"],
    *,
    segments: Int[Array, "B L"] | None = None,
    positions: Int[Array, "B L"] | Int[Array, "B L 2"] | None = None,
    shared_body: bool = False,
) -> EnsembleOutput:
    """Returns every member's logits at every position, with their targets and weights.

    The logits are `E * B * L * V` numbers; `predict_tokens`, which computes chosen positions, needs less
    memory.

    Args:
      model: a language model, the same module for all members.
      params: the parameters of all members, stacked along a leading axis E; with `shared_body`, `body` has no
        such axis.
      tokens: `Int[B L]` ids that the model reads; for a masked LM the corrupted ids.
      targets: `Int[B L]`, the id to predict at each position: for a causal LM the `targets` of
        `ops.next_token_targets(tokens, segments)`, for a masked LM the clean ids.
      loss_mask: `Bool[B L]`, True = counts in the loss; for a causal LM the `loss_mask` of
        `ops.next_token_targets`.
      segments: `Int[B L]`, the segment that each position belongs to, from 1; 0 = padding. None: every row is
        one segment.
      positions: positions, as `Inputs.positions` describes them; None: they are computed from the segments,
        or for instruction positions from the tokens.
      shared_body: whether the members are separate heads on one common body.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import ops
      >>> from jaxlm.models import ensemble_output
      >>> from functools import partial
      >>> from jaxlm.models import TransformerConfig, build
      >>> config = TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2, causal=True)
      >>> model, tokens = build(config, "causal_lm"), jnp.array([[1, 2, 3, 4]])
      >>> keys = jax.random.split(jax.random.key(0), 2)
      >>> params = jax.jit(jax.vmap(model.init, in_axes=(0, None)))(keys, tokens)["params"]
      >>> format_output = jax.jit(partial(ensemble_output, model))
      >>> output = format_output(params, tokens, *ops.next_token_targets(tokens, tokens // tokens))
      >>> output.logits.shape, output.targets.tolist()[:3], output.weights.tolist()
      ((2, 4, 7), [2, 3, 4], [1.0, 1.0, 1.0, 0.0])
    """
    rows = jnp.arange(tokens.size)
    logits = _logits(model, params, tokens, rows, (segments, positions), shared_body)
    return EnsembleOutput(logits, targets.reshape(-1), loss_mask.reshape(-1).astype(jnp.float32))


def predict_tokens(
    model: Model,
    params: Mapping[str, Any],
    tokens: Int[Array, "B L"],
    indices: Int[Array, " M"],
    *,
    segments: Int[Array, "B L"] | None = None,
    positions: Int[Array, "B L"] | Int[Array, "B L 2"] | None = None,
    combine: ops.Combine = "probs",
    shared_body: bool = False,
) -> EnsemblePrediction:
    """Returns a language-model ensemble's combined prediction at chosen positions; to be jitted.

    Args:
      model: a language model, the same module for all members.
      params: the parameters of all members, stacked along a leading axis E; with `shared_body`, `body` has no
        such axis.
      tokens: `Int[B L]` ids that the model reads.
      indices: `Int[M]` the positions to predict, as indices into the `B * L` flattened positions.
      segments: `Int[B L]`, the segment that each position belongs to, from 1; 0 = padding. None: every row is
        one segment.
      positions: positions, as `Inputs.positions` describes them; None: they are computed from the segments,
        or for instruction positions from the tokens.
      combine: whether the members' "probs" or their "log_probs" are averaged; see `ops.mixture_log_probs`.
      shared_body: whether the members are separate heads on one common body.

    Returns:
      `EnsemblePrediction`: log-probabilities `[M V]`, and entropies `[M]`.
    """
    log_probs = jax.nn.log_softmax(
        _logits(model, params, tokens, indices, (segments, positions), shared_body)
    )
    return EnsemblePrediction(ops.mixture_log_probs(log_probs, combine), ops.disagreement(log_probs))


def predict_classes(
    model: Model,
    params: Mapping[str, Any],
    tokens: Int[Array, "B L"],
    *,
    segments: Int[Array, "B L"] | None = None,
    positions: Int[Array, "B L"] | Int[Array, "B L 2"] | None = None,
    num_segments: int = 1,
    combine: ops.Combine = "probs",
    shared_body: bool = False,
) -> EnsemblePrediction:
    """Returns a classifier ensemble's combined prediction; uniform where a row has no such segment.

    Args:
      model: a `SequenceModel`, the same module for all members.
      params: the parameters of all members, stacked along a leading axis E; with `shared_body`, `body` has no
        such axis.
      tokens: `Int[B L]` ids that the model reads.
      segments: `Int[B L]`, the segment that each position belongs to, from 1; 0 = padding. None: every row is
        one segment.
      positions: positions, as `Inputs.positions` describes them; None: they are computed from the segments,
        or for instruction positions from the tokens.
      num_segments: G, the number of segments of a row that get a prediction; static.
      combine: whether the members' "probs" or their "log_probs" are averaged; see `ops.mixture_log_probs`.
      shared_body: whether the members are separate heads on one common body.

    Returns:
      `EnsemblePrediction`: log-probabilities `[B G C]`, and entropies `[B G]`.
    """
    outputs = _outputs(model, params, tokens, (segments, positions), num_segments, shared_body)
    log_probs = jax.nn.log_softmax(outputs)
    return EnsemblePrediction(ops.mixture_log_probs(log_probs, combine), ops.disagreement(log_probs))


def predict_values(
    model: Model,
    params: Mapping[str, Any],
    tokens: Int[Array, "B L"],
    *,
    segments: Int[Array, "B L"] | None = None,
    positions: Int[Array, "B L"] | Int[Array, "B L 2"] | None = None,
    num_segments: int = 1,
    shared_body: bool = False,
) -> EnsembleValues:
    """Returns mean and standard deviation of the predictions of a regression's members.

    Args:
      model: a `SequenceModel`, the same module for all members.
      params: the parameters of all members, stacked along a leading axis E; with `shared_body`, `body` has no
        such axis.
      tokens: `Int[B L]` ids that the model reads.
      segments: `Int[B L]`, the segment that each position belongs to, from 1; 0 = padding. None: every row is
        one segment.
      positions: positions, as `Inputs.positions` describes them; None: they are computed from the segments,
        or for instruction positions from the tokens.
      num_segments: G, the number of segments of a row that get a prediction; static.
      shared_body: whether the members are separate heads on one common body.
    """
    outputs = _outputs(model, params, tokens, (segments, positions), num_segments, shared_body)
    return EnsembleValues(outputs.mean(0), outputs.std(0))


def _logits(model, params, tokens, indices, layout, shared_body) -> Float[Array, "E M V"]:
    inputs = Inputs(tokens=tokens, segments=layout[0], positions=layout[1])

    def of_member(params: Mapping[str, Any]) -> Array:
        hidden = model.apply({"params": params}, inputs).hidden
        rows = hidden.reshape(-1, hidden.shape[-1])[indices]
        return model.apply({"params": params}, rows, method="logits")

    return map_members(of_member, params, shared_body=shared_body)


def _outputs(model, params, tokens, layout, num_segments, shared_body) -> Float[Array, "E B G C"]:
    inputs = Inputs(tokens=tokens, segments=layout[0], positions=layout[1])

    def of_member(params: Mapping[str, Any]) -> Array:
        hidden = model.apply({"params": params}, inputs).hidden
        return model.apply(
            {"params": params}, hidden, segments=inputs.segments, num_segments=num_segments, method="outputs"
        )

    return map_members(of_member, params, shared_body=shared_body)
