"""Files of attributions: what is opened is what was saved, bit by bit; what is damaged is one line."""

import gzip
import json

import numpy as np
import pytest

from jaxlm import io
from jaxlm.attribution import attribution_as_json, open_attributions, save_attributions
from jaxlm.errors import UsageError
from tests.attribution.results.examples import causal, equal, translation

# Numbers that text loses easily: signed zeros, the smallest and the largest, NaNs with a sign and a payload.
ODD = np.array([0, 1 << 31, 1, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001], np.uint32)


def odd(**changed):
    scores = np.tile(ODD.view(np.float32)[:6, None], (1, 3))
    return causal(scores=scores, values=ODD.view(np.float32)[[4, 6, 7]], **changed)


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_arrays_come_back_bit_by_bit(tmp_path, name):
    results = [causal(), translation(), odd(), causal(scores=np.zeros((6, 3, 4), np.float64))]
    save_attributions(tmp_path / name, results)
    opened = open_attributions(tmp_path / name)
    assert len(opened) == 4 and all(map(equal, results, opened))
    is_compressed = (tmp_path / name).read_bytes()[:2] == b"\x1f\x8b"
    assert is_compressed == name.endswith(".gz")


def test_lists_of_numbers_come_back_bit_by_bit_but_for_the_kind_of_nan(tmp_path):
    odd().save(tmp_path / "a.json", is_compact=False)
    text = (tmp_path / "a.json").read_text()
    assert "NaN" not in text and "Infinity" not in text and "base64" not in text
    (opened,) = open_attributions(tmp_path / "a.json")
    assert opened.scores.tobytes() == odd().scores.tobytes()
    assert np.isnan(opened.values).tolist() == [False, True, True]
    assert equal(opened._replace(values=odd().values), odd())


def test_equal_attributions_make_equal_files(tmp_path):
    for name in ("a.json.gz", "b.json.gz"):
        causal().save(tmp_path / name)
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()


def test_any_token_and_any_setting_of_json_comes_back(tmp_path):
    tokens = ("\x00", "\udc80", '"\\', "漢", "<b>", " ")
    settings = {
        "steps": np.int32(5),
        "layers": [1, None],
        "baseline": np.zeros(2, np.float32),
        "deep": {"a": True},
    }
    causal(tokens=tokens, settings=settings).save(tmp_path / "a.json")
    (opened,) = open_attributions(tmp_path / "a.json")
    assert opened.tokens == tokens
    assert opened.settings == {"steps": 5, "layers": [1, None], "baseline": [0.0, 0.0], "deep": {"a": True}}


def test_a_line_of_json_has_every_field():
    values = json.loads(json.dumps(attribution_as_json(causal()), allow_nan=False))
    assert set(values) == set(causal()._fields)
    assert values["scores"]["values"][3] == [None, *causal().scores[3, 1:].tolist()]


@pytest.mark.parametrize("settings", [{"a": object()}, {"a": float("nan")}])
def test_settings_that_are_no_json_are_refused(settings):
    with pytest.raises(UsageError, match="settings are JSON values"):
        attribution_as_json(causal(settings=settings))
    with pytest.raises(UsageError, match=r"arrays of files are of float16.*got complex128"):
        attribution_as_json(causal(values=np.zeros(3, complex)))


def damaged(tmp_path, change):
    path = tmp_path / "a.json"
    causal().save(path)
    value = json.loads(path.read_text())
    change(value, value["attributions"][0])
    path.write_text(json.dumps(value))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file, own: file.pop("format"), "holds no attributions"),
        (lambda file, own: file.update(version=2), "is of version 2: this jaxlm reads 1"),
        (lambda file, own: file.update(attributions={}), "is of version 1"),
        (lambda file, own: own.pop("tokens"), "has no tokens"),
        (lambda file, own: own.update(colour=1), "expected the fields"),
        (lambda file, own: own["scores"].update(shape=[6, 2]), "damaged: cannot reshape"),
        (lambda file, own: own["scores"].update(dtype="object"), "damaged: an array is of float16"),
        (lambda file, own: own["scores"].update(base64="?"), "damaged"),
        (lambda file, own: own["scores"].pop("base64"), "damaged: 'values'"),
        (lambda file, own: own.update(scores=[1]), "damaged"),
        (lambda file, own: own.update(tokens=["a"]), r"token_ids has the shape \(6,\), expected \(1,\)"),
        (
            lambda file, own: own["step_scores"].update(a=own["token_ids"]),
            r"a has the shape \(6,\), expected \(3,\)",
        ),
        (lambda file, own: own.update(settings=5), "settings"),
    ],
)
def test_damage_is_one_line(tmp_path, change, message):
    with pytest.raises(UsageError, match=message) as error:
        open_attributions(damaged(tmp_path, change))
    assert "a.json" in str(error.value) and "\n" not in str(error.value)


def test_files_of_other_contents_are_one_line(tmp_path):
    (tmp_path / "a").write_bytes(b"no json")
    (tmp_path / "b").write_bytes(gzip.compress(b"{}")[:-9])
    (tmp_path / "c").write_text("[]")
    for name, message in (
        ("a", "holds no whole JSON"),
        ("b", "holds no whole JSON"),
        ("c", "no attributions"),
    ):
        with pytest.raises(UsageError, match=message):
            open_attributions(tmp_path / name)
    with pytest.raises(io.ReadError):
        open_attributions(tmp_path / "missing")
