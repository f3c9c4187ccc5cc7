"""Columns of vectors in Parquet and in a file of NumPy."""

import numpy as np
import pyarrow as pa
import pytest

from jaxlm import data, io, scoring
from jaxlm.errors import UsageError
from jaxlm.scoring.jobs._vectors import column_of

VECTOR = pa.list_(pa.float32(), 2)


class Pairs:
    """A scorer of vectors: a text's length and its negative; an empty text has none."""

    schema = pa.schema([pa.field("vector", VECTOR)])
    description, work = {"measure": "pairs"}, None

    def __call__(self, records):
        for record in records:
            size = np.float32(len(record.text))
            yield {"vector": np.array([size, -size])} if record.text else {"error": "empty"}


def test_columns_of_arrays():
    vectors = [np.array([1.0, 2.0], np.float32), None, np.array([3.0, 4.0], np.float32)]
    assert column_of(vectors, VECTOR).to_pylist() == [[1.0, 2.0], None, [3.0, 4.0]]
    lists = [np.ones((2, 2), np.float32), None, np.zeros((0, 2), np.float32)]
    assert column_of(lists, pa.list_(VECTOR)).to_pylist() == [[[1.0, 1.0], [1.0, 1.0]], None, []]
    assert column_of([1, None], pa.int64()).to_pylist() == [1, None]


@pytest.mark.parametrize("place", ["local", "memory://vectors-of-a-job"])
def test_the_vectors_of_all_parts_in_one_array(tmp_path, place):
    out = str(tmp_path / "out") if place == "local" else place
    texts = ["a", "", "abc", "ab"]
    records = [data.Record(str(number), text, {}) for number, text in enumerate(texts)]
    source = scoring.Source(lambda: records, {"corpus": "letters"})
    list(scoring.run_job(Pairs(), source, out, scoring.JobConfig(part_documents=2)))
    assert scoring.write_vectors(out) == (4, 2)
    payload = io.open_store(out).read("vectors.npy")
    (tmp_path / "copy.npy").write_bytes(payload)
    array = np.load(tmp_path / "copy.npy")
    expected = [[1, -1], [np.nan, np.nan], [3, -3], [2, -2]]
    np.testing.assert_array_equal(array, np.array(expected, np.float32))
    with pytest.raises(UsageError, match="has no vectors in a column 'other'"):
        scoring.write_vectors(out, "other")
