"""Encoder-decoders: a bidirectional encoder reads one text, a causal decoder writes another."""

from collections.abc import Collection, Sequence

from jaxlm.errors import ConfigError, UsageError
from jaxlm.models._cache import Cache
from jaxlm.models._encoder_decoder import decoder_config, encoder_config
from jaxlm.models._inputs import Inputs, as_inputs, check_both_sides
from jaxlm.models._interventions import (
    Intervention,
    as_interventions,
    decoder_interventions,
    encoder_interventions,
)
from jaxlm.models._language_models import HeadedModel, TokenHead
from jaxlm.models._position import Instruction
from jaxlm.models._sites import Site, as_sites, decoder_sites, encoder_sites, named_for_encoder
from jaxlm.models._transformer import Output, Transformer
from jaxlm.typing import Array, Int


class Seq2SeqLM(HeadedModel):
    """A bidirectional encoder, a causal decoder that reads the encoder's output, and a head for next tokens.

    Letters: `B` rows, `L` positions.
    Both sides share the token embedding. `__call__` takes the texts of both sides, or the decoder's text and
    the memory that `encode` returned, so that a text is encoded once for any number of decoder calls.

    Example:
      >>> from jaxlm.models import Seq2SeqLM
      >>> import jax, jax.numpy as jnp
      >>> from jaxlm.models import DecoderConfig, Inputs, TransformerConfig
      >>> sizes = {"vocab_size": 7, "width": 8, "depth": 1, "num_heads": 2}
      >>> model = Seq2SeqLM(TransformerConfig(**sizes, decoder=DecoderConfig()))
      >>> tokens, written = jnp.array([[1, 2, 3]]), jnp.array([[0, 4]])
      >>> variables = model.init(jax.random.key(0), tokens)
      >>> hidden = model.apply(variables, Inputs(tokens=written, encoder=Inputs(tokens=tokens))).hidden
      >>> model.apply(variables, hidden, method="logits").shape
      (1, 2, 7)

    References:
      Vaswani et al., "Attention Is All You Need", 2017, https://arxiv.org/abs/1706.03762.
      Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
        2020, https://arxiv.org/abs/1910.10683.
    """

    def setup(self) -> None:
        """Creates the encoder, the decoder and the head."""
        self._check()
        self.encoder = Transformer(encoder_config(self.config))
        self.decoder = Transformer(decoder_config(self.config), own_tokens=False)
        self.head = TokenHead(self.config)

    def __call__(
        self,
        inputs: Inputs | Int[Array, "B L"],
        *,
        cache: Cache | None = None,
        slots: Int[Array, "B L"] | None = None,
        interventions: Sequence[Intervention] = (),
        intermediates: Collection[Site] = (),
        deterministic: bool = True,
    ) -> Output:
        """Returns the decoder's `Output`.

        A position of the decoder attends to the encoder's positions in the segment of the same number.

        Args:
          inputs: the inputs of the decoder: its tokens (its targets shifted by one, after the config's
            `decoder.start_id`), and either `encoder`, the encoder's inputs, or `memory`, the `hidden` that
            `encode` returned. With a cache that holds a memory, neither is given. At `init` both may be left
            out.
          cache: the decoder's keys and values, from `empty_cache` of `decoder_config(config)` or from the
            previous call. None: nothing is cached.
          slots: `Int[B L]`, the index of the cache entry (slot) that each of the decoder's tokens is written
            to. None: the first L slots of an empty cache.
          interventions: changes of the values at sites of either side.
          intermediates: the sites of both sides whose values are returned; static.
          deterministic: whether dropout is off.

        Raises:
          UsageError: if inputs, config and cache contradict each other, one side has segments and the other
            has none, both the encoder's inputs and a memory are given, or a site is of an encoder that does
            not run.
        """
        inputs, wanted, changes = as_inputs(inputs), as_sites(intermediates), as_interventions(interventions)
        check_both_sides(inputs, cache)
        source, of_encoder = inputs.encoder, {}
        if self.is_initializing() and source is None:
            source = inputs
        if source is not None:
            read = self.encoder(
                source,
                interventions=encoder_interventions(changes),
                intermediates=encoder_sites(wanted),
                deterministic=deterministic,
            )
            wanted, changes = decoder_sites(wanted), decoder_interventions(changes)
            of_encoder = named_for_encoder(read.intermediates)
            inputs = inputs._replace(encoder=None, memory=read.hidden, memory_segments=source.segments)
        if inputs.embeddings is None:
            inputs = inputs._replace(tokens=None, embeddings=self.token_vectors(inputs.required_tokens()))
        output = self.decoder(
            inputs,
            cache=cache,
            slots=slots,
            interventions=changes,
            intermediates=wanted,
            deterministic=deterministic,
        )
        if self.is_initializing():
            self.logits(output.hidden[:, :1])  # creates the head's parameters
        return output._replace(intermediates=output.intermediates | of_encoder)

    def encode(
        self,
        inputs: Inputs | Int[Array, "B L"],
        *,
        interventions: Sequence[Intervention] = (),
        intermediates: Collection[Site] = (),
        deterministic: bool = True,
    ) -> Output:
        """Returns the encoder's `Output`; its `hidden` is what the decoder takes as `Inputs.memory`.

        Args:
          inputs: the inputs of the encoder, or its token ids alone.
          interventions: changes of the values at the encoder's sites.
          intermediates: the encoder's sites whose values are returned in `Output.intermediates`; static.
          deterministic: whether dropout is off.

        Raises:
          UsageError: if inputs, interventions and sites contradict each other or the config, or a site is the
            decoder's.
        """
        wanted, changes = as_sites(intermediates), as_interventions(interventions)
        others = (*decoder_sites(wanted), *(change.site for change in decoder_interventions(changes)))
        if others:
            raise UsageError(f"encode runs the encoder alone: got site {others[0]}, the decoder's")
        output = self.encoder(
            inputs,
            interventions=encoder_interventions(changes),
            intermediates=encoder_sites(wanted),
            deterministic=deterministic,
        )
        return output._replace(intermediates=named_for_encoder(output.intermediates))

    def table_owner(self) -> Transformer:
        """Returns the encoder, whose token embedding the decoder and a tied head share."""
        return self.encoder

    def _check(self) -> None:
        config = self.config
        if config.causal or config.cross_attention:
            raise ConfigError(
                "an encoder-decoder's config is of both sides, and only its decoder is causal and reads "
                f"a memory: got causal={config.causal}, cross_attention={config.cross_attention}; "
                "leave them out"
            )
        if config.decoder is None:
            raise ConfigError(
                "an encoder-decoder's config says what its decoder is: got decoder=None; set "
                "decoder=DecoderConfig(), which is a decoder like the encoder"
            )
        if isinstance(config.position, Instruction) or config.token_dropout or config.token_types:
            raise ConfigError(
                "an encoder-decoder has no instruction positions, token_dropout or token_types: "
                f"got position={config.resolved().position.kind!r}, token_dropout={config.token_dropout}, "
                f"token_types={config.token_types}"
            )
