import pyarrow as pa
import pytest

from jaxlm import scoring
from tests.scoring.fakes import run


def test_a_row_a_token_in_order():
    table = pa.table(
        {
            "index": [4, 5, 6],
            "id": ["a", "b", "c"],
            "token_ids": [[7, 8], None, [9]],
            "top_ids": [[None, [1, 2]], None, [[3, 4]]],
            "word_starts": [[0], None, [1]],
            "error": [None, "too long", None],
        }
    )
    assert scoring.item_rows(table, "token").to_pylist() == [
        {"index": 4, "id": "a", "place": 0, "token_ids": 7, "top_ids": None},
        {"index": 4, "id": "a", "place": 1, "token_ids": 8, "top_ids": [1, 2]},
        {"index": 6, "id": "c", "place": 0, "token_ids": 9, "top_ids": [3, 4]},
    ]
    assert scoring.item_rows(table, "word").to_pylist() == [
        {"index": 4, "id": "a", "place": 0, "word_starts": 0},
        {"index": 6, "id": "c", "place": 0, "word_starts": 1},
    ]


def test_of_a_finished_job(tmp_path):
    run(tmp_path)
    tables = list(scoring.read_parts(str(tmp_path)))
    tokens = [item for table in tables for item in scoring.item_rows(table, "token").to_pylist()]
    assert len(tokens) == sum(row["num_tokens"] or 0 for table in tables for row in table.to_pylist())
    assert [one["index"] for one in tokens] == sorted(one["index"] for one in tokens)
    with pytest.raises(ValueError, match="no lists of words here"):
        scoring.item_rows(tables[0], "word")
