import itertools
import math
import statistics

import numpy as np
import pyarrow as pa
import pytest

from jaxlm.scoring.jobs._summary import SAMPLE_SIZE, _ColumnStatistics, summarize_tables


def table(first, values, errors=None, **columns):
    number = len(values)
    metadata = {"unit": columns.pop("unit", "nats")}
    if (tokens := columns.pop("tokens", "num_scored")) in columns:
        metadata["tokens"] = tokens
    fields = [
        pa.field("index", pa.int64()),
        pa.field("id", pa.string()),
        pa.field("log_likelihood", pa.float64(), metadata=metadata),
        *(pa.field(name, pa.array(column).type) for name, column in columns.items()),
        pa.field("error", pa.string()),
    ]
    arrays = [
        *(range(first, first + number), [str(n) for n in range(number)], values),
        *columns.values(),
        errors or [None] * number,
    ]
    return pa.table([pa.array(a, f.type) for a, f in zip(arrays, fields, strict=True)], pa.schema(fields))


def test_the_corpus_is_pooled_and_its_documents_are_spread():
    found = summarize_tables(
        [
            table(0, [-2.0, None], [None, "a.txt:3: 12 words"], num_scored=[2, None]),
            table(2, [-10.0, None], [None, "a.txt:9: 7 words"], num_scored=[4, None]),
        ]
    )
    assert (found["documents"], found["errors"]) == (4, 2)
    assert found["error_kinds"] == {"a.txt:N: N words": 2}
    assert found["corpus"] == {
        "scored": 6, "nats": -12.0, "nats_per_token": 2.0, "perplexity": math.exp(2)
    }  # fmt: skip
    spread = found["columns"]["log_likelihood"]
    assert (spread["count"], spread["missing"], spread["mean"], spread["std"]) == (2, 2, -6.0, 4.0)
    assert (spread["min"], spread["median"], spread["max"]) == (-10.0, -6.0, -2.0)
    assert sum(spread["histogram"]["counts"]) == 2


def test_bytes_and_words_are_those_of_documents_scored_whole():
    counts = {"num_scored": [4, 3], "num_bytes": [8, 100], "num_words": [2, 50], "bits_per_byte": [1.0, None]}
    nats = -8 * math.log(2)
    for values, unit in (([nats, -3.0], "nats"), ([-8.0, -3.0 / math.log(2)], "bits")):
        corpus = summarize_tables([table(0, values, unit=unit, **counts)])["corpus"]
        assert math.isclose(corpus["bits_per_byte"], 1.0)
        assert math.isclose(corpus["word_perplexity"], 16.0)
        assert math.isclose(corpus["nats_per_token"], (-nats + 3) / 7)


def test_a_sample_of_many_is_like_them_and_a_function_of_the_indices():
    values = np.random.default_rng(0).normal(size=3 * SAMPLE_SIZE)
    halves = [table(0, values[:SAMPLE_SIZE]), table(SAMPLE_SIZE, values[SAMPLE_SIZE:])]
    thirds = [table(n * SAMPLE_SIZE, values[n * SAMPLE_SIZE : (n + 1) * SAMPLE_SIZE]) for n in range(3)]
    one, other = (summarize_tables(tables)["columns"]["log_likelihood"] for tables in (halves, thirds))
    assert one["histogram"] == other["histogram"]
    assert one["count"] == len(values)
    # Six standard errors of a median of 65,536 normal values: 6 * 1.25 / 256.
    assert abs(one["median"] - np.median(values)) < 0.03
    assert one["max"] == values.max()


def test_constants_and_what_is_not_finite():
    spread = summarize_tables([table(0, [1.0, 1.0, math.inf])])["columns"]["log_likelihood"]
    assert (spread["count"], spread["missing"], spread["std"]) == (2, 1, 0.0)
    assert sum(spread["histogram"]["counts"]) == 2


def test_only_what_the_measure_names_as_its_log_likelihood_is_pooled():
    schema = pa.schema(
        [
            pa.field("index", pa.int64()),
            pa.field("id", pa.string()),
            pa.field("num_scored", pa.int64()),
            pa.field("max_ratio", pa.float64(), metadata={"unit": "nats"}),
            pa.field("error", pa.string()),
        ]
    )
    columns = {"index": [0], "id": ["a"], "num_scored": [3], "max_ratio": [9.0], "error": [None]}
    assert summarize_tables([pa.table(columns, schema)])["corpus"] == {}
    pooled = summarize_tables([table(0, [-6.0], tokens="num_tokens", num_tokens=[3], num_scored=[1])])[
        "corpus"
    ]
    assert (pooled["scored"], pooled["nats_per_token"]) == (3, 2.0)


@pytest.mark.parametrize("mean", [0.0, 1.0, 1e6, -1e8, 1e12])
@pytest.mark.parametrize("parts", [1, 2, 7, 100])
def test_deviations_keep_their_digits_far_from_zero_and_in_any_parts(mean, parts):
    values = mean + np.random.default_rng(0).normal(size=1000)
    cuts = [0, *sorted(np.random.default_rng(parts).integers(0, 1000, parts - 1)), 1000]
    tables = [table(a, values[a:b]) for a, b in itertools.pairwise(cuts)]
    spread = summarize_tables(tables)["columns"]["log_likelihood"]
    assert spread["count"] == 1000
    # NumPy's own deviations lose digits with the mean; these are of fractions.
    np.testing.assert_allclose(spread["std"], statistics.pstdev(values.tolist()), rtol=1e-12)
    np.testing.assert_allclose(spread["mean"], values.mean(), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("mean", [0.0, 1e8, 1e12, -3e15, 1e17, 1e300])
@pytest.mark.parametrize("deviation", [0.0, 1.0])
def test_bars_are_no_narrower_than_numbers_can_be_told_apart(mean, deviation):
    values = mean + deviation * np.random.default_rng(0).normal(size=300)
    spread = _ColumnStatistics()
    spread.add(values, np.arange(300))
    found = spread.as_dict()
    edges = found["histogram"]["edges"]
    assert sum(found["histogram"]["counts"]) == 300 and all(np.diff(edges) > 0)
    assert edges[0] <= found["median"] <= edges[-1]
