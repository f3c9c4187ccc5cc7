"""The step function of a text of which some tokens are removed, for curves of faithfulness.

Letters: `C` copies of the text, `L` positions of its row, `S` positions of the encoder's row, `T = L + S`
tokens of both, `M` predictions.
"""

import jax
import jax.numpy as jnp

from jaxlm import ops
from jaxlm.attribution._chunks import map_chunks
from jaxlm.attribution._faithfulness import ValueFn
from jaxlm.attribution._gradients import start_of
from jaxlm.attribution._method import MethodTask
from jaxlm.attribution._predictions import Sides
from jaxlm.errors import UsageError
from jaxlm.typing import Array, Bool, Float, Int


def removal_values(task: MethodTask) -> ValueFn:
    """Returns a function of which tokens are kept, which `deletion_curve` and its relatives ask.

    A removed token's vector is replaced by the baseline's, at its position; the text does not get shorter.
    The tokens are those of the row and, of an encoder-decoder, then those of the encoder's row, so that
    scores of both sides are concatenated: `jnp.concatenate([scores.target, scores.source], axis=1)[0]`.

    Args:
      task: of one text: its rows, predictions, step function and baseline, and `chunk`, the number of copies
        that are computed at once.

    Raises:
      UsageError: if there is more than one row.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.attribution import Predictions, MethodTask, deletion_curve, occlusion, removal_values
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2, causal=True)
      >>> model, inputs = models.build(config, "causal_lm"), models.Inputs(tokens=jnp.array([[1, 2, 3]]))
      >>> params = model.init(jax.random.key(0), inputs)["params"]
      >>> asked = Predictions(positions=jnp.array([[1, 2]]), targets=jnp.array([[3, 5]]))
      >>> task = MethodTask(model=model, params=params, inputs=inputs, predictions=asked)
      >>> scores = jax.jit(occlusion)(task)
      >>> curve = deletion_curve(removal_values(task), scores.target[0], (0, 1, 2))
      >>> bool(jnp.allclose(curve.values[0], scores.values[0])), curve.values.shape
      (True, (3, 2))
    """
    if task.inputs.num_rows != 1:
        raise UsageError(f"tokens are removed from one text: got {task.inputs.num_rows} rows")
    return lambda kept, prediction: _values(task, kept, prediction)


@jax.jit
@ops.derivatives("any")
def _values(task: MethodTask, kept: Bool[Array, "C T"], prediction: Int[Array, " C"]) -> Float[Array, " C"]:
    reading, explained = start_of(task)
    vectors, baseline = reading.vectors(), reading.baseline(task.baseline)

    def of_group(indices: Int[Array, " C"]) -> Float[Array, " C"]:
        number = indices.shape[0]
        parts = jnp.split(kept[indices], [task.inputs.length], axis=1)
        sides = zip(parts, vectors, baseline, strict=True)
        copies = Sides(*(None if one is None else _mixed(part, one, base) for part, one, base in sides))
        rows = reading._replace(
            inputs=jax.tree.map(lambda array: jnp.repeat(array, number, axis=0), reading.inputs),
            dropout_rng=None
            if reading.dropout_rng is None
            else jnp.repeat(reading.dropout_rng, number, axis=1),
        )
        # Of each copy one prediction is asked, as if the copies were rows of a batch.
        asked = explained.predictions
        fields = {
            name: None if getattr(asked, name) is None else getattr(asked, name)[0, prediction[indices], None]
            for name in ("positions", "targets", "contrast_targets", "rng")
        }
        other = explained.contrast_hidden
        own = explained._replace(
            predictions=asked._replace(**fields),
            contrast_hidden=None if other is None else other[0, prediction[indices], None],
        )
        return own.values(rows.hidden(copies)[None])[0, :, 0]

    return map_chunks(of_group, kept.shape[0], task.chunk)


def _mixed(
    kept: Bool[Array, "C L"], vectors: Float[Array, "B L D"], baseline: Float[Array, "B L D"]
) -> Float[Array, "C L D"]:
    return jnp.where(kept[..., None], vectors, baseline)
