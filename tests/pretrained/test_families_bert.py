"""BERT both ways, against tiny random models of transformers."""

import numpy as np
import pytest

from tests.pretrained.parity import (
    ROWS,
    SEGMENTS,
    assert_parity,
    imported,
    logits,
    their_logits,
    torch,
    transformers,
)

SIZES = {
    "vocab_size": 13,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 12,
}
SWITCHES = {
    "plain": {},
    "untied": {"tie_word_embeddings": False},
    "epsilon": {"layer_norm_eps": 1e-3, "hidden_act": "gelu_new", "type_vocab_size": 3},
}


def config(**options):
    return transformers.BertConfig(**SIZES, **options, attn_implementation="eager")


@pytest.mark.parametrize("options", SWITCHES.values(), ids=SWITCHES)
def test_parity(tmp_path, options):
    pair = assert_parity(transformers.BertForMaskedLM, config(**options), tmp_path)
    assert pair.config.tie_embeddings == options.get("tie_word_embeddings", True)


def test_token_types(tmp_path):
    pair = imported(transformers.BertForMaskedLM, config(), tmp_path)
    types = np.array([[0] * 4 + [1] * 6] * 2, np.int32)
    with torch.no_grad():
        expected = their_logits(pair.theirs, ROWS, SEGMENTS, token_type_ids=types).numpy()
    got = np.asarray(logits(pair.model, pair.params, ROWS, SEGMENTS, types))
    real = SEGMENTS > 0
    np.testing.assert_allclose(got[real], expected[real], rtol=0, atol=1e-4)
    assert np.abs(np.asarray(logits(pair.model, pair.params, ROWS, SEGMENTS)) - got)[real].max() > 1e-2


def test_first_names_pooler_and_next_sentence_head(tmp_path):
    """The file of bert-base-uncased: gamma and beta, a pooler, a head for pretraining, the position ids."""
    pair = imported(transformers.BertForPreTraining, config(), tmp_path)
    first = [
        name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta") for name in pair.tensors
    ]
    extra = ["bert.embeddings.position_ids", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias"]
    names = pair.family.names(pair.config, first + extra)
    assert set(names.found) == {name for row in pair.family.rows(pair.config) for name in row.theirs}
    assert names.found[
        "head.norm.weight".replace("head.norm", "cls.predictions.transform.LayerNorm")
    ].endswith("gamma")
    assert names.unused == ("bert.embeddings.position_ids",)
    assert set(names.further.values()) == {"bert.pooler", "cls.seq_relationship"}
    assert len(names.further) == 4
    assert names.repeated == {
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }
