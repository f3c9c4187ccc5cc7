"""Checks of a transformer's config: ranges, and options that contradict each other."""

from typing import Any

from jaxlm.errors import ConfigError
from jaxlm.models._config_parts import MAX_LAYERS
from jaxlm.models._position import Instruction, Rotary, Sinusoidal
from jaxlm.models._record_checks import check_limits, check_positive
from jaxlm.models._rotary_scaling import DynamicScaling

_POSITIVE = (
    "vocab_size",
    "width",
    "depth",
    "num_heads",
    "num_kv_heads",
    "head_width",
    "mlp_width",
    "max_length",
    "window",
    "norm_epsilon",
    "attention_scale",
    "attention_softcap",
    "output_scale",
    "logit_softcap",
    "embedding_norm_epsilon",
    "embedding_scale",
    "init_std",
)
# The most numbers of a table of sinusoids; a larger one does not fit into memory.
MAX_SINUSOIDS = 1 << 31
DROPOUTS = ("embedding_dropout", "attention_dropout", "attention_output_dropout", "mlp_dropout")


def check_ranges(config: Any) -> None:
    """Refuses sizes that are not positive and rates outside [0, 1).

    Raises:
      ConfigError: with the field and its value.
    """
    check_positive(config, _POSITIVE)
    check_limits(config, {"depth": MAX_LAYERS})
    if config.token_types < 0:
        raise ConfigError(f"token_types must not be negative: got {config.token_types}")
    for name in DROPOUTS:
        rate = getattr(config, name)
        if not 0 <= rate < 1:
            raise ConfigError(f"{name} must be a rate in [0, 1): got {rate}")


def check_heads(config: Any) -> None:
    """Refuses a width or a number of heads that do not divide.

    Raises:
      ConfigError: with the field and its value.
    """
    width, heads, kv_heads = config.width, config.num_heads, config.num_kv_heads
    if config.head_width is None and width % heads:
        raise ConfigError(
            f"width must be a multiple of num_heads: got width={width}, num_heads={heads}; "
            "change one or set head_width"
        )
    if kv_heads is not None and heads % kv_heads:
        raise ConfigError(
            f"num_kv_heads must divide num_heads: got num_kv_heads={kv_heads}, num_heads={heads}; "
            "use a divisor, or None for as many"
        )


def check_positions(config: Any) -> None:
    """Refuses positions that do not fit the sizes of the model.

    Raises:
      ConfigError: with the field and its value.
    """
    if isinstance(config.position, Rotary):
        _check_rotary(config.position, config.head_width or config.width // config.num_heads)
    if isinstance(config.position, Sinusoidal):
        _check_sinusoidal(config.width, config.max_length)


def check_special_ids(config: Any) -> None:
    """Refuses special ids outside the vocabulary.

    Raises:
      ConfigError: with the field and its value.
    """
    position, decoder = config.position, config.decoder
    ids = {}
    if isinstance(position, Instruction):
        # A config without vocab_size waits for a tokenizer, which gives next_id too.
        if position.next_id is None and config.vocab_size is not None:
            raise ConfigError(
                "position='instruction' needs next_id, the id of the token that ends an instruction: "
                "got None; [NEXT] is 5 in an instruction tokenizer"
            )
        ids["position.next_id"] = position.next_id
    if decoder is not None:
        ids["decoder.start_id"] = decoder.start_id
    for name, special_id in ids.items():
        if special_id is not None and not 0 <= special_id < (config.vocab_size or float("inf")):
            raise ConfigError(
                f"{name} must be an id of the vocabulary: got {name}={special_id}, "
                f"vocab_size={config.vocab_size}"
            )


def _check_rotary(position: Rotary, head_width: int) -> None:
    if head_width % 2:
        raise ConfigError(f"position='rotary' turns pairs of features: got head_width={head_width}, use even")
    turned = int(head_width * position.share)
    if turned % 2 or not 2 <= turned <= head_width:
        raise ConfigError(
            f"position.share turns pairs of features, at most all: got position.share={position.share}, "
            f"{turned} of {head_width}; use a share that makes them even"
        )
    if isinstance(position.scaling, DynamicScaling) and turned <= 2:
        raise ConfigError(
            "position.scaling='dynamic' spreads its growth over pairs of features but the first: got one "
            f"pair, {turned} of head_width={head_width}; use more"
        )


def _check_sinusoidal(width: int, max_length: int) -> None:
    if width % 2:
        raise ConfigError(
            f"position='sinusoidal' has a sine and a cosine of each wave: got width={width}, use even"
        )
    if max_length * width > MAX_SINUSOIDS:
        raise ConfigError(
            "position='sinusoidal' has a table of max_length times width numbers, at most "
            f"{MAX_SINUSOIDS:,}: got max_length={max_length}, width={width}"
        )


def check_options(config: Any) -> None:
    """Refuses options that contradict each other.

    Raises:
      ConfigError: with the field and its value.
    """
    contradictions = {
        "first_norm=False leaves out a norm before attention, which norm_placement='post' has not": (
            not config.first_norm and config.norm_placement == "post"
        ),
        "first_norm=False makes the first block unlike the others: no scan_layers; leave it out": (
            not config.first_norm and config.scan_layers
        ),
        "parallel_residual=True adds two sub-layers at once, and cross_attention=True is a third: use one": (
            config.parallel_residual and config.cross_attention
        ),
        "parallel_residual=True needs norm_placement='pre': the sums are one": (
            config.parallel_residual and config.norm_placement != "pre"
        ),
        "token_dropout=True needs mask_id, the id whose embeddings it zeroes: got None": (
            config.token_dropout and config.mask_id is None
        ),
        "layer_pattern is a word of w (window) and f (full), such as 'wwf': got another": (
            not config.layer_pattern or set(config.layer_pattern) - {"w", "f"} != set()
        ),
        "final_norm=True with norm_placement='post' would normalise twice; leave final_norm out": (
            config.final_norm and config.norm_placement == "post"
        ),
        "require_fused=True contradicts attention_implementation='xla'; use 'auto' or 'cudnn'": (
            config.require_fused and config.attention_implementation == "xla"
        ),
        "embedding_norm_epsilon needs embedding_norm=True: got False; set it or leave the epsilon out": (
            config.embedding_norm_epsilon is not None and not config.embedding_norm
        ),
    }
    for message, holds in contradictions.items():
        if holds:
            raise ConfigError(message)
