import dataclasses
import json

import pytest

from jaxlm import models

WRONG = {
    "num_outputs must be positive: got 0": {"num_outputs": 0},
    "num_outputs must be int or None: got 'three'": {"num_outputs": "three"},
    "pooling must be one of mean, attention, first, last: got 'max'": {"pooling": "max"},
    "hidden_layers is not negative: got -1": {"hidden_layers": -1},
    r"dropout lies in \[0, 1\): got 1.0": {"dropout": 1.0},
    "center is finite: got inf": {"center": float("inf")},
    "scale must be positive: got 0.0": {"scale": 0.0},
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_value_is_named(message):
    with pytest.raises(ValueError, match=rf"^head\.{message}$"):
        models.head_from_dict(WRONG[message])


def test_json_and_back():
    config = models.HeadConfig(num_outputs=3, pooling="attention", hidden_layers=2, dropout=0.5, center=-1.5)
    assert models.head_from_dict(json.loads(json.dumps(dataclasses.asdict(config)))) == config
    assert models.head_from_dict({}) == models.HeadConfig()


def test_unknown_fields_are_named():
    with pytest.raises(ValueError, match="head has no fields 'classes', 'kind'; its fields are num_out"):
        models.head_from_dict({"classes": 3, "kind": "sequence", "hidden_layers": 1})
