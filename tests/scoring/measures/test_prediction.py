"""Predictions of classifiers and regressions against the head's outputs for one text alone."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import data, models, pretrained, scoring, tokenizers

# Float32 sums in two orders.
CLOSE = {"rtol": 2e-5, "atol": 2e-6}
TOKENIZER = tokenizers.bytes_tokenizer()
CLS, SEP = tokenizers.text_frame(TOKENIZER, "training")
TRAINED = {"experiment": {"data": {"ends": True}}}
LONGEST = 16
CONFIG = scoring.EngineConfig(row_length=2 * LONGEST, rows=2, devices=(jax.devices()[0],))
TEXTS = ["a low", "slow low x", "b"] * 3


def built(kind, head, extra):
    size = {"width": 8, "depth": 1, "num_heads": 2, "max_length": LONGEST, "init_std": 0.4}
    config = models.TransformerConfig(vocab_size=TOKENIZER.vocab_size, position="learned", **size)
    model = models.build(config, kind, head)
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
    return pretrained.Loaded(config, kind, model, params, TOKENIZER, TRAINED | extra, head)


@functools.cache
def classifier():
    return built("classification", models.HeadConfig(num_outputs=3), {"classes": ["cat", "dog", "eel"]})


@functools.cache
def regression():
    head = models.HeadConfig(num_outputs=1, center=40.0, scale=3.0, pooling="last", output_bias=False)
    return built("regression", head, {})


@functools.partial(jax.jit, static_argnames="model")
def outputs_of_row(model, params, tokens, segments):
    hidden = model.apply({"params": params}, models.Inputs(tokens=tokens, segments=segments)).hidden
    return model.apply({"params": params}, hidden, segments=segments, method="outputs")[0, 0]


def outputs(loaded, ids):
    """The head's outputs for one text alone, `[C]`."""
    tokens = [*CLS, *ids, *SEP]
    row, segments = np.zeros((2, 1, LONGEST), np.int32)
    row[0, : len(tokens)], segments[0, : len(tokens)] = tokens, 1
    return np.asarray(outputs_of_row(loaded.model, loaded.params, row, segments), np.float64)


def probabilities(logits):
    shares = np.exp(logits - logits.max())
    return shares / shares.sum()


ENGINES = {}


def rows(loaded, texts, **options):
    scorer = scoring.make_scorer(loaded, scoring.Prediction(**options), CONFIG)
    scorer.engine = ENGINES.setdefault(id(loaded.params), scorer.engine)
    return list(scorer([data.Record(str(number), text, {}) for number, text in enumerate(texts)]))


def test_classes_and_probabilities_in_packed_rows():
    loaded = classifier()
    for text, row in zip(TEXTS, rows(loaded, TEXTS), strict=True):
        probs = probabilities(outputs(loaded, TOKENIZER.encode(text)))
        np.testing.assert_allclose(row["probabilities"], probs, **CLOSE)
        assert row["predicted_class"] == ("cat", "dog", "eel")[probs.argmax()]
        assert row["probability"] == pytest.approx(probs.max(), rel=2e-5)
        assert row["num_tokens"] == len(text)


def test_values_are_in_the_units_of_the_labels():
    loaded = regression()
    for text, row in zip(TEXTS, rows(loaded, TEXTS), strict=True):
        (value,) = outputs(loaded, TOKENIZER.encode(text))
        assert row == {"num_tokens": len(text), "value": pytest.approx(value, rel=2e-5)}
        # The head's own output is of the order of 1.
        assert 20 < value < 60


def test_windows_of_a_long_text_are_averaged_by_their_tokens():
    loaded, ids = classifier(), TOKENIZER.encode("a low slow low slow")
    assert len(ids) == 19
    first, last = (probabilities(outputs(loaded, part)) for part in (ids[:14], ids[5:]))
    (row,) = rows(loaded, ["a low slow low slow"], window=LONGEST)
    np.testing.assert_allclose(row["probabilities"], (14 * first + 5 * last) / 19, **CLOSE)
    (cut,) = rows(loaded, ["a low slow low slow"], window=LONGEST, long="cut")
    np.testing.assert_allclose(cut["probabilities"], first, **CLOSE)
    (refused,) = rows(loaded, ["a low slow low slow"], window=LONGEST, long="error")
    assert "reads at most 14 of a text" in refused["error"]


def test_classes_that_do_not_exclude_each_other():
    loaded = classifier()
    several = loaded._replace(extra={**loaded.extra, "problem_type": "multi_label_classification"})
    (row,) = rows(several, ["a low"])
    probs = 1 / (1 + np.exp(-outputs(loaded, TOKENIZER.encode("a low"))))
    np.testing.assert_allclose(row["probabilities"], probs, **CLOSE)
    names = np.array(["cat", "dog", "eel"])
    assert row["predicted_classes"] == names[probs >= 0.5].tolist()


def test_columns_name_the_classes():
    loaded = classifier()
    schema = scoring.make_scorer(loaded, "prediction", CONFIG).schema
    assert json.loads(schema.field("probabilities").metadata[b"classes"]) == ["cat", "dog", "eel"]
    unnamed = loaded._replace(extra=TRAINED)
    schema = scoring.make_scorer(unnamed, "prediction", CONFIG).schema
    assert json.loads(schema.field("probabilities").metadata[b"classes"]) == ["0", "1", "2"]
    assert scoring.make_scorer(regression(), "prediction", CONFIG).schema.names == ["num_tokens", "value"]


def test_a_run_of_windows_reads_windows():
    window = {"window": 3, "center_pattern": r"_[a-z](\d+)", "ends": True}
    loaded = classifier()._replace(extra={**classifier().extra, "experiment": {"data": window}})
    scorer = scoring.make_scorer(loaded, scoring.Prediction(), CONFIG)
    scorer.engine = ENGINES.setdefault(id(loaded.params), scorer.engine)
    row, without = scorer([data.Record("x_w4", "a low", {}), data.Record("x", "a low", {})])
    expected = probabilities(outputs(loaded, TOKENIZER.encode("low")))
    np.testing.assert_allclose(row["probabilities"], expected, **CLOSE)
    assert "center_pattern" in without["error"]


def test_what_is_refused():
    loaded = classifier()
    assert rows(loaded, [""])[0]["error"] == "no tokens: the text is empty"
    with pytest.raises(scoring.ScoreError, match="name 2 classes, and it has 3 outputs"):
        scoring.make_scorer(loaded._replace(extra={"classes": ["a", "b"]}), "prediction", CONFIG)
    with pytest.raises(scoring.ScoreError, match="is asked of a causal_lm: this model is a classification"):
        scoring.make_scorer(loaded, "log-likelihood", CONFIG)
    broken = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), loaded.params)
    (row,) = scoring.make_scorer(loaded._replace(params=broken), "prediction", CONFIG)(
        [data.Record("0", "a", {})]
    )
    assert row == {"error": "the model's outputs are not finite numbers"}
