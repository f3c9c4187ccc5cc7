"""Encoder-decoders: one text is read as a whole, another is written from it."""

import jax.numpy as jnp

from jaxlm.errors import ConfigError
from jaxlm.models._cache import Cache
from jaxlm.models._language_models import HeadedModel, TokenHead
from jaxlm.models._position import Instruction
from jaxlm.models._sides import decoder_config, encoder_config
from jaxlm.models._transformer import Output, Transformer
from jaxlm.typing import Array, Bool, Float, Int


class Seq2SeqLM(HeadedModel):
    """A bidirectional encoder, a causal decoder that reads what it made, a head that predicts next tokens.

    Letters: `B` rows, `M` positions of the encoder, `L` of the decoder, `S` slots of the decoder's cache.
    Both sides share the table of tokens. `__call__` reads both texts; `encode` and `decode` are its halves,
    so that a text is encoded once however much is written from it.

    Example:
      >>> import jax
      >>> from jaxlm.models import DecoderConfig, TransformerConfig
      >>> sizes = {"vocab_size": 7, "width": 8, "depth": 1, "num_heads": 2}
      >>> model = Seq2SeqLM(TransformerConfig(**sizes, decoder=DecoderConfig()))
      >>> tokens, written = jnp.array([[1, 2, 3]]), jnp.array([[0, 4]])
      >>> variables = model.init(jax.random.key(0), tokens)
      >>> hidden = model.apply(variables, tokens, decoder_tokens=written).hidden
      >>> model.apply(variables, hidden, method="logits").shape
      (1, 2, 7)

    References:
      Vaswani et al., "Attention Is All You Need", 2017, https://arxiv.org/abs/1706.03762.
      Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
        2020, https://arxiv.org/abs/1910.10683.
    """

    def setup(self) -> None:
        self._check()
        self.encoder = Transformer(encoder_config(self.config))
        self.decoder = Transformer(decoder_config(self.config), own_tokens=False)
        self.head = TokenHead(self.config)

    def __call__(
        self,
        tokens: Int[Array, "B M"] | None = None,
        *,
        decoder_tokens: Int[Array, "B L"] | None = None,
        embeddings: Float[Array, "B M D"] | None = None,
        decoder_embeddings: Float[Array, "B L D"] | None = None,
        segments: Int[Array, "B M"] | None = None,
        decoder_segments: Int[Array, "B L"] | None = None,
        positions: Int[Array, "B M"] | None = None,
        decoder_positions: Int[Array, "B L"] | None = None,
        attention_mask: Bool[Array, " B #N M M"] | None = None,
        decoder_attention_mask: Bool[Array, " B #N L L"] | None = None,
        deterministic: bool = True,
        intermediates: bool = False,
    ) -> Output:
        """Returns the decoder's `Output`; arguments of each side as for `Transformer`.

        A decoder's position reads the positions of the encoder that have its segment's number.

        Args:
          tokens: `Int[B M]` ids that the encoder reads.
          decoder_tokens: `Int[B L]` ids that the decoder reads: what it is to predict, one place later,
            behind the config's `decoder_start_id`. At `init` they may be left out.
          embeddings: `Float[B M D]` in the place of `tokens`.
          decoder_embeddings: `Float[B L D]` in the place of `decoder_tokens`.
          segments: `Int[B M]`.
          decoder_segments: `Int[B L]`.
          positions: `Int[B M]`.
          decoder_positions: `Int[B L]`.
          attention_mask: `Bool[B 1|N M M]`.
          decoder_attention_mask: `Bool[B 1|N L L]`.
          deterministic: no dropout.
          intermediates: whether to return those of both sides.

        Raises:
          ValueError: as `Transformer`; if one side has segments and the other has none.
        """
        if (segments is None) != (decoder_segments is None):
            raise ValueError(
                "segments say which text of the encoder each one of the decoder is written from: "
                f"got them of the {'decoder' if segments is None else 'encoder'} alone; give both, or none"
            )
        if self.is_initializing() and decoder_tokens is None and decoder_embeddings is None:
            decoder_tokens = jnp.zeros((1, 1), jnp.int32) if tokens is None else tokens
        read = self.encode(
            tokens,
            embeddings=embeddings,
            segments=segments,
            positions=positions,
            attention_mask=attention_mask,
            deterministic=deterministic,
            intermediates=intermediates,
        )
        output = self.decode(
            decoder_tokens,
            memory=read.hidden,
            memory_segments=segments,
            embeddings=decoder_embeddings,
            segments=decoder_segments,
            positions=decoder_positions,
            attention_mask=decoder_attention_mask,
            deterministic=deterministic,
            intermediates=intermediates,
        )
        if self.is_initializing():
            self.logits(output.hidden[:, :1])  # makes the head's parameters
        if not intermediates:
            return output
        sides = {"encoder": read.intermediates | {"hidden": read.hidden}, "decoder": output.intermediates}
        named = {f"{side}.{name}": array for side, part in sides.items() for name, array in part.items()}
        return output._replace(intermediates=named)

    def encode(
        self,
        tokens: Int[Array, "B M"] | None = None,
        *,
        embeddings: Float[Array, "B M D"] | None = None,
        segments: Int[Array, "B M"] | None = None,
        positions: Int[Array, "B M"] | None = None,
        attention_mask: Bool[Array, " B #N M M"] | None = None,
        deterministic: bool = True,
        intermediates: bool = False,
    ) -> Output:
        """Returns the encoder's `Output`, whose `hidden` is the memory that `decode` reads."""
        return self.encoder(
            tokens,
            embeddings=embeddings,
            segments=segments,
            positions=positions,
            attention_mask=attention_mask,
            deterministic=deterministic,
            intermediates=intermediates,
        )

    def decode(
        self,
        tokens: Int[Array, "B L"] | None = None,
        *,
        memory: Float[Array, "B M D"] | None = None,
        memory_segments: Int[Array, "B M"] | None = None,
        embeddings: Float[Array, "B L D"] | None = None,
        segments: Int[Array, "B L"] | None = None,
        positions: Int[Array, "B L"] | None = None,
        attention_mask: Bool[Array, " B #N L S"] | None = None,
        cache: Cache | None = None,
        slots: Int[Array, "B L"] | None = None,
        deterministic: bool = True,
        intermediates: bool = False,
    ) -> Output:
        """Returns the decoder's `Output`; arguments as for `Transformer`.

        Args:
          tokens: `Int[B L]` ids that the decoder reads.
          memory: `Float[B M D]`, the `hidden` of `encode`; left out where the cache has read it already.
          memory_segments: `Int[B M]`, what `encode` was given as `segments`.
          embeddings: `Float[B L D]` in the place of `tokens`.
          segments: `Int[B L]`.
          positions: `Int[B L]`.
          attention_mask: `Bool[B 1|N L S]`.
          cache: from `empty_cache` of `decoder_config(config)`, or from the call before.
          slots: `Int[B L]`.
          deterministic: no dropout.
          intermediates: whether to return them.
        """
        if (tokens is None) == (embeddings is None):
            told = "neither" if tokens is None else "both"
            raise ValueError(f"a decoder reads tokens or embeddings: got {told}")
        return self.decoder(
            embeddings=self.token_vectors(tokens) if embeddings is None else embeddings,
            segments=segments,
            positions=positions,
            attention_mask=attention_mask,
            cache=cache,
            slots=slots,
            memory=memory,
            memory_segments=memory_segments,
            deterministic=deterministic,
            intermediates=intermediates,
        )

    def table_owner(self) -> Transformer:
        """Returns the encoder, whose table the decoder and a tied head use too."""
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
                f"got position={config.position.kind!r}, token_dropout={config.token_dropout}, "
                f"token_types={config.token_types}"
            )
