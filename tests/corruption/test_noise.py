"""From a config and a tokenizer to noise: which ids, which mistakes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers as hf

from jaxlm import corruption, tokenizers
from jaxlm.corruption import NoiseConfig, make_noise

BERT = NoiseConfig(rate=0.15)
SUBSTITUTE = replace(BERT, mask_share=0.0, random_share=0.0, keep_share=0.0, substitute_share=1.0)
BLOSUM62 = replace(SUBSTITUTE, substitution="blosum62")
BYTES, RESIDUES = tokenizers.bytes_tokenizer(), tokenizers.residue_tokenizer()


def letters(ids):
    return {RESIDUES.token(int(id_)) for id_ in np.asarray(ids)}


def draw(noise, tokens, rng=0):
    tokens = jnp.asarray(tokens)[None]
    where = dict(
        example_ids=tokens * 0, offsets=jnp.arange(tokens.size)[None], segments=jnp.ones_like(tokens)
    )
    allowed = corruption.corruptible(tokens, where["segments"], noise.forbidden)
    options = dict(epochs=jnp.zeros(1, jnp.int32), replacement=noise.replacement, rate=1.0, count="bernoulli")
    return corruption.corrupt(jax.random.key(rng), tokens, allowed, **where, **options)


def test_residues_are_drawn_from_the_canonical_ones():
    noise = make_noise(SUBSTITUTE, RESIDUES)
    assert letters(noise.random_ids) == set(corruption.BLOSUM62_ORDER)
    assert letters(np.flatnonzero(~noise.forbidden)) == {*corruption.BLOSUM62_ORDER, *"XBZUO-"}
    chain = RESIDUES.encode("MKX.A-" * 200)
    seen = np.asarray(draw(noise, chain).tokens[0])
    assert (seen[chain != RESIDUES.id(".")] != chain[chain != RESIDUES.id(".")]).all()
    assert (seen[chain == RESIDUES.id(".")] == RESIDUES.id(".")).all()
    assert letters(seen) == {*corruption.BLOSUM62_ORDER, "."}


def test_blosum62_chooses_canonical_residues_and_follows_its_rows():
    noise = make_noise(BLOSUM62, RESIDUES)
    chain = np.tile(RESIDUES.encode("I" * 63 + "X"), 500)
    corrupted = draw(noise, chain)
    seen, is_i = np.asarray(corrupted.tokens[0]), chain == RESIDUES.id("I")
    np.testing.assert_array_equal(corrupted.loss_mask[0], is_i)
    shares = {letter: (seen[is_i] == RESIDUES.id(letter)).mean() for letter in "VLDI"}
    for letter, expected in {"V": 0.249973, "L": 0.248541, "D": 0.024788, "I": 0.0}.items():
        assert abs(shares[letter] - expected) <= 5 * np.sqrt(expected * (1 - expected) / is_i.sum())


@pytest.mark.parametrize("tokenizer", [BYTES, tokenizers.residue_tokenizer("cortex")])
def test_residues_are_found_in_any_vocabulary(tokenizer):
    noise = make_noise(BLOSUM62, tokenizer)
    allowed = [tokenizer.token(int(id_)) for id_ in np.flatnonzero(~noise.forbidden)]
    assert set(allowed) == set(corruption.BLOSUM62_ORDER)
    seen = draw(noise, tokenizer.encode("MKTAYI" * 50)).tokens[0]
    assert {tokenizer.token(int(id_)) for id_ in seen} <= set(corruption.BLOSUM62_ORDER)


def test_options_of_blosum62_reach_the_draws():
    chain = RESIDUES.encode("W" * 4000)
    kept = draw(make_noise(replace(BLOSUM62, keep_diagonal=True, temperature=0.2), RESIDUES), chain)
    assert (np.asarray(kept.tokens[0]) == chain).mean() > 0.99
    flat = draw(make_noise(replace(BLOSUM62, temperature=1e6, background="uniform"), RESIDUES), chain)
    numbers = np.bincount(np.asarray(flat.tokens[0]))
    assert numbers[numbers > 0].size == 19 and numbers.max() < 4000 / 19 + 5 * np.sqrt(4000 / 19)


def test_specials_and_ids_beyond_the_tokenizers_are_neither_chosen_nor_drawn():
    noise = make_noise(BERT, BYTES, vocab_size=300)
    assert noise.forbidden.tolist() == [False] * 256 + [True] * 44
    assert noise.random_ids.tolist() == list(range(256))
    assert noise.mask_id == 259


def test_next_may_be_chosen_where_that_is_asked_for():
    tokenizer = tokenizers.train_instructions(["mov eax 1 [NEXT] ret"], vocab_size=420)
    next_id = tokenizer.specials.next
    chosen = [make_noise(BERT, tokenizer, may_choose_next=may) for may in (False, True)]
    assert [bool(noise.forbidden[next_id]) for noise in chosen] == [True, False]
    assert next_id not in chosen[1].random_ids
    assert not make_noise(BERT, BYTES, may_choose_next=True).forbidden[97]


def test_what_the_tokenizer_does_not_have_is_told_in_one_line():
    bare = tokenizers.Tokenizer.from_json(hf.Tokenizer(hf.models.WordLevel({"a": 0}, unk_token="a")).to_str())
    cases = [
        (NoiseConfig(), BYTES, {}, r"noise\.rate is not given"),
        (BERT, bare, {}, r"has no mask token such as \[MASK\]"),
        (BERT, BYTES, {"vocab_size": 100}, "no room for the tokenizer's ids: got 100"),
        (SUBSTITUTE, bare, {}, "at least two distinct ids"),
        (BLOSUM62, bare, {}, "needs a token for each residue: got a tokenizer of kind 'huggingface'"),
        (replace(BERT, unit="word"), RESIDUES, {}, "a chain of residues has none"),
        (replace(BERT, unit="instruction"), BYTES, {}, r"by \[NEXT\]"),
    ]
    for config, tokenizer, options, message in cases:
        with pytest.raises(ValueError, match=message) as error:
            make_noise(config, tokenizer, **options)
        assert "\n" not in str(error.value)


def test_noise_without_masks_needs_no_mask():
    bare = tokenizers.Tokenizer.from_json(
        hf.Tokenizer(hf.models.WordLevel({"a": 0, "b": 1}, unk_token="a")).to_str()
    )
    noise = make_noise(SUBSTITUTE, bare)
    assert noise.mask_id is None
    assert draw(noise, np.array([0, 1, 1])).tokens.tolist() == [[1, 0, 0]]
