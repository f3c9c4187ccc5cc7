"""Beam search against transformers, and against looking at every continuation."""

import itertools

import numpy as np
import pytest

from jaxlm import decoding
from tests.decoding.conftest import loaded_from, log_softmax

PROMPTS = [[3, 7, 1], [9], [5, 5, 2, 11, 6]]
SEARCHES = [
    {"num_beams": 3},
    {"num_beams": 3, "length_penalty": 2.0, "early_stopping": True},
    {"num_beams": 3, "length_penalty": 0.0, "early_stopping": "never"},
    {"num_beams": 3, "length_penalty": -1.0},
    {"num_beams": 3, "length_penalty": 1.5, "early_stopping": "never", "stop_ids": (4, 9, 15)},
]


@pytest.mark.parametrize("options", SEARCHES, ids=str)
def test_equals_transformers(options):
    pytest.importorskip("transformers")
    from tests.decoding.oracle import Symbols, oracle, torch

    case = oracle()
    config = decoding.GenerationConfig(**{"max_new_tokens": 9, "stop_ids": (4,), **options})
    found = decoding.generate(loaded_from(*case[1:3], Symbols()), PROMPTS, config)
    theirs = {name: value for name, value in options.items() if name != "stop_ids"}
    for prompt, ours in zip(PROMPTS, found, strict=True):
        result = case.theirs.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=9,
            eos_token_id=list(config.stop_ids),
            pad_token_id=0,
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
            **theirs,
        )
        tokens = result.sequences[0, len(prompt) :].tolist()
        assert ours.tokens.tolist() == tokens
        # Float32 sums of nine log-probs; a negative penalty multiplies them by the length
        assert ours.score == pytest.approx(float(result.sequences_scores[0]), rel=1e-6, abs=1e-5)
        ended = tokens[-1] in config.stop_ids
        assert ours.ended_by == ("stop" if ended else "length")
        penalty = options.get("length_penalty", 1.0)
        assert ours.log_likelihood / len(tokens) ** penalty == pytest.approx(ours.score, rel=1e-6, abs=1e-5)


def test_as_many_beams_as_continuations_find_the_best(writer, tokenizer):
    """Letters only, three of them: 27 continuations of three tokens, and as many beams as two tokens make."""
    case = writer(head="linear", head_bias=True)
    letters = [97, 98, 99]
    bias = np.full(case.config.vocab_size, -1000, np.float32)
    bias[letters] = 0
    case = case._replace(params={**case.params, "head": {"decode": {"bias": bias}}})
    config = decoding.GenerationConfig(max_new_tokens=3, stop_ids=(), num_beams=9)
    (found,) = decoding.generate(loaded_from(*case[1:3], tokenizer), ["hello"], config)

    def log_likelihood(tokens):
        text, total = list(tokenizer.encode("hello")), 0.0
        for token in tokens:
            total += log_softmax(case.logits(text) + bias)[token]
            text.append(token)
        return total

    totals = {tokens: log_likelihood(tokens) for tokens in itertools.product(letters, repeat=3)}
    best = max(totals, key=totals.get)
    assert tuple(found.tokens.tolist()) == best
    assert found.log_likelihood == pytest.approx(totals[best], abs=1e-4)
