"""The configs of the two sides of an encoder-decoder."""

import dataclasses

from jaxlm.models._config import TransformerConfig
from jaxlm.models._config_parts import DecoderConfig


def encoder_config(config: TransformerConfig) -> TransformerConfig:
    """Returns the config of the encoder alone, from the config of an encoder-decoder.

    Example:
      >>> from jaxlm.models import DecoderConfig, TransformerConfig, encoder_config
      >>> encoder_config(TransformerConfig(depth=3, decoder=DecoderConfig(depth=2))).depth
      3
    """
    return dataclasses.replace(config, causal=False, cross_attention=False, decoder=None)


def decoder_config(config: TransformerConfig) -> TransformerConfig:
    """Returns the config of the decoder alone, from the config of an encoder-decoder.

    Args:
      config: the config of both sides. If its `decoder` is None, the decoder has the encoder's sizes.

    Example:
      >>> from jaxlm.models import DecoderConfig, TransformerConfig, decoder_config
      >>> config = decoder_config(TransformerConfig(depth=3, decoder=DecoderConfig(depth=2)))
      >>> config.depth, config.causal, config.cross_attention
      (2, True, True)
    """
    own = config.decoder or DecoderConfig()
    return dataclasses.replace(
        config,
        causal=True,
        cross_attention=True,
        decoder=None,
        depth=own.depth or config.depth,
        mlp_width=own.mlp_width or config.mlp_width,
    )
