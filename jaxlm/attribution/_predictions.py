"""What is explained, and what an explanation consists of, as records of arrays.

Letters: `B` rows, `L` positions of a row, `S` positions of an encoder's row, `M` explained predictions of a
row, `D` width, `E` passes under dropout.
"""

from typing import Any, NamedTuple

from jaxlm import models
from jaxlm.typing import AnyArray, Array, Float, Int, Key


class Sides(NamedTuple):
    """A pair of arrays: for what the model reads, and for what an encoder-decoder's encoder reads.

    Attributes:
      target: of the row that the model reads; for an encoder-decoder, of the row that its decoder reads.
      source: of the row that the encoder reads; None for other models.

    Example:
      >>> from jaxlm.attribution import Sides
      >>> Sides(target=1.0).source is None
      True
    """

    target: Any
    source: Any = None


class Predictions(NamedTuple):
    """The predictions that are explained: at which positions of each row, of which tokens.

    Attributes:
      positions: `Int[B M]`. The index into its row of the position at which each prediction is made: for a
        causal model the position before the predicted token, for a masked model the mask. -1: the entry is
        unused, and its results are 0.
      targets: `Int[B M]`. The predicted ids; any id in unused entries.
      contrast_targets: `Int[B M]`. The ids of the contrast, which comparing step functions read. None: there
        is no contrast.
      contrast: the rows that the model reads for the contrast. The contrast's logits are then those of these
        rows, which the explained tokens do not change. None: the contrast's logits are those of the explained
        row itself, at the same position.
      contrast_positions: `Int[B M]`. The positions in the rows of `contrast`; None without these rows.
      rng: `Key[B M]`. A PRNG key for each prediction, for a step function that draws; None: it draws nothing.
      dropout_rng: `Key[E B]`. A PRNG key for each pass under dropout and each row, for a step function that
        reads `noisy_logits`; None: there are no such passes.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.attribution import Predictions
      >>> Predictions(positions=jnp.array([[1, 2]]), targets=jnp.array([[7, 8]])).contrast is None
      True
    """

    positions: Int[Array, "B M"]
    targets: Int[Array, "B M"]
    contrast_targets: Int[Array, "B M"] | None = None
    contrast: models.Inputs | None = None
    contrast_positions: Int[Array, "B M"] | None = None
    rng: Key[Array, "B M"] | None = None
    dropout_rng: Key[Array, "E B"] | None = None


class Counts(NamedTuple):
    """How much of padded arrays is used by any row, known at run time only; the rest is not computed.

    Attributes:
      predictions: `Int[]`, of the M predictions.
      target: `Int[]`, of the L positions.
      source: `Int[]`, of the S positions that an encoder reads; None for other models.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.attribution import Counts
      >>> Counts(jnp.int32(3), jnp.int32(20)).source is None
      True
    """

    predictions: AnyArray
    target: AnyArray
    source: AnyArray | None = None


class InputScores(NamedTuple):
    """How much each input token moved each explained prediction, as arrays.

    A score of a token that a prediction cannot see (later tokens of a causal model, padding) is 0.

    Attributes:
      target: `Float32[B L M]`, the scores of the tokens of the row that the model (of an encoder-decoder: its
        decoder) reads; `[B L M D]` if one number for each dimension was asked for. With a span as one
        prediction M is 1.
      source: `Float32[B S M]`, or `[B S M D]`, the scores of the tokens that an encoder reads; None for other
        models.
      values: `Float32[B M]`, the explained step function; None if the method explains none.
      baseline_values: `Float32[B M]`, the step function at the baseline, for a method whose scores sum to
        `values - baseline_values`; None for other methods.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.attribution import InputScores
      >>> InputScores(jnp.zeros((1, 3, 2)), values=jnp.zeros((1, 2))).source is None
      True
    """

    target: Float[Array, "B L M"] | Float[Array, "B L M D"]
    source: Float[Array, "B S M"] | Float[Array, "B S M D"] | None = None
    values: Float[Array, "B M"] | None = None
    baseline_values: Float[Array, "B M"] | None = None
