"""Next tokens and losses of continuations, against a float64 softmax of a forward alone."""

import math

import numpy as np
import pytest

from jaxlm import decoding
from tests.decoding.conftest import loaded_from, log_softmax

TEXTS = ["ab", "a longer text", "é"]
# Float32 sums in another order, of logits of order ten
CLOSE = {"rtol": 0, "atol": 1e-4}


def ask(case, tokenizer, texts, **options):
    return decoding.next_tokens(loaded_from(*case[1:3], tokenizer), texts, **options)


def test_candidates_and_losses(writer, tokenizer):
    case = writer()
    targets = ["xyz", None, "d"]
    for text, target, found in zip(
        TEXTS, targets, ask(case, tokenizer, TEXTS, top_k=4, targets=targets), strict=True
    ):
        ids = tokenizer.encode(text)
        expected = log_softmax(case.logits(ids))
        best = np.argsort(-expected)[:4]
        assert [one.token_id for one in found.candidates] == best.tolist()
        assert [one.token for one in found.candidates] == [tokenizer.token(id) for id in best]
        np.testing.assert_allclose(
            np.log([one.probability for one in found.candidates]), expected[best], **CLOSE
        )
        assert found.tokens.tolist() == ids.tolist()
        if target is None:
            assert found.targets is None and found.loss is None and found.perplexity is None
            continue
        wanted = tokenizer.encode(target).tolist()
        nats = [
            log_softmax(case.logits([*ids, *wanted[:place]]))[token] for place, token in enumerate(wanted)
        ]
        np.testing.assert_allclose(found.target_log_probs, nats, **CLOSE)
        assert found.loss == pytest.approx(-np.mean(nats), abs=1e-4)
        assert found.perplexity == pytest.approx(math.exp(-np.mean(nats)), rel=1e-3)


def test_more_candidates_than_tokens_and_none(writer, tokenizer):
    case = writer()
    (found,) = ask(case, tokenizer, TEXTS[:1], top_k=10_000)
    assert len(found.candidates) == 260
    assert sum(one.probability for one in found.candidates) == pytest.approx(1, abs=1e-5)
    assert ask(case, tokenizer, []) == []


def test_ids_without_a_token_are_shown_by_number(writer, tokenizer):
    case = writer(vocab_size=300)
    (found,) = ask(case, tokenizer, TEXTS[:1], top_k=300)
    assert {f"<{id}>" for id in range(260, 300)} <= {one.token for one in found.candidates}


def test_refusals(writer, tokenizer):
    case = writer()
    ask(case, tokenizer, ["a" * 48])
    with pytest.raises(ValueError, match=r"47 tokens long and 2 more must fit"):
        ask(case, tokenizer, ["a" * 47], targets=["abc"])
    with pytest.raises(ValueError, match=r"49 tokens long, and the model reads at most 48"):
        ask(case, tokenizer, ["a" * 49])
    with pytest.raises(ValueError, match="the target is empty"):
        ask(case, tokenizer, ["a"], targets=[""])
    with pytest.raises(ValueError, match="the prompt is empty"):
        ask(case, tokenizer, [""])
    with pytest.raises(ValueError, match="top_k is at least 1: got 0"):
        ask(case, tokenizer, ["a"], top_k=0)
    with pytest.raises(ValueError, match="got 1 for 2 texts"):
        ask(case, tokenizer, ["a", "b"], targets=["c"])
