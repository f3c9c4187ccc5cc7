"""Activation patching: what a site made in another run, put into a run, one layer and one position at a time.

Letters: `R` layers, `B` rows, `L` positions, `M` predictions of a row, `V` vocabulary, `C` patched runs.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxlm import models, steps
from jaxlm.attribution._explained import make_explained
from jaxlm.attribution._predictions import Predictions
from jaxlm.attribution._site_runs import chosen
from jaxlm.errors import UsageError
from jaxlm.models import Intervention, Site
from jaxlm.typing import Array, Bool, Float

# Patched runs that are computed at once.
RUNS_AT_ONCE = 16


class Patching(NamedTuple):
    """A step function's values with a site's values from another run, the donor, by layer and position.

    Attributes:
      values: `Float32[R L B M]`. The step function of each prediction with the site's values of the donor at
        one layer and one position, the rest as in the row. NaN at positions that are padding in either run.
      own_values: `Float32[B M]`. The step function of the row without a patch.
      donor_values: `Float32[B M]`. The step function of the donor's row, at the same positions.
    """

    values: Float[Array, "R L B M"]
    own_values: Float[Array, "B M"]
    donor_values: Float[Array, "B M"]

    @property
    def effects(self) -> Float[Array, "R L B M"]:
        """`(values - own_values) / (donor_values - own_values)`: a patch's share of the difference.

        0: the patch changes nothing; 1: it does all that the donor's input does. NaN where the two runs have
        the same value.
        """
        difference = self.donor_values - self.own_values
        is_equal = difference == 0.0
        divisors = jnp.where(is_equal, 1.0, difference)[None, None]
        shares = (self.values - self.own_values[None, None]) / divisors
        return jnp.where(is_equal[None, None], jnp.nan, shares)


def activation_patching(
    model: nn.Module,
    params: Mapping[str, Any],
    inputs: models.Inputs,
    donor: models.Inputs,
    predictions: Predictions,
    step: steps.StepFunction,
    *,
    site: Site = Site.RESIDUAL,
    layers: int | Sequence[int] | None = None,
    chunk: int = RUNS_AT_ONCE,
) -> Patching:
    """Returns how each prediction changes with a site's values of another run, by layer and position.

    For each layer r and position p the model reads the rows, with the values of the site in layer r at
    position p replaced by those that the donor's row made there. All R x L runs are one program, mapped over
    layers and positions. A row and its donor are compared position by position, so that they should be alike
    up to the tokens that differ.

    Args:
      model: a `CausalLM`, a `MaskedLM` or a `Seq2SeqLM`; static under `jax.jit`.
      params: its "params" collection.
      inputs: the rows that are patched; an encoder-decoder's with its encoder's inputs.
      donor: as many rows of the same lengths, from whose runs the values come.
      predictions: the predictions whose step function is computed, in the rows and in the donor's.
      step: the step function.
      site: the site; an encoder's site patches the positions of the encoder's row.
      layers: the number of a layer, or of several; negative ones count from the end. None: all that the site
        has.
      chunk: how many runs are computed at once: memory grows with it, the results do not change.

    Raises:
      UsageError: if the rows and the donor's have different shapes, the step function needs runs
        under dropout, or there is no such layer or site.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, steps
      >>> from jaxlm.attribution import Predictions, activation_patching
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=2, num_heads=2, causal=True)
      >>> model, rows = models.CausalLM(config), jnp.array([[1, 2, 3], [1, 4, 3]])
      >>> params = model.init(jax.random.key(0), rows)["params"]
      >>> inputs, donor = models.Inputs(tokens=rows[:1]), models.Inputs(tokens=rows[1:])
      >>> asked = Predictions(positions=jnp.array([[2]]), targets=jnp.array([[5]]))
      >>> step = steps.step_function("logit")
      >>> patch = jax.jit(activation_patching, static_argnames=("model", "step", "site"))
      >>> patching = patch(model, params, inputs, donor, asked, step, site=models.Site.EMBEDDINGS)
      >>> patching.values.shape, patching.effects[0, :, 0, 0].round(3).astype(int).tolist()  # token 1 differs
      ((1, 3, 1, 1), [0, 1, 0])

    References:
      Vig et al., "Causal Mediation Analysis for Interpreting Neural NLP", 2020,
        https://arxiv.org/abs/2004.12265.
      Meng et al., "Locating and Editing Factual Associations in GPT", 2022,
        https://arxiv.org/abs/2202.05262.
    """
    _check(inputs, donor, step)
    of_donor = models.apply_model(model, params, donor, intermediates=(site,))
    given = of_donor.intermediates[site]
    numbers = chosen(layers, given.shape[0], "layers")
    rows, of_rows = _side(inputs, site), _side(donor, site)
    explained = make_explained(model, params, step, predictions)

    def value(hidden: Array) -> Float[Array, "B M"]:
        return explained.values(hidden[None, None])[0]

    def patched(place: tuple[Array, Array]) -> Float[Array, "B M"]:
        layer, position = place
        mask = jnp.broadcast_to(jnp.arange(rows.length) == position, (rows.num_rows, rows.length))
        # The embeddings have one layer, which every number stands for.
        number = layer if given.shape[0] > 1 else 0
        change = Intervention(site=site, layer=number, value=given[layer], mask=mask)
        return value(models.apply_model(model, params, inputs, interventions=(change,)).hidden)

    layer_of = jnp.repeat(jnp.asarray(numbers), rows.length)
    position_of = jnp.tile(jnp.arange(rows.length), len(numbers))
    values = jax.lax.map(patched, (layer_of, position_of), batch_size=min(chunk, layer_of.shape[0]))
    values = values.reshape(len(numbers), rows.length, *values.shape[1:])
    is_real = _real(rows) & _real(of_rows)
    values = jnp.where(is_real.T[None, :, :, None], values, jnp.nan)
    own = models.apply_model(model, params, inputs).hidden
    return Patching(values, value(own), value(of_donor.hidden))


def _side(inputs: models.Inputs, site: Site) -> models.Inputs:
    """The inputs whose positions a site has: the decoder's, or the encoder's."""
    if inputs.encoder is None or not (site.startswith("encoder_") or site in _OF_MEMORY):
        return inputs
    return inputs.encoder


# Sites of the decoder whose positions are those of the encoder's row.
_OF_MEMORY = (Site.CROSS_KEYS, Site.CROSS_VALUES)


def _real(inputs: models.Inputs) -> Bool[Array, "B L"]:
    if inputs.segments is None:
        return jnp.ones((inputs.num_rows, inputs.length), bool)
    return inputs.segments > 0


def _check(inputs: models.Inputs, donor: models.Inputs, step: steps.StepFunction) -> None:
    """Refuses rows of different shapes, and step functions that need runs under dropout."""
    shapes = [[leaf.shape for leaf in jax.tree.leaves(rows)] for rows in (inputs, donor)]
    if shapes[0] != shapes[1]:
        raise UsageError(
            f"a row and its donor are compared position by position: got arrays of {shapes[0]} and "
            f"{shapes[1]}; pad both to one length, and give both the same fields"
        )
    if "noisy_logits" in step.needs:
        raise UsageError(
            f"activation patching runs the model without dropout: {step.name} needs noisy_logits; ask for "
            "another step function"
        )
