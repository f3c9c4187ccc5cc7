"""What a transformer's config may hold: types, ranges, and options that contradict each other."""

from typing import Any

from jaxlm.errors import ConfigError

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
    "rotary_base",
    "rotary_window_base",
    "rotary_share",
    "rotary_factor",
    "rotary_length",
    "rotary_slow_turns",
    "rotary_fast_turns",
    "rotary_amplitude",
    "relative_buckets",
    "relative_distance",
    "decoder_depth",
    "decoder_mlp_width",
    "attention_scale",
    "attention_softcap",
    "output_scale",
    "logit_softcap",
    "embedding_norm_epsilon",
    "embedding_scale",
    "head_epsilon",
    "init_std",
)
# What no model has: as much would be built layer by layer, or as a table, before anything could be read.
MOST_LAYERS = 10_000
_MOST = {
    "depth": MOST_LAYERS,
    "decoder_depth": MOST_LAYERS,
    "relative_distance": 1 << 24,
    "relative_buckets": 1 << 24,
}
MOST_SINES = 1 << 31
_NOT_NEGATIVE = ("token_types", "position_offset")
DROPOUTS = ("embedding_dropout", "attention_dropout", "attention_output_dropout", "mlp_dropout")


def check_ranges(config: Any) -> None:
    """Refuses sizes that are not positive and rates outside [0, 1)."""
    for name in _POSITIVE:
        value = getattr(config, name)
        if value is not None and not 0 < value < float("inf"):
            raise ConfigError(f"{name} must be positive: got {value}")
    for name, most in _MOST.items():
        value = getattr(config, name)
        if value is not None and value > most:
            raise ConfigError(f"{name} must be at most {most:,}: got {value:,}")
    for name in _NOT_NEGATIVE:
        if getattr(config, name) < 0:
            raise ConfigError(f"{name} must not be negative: got {getattr(config, name)}")
    for name in DROPOUTS:
        rate = getattr(config, name)
        if not 0 <= rate < 1:
            raise ConfigError(f"{name} must be a rate in [0, 1): got {rate}")


def check_heads(config: Any) -> None:
    """Refuses heads that do not divide."""
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
    """Refuses positions that lack what they need."""
    head_width = config.head_width or config.width // config.num_heads
    if config.position == "rotary" and head_width % 2:
        raise ConfigError(f"position='rotary' turns pairs of features: got head_width={head_width}, use even")
    turned = int(head_width * config.rotary_share)
    if config.position == "rotary" and (turned % 2 or not 2 <= turned <= head_width):
        raise ConfigError(
            f"rotary_share turns pairs of features, at most all: got rotary_share={config.rotary_share}, "
            f"{turned} of {head_width}; use a share that makes them even"
        )
    if config.position == "rotary" and config.rotary_scaling == "dynamic" and turned <= 2:
        raise ConfigError(
            "rotary_scaling='dynamic' spreads its growth over pairs of features but the first: got one pair, "
            f"{turned} of head_width={head_width}; use more"
        )
    if config.position == "sinusoidal" and config.width % 2:
        raise ConfigError(
            f"position='sinusoidal' has a sine and a cosine of each wave: got width={config.width}, use even"
        )
    if config.position == "sinusoidal" and config.max_length * config.width > MOST_SINES:
        raise ConfigError(
            f"position='sinusoidal' has a table of max_length times width numbers, at most {MOST_SINES:,}: "
            f"got max_length={config.max_length}, width={config.width}"
        )
    if config.position == "relative" and config.relative_buckets < 4:
        raise ConfigError(
            "relative_buckets divides two directions into short and long distances: "
            f"got {config.relative_buckets}, use 4 or more"
        )
    if config.position == "relative" and config.relative_distance <= config.relative_buckets // 2:
        raise ConfigError(
            "relative_distance lies beyond the distances that have a bucket of their own: "
            f"got {config.relative_distance} with relative_buckets={config.relative_buckets}; raise it"
        )
    # Without a vocabulary the config waits for a tokenizer, which knows the id as well.
    if config.position == "instruction" and config.next_id is None and config.vocab_size is not None:
        raise ConfigError(
            "position='instruction' needs next_id, the id of the token that ends an instruction: got None; "
            "[NEXT] is 5 in an instruction tokenizer"
        )
    for name in ("next_id", "decoder_start_id"):
        found = getattr(config, name)
        if found is not None and not 0 <= found < (config.vocab_size or float("inf")):
            raise ConfigError(
                f"{name} must be an id of the vocabulary: got {name}={found}, vocab_size={config.vocab_size}"
            )
    if config.instruction_positions == "corrupted" and config.position != "instruction":
        raise ConfigError(
            "instruction_positions='corrupted' is about position='instruction': "
            f"got position={config.position!r}; change one"
        )


def check_options(config: Any) -> None:
    """Refuses options that contradict each other."""
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
        "rotary_fast_turns must be above rotary_slow_turns: between them the scaling goes from all to none": (
            config.rotary_scaling in ("llama3", "yarn")
            and config.rotary_fast_turns <= config.rotary_slow_turns
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
        "head_activation needs head='transform': got 'linear', which has none; leave the activation out": (
            config.head_activation is not None and config.head == "linear"
        ),
        "head_epsilon needs head='transform': got 'linear', which has no norm; leave the epsilon out": (
            config.head_epsilon is not None and config.head == "linear"
        ),
    }
    for message, holds in contradictions.items():
        if holds:
            raise ConfigError(message)
