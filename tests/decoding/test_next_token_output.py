"""A perplexity that batches add up to, and outputs as plain values whose ids each tokenizer writes back."""

import math

import jax.numpy as jnp
import pytest

from jaxlm import decoding, tokenizers

TOKENS = jnp.array([[104, 105], [33, 0]], jnp.int32)
OUTPUT = decoding.NextTokenOutput(
    jnp.array([[0.5, 0.25], [0.75, 0.125]]), jnp.array([[97, 98], [3, 7]], jnp.int32)
)


def test_perplexity_is_that_of_all_batches_together_and_resets():
    total = decoding.PerplexityTotal()
    nats = [[1.0, 2.0, 3.0], [0.5]]
    for batch in nats:
        total = total.update(sum(batch), len(batch))
    # Of the calls it would be exp(mean of 2 and 0.5) = 3.49
    assert total.value == pytest.approx(math.exp(6.5 / 4))
    assert decoding.PerplexityTotal().update(0.0, 5.0).value == 1.0
    assert total.reset().value == 1.0 and total.value > 1


def test_readable_names_the_tokens(tokenizer):
    assert decoding.output_to_dicts(OUTPUT, tokenizer, TOKENS) == [
        {
            "probabilities": [0.5, 0.25],
            "top_indices": [97, 98],
            "top_tokens": ["a", "b"],
            "token_ids": [104, 105],
            "tokens": ["h", "i"],
        },
        {
            "probabilities": [0.75, 0.125],
            "top_indices": [3, 7],
            "top_tokens": [tokenizer.token(3), tokenizer.token(7)],
            "token_ids": [33, 0],
            "tokens": ["!", tokenizer.token(0)],
        },
    ]


def test_a_target_tokenizer_writes_back_what_the_head_predicts(tokenizer):
    residues = tokenizers.residue_tokenizer(alphabet="esm")
    output = OUTPUT._replace(tokens=jnp.array([[5, 6], [7, 8]], jnp.int32))
    first, second = decoding.output_to_dicts(output, tokenizer, TOKENS, residues)
    assert first["top_tokens"] == [residues.token(5), residues.token(6)] != [tokenizer.token(5)] * 2
    assert first["tokens"] == ["h", "i"] and second["top_indices"] == [7, 8]


def test_a_head_over_another_vocabulary_than_the_tokenizers_is_told(tokenizer):
    residues = tokenizers.residue_tokenizer(alphabet="esm")
    message = r"another vocabulary: this tokenizer has 0\.\.32, got 98; give the tokenizer of the head's ids"
    for given in ((residues, TOKENS % 33), (tokenizer, TOKENS, residues)):
        with pytest.raises(ValueError, match=message) as told:
            decoding.output_to_dicts(OUTPUT, *given)
        assert "\n" not in str(told.value)
