"""Combined predictions of an ensemble, and the disagreement of its members.

Letters: `E` members, `V` vocabulary or classes.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxlm.typing import Array, Float

Combine = Literal["probs", "log_probs"]


class Disagreement(NamedTuple):
    """The uncertainty of an ensemble, and the part of it that is due to its members' differences, in nats.

    Attributes:
      predictive_entropy: `Float32[...]` entropy of the mean of the members' probabilities.
      expected_entropy: `Float32[...]` mean of the members' entropies.
      mutual_information: `Float32[...]`, `predictive_entropy - expected_entropy`, the mutual information
        between the prediction and the choice of the member: 0 where all members agree, at most log E.
    """

    predictive_entropy: Float[Array, "*batch"]
    expected_entropy: Float[Array, "*batch"]
    mutual_information: Float[Array, "*batch"]


def mixture_log_probs(
    log_probs: Float[Array, "E *batch V"], combine: Combine = "probs"
) -> Float[Array, "*batch V"]:
    """Returns the log-probabilities of an ensemble in nats, from its members' log-probabilities.

    "probs" is the mixture, `log mean_e p_e`: the prediction of a member drawn at random. "log_probs" is the
    normalised geometric mean, `mean_e log p_e - log sum_v exp(mean_e log p_e)`, in which an id is likely only
    if no member finds it unlikely.

    Args:
      log_probs: `Float[E ... V]`, each member's log-probabilities, normalised over V.
      combine: whether the members' "probs" or their "log_probs" are averaged.

    Returns:
      `Float32[... V]`, normalised over V.

    Raises:
      ValueError: if `combine` is another word.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import mixture_log_probs
      >>> log_probs = jnp.log(jnp.array([[0.9, 0.1], [0.5, 0.5]]))
      >>> [round(value, 3) for value in jnp.exp(mixture_log_probs(log_probs)).tolist()]
      [0.7, 0.3]
      >>> [round(value, 3) for value in jnp.exp(mixture_log_probs(log_probs, "log_probs")).tolist()]
      [0.75, 0.25]

    References:
      Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles",
        2017, https://arxiv.org/abs/1612.01474 (section 2.4, the mixture).
    """
    log_probs = log_probs.astype(jnp.float32)
    if combine == "probs":
        return jax.nn.logsumexp(log_probs, axis=0) - jnp.log(jnp.float32(log_probs.shape[0]))
    if combine == "log_probs":
        return jax.nn.log_softmax(log_probs.mean(0), axis=-1)
    raise ValueError(f"combine is the mean of 'probs' or of 'log_probs': got {combine!r}")


def disagreement(log_probs: Float[Array, "E *batch V"]) -> Disagreement:
    """Returns how much the members of an ensemble disagree, from their log-probabilities.

    Args:
      log_probs: `Float[E ... V]`, each member's log-probabilities, normalised over V; -inf where a
        probability is 0.

    Returns:
      `Disagreement`, whose arrays are `Float32[...]`, without the axes E and V.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import disagreement
      >>> sure_but_different = jnp.log(jnp.array([[1.0, 0.0], [0.0, 1.0]]))
      >>> [round(float(value), 4) for value in disagreement(sure_but_different)]
      [0.6931, 0.0, 0.6931]

    References:
      Depeweg et al., "Decomposition of Uncertainty in Bayesian Deep Learning", 2018,
        https://arxiv.org/abs/1710.07283 (section 3).
    """
    log_probs = log_probs.astype(jnp.float32)
    predictive = _entropy(mixture_log_probs(log_probs))
    expected = _entropy(log_probs).mean(0)
    # It is not negative but for rounding.
    return Disagreement(predictive, expected, jnp.maximum(predictive - expected, 0.0))


def _entropy(log_probs: Float[Array, "*batch V"]) -> Float[Array, "*batch"]:
    finite = jnp.where(log_probs > -jnp.inf, log_probs, 0.0)
    return -(jnp.exp(log_probs) * finite).sum(-1)
