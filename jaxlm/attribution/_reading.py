"""A model's hidden vectors as a function of the vectors that are explained: embeddings, or values at a site.

Letters: `B` rows, `L` positions of a row, `S` positions of an encoder's row, `D` width, `R` runs of the
model: one without dropout, and one for each pass under dropout.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxlm import models, ops
from jaxlm.attribution._predictions import Sides
from jaxlm.errors import UsageError
from jaxlm.typing import Array, Float, Key

# The sites whose values have a vector for each position, and so are explained like embeddings.
VECTOR_SITES = (
    models.Site.EMBEDDINGS,
    models.Site.BLOCK_INPUT,
    models.Site.ATTENTION_OUTPUT,
    models.Site.FEED_FORWARD_OUTPUT,
    models.Site.RESIDUAL,
)


class Reading(NamedTuple):
    """Rows that a model reads, as functions of vectors in place of their tokens.

    Attributes:
      model: the model.
      params: its parameters.
      inputs: the rows, as tokens.
      layer: the number of the block at whose site the vectors are; None: they are the token embeddings.
      site: one of `VECTOR_SITES`; for an encoder-decoder the same site of its encoder, too.
      dropout_rng: `Key[E B]` for each pass under dropout and each row; None: there is none.
    """

    model: models.Model
    params: Any
    inputs: models.Inputs
    layer: int | None = None
    site: models.Site = models.Site.RESIDUAL
    dropout_rng: Key[Array, "E B"] | None = None

    def vectors(self) -> Sides:
        """Returns the float32 vectors that are explained, those of the rows' own tokens."""
        return self._at_layer(self._embedded(Sides(None)))

    def baseline(self, baseline: Sides | None) -> Sides:
        """Returns the float32 vectors of a baseline.

        Args:
          baseline: token ids or vectors of each side, which replace the embeddings; None: zeros. Where the
            vectors are at a site, they are the site's values for these embeddings.
        """
        return self._at_layer(self._embedded(Sides(0.0, 0.0) if baseline is None else baseline))

    def hidden(self, vectors: Sides) -> Float[Array, "R B L D"]:
        """Returns the hidden vectors that the head reads, without dropout first, then of each dropout pass.

        Args:
          vectors: as `vectors` returns them.
        """
        plain = self._run(vectors, None)[None]
        if self.dropout_rng is None:
            return plain
        return jnp.concatenate(
            [plain, jax.lax.map(lambda keys: self._noisy(vectors, keys), self.dropout_rng)]
        )

    def with_memory(self, vectors: Sides) -> tuple["Reading", Sides]:
        """Returns the same reading with the encoder's text encoded once, and the vectors of the rest.

        Args:
          vectors: as `vectors` returns them. Without an encoder, at a site or under dropout, where what the
            encoder returns may differ from run to run, nothing is changed.

        Raises:
          TypeError: if the model's `encode` returns no `Output`.
        """
        source = self.inputs.encoder
        if source is None or vectors.source is None or self.layer is not None or self.dropout_rng is not None:
            return self, vectors
        encoded = self.model.apply(
            {"params": self.params}, source._replace(tokens=None, embeddings=vectors.source), method="encode"
        )
        if not isinstance(encoded, models.Output):
            raise TypeError(f"an encoder returns an Output: got {type(encoded).__name__}")
        inputs = self.inputs._replace(encoder=None, memory=encoded.hidden, memory_segments=source.segments)
        return self._replace(inputs=inputs), Sides(vectors.target)

    def _embedded(self, baseline: Sides) -> Sides:
        """Float32 embeddings: of a baseline's ids or vectors, or of the rows' own tokens where it is None."""
        inputs = self.inputs
        target = self._embed(inputs, baseline.target)
        if inputs.encoder is None:
            return Sides(target)
        return Sides(target, self._embed(inputs.encoder, baseline.source))

    def _embed(self, inputs: models.Inputs, given: Any) -> Float[Array, "B L D"]:
        if given is None and inputs.embeddings is not None:
            return inputs.embeddings.astype(jnp.float32)
        given = inputs.required_tokens() if given is None else jnp.asarray(given)
        shape = (inputs.num_rows, inputs.length)
        if jnp.issubdtype(given.dtype, jnp.integer):
            tokens = jnp.broadcast_to(given, shape)
            own = (inputs.segments,) if self.inputs.encoder is None else ()
            vectors = models.apply_token_vectors(self.model, self.params, tokens, *own)
            return vectors.astype(jnp.float32)
        width = self.model.config.width
        given = given.reshape((1,) * (3 - given.ndim) + given.shape).astype(jnp.float32)
        return jnp.broadcast_to(given, (*shape, width))

    def _at_layer(self, embedded: Sides) -> Sides:
        if self.layer is None:
            return embedded
        inputs = _with_embeddings(self.model, self.inputs, embedded)
        wanted = [self.site]
        if inputs.encoder is not None:
            wanted.append(models.Site(f"encoder_{self.site}"))
        values = models.apply_model(self.model, self.params, inputs, intermediates=wanted).intermediates
        for site in wanted:
            if self.layer >= values[site].shape[0]:
                raise UsageError(
                    f"the layers of site {site} are 0 to {values[site].shape[0] - 1}: got layer={self.layer}"
                )
        return Sides(*(values[site][self.layer].astype(jnp.float32) for site in wanted))

    def _changed(self, vectors: Sides) -> tuple[models.Inputs, tuple[models.Intervention, ...]]:
        """The rows with the vectors as embeddings, or with interventions that set a site's values."""
        if self.layer is None:
            return _with_embeddings(self.model, self.inputs, vectors), ()
        sites = {self.site: vectors.target}
        if vectors.source is not None:
            sites[models.Site(f"encoder_{self.site}")] = vectors.source
        changes = [
            models.Intervention(site=site, layer=self.layer, value=value) for site, value in sites.items()
        ]
        return self.inputs, tuple(changes)

    def _run(self, vectors: Sides, key: Key[Array, ""] | None) -> Float[Array, "B L D"]:
        """The hidden vectors of all rows; with a key under dropout."""
        inputs, changes = self._changed(vectors)
        rngs = None if key is None else {"dropout": key}
        return models.apply_model(
            self.model,
            self.params,
            inputs,
            interventions=changes,
            deterministic=key is None,
            rngs=rngs,
        ).hidden

    def _noisy(self, vectors: Sides, keys: Key[Array, " B"]) -> Float[Array, "B L D"]:
        """The hidden vectors under dropout, each row's with a key of its own."""

        def one_row(row: models.Inputs, own: Sides, key: Array) -> Array:
            row, own = jax.tree.map(lambda array: array[None], (row, own))
            return self._replace(inputs=row)._run(own, key)[0]

        return jax.vmap(one_row)(self.inputs, vectors, keys)


def _with_embeddings(model: models.Model, inputs: models.Inputs, vectors: Sides) -> models.Inputs:
    """The rows with vectors in place of their tokens, at the positions that the tokens have."""
    position, positions = model.config.position, inputs.positions
    if positions is None and isinstance(position, models.Instruction) and position.next_id is not None:
        tokens = inputs.required_tokens()
        positions = ops.instruction_positions(tokens, inputs.segments, position.next_id)
    if inputs.encoder is not None:
        inputs = inputs._replace(encoder=inputs.encoder._replace(tokens=None, embeddings=vectors.source))
    return inputs._replace(tokens=None, embeddings=vectors.target, positions=positions)
