"""The derivatives of operations: gradients by custom backward passes, or all derivatives by JAX's rules.

JAX has no forward-mode derivative (`jax.jvp`, `jax.jacfwd`, `jax.linearize`) of a function with a custom
backward pass. Where forward mode is requested, the functions are used without their custom backward pass.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import jax

Derivatives = Literal["reverse", "any"]

# A JAX context: it is part of the cache key of jitted functions, which are traced once for each value.
_MODE = jax.make_user_context("reverse")
_REMEDY = (
    "jaxlm's operations have hand-written backward passes, which forward mode (jax.jvp, jax.jacfwd, "
    'jax.linearize) cannot use: decorate what you differentiate with @jaxlm.ops.derivatives("any")'
)


@contextmanager
def derivatives(wanted: Derivatives) -> Iterator[None]:
    """Sets which derivatives the operations of this library have, and with them all models.

    "reverse", the default, is for training: gradients (`jax.grad`, `jax.vjp`, `jax.jacrev`), which the
    operations compute by custom backward passes. "any" adds forward mode (`jax.jvp`, `jax.jacfwd`,
    `jax.linearize`): JAX differentiates the plain operations, attention is never fused, and gradients take
    more memory. Values are equal in both modes, and gradients are equal up to rounding (in bfloat16, the
    rounding of each product's gradient). `jax.jvp(jax.grad(f), ...)` works in both modes, except through
    fused attention.

    It can be used as a context manager or as a decorator of the function that is differentiated. What counts
    is the mode in which a function is traced, not the mode in which it is defined; a jitted function is
    traced again for the other mode.

    Args:
      wanted: "reverse" or "any", as above.

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
    with _MODE(wanted):
        yield


def forward_mode_requested() -> bool:
    """Returns whether the mode is "any", in which operations have no custom backward passes.

    Example:
      >>> from jaxlm.ops import derivatives
      >>> from jaxlm.ops._derivatives import forward_mode_requested
      >>> with derivatives("any"):
      ...     forward_mode_requested()
      True
    """
    return _MODE.value == "any"


@contextmanager
def forward_mode_hint() -> Iterator[None]:
    """A context that adds a hint to JAX's error about forward mode: how to enable it.

    JAX raises the error inside this context only if the differentiated function is not jitted.

    Raises:
      TypeError: JAX's error, with the hint as a note.

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
    """Returns the function with a custom backward pass, which is not used under `derivatives("any")`.

    Args:
      function: of arrays; differentiable by JAX's rules.
      forward: as for `jax.custom_vjp`. It must not call functions returned by `with_backward`, so that JAX
        can compute forward-mode derivatives of the gradient.
      backward: as for `jax.custom_vjp`, with the same restriction.
      static: indices of the arguments that are not arrays.

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
