"""Names of tensors under wrappers, and what a folder is by its tensors' names: of every family."""

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import models
from jaxlm.pretrained._bodies import body_config, infer_model_kind
from jaxlm.pretrained._families import FAMILIES
from jaxlm.pretrained._names import WRAPPERS, canonical_names
from tests.pretrained.test_families import values_of


def wrapped(name, inner):
    """A name with the parts of wrappers before its own, by the place of these."""
    parts = [[inner[place], part] if place in inner else [part] for place, part in enumerate(name.split("."))]
    return ".".join(part for pair in parts for part in pair)


@functools.cache
def tensors_of(family, kind):
    config = FAMILIES[family].config(values_of(family))
    return [name for row in FAMILIES[family].rows(config, kind) for name in row.theirs]


@settings(deadline=None, max_examples=60)
@given(
    family=st.sampled_from(sorted(FAMILIES)),
    is_body=st.booleans(),
    is_bare=st.booleans(),
    outer=st.lists(st.sampled_from(sorted(WRAPPERS)), max_size=3),
    root=st.sampled_from(["", "model.", "net.", "0.auto_model.", "encoder.model."]),
    inner=st.dictionaries(st.integers(0, 8), st.sampled_from(sorted(WRAPPERS))),
)
def test_wrappers_come_off_wherever_they_stand(family, is_body, is_bare, outer, root, inner):
    """Of every family, with its prefix and without, as a whole and as a part of another module."""
    prefix, start = FAMILIES[family].prefix, "".join(f"{part}." for part in outer) + root
    expected = {
        name: start + wrapped(name.removeprefix(prefix) if is_bare else name, inner)
        for name in tensors_of(family, models.BODY_ALONE if is_body else FAMILIES[family].kind)
    }
    assert canonical_names(expected.values(), FAMILIES[family].scheme) == expected


def kind_of(family, names, *architectures):
    known = [name for name in architectures if name is not None]
    return infer_model_kind(FAMILIES[family], FAMILIES[family].config(values_of(family)), names, known)


def own_names(family):
    """The tensors of a family's head and decoder that a file cannot leave out."""
    kept, body = FAMILIES[family], tensors_of(family, models.BODY_ALONE)
    return set(tensors_of(family, kept.kind)) - set(body) - kept.zeros


@pytest.mark.parametrize("family", FAMILIES)
def test_tensors_decide_what_a_folder_is(family):
    kept, body, whole = (
        FAMILIES[family],
        tensors_of(family, models.BODY_ALONE),
        tensors_of(family, FAMILIES[family].kind),
    )
    own, other = own_names(family), "OwnForSequenceClassification"
    assert kind_of(family, whole) == kind_of(family, whole, kept.architecture) == kept.kind
    assert kind_of(family, [*whole, "score.weight"], kept.architecture) == kept.kind
    assert kind_of(family, body, kept.body_architecture) == (models.BODY_ALONE if own else kept.kind)
    assert kind_of(family, [*body, "score.weight"], other) == models.BODY_ALONE
    for name in sorted(own)[:3]:  # a file of a language model that is not whole
        rest = [one for one in whole if one != name]
        lacks_all = not own - {name}
        assert kind_of(family, rest, kept.architecture) == (models.BODY_ALONE if lacks_all else kept.kind)
        assert kind_of(family, [*rest, "score.weight"], other) == models.BODY_ALONE


@pytest.mark.parametrize("family", FAMILIES)
def test_a_body_keeps_its_modules_and_names_the_rest(family):
    kept = FAMILIES[family]
    config = body_config(kept, kept.config(values_of(family)))
    body, extra = tensors_of(family, models.BODY_ALONE), ["score.dense.weight", f"{kept.prefix}pooler.bias"]
    names = kept.names(config, [*body, *sorted(own_names(family)), *extra], models.BODY_ALONE)
    assert names.found.keys() == {*body} and not names.unused
    assert set(names.further) == own_names(family) | {*extra}
    assert {"score", f"{kept.prefix}pooler"} <= set(names.further.values())
    inside = body[-1].rsplit(".", 1)[0] + ".lora_A.weight"
    assert inside in kept.names(config, [*body, inside], models.BODY_ALONE).found
