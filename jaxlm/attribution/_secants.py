"""Secants: what a function's result changes between two points, shared out among its arguments.

A derivative says how a function changes near a point; a secant, how it changes from one point to another. The
rules here share out every operation's whole change: linear operations exactly, a function of one number by
its slope between the two points, a product with each factor's mean as the slope of the other. Composed by the
chain rule they share out the change of the whole function, without a remainder.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal  # pyright: ignore[reportPrivateImportUsage]  # public

from jaxlm.errors import UsageError
from jaxlm.typing import Array

# Below this distance, relative to the numbers, a secant is lost in rounding and is the slope at the middle.
_NEAR = 1e-3

# Of one argument that matters: the result's change is the operation of the argument's change.
_LINEAR = frozenset(
    {
        "broadcast_in_dim",
        "concatenate",
        "convert_element_type",
        "copy",
        "cumsum",
        "dynamic_slice",
        "expand_dims",
        "gather",
        "layout_constraint",
        "neg",
        "pad",
        "reduce_precision",
        "reduce_sum",
        "reshape",
        "rev",
        "sharding_constraint",
        "slice",
        "squeeze",
        "transpose",
    }
)
# Of one number that changes, at most one for each operation: the change is the slope between the two points
# times the number's change.
_CURVED = frozenset(
    {
        "abs",
        "ceil",
        "clamp",
        "cos",
        "erf",
        "erfc",
        "exp",
        "exp2",
        "expm1",
        "floor",
        "integer_pow",
        "log",
        "log1p",
        "logistic",
        "pow",
        "round",
        "rsqrt",
        "sign",
        "sin",
        "sqrt",
        "square",
        "tanh",
    }
)
_PRODUCTS = frozenset({"mul", "dot_general"})
_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
    "remat": "jaxpr",
    "checkpoint": "jaxpr",
}


class Difference(NamedTuple):
    """A number at the two points, and its change.

    Attributes:
      start: at the first point.
      end: at the second point.
      change: `end - start`, as far as the arguments explain it; None: it does not depend on them.
    """

    start: Any
    end: Any
    change: Any = None


def secant_vjp(
    function: Callable[[Any], Array], end: Any, start: Any
) -> tuple[tuple[Array, Array], Callable[[Array], tuple[Any]]]:
    """Returns the values at both points and, as `jax.vjp` does, a function from cotangents to multipliers.

    For a cotangent `c` the multipliers `m` satisfy `sum (m * (end - start)) = sum (c * (function(end) -
    function(start)))`, up to rounding.

    Args:
      function: from a pytree of floats to an array, of the operations that have a rule here.
      end: the arguments at one point.
      start: the arguments at the other point.

    Raises:
      UsageError: if the function has an operation without a rule, such as a loop, that the arguments reach.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.attribution._secants import secant_vjp
      >>> end = jnp.array([3.0, 1.0])
      >>> (value, at_start), pull = secant_vjp(lambda x: x[0] * jnp.exp(x[1]), end, jnp.zeros(2))
      >>> (multipliers,) = pull(jnp.ones(()))
      >>> bool(jnp.isclose(multipliers @ end, value - at_start))
      True
    """
    closed = jax.make_jaxpr(function)(end)
    ends, starts = jax.tree.leaves(end), jax.tree.leaves(start)

    def change_of(changes: Any) -> tuple[Array, tuple[Array, Array]]:
        triples = zip(starts, ends, jax.tree.leaves(changes), strict=True)
        (result,) = _through(closed, [Difference(*triple) for triple in triples])
        change = jnp.zeros_like(result.end) if result.change is None else result.change
        return change, (result.end, result.start)

    differences = jax.tree.map(jnp.subtract, end, start)
    # Linear in the changes, so that its transpose has the multipliers of every cotangent.
    _, pull, values = jax.vjp(change_of, differences, has_aux=True)
    return values, pull


def _through(closed: ClosedJaxpr, arguments: Sequence[Difference]) -> list[Difference]:
    """The results of a traced function at both points, with their changes."""
    known: dict[Any, Difference] = {}

    def read(atom: Any) -> Difference:
        if not isinstance(atom, Literal):
            return known[atom]
        dtype = atom.aval.dtype  # pyright: ignore[reportAttributeAccessIssue]  # an array's
        number = jnp.asarray(atom.val, dtype)
        return Difference(number, number)

    known.update(
        zip(closed.jaxpr.constvars, (Difference(const, const) for const in closed.consts), strict=True)
    )
    known.update(zip(closed.jaxpr.invars, arguments, strict=True))
    atoms = [*closed.jaxpr.outvars, *(atom for equation in closed.jaxpr.eqns for atom in equation.invars)]
    needed = {atom for atom in atoms if not isinstance(atom, Literal)}
    for equation in closed.jaxpr.eqns:
        # Such as the sign that `logsumexp` computes and drops.
        if needed.isdisjoint(equation.outvars):
            continue
        results = _of_equation(equation, [read(atom) for atom in equation.invars])
        known.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in closed.jaxpr.outvars]


def _of_equation(equation: Any, read: list[Difference]) -> list[Difference]:
    name, params = equation.primitive.name, equation.params
    if name in _CALLS:
        inner = params[_CALLS[name]]
        closed = inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())
        return _through(closed, read)
    if all(one.change is None for one in read) and all(one.start is one.end for one in read):
        values = _bound(equation, [one.end for one in read])
        return [Difference(value, value) for value in values]
    ends, starts = (_bound(equation, [getattr(one, side) for one in read]) for side in ("end", "start"))
    if name in ("reduce_max", "reduce_min"):
        # What is subtracted again before an exponential: one number for both points has no change.
        chosen = (jnp.maximum if name == "reduce_max" else jnp.minimum)(ends[0], starts[0])
        return [Difference(chosen, chosen)]
    is_float = jnp.issubdtype(ends[0].dtype, jnp.floating)
    if name == "stop_gradient" or not is_float or all(one.change is None for one in read):
        return [Difference(start, end) for start, end in zip(starts, ends, strict=True)]
    change = _change(equation, read, starts[0], ends[0])
    return [Difference(starts[0], ends[0], change)]


def _bound(equation: Any, values: Sequence[Any]) -> list[Any]:
    """The results of an operation for these arguments."""
    results = equation.primitive.bind(*values, **equation.params)
    return list(results) if equation.primitive.multiple_results else [results]


def _change(equation: Any, read: list[Difference], start: Array, end: Array) -> Array:
    """The change of an operation's only result, linear in the changes of its arguments."""
    name = equation.primitive.name
    zeros = [jnp.zeros_like(one.end) if one.change is None else one.change for one in read]

    def apply(*values: Any) -> Array:
        return _bound(equation, values)[0]

    if name in ("add", "add_any"):
        return zeros[0] + zeros[1]
    if name == "sub":
        return zeros[0] - zeros[1]
    if name in _LINEAR:
        # Indices and padding's own value are no numbers that change.
        kept = [
            zero if jnp.issubdtype(jnp.asarray(one.end).dtype, jnp.floating) else one.end
            for zero, one in zip(zeros, read, strict=True)
        ]
        return apply(*kept)
    if name == "select_n":
        return apply(read[0].end, *zeros[1:])
    if name in _PRODUCTS:
        first, second = ((one.start + one.end) / 2 for one in read)
        return apply(zeros[0], second) + apply(first, zeros[1])
    changing = [index for index, one in enumerate(read) if one.change is not None]
    if name in _CURVED and len(changing) == 1:
        (index,) = changing
        fixed = [one.end for one in read]

        def of_one(value: Array) -> Array:
            return apply(*fixed[:index], value, *fixed[index + 1 :])

        return _secant(of_one, read[index], start, end) * zeros[index]
    if name == "div":
        over = Difference(read[1].start, read[1].end)
        slope = _secant(lambda value: 1.0 / value, over, 1.0 / over.start, 1.0 / over.end)
        mean = (read[0].start + read[0].end) / 2
        return zeros[0] * (1.0 / over.start + 1.0 / over.end) / 2 + mean * slope * zeros[1]
    if name in ("max", "min"):
        # Half of the sum, and half of the distance with the sign of the extreme.
        sign = 0.5 if name == "max" else -0.5
        apart = Difference(read[0].start - read[1].start, read[0].end - read[1].end)
        slope = _secant(jnp.abs, apart, jnp.abs(apart.start), jnp.abs(apart.end))
        return (zeros[0] + zeros[1]) / 2 + sign * slope * (zeros[0] - zeros[1])
    raise UsageError(
        f"deeplift has no rule for the operation {name!r} of this model or step function; take "
        "method='integrated_gradients'"
    )


def _secant(function: Callable[[Array], Array], argument: Difference, start: Array, end: Array) -> Array:
    """The slope of a function of one number between two points."""
    distance = argument.end - argument.start
    middle = (argument.start + argument.end) / 2
    is_near = jnp.abs(distance) < np.float32(_NEAR) * (1.0 + jnp.abs(middle))
    _, slope = jax.jvp(function, (middle,), (jnp.ones_like(middle),))
    secant = (end - start) / jnp.where(is_near, jnp.ones_like(distance), distance)
    # Numbers that are infinite at both points, such as what a mask hides, have no slope that matters.
    found = jnp.where(is_near, slope, secant)
    return jnp.where(jnp.isfinite(found), found, jnp.zeros_like(found))
