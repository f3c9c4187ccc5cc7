"""The explained step function as a function of hidden vectors, with its derivatives, a tile at a time.

Letters: `R` runs of the model, `B` rows, `L` positions, `M` explained predictions of a row, `Q` explained
predictions in all, `D` width, `V` vocabulary.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxlm import models, steps
from jaxlm.attribution._predictions import Predictions
from jaxlm.attribution._secants import secant_vjp
from jaxlm.devices import current_target
from jaxlm.typing import Array, Float, Int


class Explained(NamedTuple):
    """The step function of predictions; a prediction depends on the hidden vectors at one position alone.

    Attributes:
      model: the model, whose head makes logits.
      params: its parameters.
      step: the step function.
      predictions: what is predicted, `[B M]`.
      contrast_hidden: `Float[B M D]`, the hidden vectors of the contrast's rows; None without such rows.
    """

    model: models.Model
    params: Any
    step: steps.StepFunction
    predictions: Predictions
    contrast_hidden: Float[Array, "B M D"] | None = None

    def values(
        self, hidden: Float[Array, "C R B L D"], positions: Int[Array, "C B M"] | None = None
    ) -> Float[Array, "C B M"]:
        """Returns the step function for each of C copies of the rows; 0 in unused entries.

        Args:
          hidden: `Float[C R B L D]`, hidden vectors of the copies.
          positions: `Int[C B M]`, where the predictions of each copy are made; None: where those of the rows
            are.
        """
        copies = hidden.shape[0]
        if positions is None:
            positions = jnp.broadcast_to(
                self.predictions.positions[None], (copies, *self.predictions.positions.shape)
            )
        asked = jax.vmap(at_positions)(hidden, positions)
        # The copies' predictions in one axis, so that the logits of a tile are all that is in memory.
        vectors = jnp.moveaxis(asked, 1, 0).reshape(hidden.shape[1], -1, hidden.shape[-1])
        values = self._by_tiles(self._step_values, vectors, copies)
        return self._used(values.reshape(copies, *self.predictions.positions.shape))

    def slopes(self, hidden: Float[Array, "R B L D"]) -> tuple[Float[Array, "B M"], Float[Array, "R B M D"]]:
        """Returns the values, and the derivative of each with respect to its own hidden vectors.

        Args:
          hidden: `Float[R B L D]`, hidden vectors of the rows.
        """
        runs, width = hidden.shape[0], hidden.shape[-1]
        vectors = at_positions(hidden, self.predictions.positions).reshape(runs, -1, width)

        def of_tile(vectors: Array, queries: "_Queries") -> tuple[Array, Array]:
            def total(vectors: Array) -> tuple[Array, Array]:
                values = self._step_values(vectors, queries)
                # Each value depends on its own vectors alone, so that the sum has all derivatives at once.
                return values.sum(), values

            slopes, values = jax.grad(total, has_aux=True)(vectors)
            return values, jnp.moveaxis(slopes, 0, 1)

        values, slopes = self._by_tiles(of_tile, vectors, 1)
        shape = self.predictions.positions.shape
        slopes = jnp.moveaxis(slopes.reshape(*shape, runs, width), 2, 0)
        is_used = (self.predictions.positions >= 0)[None, ..., None]
        return self._used(values.reshape(shape)), jnp.where(is_used, slopes, jnp.zeros_like(slopes))

    def secants(
        self, hidden: Float[Array, "R B L D"], start: Float[Array, "R B L D"]
    ) -> tuple[Float[Array, "B M"], Float[Array, "B M"], Float[Array, "R B M D"]]:
        """Returns the values at two points, and what each hidden number's change is multiplied with.

        Args:
          hidden: `Float[R B L D]`, hidden vectors of the rows.
          start: those of the baseline.
        """
        runs, width = hidden.shape[0], hidden.shape[-1]
        both = jnp.concatenate([hidden, start])
        vectors = at_positions(both, self.predictions.positions).reshape(2 * runs, -1, width)

        def of_tile(vectors: Array, queries: "_Queries") -> tuple[Array, Array, Array]:
            (values, at_start), pull = secant_vjp(
                lambda own: self._step_values(own, queries), vectors[:runs], vectors[runs:]
            )
            return values, at_start, jnp.moveaxis(pull(jnp.ones_like(values))[0], 0, 1)

        values, at_start, slopes = self._by_tiles(of_tile, vectors, 1)
        shape = self.predictions.positions.shape
        slopes = jnp.moveaxis(slopes.reshape(*shape, runs, width), 2, 0)
        is_used = (self.predictions.positions >= 0)[None, ..., None]
        slopes = jnp.where(is_used, slopes, jnp.zeros_like(slopes))
        return self._used(values.reshape(shape)), self._used(at_start.reshape(shape)), slopes

    def _used(self, values: Float[Array, "*copies B M"]) -> Float[Array, "*copies B M"]:
        is_used = jnp.broadcast_to(self.predictions.positions >= 0, values.shape)
        return jnp.where(is_used, values, 0.0)

    def _by_tiles(self, function: Callable[..., Any], vectors: Float[Array, "R Q D"], copies: int) -> Any:
        """Applies a function to tiles of the hidden vectors and their queries; `[Q ...]` results."""
        queries = jax.tree.map(
            lambda array: jnp.broadcast_to(array[None], (copies, *array.shape)).reshape(-1, *array.shape[1:]),
            self._queries(),
        )
        num, runs = vectors.shape[1], vectors.shape[0]
        rows_of_logits = runs + (self.contrast_hidden is not None)
        is_cpu = current_target().platform == "cpu"
        tile = steps.tile_size(self.model.config.vocab_size, rows_of_logits, num, is_cpu=is_cpu)
        if num <= tile:
            return function(vectors, queries)
        tiles = -(-num // tile)
        tiled = jax.tree.map(
            lambda array: jnp.concatenate(
                [array, jnp.broadcast_to(array[:1], (tiles * tile - num, *array.shape[1:]))]
            ).reshape(tiles, tile, *array.shape[1:]),
            (jnp.moveaxis(vectors, 1, 0), queries),
        )
        results = jax.lax.map(lambda part: function(jnp.moveaxis(part[0], 1, 0), part[1]), tiled)
        return jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:])[:num], results)

    def _queries(self) -> "_Queries":
        told = self.predictions
        own = _Queries(told.targets, told.contrast_targets, self.contrast_hidden, told.rng)
        return jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:]), own)

    def _step_values(self, vectors: Float[Array, "R Q D"], queries: "_Queries") -> Float[Array, " Q"]:
        def to_logits(hidden: Array) -> Array:
            return models.apply_head(self.model, self.params, hidden)

        logits = to_logits(vectors[0])
        inputs = steps.StepInputs(logits, queries.targets, rng=queries.rng)
        if queries.contrast_targets is not None:
            other = queries.contrast_hidden
            inputs = inputs._replace(
                contrast_logits=logits if other is None else to_logits(other),
                contrast_targets=queries.contrast_targets,
            )
        if vectors.shape[0] > 1:
            inputs = inputs._replace(noisy_logits=to_logits(vectors[1:]))
        return steps.step_values(self.step, inputs)


class _Queries(NamedTuple):
    """What is asked of each of Q predictions, beside the hidden vectors."""

    targets: Int[Array, " Q"]
    contrast_targets: Int[Array, " Q"] | None
    contrast_hidden: Float[Array, "Q D"] | None
    rng: Any


def make_explained(
    model: models.Model, params: Any, step: steps.StepFunction, predictions: Predictions
) -> Explained:
    """Returns the step function of predictions, after a forward pass over the contrast's rows, if any.

    Args:
      model: the model.
      params: its parameters.
      step: the step function.
      predictions: what is predicted.
    """
    hidden = None
    if predictions.contrast is not None and predictions.contrast_positions is not None:
        read = models.apply_model(model, params, predictions.contrast).hidden
        hidden = at_positions(read[None], predictions.contrast_positions)[0]
    return Explained(model, params, step, predictions, hidden)


def at_positions(hidden: Float[Array, "R B L D"], positions: Int[Array, "B M"]) -> Float[Array, "R B M D"]:
    """Returns the hidden vectors at positions of each row; those of the first position for -1.

    Args:
      hidden: hidden vectors of several runs.
      positions: `Int[B M]`.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.attribution._explained import at_positions
      >>> hidden = jnp.arange(6.0).reshape(1, 1, 3, 2)
      >>> at_positions(hidden, jnp.array([[2, -1]])).tolist()
      [[[[4.0, 5.0], [0.0, 1.0]]]]
    """
    index = jnp.maximum(positions, 0)[None, :, :, None]
    return jnp.take_along_axis(hidden, index, axis=2)
