import pytest

from jaxlm import data
from jaxlm.data._labels import class_names, merge_labels


def records(*labels):
    return [data.Record(f"r{number}", "text", {"kind": label}) for number, label in enumerate(labels)]


def config(**fields):
    return data.DataConfig(paths=("a",), label_field="kind", **fields)


def numbers(labels, names=None, **fields):
    return [one.meta["label"] for one in data.label_records(records(*labels), config(**fields), names)]


def names(labels, kind="auto"):
    return class_names([one._replace(meta={"label": one.meta["kind"]}) for one in records(*labels)], kind)


def test_numbers_stay_numbers():
    assert numbers(["1e-3", "-2", " 0.5 "]) == ["0.001", "-2.0", "0.5"]


def test_classes_are_their_place_among_the_names():
    assert names(["dog", "cat", "dog"]) == ("cat", "dog")
    assert numbers(["dog", "cat"], ("cat", "dog")) == ["1", "0"]


def test_what_labels_are_is_decided_by_the_first_unless_said():
    assert names(["1", "2"]) is None and names(["cat", "2"]) == ("2", "cat")
    assert names(["1", "10", "2"], "class") == ("1", "2", "10")
    assert names(["cat"], "number") is None


@pytest.mark.parametrize(
    ("labels", "known", "message"),
    [
        (
            ["1", "high"],
            None,
            "r1: the label 'high' is no finite number; correct it, or take label_kind 'class'",
        ),
        (["nan"], None, "r0: the label 'nan' is no finite number"),
        (["inf"], None, "no finite number"),
        (["cow"], ("cat", "dog"), "r0: the class 'cow' is unknown; expected one of cat, dog"),
    ],
)
def test_a_label_that_does_not_fit_is_named(labels, known, message):
    with pytest.raises(data.CorpusError, match=message):
        numbers(labels, known)


def test_merged_labels_are_means_or_the_most_frequent_class():
    assert float(merge_labels(["0.1", "0.2", "0.6"], False)) == pytest.approx(0.3, abs=1e-15)
    assert merge_labels(["0", "2", "1", "2"], True) == "2"
    assert merge_labels(["10", "9"], True) == "9"
