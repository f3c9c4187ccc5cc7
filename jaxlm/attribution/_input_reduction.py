"""Input reduction: the few tokens of a text with which a model still predicts the same.

Letters: `B` rows, `L` positions of the reduced row, `M` predictions of a row, `K` reduced texts of a beam.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxlm import models
from jaxlm.attribution._attacks import (
    changed_row,
    target_gradients,
    with_changed_row,
    with_segments,
)
from jaxlm.attribution._site_runs import segments_of
from jaxlm.errors import UsageError
from jaxlm.typing import Array, Bool, Float, Int

# AllenNLP's number of texts that are reduced further in each round.
BEAM = 3


class Reductions(NamedTuple):
    """Rows after input reduction.

    Attributes:
      kept: `Bool[B L]`. The tokens that are left.
      predictions: `Int32[B M]`. What the model predicts before and after the reduction; -1 in unused entries.
      probabilities: `Float32[B M]`. The predictions' probabilities in the whole row.
      reduced_probabilities: `Float32[B M]`. The same in the reduced row.
    """

    kept: Bool[Array, "B L"]
    predictions: Int[Array, "B M"]
    probabilities: Float[Array, "B M"]
    reduced_probabilities: Float[Array, "B M"]


def reduce_inputs(
    model: nn.Module,
    params: Mapping[str, Any],
    inputs: models.Inputs,
    positions: Int[Array, "B M"],
    removable: Bool[Array, "B L"],
    *,
    beam: int = BEAM,
) -> Reductions:
    """Returns which tokens are left if unimportant ones are removed while the predictions stay the same.

    In every round each text of the beam loses the token whose gradient of the loss has the smallest norm; the
    second and the third smallest make further texts. A text whose likeliest tokens are no longer those of the
    whole row is dropped. The first `beam` texts, in the order of the beam and then of the norms, go on. The
    rounds end when no text is left, or one token; the result is the first text of the last round with any.

    The prediction of a causal model's last token moves with the end of the text. Of an encoder-decoder the
    encoder's row is reduced. Rows are reduced independently of each other, in one compiled loop.

    This is AllenNLP's method, but for two faults: tokens that are not removable are never removed (AllenNLP
    compares them with strings, so that its list is without effect), and of equally short texts the first is
    returned, not the last.

    Args:
      model: a `CausalLM`, a `MaskedLM` or a `Seq2SeqLM`; static under `jax.jit`.
      params: its "params" collection.
      inputs: the rows, as tokens; one text in each row, which padding may follow.
      positions: `Int[B M]`, the positions whose predictions must stay: of a causal model the last one of each
        text, of a masked model the masks; -1 in unused entries.
      removable: `Bool[B L]`, True = may be removed, for the row that is reduced. A masked model's masks
        must be False.
      beam: how many texts go on after each round; static.

    Raises:
      UsageError: if the beam is below 1.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.attribution import reduce_inputs
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2, causal=True)
      >>> model, inputs = models.CausalLM(config), models.Inputs(tokens=jnp.array([[1, 2, 3, 4]]))
      >>> params = model.init(jax.random.key(0), inputs)["params"]
      >>> reduce = jax.jit(reduce_inputs, static_argnames=("model", "beam"))
      >>> result = reduce(model, params, inputs, jnp.array([[3]]), jnp.ones((1, 4), bool))
      >>> bool(result.kept.any()), result.predictions.shape
      (True, (1, 1))

    References:
      Feng et al., "Pathologies of Neural Models Make Interpretations Difficult", 2018,
        https://arxiv.org/abs/1804.07781.
      Wallace et al., "AllenNLP Interpret", 2019, https://arxiv.org/abs/1909.09251.
    """
    if beam < 1:
        raise UsageError(f"a beam has one text or more: got beam={beam}")
    rounds = _Rounds(model, params, with_segments(inputs), positions, removable, beam)
    return rounds.run()


class _Beam(NamedTuple):
    """The beam of a round: the tokens that each text keeps, which texts there are, the best text so far."""

    kept: Bool[Array, "B K L"]
    is_text: Bool[Array, "B K"]
    best: Bool[Array, "B L"]
    probabilities: Float[Array, "B M"]


class _Rounds(NamedTuple):
    """What is common to all rounds of a reduction."""

    model: nn.Module
    params: Mapping[str, Any]
    inputs: models.Inputs
    positions: Array
    removable: Array
    beam: int

    def run(self) -> Reductions:
        whole = target_gradients(self.model, self.params, self.inputs, self.positions)
        is_real = segments_of(changed_row(self.inputs)) > 0
        is_first = jnp.arange(self.beam) == 0
        start = _Beam(
            jnp.broadcast_to(is_real[:, None], (is_real.shape[0], self.beam, is_real.shape[1])),
            is_first[None] & is_real.any(1)[:, None],
            is_real,
            whole.probabilities,
        )
        end = jax.lax.while_loop(
            lambda state: state.is_text.any(), lambda state: self._advance(state, whole.predicted), start
        )
        return Reductions(end.best, whole.predicted, whole.probabilities, end.probabilities)

    def _advance(self, state: _Beam, predicted: Int[Array, "B M"]) -> _Beam:
        """Drops texts whose predictions changed, and removes a token of each other text in up to K ways."""
        num_rows, num_texts, length = state.kept.shape
        found = self._gradients(state.kept.reshape(-1, length), predicted)
        same = (found.predicted.reshape(num_rows, num_texts, -1) == predicted[:, None]).all(-1)
        is_text = state.is_text & same
        first = is_text.argmax(1)[:, None]
        is_better = is_text.any(1)[:, None]
        best = jnp.where(is_better, _entry(state.kept, first), state.best)
        probabilities = found.probabilities.reshape(num_rows, num_texts, -1)
        probabilities = jnp.where(is_better, _entry(probabilities, first), state.probabilities)
        norms = jnp.linalg.norm(found.gradients, axis=-1).reshape(state.kept.shape)
        kept, may = _shorter(state.kept, norms, self.removable, self.beam)
        may = (may & is_text[:, :, None]).reshape(num_rows, -1)
        chosen = jnp.argsort(~may, axis=1, stable=True)[:, :num_texts]
        kept = jnp.take_along_axis(kept.reshape(num_rows, -1, length), chosen[..., None], axis=1)
        return _Beam(kept, jnp.take_along_axis(may, chosen, axis=1), best, probabilities)

    def _gradients(self, kept: Bool[Array, "texts L"], predicted: Int[Array, "B M"]) -> Any:
        """The loss gradients of reduced texts, at the tokens' places in the whole row."""
        times = kept.shape[0] // predicted.shape[0]
        inputs, positions, targets = jax.tree.map(
            lambda array: jnp.repeat(array, times, axis=0), (self.inputs, self.positions, predicted)
        )
        order = jnp.argsort(~kept, axis=1, stable=True)
        row = changed_row(inputs)
        # The fields of a row that have an entry for each token move with the tokens.
        types = row.token_types
        row = row._replace(
            tokens=jnp.take_along_axis(row.required_tokens(), order, axis=1),
            segments=(jnp.arange(kept.shape[1])[None] < kept.sum(1, keepdims=True)).astype(jnp.int32),
            token_types=None if types is None else jnp.take_along_axis(types, order, axis=1),
            positions=None,
        )
        places = jnp.cumsum(kept, axis=1) - 1
        if inputs.encoder is None:
            moved = jnp.take_along_axis(places, jnp.maximum(positions, 0), axis=1)
            positions = jnp.where(positions >= 0, moved, positions)
        found = target_gradients(self.model, self.params, with_changed_row(inputs, row), positions, targets)
        back = jnp.take_along_axis(found.gradients, jnp.maximum(places, 0)[..., None], axis=1)
        return found._replace(gradients=back)


def _entry(values: Array, index: Int[Array, "B 1"]) -> Array:
    """The entry of each row at an index: `[B K X] -> [B X]`."""
    return jnp.take_along_axis(values, index[..., None], axis=1)[:, 0]


def _shorter(
    kept: Bool[Array, "B K L"], norms: Float[Array, "B K L"], removable: Bool[Array, "B L"], number: int
) -> tuple[Bool[Array, "B K ways L"], Bool[Array, "B K ways"]]:
    """Each text without the token of the smallest norm, of the second smallest, ...; and which exist."""
    may = kept & removable[:, None] & (kept.sum(-1, keepdims=True) > 1)
    number = min(number, kept.shape[-1])
    order = jnp.argsort(jnp.where(may, norms, jnp.inf), axis=-1, stable=True)[..., :number]
    is_removed = jax.nn.one_hot(order, kept.shape[-1], dtype=bool)
    return kept[:, :, None] & ~is_removed, jnp.take_along_axis(may, order, axis=-1)
