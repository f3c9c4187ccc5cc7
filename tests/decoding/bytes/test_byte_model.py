"""How byte models are made, and what is refused, each in one line."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models, pretrained, tokenizers
from jaxlm.decoding.bytes import make_byte_model, score_bytes, tree_state
from jaxlm.errors import JaxlmError, UsageError
from tests.decoding.bytes.small_models import CONFIG, byte_model, loaded_model, merges_tokenizer
from tests.tokenizers.byte_kinds import kind


def refused(function, *arguments, error=UsageError, **options):
    with pytest.raises(error) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_model_knows_what_opens_and_ends_texts():
    made = make_byte_model(loaded_model(merges_tokenizer()))
    assert (made.opening_ids, made.eos_ids, made.longest_token, made.prefix) == ((7,), (7,), 3, b"")
    assert made.encode(b"abaab") == (4, 3)
    assert made.token_bytes[7] is None and made.producible == frozenset(b"abc")
    own = make_byte_model(loaded_model(merges_tokenizer()), eos_ids=[2, 7], opening=(0, 7))
    assert own.eos_ids == (2, 7) and own.opening_ids == (0, 7) and own.token_bytes[2] is None
    assert "7 ids with bytes" in repr(made)


def test_ids_beyond_the_tokenizer_have_no_bytes():
    loaded = loaded_model(merges_tokenizer(), vocab_size=12)
    assert make_byte_model(loaded).token_bytes[8:] == (None,) * 4


def test_a_masked_model_is_refused():
    tokenizer = kind("byte-level")[0]
    config = dataclasses.replace(CONFIG, vocab_size=tokenizer.vocab_size, causal=False)
    model = models.build(config, "masked_lm")
    params = model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
    loaded = pretrained.Loaded(config, "masked_lm", model, params, tokenizer, {})
    assert "causal LM" in refused(make_byte_model, loaded)


def test_what_is_no_loaded_model_is_refused():
    loaded = loaded_model(merges_tokenizer())._replace(tokenizer=None)
    assert "no tokenizer" in refused(make_byte_model, loaded)
    assert "ensemble of 2" in refused(make_byte_model, loaded_model(merges_tokenizer())._replace(members=2))


def test_unknown_bytes_are_refused_with_the_reason():
    import tokenizers as hf

    backend = hf.Tokenizer(hf.models.WordPiece({"[UNK]": 0, "a": 1, "##b": 2}, unk_token="[UNK]"))
    backend.pre_tokenizer = hf.pre_tokenizers.BertPreTokenizer()
    tokenizer = tokenizers.Tokenizer.from_json(backend.to_str())
    said = refused(make_byte_model, loaded_model(tokenizer), error=JaxlmError, opening=(0,))
    assert said.startswith("the bytes of this tokenizer's tokens are not known: ")


def test_an_empty_text_is_refused_where_no_token_begins_texts():
    made = make_byte_model(loaded_model(kind("words")[0]))
    assert made.opening_ids == ()
    state = tree_state(made)
    assert "no token that begins texts" in refused(state.joint_next)
    assert "no token that begins texts" in refused(lambda: state.logp_next().log_probs)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_stems": 0}, "max_stems is a whole number, at least 1: got 0"),
        ({"eos_ids": [8]}, "ids lie in 0..7: got 8"),
        ({"opening": [-1]}, "ids lie in 0..7: got -1"),
        ({"opening": [True]}, "ids lie in 0..7: got True"),
        ({"opening": [0] * 65}, "the opening has 65 ids and the model reads at most 64"),
    ],
)
def test_options_out_of_range_are_refused(options, said):
    assert refused(make_byte_model, loaded_model(merges_tokenizer()), **options) == said


def test_canonical_neighbours_are_asked_of_tokenizers_without_a_prefix():
    loaded = loaded_model(kind("Llama")[0])
    assert "puts a space" in refused(make_byte_model, loaded, probability="canonical")


@pytest.mark.parametrize("function", [lambda made, text: score_bytes(made, [text], long="error"), tree_state])
def test_texts_that_cannot_be_read_are_refused(function):
    made = byte_model()
    assert "no token of this model can write the byte b'z'" in refused(function, made, b"abcabcabcz")
    composed = byte_model("byte-level, composed")
    said = refused(function, composed, "the cafe\u0301 cats")
    assert "NFC" in said and "do not spell" in said
    assert "UTF-8" in refused(function, made, "\ud800" * 9)
    short = make_byte_model(loaded_model(merges_tokenizer(), max_length=8))
    said = refused(function, short, b"ccccaaaaccccaaaa")
    assert "17 tokens with the opening and the model reads at most 8" in said


def test_followers_are_those_that_the_tokenizer_keeps_apart():
    made = byte_model(probability="canonical")
    a, b, ab = (made.encode(text)[0] for text in (b"a", b"b", b"ab"))
    assert made.can_follow(None)[[a, b, ab]].all()
    assert made.can_follow(a)[a] and not made.can_follow(a)[b]
    np.testing.assert_array_equal(
        made.can_follow(a),
        [data is None or made.encode(b"a" + data) == (a, id) for id, data in enumerate(made.token_bytes)],
    )
