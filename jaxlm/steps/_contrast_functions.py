"""Step functions that compare two predictions of a model: for a text and for its contrast.

`p` and `y` are the distribution and the target of the text; `q` and `y'` are those of the contrast. All
functions return float32 numbers of the leading dimensions of their `StepInputs`, and are differentiable with
respect to both logits. If both targets are impossible (logits of -inf), a difference and its derivative are
0.
"""

import jax
import jax.numpy as jnp

from jaxlm.steps._filters import check_filter, filter_mask
from jaxlm.steps._functions import LN_2, logit, probability
from jaxlm.steps._inputs import StepInputs
from jaxlm.typing import Array, Float


def contrast_logits(inputs: StepInputs) -> Float[Array, "*batch"]:
    """Returns the logit of the contrast's target given the contrast, `z'_y'`; it has no unit.

    The contrast is the other text, or the other target, that a prediction is compared with.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps import StepInputs, contrast_logits
      >>> z = jnp.array([0.0, 1.0, 2.0, 3.0])
      >>> contrast_logits(StepInputs(z, jnp.array(3), z[::-1], jnp.array(0))).item()
      3.0
    """
    return logit(_contrast(inputs))


def contrast_prob(inputs: StepInputs, *, logprob: bool = False) -> Float[Array, "*batch"]:
    """Returns the probability of the contrast's target given the contrast, `q_y'` in [0, 1]; or `ln q_y'`.

    Args:
      inputs: predictions with `contrast_logits` and `contrast_targets`.
      logprob: True returns the logarithm, in nats.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps import StepInputs, contrast_prob
      >>> z, other = jnp.array([0.0, 1.0, 2.0, 3.0]), jnp.array([3.0, 1.0, 0.0, -1.0])
      >>> round(contrast_prob(StepInputs(z, jnp.array(3), other, jnp.array(3))).item(), 6)
      0.015219
    """
    return probability(_contrast(inputs), logprob=logprob)


def contrast_logits_diff(inputs: StepInputs) -> Float[Array, "*batch"]:
    """Returns the target's logit minus that of the contrast's target, `z_y - z'_y'`; it has no unit.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps import StepInputs, contrast_logits_diff
      >>> z, other = jnp.array([0.0, 1.0, 2.0, 3.0]), jnp.array([3.0, 1.0, 0.0, -1.0])
      >>> contrast_logits_diff(StepInputs(z, jnp.array(3), other, jnp.array(3))).item()
      4.0

    References:
      Yin and Neubig, "Interpreting Language Models with Contrastive Explanations", 2022,
        https://arxiv.org/abs/2202.10419.
    """
    return _difference(logit(inputs), contrast_logits(inputs))


def contrast_prob_diff(inputs: StepInputs, *, logprob: bool = False) -> Float[Array, "*batch"]:
    """Returns the target's probability minus that of the contrast's target, `p_y - q_y'` in [-1, 1].

    Args:
      inputs: predictions with targets, `contrast_logits` and `contrast_targets`.
      logprob: True returns `ln p_y - ln q_y'`, in nats.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps import StepInputs, contrast_prob_diff
      >>> z, other = jnp.array([0.0, 1.0, 2.0, 3.0]), jnp.array([3.0, 1.0, 0.0, -1.0])
      >>> round(contrast_prob_diff(StepInputs(z, jnp.array(3), other, jnp.array(3))).item(), 6)
      0.628695

    References:
      Yin and Neubig, "Interpreting Language Models with Contrastive Explanations", 2022,
        https://arxiv.org/abs/2202.10419.
    """
    return _difference(probability(inputs, logprob=logprob), contrast_prob(inputs, logprob=logprob))


def pcxmi(inputs: StepInputs) -> Float[Array, "*batch"]:
    """Returns the pointwise conditional cross-mutual information, `-log2(p_y / q_y')`, in bits.

    The number is positive if the target is likelier given the contrast. So give the text without its context
    as the text, and the text with its context as the contrast.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps import StepInputs, pcxmi
      >>> z, other = jnp.array([0.0, 1.0, 2.0, 3.0]), jnp.array([3.0, 1.0, 0.0, -1.0])
      >>> round(pcxmi(StepInputs(z, jnp.array(3), other, jnp.array(3))).item(), 5)
      -5.40288

    References:
      Yin et al., "When Does Translation Require Context?", 2021, https://arxiv.org/abs/2109.07446.
    """
    return in_context_pvi(inputs) / LN_2


def in_context_pvi(inputs: StepInputs) -> Float[Array, "*batch"]:
    """Returns the in-context pointwise V-usable information, `-ln p_y + ln q_y'`, in nats.

    The number is that of `pcxmi`, in nats: positive if the target is likelier given the contrast.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps import StepInputs, in_context_pvi
      >>> z, other = jnp.array([0.0, 1.0, 2.0, 3.0]), jnp.array([3.0, 1.0, 0.0, -1.0])
      >>> round(in_context_pvi(StepInputs(z, jnp.array(3), other, jnp.array(3))).item(), 5)
      -3.74499

    References:
      Lu et al., "Measuring Pointwise V-Usable Information In-Context-ly", 2023,
        https://arxiv.org/abs/2310.12300.
    """
    # Two log-probs instead of a quotient of probabilities, which may both be 0 in float32.
    return _difference(contrast_prob(inputs, logprob=True), probability(inputs, logprob=True))


def kl_divergence(
    inputs: StepInputs, *, top_k: int = 0, top_p: float = 1.0, min_tokens_to_keep: int = 1
) -> Float[Array, "*batch"]:
    """Returns the Kullback-Leibler divergence `sum_v p_v (ln p_v - ln q_v)`, in nats, 0 or more.

    `p` is the distribution of the text's prediction, `q` the distribution of the contrast's.

    The filters choose tokens by the sum of both logits, `z + z'`: first the likeliest tokens that together
    have the probability `top_p`, then the `top_k` largest among these, with ties. `p` and `q` are each
    divided by their sum over the chosen tokens; other tokens add nothing. The divergence is infinite if a
    token is impossible for the contrast only. If no token is possible for both, the filters are not applied.
    The derivative treats the choice of tokens as fixed.

    Args:
      inputs: predictions with `contrast_logits`; no targets are needed.
      top_k: the largest number of tokens that are compared; 0: all tokens.
      top_p: the probability that the compared tokens have together, in [0, 1]; 1: all tokens are compared.
      min_tokens_to_keep: the smallest number of tokens that are compared, whatever the filters choose.

    Raises:
      UsageError: if `top_k` is not in 0 .. V, `top_p` is outside [0, 1], or `min_tokens_to_keep` is not in
        1 .. V.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps import StepInputs, kl_divergence
      >>> inputs = StepInputs(jnp.arange(4.0), contrast_logits=jnp.array([3.0, 1.0, 0.5, -1.0]))
      >>> round(kl_divergence(inputs).item(), 5), round(kl_divergence(inputs, top_k=2).item(), 5)
      (2.60628, 1.91555)
    """
    p_logits, q_logits = (inputs.read(name).astype(jnp.float32) for name in ("logits", "contrast_logits"))
    check_filter(p_logits.shape[-1], top_k, top_p, min_tokens_to_keep)
    if top_k or top_p < 1:
        is_compared = filter_mask(p_logits + q_logits, top_k, top_p, min_tokens_to_keep)
        p_logits, q_logits = (jnp.where(is_compared, z, -jnp.inf) for z in (p_logits, q_logits))
    log_p, log_q = (jax.nn.log_softmax(z, axis=-1) for z in (p_logits, q_logits))
    is_possible = log_p > -jnp.inf
    # -inf - (-inf) is NaN, and so would be the derivative of a product with it.
    difference = jnp.where(is_possible, log_p, 0.0) - jnp.where(is_possible, log_q, 0.0)
    return jnp.where(is_possible, jnp.exp(log_p) * difference, 0.0).sum(-1)


def _contrast(inputs: StepInputs) -> StepInputs:
    return StepInputs(inputs.read("contrast_logits"), inputs.read("contrast_targets"))


def _difference(first: Float[Array, "*batch"], second: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """The first less the second; 0 where both are -inf, whose difference would be NaN."""
    is_neither = (first == -jnp.inf) & (second == -jnp.inf)
    return jnp.where(is_neither, 0.0, first) - jnp.where(is_neither, 0.0, second)
