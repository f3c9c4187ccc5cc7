"""Decoding reads texts as `transformers` does with the model's tokenizer, and takes what was opened alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import decoding, models, pretrained, scoring, tokenizers
from jaxlm.decoding._loaded_texts import check_loaded, check_top_k
from tests.decoding.conftest import SMALL
from tests.tokenizers.published import PUBLISHED, save_published

TEXTS = ["ab", "a b"]
WRITE = decoding.GenerationConfig(max_new_tokens=2)


def opened(tokenizer, objective="causal_lm", extra=None):
    is_causal = objective == "causal_lm"
    config = dataclasses.replace(SMALL, vocab_size=32, causal=is_causal)
    model = models.build(config, objective)
    extra = {"huggingface": {}} if extra is None else extra
    return pretrained.Loaded(config, objective, model, _params(model), tokenizer, extra)


def _params(model):
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype) * 0.3, shapes)


@pytest.fixture(scope="module", params=[name for name in PUBLISHED if name != "cls and sep alone"])
def both(request, tmp_path_factory):
    """A published kind of tokenizer, as transformers opens it, and ours."""
    transformers = pytest.importorskip("transformers")
    folder = save_published(request.param, tmp_path_factory.mktemp("published"))
    return transformers.AutoTokenizer.from_pretrained(folder), tokenizers.load_tokenizer(folder)


def test_prompts_are_opened_as_transformers_opens_texts(both):
    theirs, ours = both
    loaded, closing = opened(ours), len(tokenizers.file_frame(ours).closing)
    expected = [theirs(text)["input_ids"] for text in TEXTS]
    expected = [ids[: len(ids) - closing] for ids in expected]
    written = decoding.generate(loaded, TEXTS, WRITE)
    assert [one.prompt.tolist() for one in written] == expected
    assert [one.tokens.tolist() for one in decoding.next_tokens(loaded, TEXTS)] == expected
    *_, last = decoding.stream(loaded, TEXTS, WRITE)
    assert [one.tokens.tolist() for one in last] == [one.tokens.tolist() for one in written]
    # Ids are read as they are.
    ids = [ours.encode(text) for text in TEXTS]
    assert [one.prompt.tolist() for one in decoding.generate(loaded, ids, WRITE)] == [
        one.tolist() for one in ids
    ]


@pytest.mark.parametrize("ends", [True, False])
def test_masks_are_filled_between_what_training_put_there(tmp_path, ends):
    ours = tokenizers.load_tokenizer(save_published("BERT", tmp_path))
    cls, sep = ours.specials.cls, ours.specials.sep
    published = decoding.fill(opened(ours, "masked_lm"), "a[MASK]b")
    assert (published.tokens[0], published.tokens[-1], published.predictions[0].position) == (cls, sep, 2)
    assert published.text.startswith("a") and "[CLS]" not in published.text
    trained = opened(ours, "masked_lm", {"experiment": {"data": {"ends": ends}}})
    filled = decoding.fill(trained, "a[MASK]b")
    assert len(filled.tokens) == (5 if ends else 3)
    whole = decoding.fill(trained, ours.encode("[CLS]a[MASK]b[SEP]"))
    assert (whole.tokens.tolist() == published.tokens.tolist()) and whole.text.startswith("[CLS]")


def test_a_string_is_one_text_everywhere():
    own = tokenizers.bytes_tokenizer()
    config = dataclasses.replace(SMALL, vocab_size=260)
    model = models.build(config, "causal_lm")
    loaded = pretrained.Loaded(config, "causal_lm", model, _params(model), own, {})
    assert len(decoding.generate(loaded, "To be", WRITE)) == 1
    assert len(list(decoding.stream(loaded, "To be", WRITE))[-1]) == 1
    (found,) = decoding.next_tokens(loaded, "To be", targets=" or not")
    assert found.tokens.tolist() == own.encode("To be").tolist() and len(found.targets) == 7
    (score,) = scoring.score(loaded, "To be")
    assert score.values["num_scored"] == 4
    assert decoding.GenerationConfig(stop_strings="end").stop_strings == ("end",)
    masked = models.build(dataclasses.replace(config, causal=False), "masked_lm")
    loaded = pretrained.Loaded(masked.config, "masked_lm", masked, _params(masked), own, {})
    assert len(decoding.fill_batch(loaded, "To [MASK]e")) == 1
    (score,) = scoring.score(loaded, "To be")
    assert score.values["num_scored"] == 5


def test_what_closed_texts_in_training_ends_what_is_written():
    own = tokenizers.bytes_tokenizer()
    config = dataclasses.replace(SMALL, vocab_size=260, head="linear", head_bias=True)
    model = models.build(config, "causal_lm")
    bias = jnp.zeros(260).at[own.specials.sep].set(1000.0)
    params = {**_params(model), "head": {"decode": {"bias": bias}}}
    ended = []
    for ends in (True, False):
        extra = {"experiment": {"data": {"ends": ends}}}
        loaded = pretrained.Loaded(config, "causal_lm", model, params, own, extra)
        (found,) = decoding.generate(loaded, "ab", WRITE)
        ended.append((found.prompt.size, found.tokens.size, found.ended_by))
    assert ended == [(3, 1, "stop"), (2, 2, "length")]


def test_what_was_not_opened_is_refused_with_the_way_to_make_it():
    loaded = opened(tokenizers.bytes_tokenizer())
    for ask in (decoding.fill, decoding.generate, decoding.next_tokens):
        with pytest.raises(TypeError):
            ask(loaded.model, "ab")
    with pytest.raises(TypeError, match=r"what pretrained\.load returns, got CausalLM; of arrays, make one"):
        check_loaded(loaded.model)
    with pytest.raises(ValueError, match="no tokenizer beside this model"):
        decoding.generate(loaded._replace(tokenizer=None), "ab")


@pytest.mark.parametrize(
    "ask", [decoding.generate, decoding.stream, decoding.next_tokens, decoding.fill_batch]
)
def test_an_ensemble_is_refused_as_one(ask):
    ensemble = opened(tokenizers.bytes_tokenizer())._replace(members=2)
    with pytest.raises(ValueError, match="decoding takes one model: got an ensemble of 2 members"):
        list(ask(ensemble, ["a"]))


@pytest.mark.parametrize("wrong", [[1, 2], [["To be"]], [b"To be"], [[1.5]], [None], [[[1]]]])
@pytest.mark.parametrize("ask", [decoding.generate, decoding.next_tokens])
def test_what_is_neither_text_nor_ids_is_told(ask, wrong):
    with pytest.raises(TypeError, match="a text is a string or a row of ids: got "):
        ask(opened(tokenizers.bytes_tokenizer()), iter(wrong))


@pytest.mark.parametrize("top_k", [0, -1, 2.5, True, "3", None])
def test_a_number_of_candidates_is_whole_and_positive(top_k):
    with pytest.raises(ValueError, match="top_k is at least 1"):
        check_top_k(top_k)
    check_top_k(np.int64(1))
