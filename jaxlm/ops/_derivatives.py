"""Which derivatives operations have: gradients by hand-written backward passes, or all kinds by JAX's rules.

JAX has no forward-mode derivative (`jax.jvp`, `jax.jacfwd`, `jax.linearize`) of a function with a backward
pass of its own. Where one is asked for, the same function is computed without that pass.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import jax

Derivatives = Literal["reverse", "any"]

# Part of the key of JAX's caches: a jitted function is traced once for each value.
_WANTED = jax.make_user_context("reverse")
_REMEDY = (
    "jaxlm's operations have hand-written backward passes, which forward mode (jax.jvp, jax.jacfwd, "
    'jax.linearize) cannot use: decorate what you differentiate with @jaxlm.ops.derivatives("any")'
)


@contextmanager
def derivatives(wanted: Derivatives) -> Iterator[None]:
    """Sets which derivatives the operations of this library have, and with them every model and its head.

    "reverse", the default, is for training: gradients (`jax.grad`, `jax.vjp`, `jax.jacrev`), which the
    operations compute by backward passes of their own. "any" adds forward mode (`jax.jvp`, `jax.jacfwd`,
    `jax.linearize`): JAX differentiates the plain operations, attention is never fused, and a gradient takes
    more memory. Values are the same; gradients too, up to rounding, which in bfloat16 is that of each
    product's gradient. `jax.jvp(jax.grad(f), ...)` works with both, except through fused attention.

    It is a decorator of the function that is differentiated, and a context. What counts is where the
    function is traced, not where it is defined; jitted functions are traced anew for another mode.

    Args:
      wanted: "reverse" or "any".

    Raises:
      ValueError: if `wanted` is another word.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import ops
      >>> @ops.derivatives("any")
      ... def loss(weights):
      ...     return ops.silu(weights).sum()
      >>> _, slope = jax.jvp(loss, (jnp.zeros(3),), (jnp.ones(3),))
      >>> float(slope)
      1.5
      >>> with ops.derivatives("any"):
      ...     jax.jacfwd(ops.silu)(jnp.zeros(2)).tolist()
      [[0.5, 0.0], [0.0, 0.5]]

    References:
      Pearlmutter, "Fast Exact Multiplication by the Hessian", 1994 (`jax.jvp` of `jax.grad`).
    """
    if wanted not in get_args(Derivatives):
        raise ValueError(f"derivatives are 'reverse' or 'any': got {wanted!r}")
    with _WANTED(wanted):
        yield


def forward_mode_requested() -> bool:
    """Returns whether operations are to be differentiable by JAX's own rules alone.

    Example:
      >>> from jaxlm.ops import derivatives
      >>> from jaxlm.ops._derivatives import forward_mode_requested
      >>> with derivatives("any"):
      ...     forward_mode_requested()
      True
    """
    return _WANTED.value == "any"


@contextmanager
def forward_mode_hint() -> Iterator[None]:
    """Adds a line to JAX's refusal of forward mode that says how to have it.

    JAX refuses within this context where a function is differentiated as it is; of a jitted one it refuses
    later, by its own words alone.

    Example:
      >>> from jaxlm.ops._derivatives import forward_mode_hint
      >>> with forward_mode_hint():
      ...     raise TypeError("can't apply forward-mode autodiff")
      Traceback (most recent call last):
      TypeError: can't apply forward-mode autodiff
      jaxlm's operations have hand-written backward passes, ...
    """
    try:
        yield
    except TypeError as error:
        if "forward-mode" in str(error):
            error.add_note(_REMEDY)
        raise


def with_backward(
    function: Callable[..., Any],
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[..., tuple[Any, ...]],
    *,
    static: tuple[int, ...] = (),
) -> Callable[..., Any]:
    """Returns the function with a backward pass of its own, which `derivatives("any")` leaves out.

    Args:
      function: of arrays; differentiable by JAX's rules.
      forward: as `jax.custom_vjp` takes it; calls no function that was made here, so that JAX finds the
        forward-mode derivatives of its gradient.
      backward: likewise.
      static: places of the arguments that are no arrays.

    Example:
      >>> import jax
      >>> from jaxlm.ops._derivatives import with_backward
      >>> def square(number):
      ...     return number * number
      >>> def forward(number):
      ...     return square(number), number
      >>> def backward(number, upstream):
      ...     return (2 * number * upstream,)
      >>> fast = with_backward(square, forward, backward)
      >>> float(jax.jvp(jax.grad(fast), (3.0,), (1.0,))[1])
      2.0
    """
    fast = jax.custom_vjp(function, nondiff_argnums=static)
    fast.defvjp(forward, backward)

    @functools.wraps(function)
    def differentiable(*arguments: Any, **named: Any) -> Any:
        if forward_mode_requested():
            return function(*arguments, **named)
        with forward_mode_hint():
            return fast(*arguments, **named)

    return differentiable
