"""The two sides of an encoder-decoder, as configs of their own."""

import dataclasses

from jaxlm.models._config import TransformerConfig


def encoder_config(config: TransformerConfig) -> TransformerConfig:
    """Returns the config of an encoder-decoder's encoder alone.

    Example:
      >>> encoder_config(TransformerConfig(depth=3, decoder_depth=2)).depth
      3
    """
    return dataclasses.replace(config, causal=False, cross_attention=False)


def decoder_config(config: TransformerConfig) -> TransformerConfig:
    """Returns the config of an encoder-decoder's decoder alone.

    Example:
      >>> config = decoder_config(TransformerConfig(depth=3, decoder_depth=2))
      >>> config.depth, config.causal, config.cross_attention
      (2, True, True)
    """
    return dataclasses.replace(
        config,
        causal=True,
        cross_attention=True,
        depth=config.decoder_depth or config.depth,
        mlp_width=config.decoder_mlp_width or config.mlp_width,
    )
