"""What the sites hold is what transformers returns as hidden states and attentions."""

import functools

import jax
import numpy as np
import torch
import transformers

from jaxlm import models
from tests.pretrained import parity, parity_seq2seq
from tests.pretrained.parity import ROWS, SEGMENTS

Site = models.Site
SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 24}
# Float32 sums of at most 24 terms of order one, through three blocks
CLOSE = {"rtol": 0, "atol": 5e-5}
REAL = SEGMENTS > 0


def shown(pair, inputs, wanted):
    run = jax.jit(functools.partial(pair.model.apply, intermediates=wanted))
    return run({"params": pair.params}, inputs).intermediates


def assert_streams(found, theirs, real):
    """Each layer at the real positions; `theirs` begins with the embeddings."""
    for layer, expected in enumerate(theirs):
        np.testing.assert_allclose(found[layer][real], expected.numpy()[real], **CLOSE)


def assert_probs(found, theirs, queries, keys):
    for layer, expected in enumerate(theirs):
        may = queries[:, None, :, None] & keys[:, None, None, :]
        np.testing.assert_allclose(
            np.where(may, found[layer], 0.0), np.where(may, expected.numpy(), 0.0), **CLOSE
        )


def test_bert(tmp_path):
    config = transformers.BertConfig(vocab_size=13, **SIZES, attn_implementation="eager")
    pair = parity.imported(transformers.BertForMaskedLM, config, tmp_path)
    wanted = (Site.EMBEDDINGS, Site.RESIDUAL, Site.ATTENTION_PROBS)
    found = shown(pair, models.Inputs(tokens=ROWS, segments=SEGMENTS), wanted)
    with torch.no_grad():
        theirs = pair.theirs(
            input_ids=torch.tensor(ROWS).long(),
            attention_mask=torch.tensor(REAL).long(),
            output_hidden_states=True,
            output_attentions=True,
        )
    streams = np.concatenate([found[Site.EMBEDDINGS], found[Site.RESIDUAL]])
    assert_streams(streams, theirs.hidden_states, REAL)
    assert_probs(found[Site.ATTENTION_PROBS], theirs.attentions, REAL, REAL)


def test_t5(tmp_path):
    config = transformers.T5Config(**parity_seq2seq.T5_SIZES, attn_implementation="eager")
    theirs = parity_seq2seq.random_model(transformers.T5ForConditionalGeneration, config)
    pair = parity_seq2seq.imported(theirs, tmp_path)
    written = parity_seq2seq.WRITTEN
    inputs = models.Inputs(
        tokens=written,
        segments=parity_seq2seq.WRITTEN_SEGMENTS,
        encoder=models.Inputs(tokens=parity_seq2seq.ROWS, segments=parity_seq2seq.SEGMENTS),
    )
    found = shown(pair, inputs, tuple(Site))
    read, wrote = parity_seq2seq.SEGMENTS > 0, parity_seq2seq.WRITTEN_SEGMENTS > 0
    with torch.no_grad():
        output = theirs(
            input_ids=torch.tensor(parity_seq2seq.ROWS).long(),
            attention_mask=torch.tensor(read).long(),
            decoder_input_ids=torch.tensor(written).long(),
            output_hidden_states=True,
            output_attentions=True,
        )
    # Its last state is behind the final norm.
    assert_streams(found[Site.BLOCK_INPUT], output.decoder_hidden_states[:-1], wrote)
    assert_streams(found[Site.ENCODER_BLOCK_INPUT], output.encoder_hidden_states[:-1], read)
    assert_probs(found[Site.ATTENTION_PROBS], output.decoder_attentions, wrote, wrote)
    assert_probs(found[Site.ENCODER_ATTENTION_PROBS], output.encoder_attentions, read, read)
    assert_probs(found[Site.CROSS_ATTENTION_PROBS], output.cross_attentions, wrote, read)
