"""What may not and must be chosen: transformers' own ids by the same rules, brute force, and any batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import decoding
from jaxlm.decoding._token_rules import apply_token_rules, make_rules
from tests.decoding.conftest import loaded_from

PROMPTS = [[3, 7, 1], [9], [5, 5, 2, 5, 11, 6]]
STOP = 4
RULES = {
    "every token once": {"no_repeat_ngram_size": 1, "min_length": 9},
    "all": {
        "no_repeat_ngram_size": 3,
        "min_new_tokens": 7,
        "bad_words_ids": [[STOP], [8], [11, 11], [5, 16, 2], [13, 1], [1, 10], [7, 1, 12]],
        "begin_suppress_tokens": [3, 10, 12],
        "suppress_tokens": [0],
        "forced_eos_token_id": STOP,
    },
}


def ours(case, prompts, rules, rng=None, **options):
    from tests.decoding.oracle import Symbols

    config = decoding.GenerationConfig(max_new_tokens=12, stop_ids=(STOP,), **options)
    config = decoding.with_defaults(config, {"generation": rules})
    assert not decoding.ignored_rules(config, {"generation": rules})
    return decoding.generate(loaded_from(*case[1:3], Symbols()), prompts, config, rng=rng)


def theirs(case, prompt, **options):
    from tests.decoding.oracle import torch

    before = 1 if case.theirs.config.is_encoder_decoder else len(prompt)
    ids, mask = torch.tensor([prompt]), torch.ones(1, len(prompt), dtype=torch.long)
    told = {"max_new_tokens": 12, "eos_token_id": STOP, "pad_token_id": 0, "do_sample": False, **options}
    return case.theirs.generate(ids, attention_mask=mask, **told)[0, before:].tolist()


def gpt2_or_bart(kind):
    pytest.importorskip("transformers")
    from tests.decoding import oracle, oracle_seq2seq

    return oracle.oracle() if kind == "gpt2" else oracle_seq2seq.oracle("bart")


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize(("kind", "rules"), [("gpt2", "every token once"), ("gpt2", "all"), ("bart", "all")])
def test_equals_transformers(kind, rules, num_beams):
    case, rules = gpt2_or_bart(kind), RULES[rules]
    found = [one.tokens.tolist() for one in ours(case, PROMPTS, rules, num_beams=num_beams)]
    assert found == [theirs(case, prompt, num_beams=num_beams, **rules) for prompt in PROMPTS]
    assert found != [theirs(case, prompt, num_beams=num_beams) for prompt in PROMPTS]


def test_forced_ends_and_what_may_not_stand_behind_them():
    case = gpt2_or_bart("bart")
    plain = theirs(case, PROMPTS[0], forced_bos_token_id=6)
    rules = {"forced_bos_token_id": 6, "begin_suppress_tokens": [plain[1]]}
    (found,) = ours(case, PROMPTS[:1], rules)
    assert found.tokens.tolist() == theirs(case, PROMPTS[0], **rules) and found.tokens[1] != plain[1]


@pytest.mark.parametrize("options", [{"num_beams": 3}, {"rng": jax.random.key(5)}], ids=["beams", "draws"])
def test_a_prompt_gets_the_same_in_any_batch(options):
    case = gpt2_or_bart("gpt2")
    together = ours(case, PROMPTS, RULES["all"], **options)
    for prompt, one in zip(PROMPTS, together, strict=True):
        (alone,) = ours(case, [prompt], RULES["all"], **options)
        assert one.tokens.tolist() == alone.tokens.tolist()
        text = [*one.prompt, *one.tokens]
        runs = [tuple(text[at : at + 3]) for at in range(len(text) - 2)]
        assert len(runs) == len(set(runs)) and len(one.tokens) > 7


def slow(text, ngram, words, size):
    """The ids that would repeat a run of the text, or end a word, one by one."""
    runs = {tuple(text[at : at + ngram]) for at in range(len(text) - ngram + 1)}
    return [
        id
        for id in range(size)
        if (ngram and tuple([*text, id][-ngram:]) in runs and len(text) >= ngram - 1)
        or any(tuple([*text, id][-len(word) :]) == word for word in words)
    ]


allowed = jax.jit(apply_token_rules)
ids = st.integers(0, 2)
texts = st.tuples(st.lists(ids, min_size=1, max_size=5), st.lists(ids, max_size=6))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(texts, min_size=2, max_size=2),
    st.integers(1, 4),
    st.lists(st.lists(ids, min_size=1, max_size=3).map(tuple), min_size=2, max_size=2),
)
def test_runs_and_words_by_brute_force(texts, ngram, words):
    before, tokens = np.zeros((2, 5), np.int32), np.zeros((2, 7), np.int32)
    for row, (prompt, text) in enumerate(texts):
        before[row, : len(prompt)], tokens[row, : len(text)] = prompt, text
    config = decoding.GenerationConfig(no_repeat_ngram_size=ngram, forbidden_words=((1, 1, 1, 1), *words))
    lengths = np.array([len(prompt) for prompt, _ in texts], np.int32)
    steps = jnp.array([len(text) for _, text in texts], jnp.int32)
    rules = make_rules(config, before, lengths, jnp.zeros(0, jnp.int32))
    found = allowed(jnp.zeros((2, 3)), rules, steps, jnp.array([7, 7]), jnp.asarray(tokens))
    for row, (prompt, text) in enumerate(texts):
        banned = np.flatnonzero(np.isneginf(found[row])).tolist()
        assert banned == slow([*prompt, *text], ngram, config.forbidden_words, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size is at least 0: got -1"),
        ({"min_new_tokens": 9, "max_new_tokens": 8}, "min_new_tokens is at most max_new_tokens, 8: got 9"),
        ({"forbidden_words": ((),)}, "a forbidden word holds at least one id"),
    ],
)
def test_rules_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        decoding.GenerationConfig(**options)


def test_what_files_say_wrongly_and_what_is_asked_against_them():
    told = {
        "min_new_tokens": 200,
        "no_repeat_ngram_size": 3,
        "bad_words_ids": [[5], [6, 7]],
        "eos_token_id": 5,
    }
    found = decoding.with_defaults(decoding.GenerationConfig(no_repeat_ngram_size=0), {"generation": told})
    assert (found.no_repeat_ngram_size, found.min_new_tokens) == (0, 128)
    assert (found.forbidden_ids, found.forbidden_words) == (None, ((6, 7),))
    for wrong in (-1, "3", True, 2.5):
        with pytest.raises(ValueError, match="no_repeat_ngram_size of the model's files is a whole number"):
            decoding.with_defaults(
                decoding.GenerationConfig(), {"generation": {"no_repeat_ngram_size": wrong}}
            )
