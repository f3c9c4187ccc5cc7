"""The configuration of a transformer: its options, and the values derived from them."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jaxlm import io
from jaxlm.errors import ConfigError
from jaxlm.models._config_checks import (
    check_heads,
    check_options,
    check_positions,
    check_ranges,
    check_special_ids,
)
from jaxlm.models._config_parts import GATED, Activation, DecoderConfig, Head, HeadName, TransformHead
from jaxlm.models._flat_fields import from_flat, to_flat
from jaxlm.models._position import Position, PositionName, Relative, Rotary, resolved_position
from jaxlm.models._record_checks import named_record
from jaxlm.models._rotary_scaling import DynamicScaling

# Stands for "no limit": more tokens than any text has, and within int32.
UNBOUNDED_LENGTH = 1 << 30


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """The configuration of a transformer. Fields that contradict each other raise ConfigError.

    The defaults are a bidirectional pre-norm encoder with learned positions and a tied masked-LM head. In
    many fields `None` stands for a value that is derived from other fields; `resolved` fills these in.

    Attributes:
      vocab_size: V, rows of the token embedding. None: not known yet; a model can be built only when it is
        known.
      width: D, number of features of the residual stream.
      depth: number of blocks.
      num_heads: N, number of query heads.
      num_kv_heads: K, key/value heads, a divisor of `num_heads`; None: as many as `num_heads`.
      head_width: H, number of features of a head; None: `width / num_heads`.
      mlp_width: F, number of features of the hidden layer of the feed-forward. None: `4 * width`, or with a
        gated activation `8/3 * width` rounded up to a multiple of 64.
      max_length: number of rows in the tables of learned, sinusoidal and instruction positions. For rotary
        and relative positions, the length of text that the model is meant for.
      causal: whether each position attends only to itself and earlier positions.
      window: a position attends only to positions less than this far away; None: attention reaches all
        positions.
      layer_pattern: which blocks have the window ("w") and which attend to everything ("f"): a word of these
        letters that is repeated over the blocks. With "wwwwwf" every sixth block attends to everything.
        Without a `window` it has no effect.
      norm: "layer" (LayerNorm) or "rms" (RMSNorm).
      norm_placement: "pre" (norm before each sub-layer), "post" (norm after each residual sum) or "sandwich"
        (norm before each sub-layer, and another on what it adds).
      norm_epsilon: the number added to the variance (or mean square) in every norm that has no epsilon of its
        own.
      norm_bias: whether LayerNorms have a bias; an RMSNorm never has one.
      norm_offset: whether a norm multiplies by `1 + scale` instead of `scale`.
      first_norm: whether the first block has a norm before its attention; False for models that normalise
        the embeddings instead.
      final_norm: whether the last block is followed by a norm; None: yes unless `norm_placement` is "post".
      parallel_residual: whether attention and feed-forward read the same residual stream, each through its
        own norm, and their outputs are added to it together.
      position: the position encoding: a record with its own options, `Learned`, `Sinusoidal`, `Rotary`,
        `Relative`, `Instruction` or `NoPosition`; or the record's name, such as "rotary", for default
        options.
      token_types: rows of a table of token types, whose vectors are added to the embeddings; 0: there is no
        table.
      activation: "gelu" (exact), "gelu_tanh", "relu", "silu", and gated "swiglu", "geglu" (exact) or
        "geglu_tanh".
      use_bias: whether linear maps have biases.
      qkv_bias: whether the maps to queries, keys and values have biases; None: as `use_bias` says.
      attention_bias: whether the map of attention's output has a bias; None: as `use_bias` says.
      mlp_bias: whether the feed-forward's maps have biases; None: as `use_bias` says.
      qk_norm: whether the queries and keys of every head are normalised, before rotation.
      attention_scale: factor of the attention scores; None: `1 / sqrt(head_width)`.
      attention_scale_by_layer: whether `attention_scale` is also divided by the block's number, counted from
        1.
      attention_softcap: bound `c` of the scores, which become `c tanh(scores / c)`; None: the scores have no
        bound.
      cross_attention: whether every block also attends to a memory, the output of an encoder, between its
        self-attention and its feed-forward.
      decoder: the fields in which an encoder-decoder's decoder differs from its encoder; all other fields
        hold for both sides (see `encoder_config` and `decoder_config`). None: the model is no
        encoder-decoder.
      embedding_norm: whether the sum of the embeddings is normalised.
      embedding_norm_epsilon: epsilon of the norm of the embeddings; None: `norm_epsilon`.
      embedding_scale: the number that token embeddings are multiplied by.
      token_dropout: whether the embeddings of `mask_id` are zeroed, and the other embeddings of a segment
        multiplied by the share of unmasked tokens in training divided by that share in the segment (ESM-2).
      mask_id: id of the mask token, which `token_dropout` needs; None: there is no mask token, or it is not
        known.
      embedding_dropout: dropout rate after the embeddings, in [0, 1).
      attention_dropout: dropout rate on attention probabilities, in [0, 1).
      attention_output_dropout: dropout rate on the output of attention, in [0, 1).
      mlp_dropout: dropout rate on the output of the feed-forward, in [0, 1).
      tie_embeddings: whether the output kernel, which makes the logits, is the token embedding.
      head: the layers of a language model's head before its output kernel: the record `TransformHead` (linear
        map, activation, norm) or `LinearHead` (no layers); or its name, "transform" or "linear", for default
        options.
      head_bias: whether a bias is added to the logits.
      output_scale: the number that features are multiplied by before the output kernel.
      logit_softcap: bound `c` of the logits, which become `c tanh(logits / c)`; None: the logits have no
        bound.
      init_std: standard deviation of the normal distribution of initial kernels and embeddings; biases start
        at 0, norm scales at 1.
      dtype: compute dtype; statistics, softmax and logits are float32 in any case.
      param_dtype: dtype of the parameters.
      scan_layers: whether one compiled block is scanned over stacked parameters, instead of `depth` unrolled
        blocks.
      remat: whether the backward pass recomputes a block's activations instead of storing them.
      attention_implementation: "xla", "cudnn" or "auto" (see `jaxlm.ops.attention`).
      require_fused: whether it is an error if attention cannot be fused.

    Raises:
      ConfigError: if a value is of the wrong type or out of range, or two fields contradict each other.

    Example:
      >>> from jaxlm.models import TransformerConfig
      >>> TransformerConfig(width=64, depth=2, num_heads=4, position="rotary").position.base
      10000.0
      >>> TransformerConfig(width=96, num_heads=5)
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: width must be a multiple of num_heads: got width=96, num_heads=5; ...
    """

    vocab_size: int | None = None
    width: int = 256
    depth: int = 4
    num_heads: int = 4
    num_kv_heads: int | None = None
    head_width: int | None = None
    mlp_width: int | None = None
    max_length: int = 512
    causal: bool = False
    window: int | None = None
    layer_pattern: str = "w"
    norm: Literal["layer", "rms"] = "layer"
    norm_placement: Literal["pre", "post", "sandwich"] = "pre"
    norm_epsilon: float = 1e-5
    norm_bias: bool = True
    norm_offset: bool = False
    first_norm: bool = True
    final_norm: bool | None = None
    parallel_residual: bool = False
    position: Position | PositionName = "learned"
    token_types: int = 0
    activation: Activation = "gelu"
    use_bias: bool = True
    qkv_bias: bool | None = None
    attention_bias: bool | None = None
    mlp_bias: bool | None = None
    qk_norm: bool = False
    attention_scale: float | None = None
    attention_scale_by_layer: bool = False
    attention_softcap: float | None = None
    cross_attention: bool = False
    decoder: DecoderConfig | None = None
    embedding_norm: bool = False
    embedding_norm_epsilon: float | None = None
    embedding_scale: float = 1.0
    token_dropout: bool = False
    mask_id: int | None = None
    embedding_dropout: float = 0.0
    attention_dropout: float = 0.0
    attention_output_dropout: float = 0.0
    mlp_dropout: float = 0.0
    tie_embeddings: bool = True
    head: Head | HeadName = "transform"
    head_bias: bool = True
    output_scale: float = 1.0
    logit_softcap: float | None = None
    init_std: float = 0.02
    dtype: Literal["float32", "bfloat16"] = "float32"
    param_dtype: Literal["float32", "bfloat16"] = "float32"
    scan_layers: bool = False
    remat: bool = False
    attention_implementation: Literal["auto", "xla", "cudnn"] = "auto"
    require_fused: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "position", named_record(Position, self.position, "position"))
        object.__setattr__(self, "head", named_record(Head, self.head, "head"))
        io.check_types(TransformerConfig, vars(self))
        check_ranges(self)
        check_heads(self)
        check_positions(self)
        check_special_ids(self)
        check_options(self)

    def resolved(self) -> "ResolvedConfig":
        """Returns this config with every None that follows from other fields filled in.

        Example:
          >>> from jaxlm.models import TransformerConfig
          >>> TransformerConfig(width=64, num_heads=4, activation="swiglu").resolved().mlp_width
          192
        """
        gated_width = -(-8 * self.width // (3 * 64)) * 64
        mlp_width = self.mlp_width or (gated_width if self.activation in GATED else 4 * self.width)
        derived = {
            "num_kv_heads": self.num_heads,
            "head_width": self.width // self.num_heads,
            "mlp_width": mlp_width,
            "final_norm": self.norm_placement != "post",
            "qkv_bias": self.use_bias,
            "attention_bias": self.use_bias,
            "mlp_bias": self.use_bias,
            "embedding_norm_epsilon": self.norm_epsilon if self.embedding_norm else None,
            "attention_scale": (self.head_width or self.width // self.num_heads) ** -0.5,
        }
        missing = {name: value for name, value in derived.items() if getattr(self, name) is None}
        values = vars(self) | missing
        values["position"] = resolved_position(self.position, self.max_length)
        if self.decoder is not None:
            values["decoder"] = _filled(self.decoder, depth=self.depth, mlp_width=mlp_width)
        if isinstance(self.head, TransformHead):
            values["head"] = _filled(self.head, activation=self.activation, epsilon=self.norm_epsilon)
        return ResolvedConfig(**values)

    def required_vocab_size(self) -> int:
        """Returns `vocab_size`, which must be known.

        Raises:
          ConfigError: if `vocab_size` is None, as no parameters can be made then.
        """
        if self.vocab_size is None:
            raise ConfigError(
                "a model needs vocab_size: got None; set it, or let training take the tokenizer's"
            )
        return self.vocab_size

    @property
    def is_dynamic(self) -> bool:
        """Whether rotary scaling depends on the length of each text."""
        return isinstance(self.position, Rotary) and isinstance(self.position.scaling, DynamicScaling)

    @staticmethod
    def upgrade(values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the fields of a config file of any version in their present form and by present names."""
        return from_flat(values)

    def has_window(self, layer: int) -> bool:
        """Returns whether the attention of a block, numbered from 0, is limited to the window.

        Example:
          >>> from jaxlm.models import TransformerConfig
          >>> [TransformerConfig(window=8, layer_pattern="fw").has_window(layer) for layer in range(3)]
          [False, True, False]
        """
        return self.window is not None and self.layer_pattern[layer % len(self.layer_pattern)] == "w"


@dataclass(frozen=True, kw_only=True)
class ResolvedConfig(TransformerConfig):
    """A config whose derived values are filled in: what the modules are built from.

    `TransformerConfig.resolved()` makes it. Its `vocab_size` may still be None; `required_vocab_size()`
    raises ConfigError then.

    Attributes:
      num_kv_heads: K, the number of key/value heads.
      head_width: H, features of a head.
      mlp_width: F, features of the hidden layer of the feed-forward.
      final_norm: whether the last block is followed by a norm.
      position: the record of the position encoding; the scaling of a `Rotary` has its `length` filled in.
      qkv_bias: whether the maps to queries, keys and values have biases.
      attention_bias: whether the map of attention's output has a bias.
      mlp_bias: whether the feed-forward's maps have biases.
      attention_scale: factor of the attention scores.
      head: the record of the head's layers.
    """

    num_kv_heads: int = dataclasses.field()
    head_width: int = dataclasses.field()
    mlp_width: int = dataclasses.field()
    final_norm: bool = dataclasses.field()
    position: Position = dataclasses.field()
    qkv_bias: bool = dataclasses.field()
    attention_bias: bool = dataclasses.field()
    mlp_bias: bool = dataclasses.field()
    attention_scale: float = dataclasses.field()
    head: Head = dataclasses.field()


def to_dict(config: TransformerConfig) -> dict[str, Any]:
    """Returns the config as a dict of plain values, for JSON; a nested record has its name under "kind".

    Example:
      >>> from jaxlm.models import TransformerConfig, to_dict
      >>> to_dict(TransformerConfig(width=64))["position"]
      {'kind': 'learned', 'offset': 0}
    """
    return io.record_to_dict(config)


def from_dict(values: Mapping[str, Any]) -> TransformerConfig:
    """Returns the config that `to_dict` wrote; fields that are left out take their defaults.

    Args:
      values: plain values by field, as in JSON. Also accepted is the flat form of earlier versions, in which
        the options of positions were fields of the config.

    Raises:
      ConfigError: if fields do not exist (all are named), or a value does not fit.

    Example:
      >>> from jaxlm.models import from_dict
      >>> from_dict({"position": "rotary", "rotary_base": 5e5}).position.base
      500000.0
      >>> from_dict({"width": 64, "n_embd": 64})
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: the model's config has no field 'n_embd'; its fields are vocab_size, ...
    """
    return io.record_from_dict(TransformerConfig, values, title="the model's config")


def flat_config(config: TransformerConfig) -> dict[str, Any]:
    """Returns the config in the flat form of earlier versions, by which scoring jobs are identified.

    Example:
      >>> from jaxlm.models import TransformerConfig, flat_config
      >>> flat = flat_config(TransformerConfig(position="rotary"))
      >>> flat["position"], flat["rotary_base"], flat["relative_buckets"]
      ('rotary', 10000.0, 32)
    """
    return to_flat(to_dict(config))


def longest_text(config: TransformerConfig) -> int:
    """Returns the most tokens of a text: `max_length`, or 2^30 for relative positions, which have no limit.

    Example:
      >>> from jaxlm.models import TransformerConfig, longest_text
      >>> longest_text(TransformerConfig(max_length=64))
      64
    """
    return UNBOUNDED_LENGTH if isinstance(config.position, Relative) else config.max_length


def _filled(record: Any, **derived: Any) -> Any:
    """Returns a record with the derived values in the fields that are None."""
    unset = {name: value for name, value in derived.items() if getattr(record, name) is None}
    return dataclasses.replace(record, **unset)
