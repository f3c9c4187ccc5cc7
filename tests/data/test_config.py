import pytest

from jaxlm import data


def test_the_default_is_the_embedded_corpus():
    assert data.DataConfig().paths == ()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"row_length": 0}, "row_length: expected at least 1, got 0"),
        ({"validation_share": 0.0}, "validation_share: expected a share between 0 and 1, got 0.0"),
        ({"test_share": 1.0}, "test_share: expected a share between 0 and 1"),
        ({"validation_share": 0.5, "test_share": 0.5}, "leave nothing to train on"),
        ({"format": "jsonl"}, "format 'jsonl' without paths"),
        (
            {"paths": ("a",), "format": "fasta", "document": "file"},
            "document 'file' is for text, not for format 'fasta'",
        ),
        ({"paths": ("a", "")}, "none of them empty"),
        ({"similarity": 0.0}, "similarity: expected a share above 0 and at most 1, got 0.0"),
        ({"group_pattern": "x_(", "paths": ("a",)}, "group_pattern: 'x_\\(' is no regular expression"),
        ({"label_pattern": "x_.*"}, "label_pattern: expected a regular expression with a group"),
        ({"split": "similarity", "group_field": "kind"}, "split 'similarity' makes its own groups"),
        ({"label_kind": "class"}, "label_kind 'class' without labels"),
        ({"window": 3}, "window: expected an odd number of characters with center_pattern"),
        ({"window": 4, "center_pattern": r"(\d)"}, "window: expected an odd number"),
        ({"center_pattern": r"(\d)"}, "or 0 without, got 0"),
    ],
)
def test_a_contradiction_is_one_line(fields, message):
    with pytest.raises(ValueError, match=message) as caught:
        data.DataConfig(**fields)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"long": "drop"},
        {"document": "page"},
        {"paths": ("a",), "format": "html"},
        {"corpus": "poems"},
        {"split": "family"},
        {"label_kind": "colour"},
    ],
)
def test_an_unknown_word_is_refused(fields):
    with pytest.raises((ValueError, TypeError)):
        data.DataConfig(**fields)
