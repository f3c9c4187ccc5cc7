"""Value zeroing: how much a layer's output changes at a position if a token's value vector is set to zero.

Letters: `R` layers, `B` rows, `L` positions, `S` positions of an encoder's row, `M` positions at which the
model predicts, `D` width.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxlm import models
from jaxlm.attribution._chunks import map_chunks
from jaxlm.attribution._predictions import Counts, InputScores
from jaxlm.attribution._site_runs import (
    chosen,
    encoded_inputs,
    language_config,
    rows_at,
    unrolled,
    visible_inputs,
)
from jaxlm.errors import UsageError
from jaxlm.models import Intervention, Site
from jaxlm.typing import Array, Bool, Float, Int

Distance = Literal["cosine", "euclidean"]
# Distances below it are the rounding of equal vectors, and count as 0.
ROUNDING = 1e-5
# Tokens whose values are zeroed at once.
_TOKENS_AT_ONCE = 8


class LayerZeroing(NamedTuple):
    """The scores of value zeroing by layer.

    Attributes:
      scores: `Float32[R B L M]`, for each layer those of the tokens of the row; for an encoder-decoder those
        of its decoder's self-attention. Those of a prediction sum to 1, or are all 0.
      source_scores: `Float32[R B S M]`, those of the decoder's attention to the encoder's tokens; None for
        other models.
    """

    scores: Float[Array, "R B L M"]
    source_scores: Float[Array, "R B S M"] | None = None


def value_zeroing(
    model: nn.Module,
    params: Mapping[str, Any],
    inputs: models.Inputs,
    positions: Int[Array, "B M"],
    *,
    layers: int | Sequence[int] | None = None,
    distance: str = "cosine",
    chunk: int = _TOKENS_AT_ONCE,
    counts: Counts | None = None,
) -> InputScores:
    """Returns the scores of value zeroing, averaged over layers.

    Args:
      model: a `CausalLM`, a `MaskedLM` or a `Seq2SeqLM`; static under `jax.jit`.
      params: its "params" collection.
      inputs: what the model reads.
      positions: `Int[B M]`, the positions whose logits make the predictions.
      layers: the number of a layer, or of several; negative ones count from the end. None: all.
      distance: "cosine" or "euclidean", see `layer_value_zeroing`.
      chunk: how many tokens' values are zeroed at once: memory grows with it, the results do not change.
      counts: how many positions are used by any row; the tokens behind them are not zeroed. None: all are.

    Raises:
      UsageError: as `layer_value_zeroing`.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.attribution import value_zeroing
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=2, num_heads=2, causal=True)
      >>> model, inputs = models.CausalLM(config), models.Inputs(tokens=jnp.array([[1, 2, 3]]))
      >>> params = model.init(jax.random.key(0), inputs)["params"]
      >>> scores = value_zeroing(model, params, inputs, jnp.array([[1]]), distance="euclidean").target
      >>> scores.shape, round(float(scores.sum()), 3)
      ((1, 3, 1), 1.0)

    References:
      Mohebbi et al., "Quantifying Context Mixing in Transformers", 2023, https://arxiv.org/abs/2301.12971.
    """
    by_layer = layer_value_zeroing(
        model,
        params,
        inputs,
        positions,
        layers=layers,
        distance=distance,
        chunk=chunk,
        counts=counts,
    )
    source = by_layer.source_scores
    return InputScores(by_layer.scores.mean(0), None if source is None else source.mean(0))


def layer_value_zeroing(
    model: nn.Module,
    params: Mapping[str, Any],
    inputs: models.Inputs,
    positions: Int[Array, "B M"],
    *,
    layers: int | Sequence[int] | None = None,
    distance: str = "cosine",
    chunk: int = _TOKENS_AT_ONCE,
    counts: Counts | None = None,
) -> LayerZeroing:
    """Returns, for each layer, how much zeroing each token's value changes the layer's output at a position.

    For a layer and a token j the value vectors of j are zero in all heads, and the layer is computed anew
    from its true input. The score at the prediction's position i is the distance of the layer's true and
    changed outputs at i: `1 - cos`, or their euclidean distance. A distance below 1e-5 counts as 0. The
    scores of all j are divided by their sum. The outputs of the last layer are compared after the final norm.

    In a decoder with an encoder, tokens of the encoder's row are zeroed in the attention to its output.

    Args:
      model: a `CausalLM`, a `MaskedLM` or a `Seq2SeqLM`; static under `jax.jit`.
      params: its "params" collection.
      inputs: what the model reads.
      positions: `Int[B M]`, the positions whose logits make the predictions.
      layers: the number of a layer, or of several; negative ones count from the end. None: all.
      distance: "cosine" or "euclidean".
      chunk: how many tokens' values are zeroed at once: memory grows with it, the results do not change.
      counts: how many positions are used by any row; the tokens behind them are not zeroed. None: all are.

    Raises:
      UsageError: if there is no such layer or distance, or the model is of another class.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.attribution import layer_value_zeroing
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=2, num_heads=2)
      >>> model, inputs = models.MaskedLM(config), models.Inputs(tokens=jnp.array([[1, 2, 3]]))
      >>> params = model.init(jax.random.key(0), inputs)["params"]
      >>> layer_value_zeroing(model, params, inputs, jnp.array([[1]]), layers=-1).scores.shape
      (1, 1, 3, 1)
    """
    check_distance(distance)
    config = language_config(model)
    model, params = unrolled(model, params)
    depth = config.depth if config.decoder is None else config.decoder.depth or config.depth
    numbers = chosen(layers, depth, "layers")
    sources = None if inputs.encoder is None else _visible_sources(inputs, positions)
    inputs = encoded_inputs(model, params, inputs)
    clean = models.apply_model(model, params, inputs, intermediates=(Site.BLOCK_INPUT, Site.RESIDUAL))
    blocks = _Blocks(model, params, inputs, positions, clean, depth, distance, chunk, counts)
    seen = visible_inputs(config, inputs, positions)
    own = jnp.stack([_zeroed(blocks, number, Site.VALUES, seen) for number in numbers])
    if sources is None:
        return LayerZeroing(own)
    cross = [_zeroed(blocks, number, Site.CROSS_VALUES, sources) for number in numbers]
    return LayerZeroing(own, jnp.stack(cross))


class _Blocks(NamedTuple):
    """What is common to all layers whose values are zeroed."""

    model: nn.Module
    params: Mapping[str, Any]
    inputs: models.Inputs
    positions: Array
    clean: models.Output
    depth: int
    distance: str
    chunk: int
    counts: Counts | None

    def output(self, layer: int, interventions: Sequence[Intervention]) -> Float[Array, "B M D"]:
        """The layer's output at the positions, computed from its true input.

        The blocks before and after it are not used, and so are not part of the compiled program.
        """
        true_input = self.clean.intermediates[Site.BLOCK_INPUT][layer]
        restored = Intervention(site=Site.BLOCK_INPUT, layer=layer, value=true_input)
        run = models.apply_model(
            self.model,
            self.params,
            self.inputs,
            intermediates=(Site.RESIDUAL,),
            interventions=(restored, *interventions),
        )
        return self.of_layer(run, layer)

    def of_layer(self, run: models.Output, layer: int) -> Float[Array, "B M D"]:
        is_last = layer == self.depth - 1
        hidden = run.hidden if is_last else run.intermediates[Site.RESIDUAL][layer]
        return rows_at(hidden, self.positions).astype(jnp.float32)


def _zeroed(blocks: _Blocks, layer: int, site: Site, seen: Bool[Array, "B L M"]) -> Float[Array, "B L M"]:
    """The scores of one layer, for the tokens whose values are at a site."""
    clean, length = blocks.of_layer(blocks.clean, layer), seen.shape[1]

    def without(token: Array) -> Float[Array, "B M"]:
        # Of as many axes as the site has: those of positions are the second.
        mask = (jnp.arange(length) == token)[None, :, None, None]
        changed = Intervention(site=site, layer=layer, value=jnp.zeros(()), mask=mask)
        return _distance(clean, blocks.output(layer, (changed,)), blocks.distance)

    used = None
    if blocks.counts is not None:
        used = blocks.counts.target if site == Site.VALUES else blocks.counts.source
    count = None if used is None else jnp.asarray(used)
    distances = map_chunks(jax.vmap(without), length, blocks.chunk, count)
    distances = jnp.moveaxis(distances, 0, 1)
    distances = jnp.where(seen & (distances >= ROUNDING), distances, 0.0)
    total = distances.sum(1, keepdims=True)
    return distances / jnp.where(total == 0.0, 1.0, total)


def check_distance(distance: str) -> None:
    """Checks the name of a distance.

    Raises:
      UsageError: if it is unknown.
    """
    if distance not in get_args(Distance):
        raise UsageError(f"distance is one of {', '.join(get_args(Distance))}: got {distance!r}")


def _distance(
    first: Float[Array, "B M D"], second: Float[Array, "B M D"], distance: str
) -> Float[Array, "B M"]:
    if distance == "euclidean":
        return jnp.linalg.norm(first - second, axis=-1)
    # Half the squared distance of unit vectors is 1 - cos, without the rounding of 1 - (nearly 1).
    return 0.5 * jnp.square(_unit(first) - _unit(second)).sum(-1)


def _unit(vectors: Float[Array, "B M D"]) -> Float[Array, "B M D"]:
    lengths = jnp.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / jnp.maximum(lengths, 1e-8)


def _visible_sources(inputs: models.Inputs, positions: Int[Array, "B M"]) -> Bool[Array, "B S M"]:
    """Which tokens of the encoder's row each prediction can read: those of the segment of the same number."""
    encoder = inputs.encoder
    if encoder is None:
        raise AssertionError("an encoder-decoder reads an encoder's inputs: got none")
    if inputs.segments is None or encoder.segments is None:
        return jnp.ones((inputs.num_rows, encoder.length, positions.shape[1]), bool)
    own = jnp.take_along_axis(inputs.segments, positions, axis=1)
    return (encoder.segments[:, :, None] == own[:, None, :]) & (own > 0)[:, None, :]
