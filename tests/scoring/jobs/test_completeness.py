"""Each document of a finished job has one row."""

import pyarrow as pa
import pytest

from jaxlm import data, scoring
from jaxlm.scoring.jobs._completeness import DocumentChecker


def table(first, ids):
    return pa.table({"index": range(first, first + len(ids)), "id": pa.array(ids, pa.string())})


def checked(tables, corpus):
    documents = DocumentChecker()
    for number, one in enumerate(tables):
        documents.add(one, f"part {number}")
    source = scoring.Source(lambda: [data.Record(one, "", {}) for one in corpus], {})
    documents.check(source, len(corpus), lambda: tables)


def test_ids_may_repeat_where_those_of_the_corpus_do():
    checked([table(0, ["a", "b"]), table(2, ["c"])], ["a", "b", "c"])
    checked([table(0, ["a", "b"]), table(2, ["a"])], ["a", "b", "a"])
    checked([table(0, ["caf\\udce9"] * 2)], ["caf\udce9"] * 2)
    checked([], [])


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (
            [table(0, ["a", "b"]), table(2, ["b"])],
            "document 2 is 'b' in the scores and 'c' in the corpus: a document is there twice",
        ),
        ([table(0, ["a", "b"]), table(3, ["c"])], "part 1 does not go on with document 2"),
        ([table(0, ["a", "b"])], "have 2 documents, the corpus 3: score into another folder"),
    ],
)
def test_a_document_that_is_lost_or_there_twice_is_said(tables, said):
    with pytest.raises(RuntimeError, match=said) as caught:
        checked(tables, ["a", "b", "c"])
    assert "score into another folder" in str(caught.value)
