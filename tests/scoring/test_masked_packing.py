"""Copies of texts in rows: little padding, though all copies of one text have the same length."""

import numpy as np

from jaxlm import models, pretrained, scoring
from jaxlm.scoring.engine._engine_config import complete_config
from jaxlm.scoring.engine._packer import BatchShape, pack
from jaxlm.scoring.engine._queries import query_blocks


def copies(lengths):
    """Each text once for each of its tokens, one of them masked."""
    for text, length in enumerate(lengths):
        positions = np.arange(length, dtype=np.int32)
        for place in range(length):
            tokens = np.full(length, text, np.int32)
            tokens[place] = -1
            yield scoring.Query(tokens, positions[place : place + 1], positions[:1])


def blocks(lengths):
    return query_blocks(copies(lengths))


def test_copies_of_texts_longer_than_half_a_row_meet_those_of_shorter_ones():
    rng = np.random.default_rng(0)
    # A tenth of the size of a protein corpus in rows of 1,024, most of whose tokens are in long proteins.
    lengths = np.clip(rng.lognormal(np.log(33.4) - 0.32, 0.8, 200).astype(int), 2, 102)
    config = models.TransformerConfig(vocab_size=9)
    model = pretrained.Loaded(config, "masked_lm", models.build(config, "masked_lm"), {}, None, {})
    buffer = complete_config(None, model).buffer
    shape = BatchShape(1, 2, 102)
    batches = list(pack(blocks(lengths), shape, buffer=buffer, shared=False))
    tokens = sum(batch.num_tokens for batch in batches)
    assert tokens == (lengths**2).sum()
    padding = 1 - tokens / (len(batches) * shape.num_positions)
    small = sum(1 for _ in pack(blocks(lengths), shape, buffer=64, shared=False))
    assert padding < 0.04 < 1 - tokens / (small * shape.num_positions)
