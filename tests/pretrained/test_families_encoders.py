"""RoBERTa, DistilBERT, ESM and ModernBERT both ways, against tiny random models of transformers."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models
from tests.pretrained.parity import (
    ROWS,
    SEGMENTS,
    assert_parity,
    assert_same_logits,
    imported,
    logits,
    transformers,
)

SIZES = {
    "vocab_size": 13,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 14,
    "pad_token_id": 1,
    "attn_implementation": "eager",
}
ROBERTA = {
    "plain": {},
    "untied": {"tie_word_embeddings": False},
    "padding": {"pad_token_id": 0, "type_vocab_size": 1, "hidden_act": "relu"},
}
DISTILBERT = {"plain": {}, "untied": {"tie_word_embeddings": False}, "relu": {"activation": "relu"}}
ESM = {
    "esm-2": {"position_embedding_type": "rotary", "token_dropout": True, "rope_theta": 100.0},
    "without token dropout": {"position_embedding_type": "rotary"},
    "esm-1b": {"token_dropout": True, "emb_layer_norm_before": True},
    "untied": {"position_embedding_type": "rotary", "tie_word_embeddings": False},
}
MODERNBERT = {
    "plain": {},
    "untied": {"tie_word_embeddings": False, "decoder_bias": False},
    "norm bias": {"norm_bias": True, "local_attention": 2, "global_attn_every_n_layers": 2},
    "biases": {"attention_bias": True, "mlp_bias": True, "hidden_activation": "silu"},
    "head bias": {"classifier_bias": True, "classifier_activation": "relu", "norm_eps": 1e-3},
}


@pytest.mark.parametrize("options", ROBERTA.values(), ids=ROBERTA)
def test_roberta(tmp_path, options):
    config = transformers.RobertaConfig(**{**SIZES, **options})
    pair = assert_parity(transformers.RobertaForMaskedLM, config, tmp_path)
    assert pair.config.position.offset == options.get("pad_token_id", 1) + 1
    assert pair.config.max_length == 14 - pair.config.position.offset


@pytest.mark.parametrize("options", DISTILBERT.values(), ids=DISTILBERT)
def test_distilbert(tmp_path, options):
    sizes = {"n_layers": 2, "n_heads": 4, "dim": 16, "hidden_dim": 24, "vocab_size": 13}
    config = transformers.DistilBertConfig(
        **sizes, **options, max_position_embeddings=12, attn_implementation="eager"
    )
    assert_parity(transformers.DistilBertForMaskedLM, config, tmp_path)


@pytest.mark.parametrize("options", ESM.values(), ids=ESM)
def test_esm(tmp_path, options):
    config = transformers.EsmConfig(**SIZES, **options, mask_token_id=12)
    pair = assert_parity(transformers.EsmForMaskedLM, config, tmp_path)
    assert pair.config.token_dropout == options.get("token_dropout", False)


def test_esm_with_several_masks_and_vectors_for_tokens(tmp_path):
    """The share of masks is a segment's own, packed or not, and told to whoever asks for vectors."""
    config = transformers.EsmConfig(**SIZES, **ESM["esm-2"], mask_token_id=12)
    pair = imported(transformers.EsmForMaskedLM, config, tmp_path)
    masked = np.where((ROWS % 3 == 0) & (SEGMENTS > 0), 12, ROWS).astype(np.int32)
    assert_same_logits(pair, masked)
    apart = np.asarray(logits(pair.model, pair.params, masked, SEGMENTS))[SEGMENTS > 0]
    both = np.array([[1] * 10 + [2] * 6], np.int32)
    packed = logits(pair.model, pair.params, masked[SEGMENTS > 0][None], both)[0]
    np.testing.assert_allclose(packed, apart, rtol=0, atol=1e-5)
    variables, tokens, segments = {"params": pair.params}, jnp.asarray(masked), jnp.asarray(SEGMENTS)
    vectors = pair.model.apply(variables, tokens, segments, method="token_vectors")
    hidden = pair.model.apply(variables, models.Inputs(embeddings=vectors, segments=segments)).hidden
    got = pair.model.apply(variables, hidden, method="logits")
    expected = logits(pair.model, pair.params, masked, SEGMENTS)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


def test_esm_files_have_tensors_that_are_not_read(tmp_path):
    config = transformers.EsmConfig(**SIZES, **ESM["esm-2"], mask_token_id=12)
    pair = imported(transformers.EsmForMaskedLM, config, tmp_path)
    unused = {
        "esm.embeddings.position_embeddings.weight",
        "esm.embeddings.position_ids",
        "esm.encoder.layer.0.attention.self.rotary_embeddings.inv_freq",
    }
    heads = {"esm.contact_head.regression.weight", "esm.pooler.dense.bias"}
    names = pair.family.names(pair.config, [*pair.tensors, *unused, *heads])
    assert set(names.unused) >= unused and names.further.keys() >= heads


@pytest.mark.parametrize("options", MODERNBERT.values(), ids=MODERNBERT)
def test_modernbert(tmp_path, options):
    ids = dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 0)
    defaults = {"local_attention": 4, "num_hidden_layers": 4}
    config = transformers.ModernBertConfig(**{**SIZES, **ids, **defaults, **options})
    pair = assert_parity(transformers.ModernBertForMaskedLM, config, tmp_path)
    full = [layer for layer in range(4) if not pair.config.has_window(layer)]
    assert full == ([0, 2] if "global_attn_every_n_layers" in options else [0, 3])


def test_the_first_modernberts_say_their_bases_otherwise(tmp_path):
    config = transformers.ModernBertConfig(**{**SIZES, "num_hidden_layers": 4})
    pair = imported(transformers.ModernBertForMaskedLM, config, tmp_path)
    older = {
        key: value for key, value in pair.values.items() if key not in ("rope_parameters", "layer_types")
    }
    named = {"global_rope_theta": 160000.0, "local_rope_theta": 10000.0, "global_attn_every_n_layers": 3}
    assert pair.family.config({**older, **named}) == pair.config
