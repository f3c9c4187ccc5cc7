"""Files that inseq 0.7.1 saved, opened without it: against what inseq itself loads (golden/make.py)."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from jaxlm.attribution import open_attributions, over_width
from jaxlm.errors import UsageError

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))


def numbers(value):
    return None if value is None else np.array(value, np.float32)  # None among numbers becomes NaN


@pytest.mark.parametrize("name", EXPECTED)
def test_scores_are_those_that_inseq_loads(name):
    opened = open_attributions(GOLDEN / name)
    assert len(opened) == len(EXPECTED[name])
    for result, expected in zip(opened, EXPECTED[name], strict=True):
        assert list(result.tokens) == [token for token, _ in expected["target"]]
        assert result.token_ids.tolist() == [id for _, id in expected["target"]]
        start, stop = expected["positions"]
        assert result.positions.tolist() == list(range(start, stop))
        assert result.target_tokens == result.tokens[start:stop]
        scores = numbers(expected["target_attributions"])
        if name == "attention.json":
            scores = scores.mean((2, 3))
        np.testing.assert_allclose(result.scores, scores, rtol=1e-6)
        assert {key: own.tolist() for key, own in result.step_scores.items()} == {
            key: numbers(own).tolist() for key, own in expected["step_scores"].items()
        }


def test_the_golden_files_are_of_every_kind():
    assert set(EXPECTED) == {
        *("saliency.json", "float16.json.gz", "float8_0.json", "float8_1.json"),
        *("attention.json", "contrast.json"),
    }
    assert (GOLDEN / "float16.json.gz").read_bytes()[:2] == b"\x1f\x8b"


def test_both_sides_of_a_translation_at_half_precision():
    for result, expected in zip(
        open_attributions(GOLDEN / "float16.json.gz"), EXPECTED["float16.json.gz"], strict=True
    ):
        assert list(result.source_tokens) == [token for token, _ in expected["source"]]
        assert result.source_ids.tolist() == [id for _, id in expected["source"]]
        np.testing.assert_array_equal(result.source_scores, numbers(expected["source_attributions"]))
        assert result.source_scores.shape == (len(expected["source"]), len(result.positions), 16)
        assert result.is_signed and over_width(result).source_scores.ndim == 2


def test_what_the_file_says_of_the_run():
    result = open_attributions(GOLDEN / "saliency.json")[0]
    assert (result.method, result.step_function, result.unit) == ("saliency", "probability", "probability")
    assert (result.model, result.is_signed, result.fingerprint) == ("gpt2", False, "")
    assert result.settings["library"] == "inseq" and result.source_tokens is None
    assert sorted(result.step_scores) == ["entropy", "probability"]
    (contrast,) = open_attributions(GOLDEN / "contrast.json")
    assert contrast.step_function == "contrast_prob_diff"


def as_older(value):
    """The file as inseq wrote arrays before it took safetensors: bytes, their dtype and shape."""
    for own in value["attributes"]["sequence_attributions"]:
        fields = own["attributes"]
        raw = base64.b64decode(fields["target_attributions"])
        header = int.from_bytes(raw[:8], "little")
        shape = json.loads(raw[8 : 8 + header])["attribution"]["shape"]
        text = "b64:" + base64.b64encode(raw[8 + header :]).decode()
        fields["target_attributions"] = {
            "__ndarray__": text,
            "dtype": "float32",
            "shape": shape,
            "Corder": True,
        }
        entropy = numbers([1.0] * (fields["attr_pos_end"] - fields["attr_pos_start"]))
        fields["step_scores"] = {
            "entropy": {"__ndarray__": entropy.tolist(), "dtype": "float32", "shape": [len(entropy)]}
        }
    return value


def test_arrays_of_older_versions(tmp_path):
    value = as_older(json.loads((GOLDEN / "saliency.json").read_text()))
    (tmp_path / "a.json").write_text(json.dumps(value))
    for older, result in zip(
        open_attributions(tmp_path / "a.json"), open_attributions(GOLDEN / "saliency.json"), strict=True
    ):
        assert older.scores.tobytes() == result.scores.tobytes()
        assert older.step_scores["entropy"].tolist() == [1.0] * len(result.positions)


@pytest.mark.parametrize(
    "change",
    [
        lambda own: own.pop("target"),
        lambda own: own.update(target_attributions="AAAA"),
        lambda own: own.update(target_attributions=[1]),
        lambda own: own.update(attr_pos_end=99),
    ],
)
def test_damage_is_one_line(tmp_path, change):
    value = json.loads((GOLDEN / "contrast.json").read_text())
    change(value["attributes"]["sequence_attributions"][0]["attributes"])
    (tmp_path / "a.json").write_text(json.dumps(value))
    with pytest.raises(UsageError, match=r"a\.json is no whole output of inseq") as error:
        open_attributions(tmp_path / "a.json")
    assert "\n" not in str(error.value)


def test_primitives_are_refused_as_inseq_refuses_them(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"info": {}, "sequence_attributions": []}))
    with pytest.raises(UsageError, match="without use_primitives"):
        open_attributions(tmp_path / "a.json")
