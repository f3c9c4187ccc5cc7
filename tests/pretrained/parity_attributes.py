"""One attribute after the other set to other values in tiny files, which transformers reads too."""

import contextlib
import functools
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlm import models
from jaxlm.pretrained._families import FAMILIES
from jaxlm.pretrained._huggingface import read_config
from jaxlm.pretrained._known_names import INERT, OF_CODE
from jaxlm.pretrained._tensors import as_params
from tests.pretrained.oracle_names import config_class, known_names
from tests.pretrained.parity import ROWS, SEGMENTS, logits, read, torch, transformers
from tests.pretrained.parity_seq2seq import WRITTEN, WRITTEN_SEGMENTS

ENCODER = {
    "vocab_size": 13,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 24,
    "pad_token_id": 1,
}
DECODER = {**ENCODER, "num_key_value_heads": 2}
WINDOW = {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1}
GEMMA = {**DECODER, "head_dim": 6, "sliding_window": 3, "query_pre_attn_scalar": 9}
SIDES = {
    "vocab_size": 13,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 20,
    "max_position_embeddings": 24,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 0,
}
T5 = {
    "vocab_size": 13,
    "d_model": 16,
    "d_kv": 6,
    "d_ff": 24,
    "num_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 0,
}
ESM = {**ENCODER, "max_position_embeddings": 26, "mask_token_id": 12, "token_dropout": True}
# Under each of these every name is set to other values: what one switch hides, another shows.
BASES: dict[str, list[dict[str, Any]]] = {
    "bert": [ENCODER],
    "roberta": [{**ENCODER, "max_position_embeddings": 26}],
    "distilbert": [
        {
            "vocab_size": 13,
            "dim": 16,
            "n_layers": 2,
            "n_heads": 4,
            "hidden_dim": 24,
            "max_position_embeddings": 24,
        }
    ],
    "esm": [ESM, {**ESM, "position_embedding_type": "rotary", "emb_layer_norm_before": True}],
    "modernbert": [{**ENCODER, "local_attention": 4, "global_attn_every_n_layers": 2}],
    "gpt2": [{"vocab_size": 13, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 24}],
    "gpt_neox": [{**ENCODER, "hidden_size": 32}],
    "llama": [DECODER, {**DECODER, "head_dim": 6, "attention_bias": True}],
    "mistral": [
        {**DECODER, "sliding_window": 3, "rope_theta": 50.0, "head_dim": 4},
        {**DECODER, "sliding_window": None, "head_dim": 6},
    ],
    "qwen2": [{**DECODER, **WINDOW}, DECODER],
    "qwen3": [{**DECODER, **WINDOW, "head_dim": 6}, {**DECODER, "head_dim": 6}],
    "gemma2": [GEMMA],
    "gemma3_text": [GEMMA, {**GEMMA, "sliding_window_pattern": 2}],
    "t5": [T5, {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}],
    "marian": [SIDES],
    "bart": [SIDES],
}
ROPE = {"rope_type": "default", "rope_theta": 50.0}
ROPES = [
    None,
    {},
    ROPE,
    {"type": "linear", "factor": 2.0},
    {"rope_type": "linear", "factor": 2.0, "rope_theta": 50.0},
    {"rope_type": "linear", "type": "dynamic", "factor": 2},
    {"rope_type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 4},
    {"rope_type": "dynamic", "factor": 3.0},
    {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 6},
    {"rope_type": "yarn", "factor": 4.0, "beta_fast": 4, "beta_slow": 0, "truncate": False},
    {"rope_type": "yarn", "factor": None, "original_max_position_embeddings": 6},
    {"type": "yarn", "factor": 2.0, "attention_factor": 0.7},
    {"type": "yarn", "factor": 2.0, "mscale": 1.0, "mscale_all_dim": 0.5},
    {"type": "yarn", "factor": 2.0, "mscale": 0.707},
    {
        "rope_type": "llama3",
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 3.0,
        "original_max_position_embeddings": 8,
    },
    {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 3.0},
    {**ROPE, "partial_rotary_factor": 0.5},
    {**ROPE, "factor": 8.0},
    {**ROPE, "mrope_section": [1, 1, 1]},
    {"rope_type": "proportional", "rope_theta": 50.0, "partial_rotary_factor": 0.5},
    {"type": "longrope", "short_factor": [1.0, 2.0], "long_factor": [2.0, 3.0]},
    {"full_attention": ROPE, "sliding_attention": {**ROPE, "rope_theta": 20.0}},
    {"full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 50.0}},
    {"sliding_attention": {"rope_type": "linear", "factor": 2.0}},
    {"full_attention": None, "sliding_attention": None},
]
ACTIVATIONS = [
    "gelu",
    "gelu_new",
    "gelu_fast",
    "gelu_pytorch_tanh",
    "gelu_python",
    "quick_gelu",
    "relu",
    "relu2",
]
ACTIVATIONS += [
    "silu",
    "swish",
    "tanh",
    "linear",
    "mish",
    "gelu_10",
    "gelu_accurate",
    "leaky_relu",
    "sigmoid",
]
TYPES = ["full_attention", "sliding_attention"]
# Values of names whose kind is not their default's.
SPECIAL: dict[str, list[Any]] = {
    **dict.fromkeys(("rope_parameters", "rope_scaling"), ROPES),
    **dict.fromkeys(("hidden_act", "hidden_activation", "activation_function", "activation"), ACTIVATIONS),
    **dict.fromkeys(("dense_act_fn", "classifier_activation", "summary_activation"), ACTIVATIONS),
    "feed_forward_proj": [*ACTIVATIONS, *(f"gated-{name}" for name in ACTIVATIONS), "gated-gelu-new"],
    "layer_types": [[kind] * depth for kind in TYPES for depth in (2, 3)]
    + [TYPES, [*TYPES, "full_attention"], ["attention"] * 3, ["chunked_attention"] * 3, None],
    "position_embedding_type": ["absolute", "rotary", "relative_key", "relative_key_query", None],
    "pad_token_id": [0, 1, None, -1],
    "mask_token_id": [3, 12, None],
    "dtype": ["float32", "bfloat16", "float16"],
    "torch_dtype": ["float32", "bfloat16", "float16", None],
    "rope_theta": [50.0, 50, None],
    "per_layer_config": [None, {"0": {"num_attention_heads": 2}}],
}
SAMPLES = [True, False, None, 3, 0.5, "x", {"x": 1}]


class Outcome(NamedTuple):
    """What came of one config.json.

    Attributes:
      expected: transformers' logits of all real tokens; None where it cannot read the file or compute.
      got: ours; None where the file is refused.
      told: in which words.
    """

    expected: np.ndarray | None
    got: np.ndarray | None
    told: str


def cases(family: str) -> Iterator[tuple[dict[str, Any], str, Any]]:
    """Yields every known name with other values; under a second base those alone that act somewhere."""
    usual = vars(config_class(family)())
    for number, base in enumerate(BASES[family]):
        idle = INERT | OF_CODE if number else frozenset()
        for name in sorted(known_names(family) - idle - {"model_type"}):
            for value in other_values(name, base.get(name, usual.get(name))):
                yield base, name, value


def other_values(name: str, usual: Any) -> list[Any]:
    """Returns values other than the usual one, of its kind and of none."""
    if name in SPECIAL:
        values = SPECIAL[name]
    elif isinstance(usual, bool):
        values = [True, False, None]
    elif isinstance(usual, int):
        values = [None, 0, 1, 2, usual // 2, usual + 1, usual * 2]
    elif isinstance(usual, float):
        values = [None, 0.0, usual / 2, usual * 4, 1.0]
    elif isinstance(usual, str):
        values = [None, "x"]
    else:
        values = SAMPLES
    return [value for number, value in enumerate(values) if value != usual and value not in values[:number]]


def outcome(family: str, values: dict[str, Any], folder: Path) -> Outcome:
    """Returns what transformers and what we make of a config.json and the tensors that are its."""
    values = {"model_type": family, **values}
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(values))
    theirs = their_model(family, folder)
    expected = None if theirs is None else their_logits(theirs)
    try:
        imported = read_config(folder / "config.json", values)
        if expected is None:
            return Outcome(None, None, "")
        tensors = tensors_of(theirs)
        config = imported.family.settle(imported.config, tensors)
        params = as_params(read(imported.family, config, tensors), config)
    except ValueError as error:
        return Outcome(expected, None, str(error))
    return Outcome(expected, our_logits(config, imported.family.kind, params), "")


def their_model(family: str, folder: Path) -> Any | None:
    torch.manual_seed(0)
    auto = {
        "causal_lm": transformers.AutoModelForCausalLM,
        "masked_lm": transformers.AutoModelForMaskedLM,
        "seq2seq_lm": transformers.AutoModelForSeq2SeqLM,
    }[FAMILIES[family].kind.name]
    with _silence():
        try:
            config = transformers.AutoConfig.from_pretrained(folder)
            model = auto.from_config(config, attn_implementation="eager").float().eval()
        except Exception:
            return None
    with torch.no_grad():
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        for name, tensor in tensors.items():
            if tensor.requires_grad or name == "final_logits_bias":
                scale = ("norm" in name.lower() or ".ln_" in name) and name.endswith("weight")
                tensor.normal_(1.0 if scale else 0.0, 0.2)
    return model


def their_logits(model: Any) -> np.ndarray | None:
    rows, masks = torch.tensor(ROWS).long(), torch.tensor(SEGMENTS).long()
    named, kept = {"attention_mask": masks}, SEGMENTS > 0
    if model.config.is_encoder_decoder and hasattr(model, "get_decoder") and not hasattr(model, "bert"):
        named["decoder_input_ids"] = torch.tensor(WRITTEN).long()
        named["decoder_attention_mask"] = torch.tensor(WRITTEN_SEGMENTS).long()
        kept = WRITTEN_SEGMENTS > 0
    with _silence(), torch.no_grad():
        try:
            return model(input_ids=rows, **named).logits[torch.tensor(kept)].numpy()
        except Exception:
            return None


def tensors_of(model: Any) -> dict[str, np.ndarray]:
    """The tensors of a model, as a file would hold them, tied ones once."""
    tensors, seen = {}, set()
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen and "position_ids" not in name and "inv_freq" not in name:
            tensors[name] = tensor.numpy()
            seen.add(tensor.data_ptr())
    return tensors


def our_logits(config: models.TransformerConfig, kind: models.ModelKind, params: Any) -> np.ndarray:
    model = models.build(config, kind)
    if kind.encoder:
        return np.asarray(_seq2seq_logits(model, params))
    return np.asarray(logits(model, params, ROWS, SEGMENTS))[SEGMENTS > 0]


@functools.partial(
    jax.jit,
    static_argnums=0,
    compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True},
)
def _seq2seq_logits(model: Any, params: Any) -> jax.Array:
    hidden = model.apply(
        {"params": params},
        models.Inputs(
            tokens=WRITTEN,
            segments=WRITTEN_SEGMENTS,
            encoder=models.Inputs(tokens=ROWS, segments=SEGMENTS),
        ),
    ).hidden
    return model.apply({"params": params}, hidden[WRITTEN_SEGMENTS > 0], method="logits")


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Nothing of what transformers has to say of strange files."""
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)
