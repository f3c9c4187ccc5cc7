"""Step functions of one text: a model's prediction at a position as one float32 number.

Each takes a `StepInputs` of any leading dimensions `...` and returns `Float32[...]`. All are pure functions
without a model or draws, so that they compose with `jit`, `vmap`, `grad` and `pmap`. `z` are the logits, `y`
is the target, `p = softmax(z)`. A target outside [0, V) gives NaN.
"""

import jax
import jax.numpy as jnp

from jaxlm import ops
from jaxlm.errors import UsageError
from jaxlm.steps._filters import count_top_p
from jaxlm.steps._inputs import StepInputs
from jaxlm.typing import Array, Float

LN_2 = 0.6931471805599453


def logit(inputs: StepInputs) -> Float[Array, "*batch"]:
    """Returns the target's logit, `z_y`; it has no unit. Differentiable.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps import StepInputs, logit
      >>> logit(StepInputs(jnp.array([0.0, 1.0, 2.0, 3.0]), jnp.array(3))).item()
      3.0
    """
    return ops.gather_logits(inputs.logits.astype(jnp.float32), inputs.read("targets"))


def probability(inputs: StepInputs, *, logprob: bool = False) -> Float[Array, "*batch"]:
    """Returns the target's probability, `p_y` in [0, 1]; or `ln p_y` in nats. Differentiable.

    Args:
      inputs: predictions with their targets.
      logprob: True returns the logarithm, in nats.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps import StepInputs, probability
      >>> round(probability(StepInputs(jnp.array([0.0, 1.0, 2.0, 3.0]), jnp.array(3))).item(), 6)
      0.643914
    """
    log_probs = ops.gather_log_probs(inputs.logits, inputs.read("targets"))
    return log_probs if logprob else jnp.exp(log_probs)


def entropy(inputs: StepInputs) -> Float[Array, "*batch"]:
    """Returns the entropy of the whole distribution, `-sum_v p_v ln p_v`, in nats. Differentiable.

    Tokens with a logit of -inf add nothing.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps import StepInputs, entropy
      >>> round(entropy(StepInputs(jnp.array([0.0, 1.0, 2.0, 3.0]))).item(), 6)
      0.947537
    """
    log_probs = jax.nn.log_softmax(inputs.logits.astype(jnp.float32), axis=-1)
    # 0 ln 0 = 0; the derivative with respect to impossible tokens is then 0 instead of NaN.
    finite = jnp.where(log_probs == -jnp.inf, 0.0, log_probs)
    return -(jnp.exp(log_probs) * finite).sum(-1)


def crossentropy(inputs: StepInputs, *, base: str = "nats") -> Float[Array, "*batch"]:
    """Returns the target's surprisal, `-ln p_y` in nats; or `-log2 p_y` in bits. Differentiable.

    inseq returns nats since version 0.5, and returned bits before.

    Args:
      inputs: predictions with their targets.
      base: the unit of the result, "nats" or "bits".

    Raises:
      UsageError: if `base` is another word.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps import StepInputs, crossentropy
      >>> inputs = StepInputs(jnp.array([0.0, 1.0, 2.0, 3.0]), jnp.array(3))
      >>> round(crossentropy(inputs).item(), 5), round(crossentropy(inputs, base="bits").item(), 5)
      (0.44019, 0.63506)
    """
    check_choice("base", base, ("nats", "bits"))
    nats = -ops.gather_log_probs(inputs.logits, inputs.read("targets"))
    return nats if base == "nats" else nats / LN_2


def perplexity(inputs: StepInputs, *, convention: str = "exact") -> Float[Array, "*batch"]:
    """Returns the perplexity of the target, `1 / p_y`: as surprising as one of so many equally likely tokens.

    The perplexity is infinite in float32 if `ln p_y` is below -88.7. Differentiable where it is finite.

    Args:
      inputs: predictions with their targets.
      convention: "exact"; or "inseq" for the number that inseq returns since version 0.5, 2 to the power of
        nats: `2^(-ln p_y) = p_y^(-ln 2)`.

    Raises:
      UsageError: if `convention` is another word.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps import StepInputs, perplexity
      >>> inputs = StepInputs(jnp.array([0.0, 1.0, 2.0, 3.0]), jnp.array(3))
      >>> round(perplexity(inputs).item(), 4), round(perplexity(inputs, convention="inseq").item(), 4)
      (1.553, 1.3568)
    """
    check_choice("convention", convention, ("exact", "inseq"))
    nats = -ops.gather_log_probs(inputs.logits, inputs.read("targets"))
    return jnp.exp(nats if convention == "exact" else nats * LN_2)


def top_p_size(inputs: StepInputs, *, top_p: float) -> Float[Array, "*batch"]:
    """Returns how many of the likeliest tokens together have the probability `top_p`, from 1 to V.

    Not differentiable: the number is constant almost everywhere, so that its gradient is 0.

    Args:
      inputs: predictions; no targets are needed.
      top_p: the probability that the counted tokens have together at least, in [0, 1].

    Raises:
      UsageError: if `top_p` is outside [0, 1].

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps import StepInputs, top_p_size
      >>> inputs = StepInputs(jnp.array([[0.0, 1.0, 2.0, 3.0], [2.0, -1.0, 0.5, 0.0]]))
      >>> top_p_size(inputs, top_p=0.5).tolist(), top_p_size(inputs, top_p=0.9).tolist()
      ([1.0, 1.0], [3.0, 3.0])

    References:
      Holtzman et al., "The Curious Case of Neural Text Degeneration", 2019, https://arxiv.org/abs/1904.09751.
    """
    return count_top_p(inputs.logits, top_p).astype(jnp.float32)


def mc_dropout_prob_avg(
    inputs: StepInputs, *, logprob: bool = False, statistic: str = "mean"
) -> Float[Array, "*batch"]:
    """Returns a statistic of the target's probability over the dropout passes. Differentiable.

    `p` is the target's probability without dropout, and `p_e` its probability in pass e of E passes under
    dropout, from `noisy_logits`. "mean" is `mean_e p_e`, in [0, 1], as inseq documents it. "z_score" is `(p -
    mean_e p_e) / std_e p_e`, as inseq computes it, in standard deviations (the estimate that divides by E -
    1). If all passes agree, the z-score is 0 / 0, which is NaN.

    Args:
      inputs: predictions with targets and `noisy_logits`.
      logprob: True uses `ln p_y` in nats instead of `p_y`.
      statistic: "mean", which needs at least 1 pass, or "z_score", which needs at least 2 passes.

    Raises:
      UsageError: if `statistic` is another word, or there are too few passes.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps import StepInputs, mc_dropout_prob_avg
      >>> noisy = jnp.log(jnp.array([[0.2, 0.8], [0.4, 0.6]]))
      >>> inputs = StepInputs(jnp.log(jnp.array([0.5, 0.5])), jnp.array(0), noisy_logits=noisy)
      >>> round(mc_dropout_prob_avg(inputs).item(), 4)
      0.3
      >>> round(mc_dropout_prob_avg(inputs, statistic="z_score").item(), 4)
      1.4142

    References:
      Gal and Ghahramani, "Dropout as a Bayesian Approximation", 2016, https://arxiv.org/abs/1506.02142.
    """
    check_choice("statistic", statistic, ("mean", "z_score"))
    noisy_logits, targets = inputs.read("noisy_logits"), inputs.read("targets")
    num_passes = noisy_logits.shape[0]
    noisy = ops.gather_log_probs(noisy_logits, jnp.broadcast_to(targets, (num_passes, *targets.shape)))
    noisy = noisy if logprob else jnp.exp(noisy)
    if statistic == "mean":
        return noisy.mean(0)
    if num_passes < 2:
        raise UsageError(f"a z-score needs at least 2 passes under dropout: got {num_passes}")
    return (probability(inputs, logprob=logprob) - noisy.mean(0)) / noisy.std(0, ddof=1)


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Checks that an option has one of its values.

    Args:
      name: of the option.
      value: what it was set to.
      choices: its values.

    Raises:
      UsageError: if the value is none of them; the message has the option and its values.

    Example:
      >>> from jaxlm.steps._functions import check_choice
      >>> check_choice("base", "dits", ("nats", "bits"))
      Traceback (most recent call last):
      jaxlm.errors.UsageError: base is one of nats, bits: got 'dits'
    """
    if value not in choices:
        raise UsageError(f"{name} is one of {', '.join(choices)}: got {value!r}")
