"""Every name that transformers knows, set to other values: its logits, or refused by name."""

import os
import random

import numpy as np
import pytest

from jaxlm.pretrained._families import FAMILIES, family_of
from jaxlm.pretrained._known_names import INERT, OF_CODE
from tests.pretrained.oracle_names import known_names
from tests.pretrained.parity_attributes import BASES, cases, outcome

# Names that act nowhere are many; a sample is drawn of the others.
IDLE = (INERT | OF_CODE) - {"pad_token_id", "mask_token_id", "is_causal", "head_dim", "layer_types"}
SAMPLE, LONG_SAMPLE = 4, 30


def check(family, base, name, value, folder):
    """Asserts that a file is read as transformers reads it, if it can, or refused by the name."""
    found = outcome(family, {**base, name: value}, folder)
    if found.expected is None:
        return
    if found.got is None:
        assert name in found.told and "\n" not in found.told, (name, value, found.told)
    else:
        np.testing.assert_allclose(found.got, found.expected, rtol=0, atol=1e-4, err_msg=f"{name}={value!r}")


def test_every_family_is_walked():
    assert BASES.keys() == FAMILIES.keys()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tables_hold_every_name_that_transformers_knows(family):
    assert FAMILIES[family].unknown(dict.fromkeys(sorted(known_names(family)))) == ()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tables_hold_no_name_that_transformers_reads_as_inert(family):
    """What is inert by a table of one family acts in none of the classes of its own."""
    own = FAMILIES[family]
    followed = {attribute.theirs for attribute in own.attributes} | own.read_names | own.synonyms.keys()
    assert not own.inert & (followed | own.only.keys())


@pytest.mark.parametrize("family", FAMILIES)
def test_other_values_of_known_names(family, tmp_path):
    """A few of them, others at every change of the tables."""
    acting = [case for case in cases(family) if case[1] not in IDLE]
    for case in random.Random(family).sample(acting, SAMPLE):
        check(family, *case, tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("value", [True, 3, 2.5, {}, {"a": 1}, [None], [1], None], ids=repr)
def test_a_list_of_classes_that_is_none_names_none(family, value):
    base = {"model_type": family, **BASES[family][0]}
    assert family_of({**base, "architectures": value}) is FAMILIES[family]
    config = FAMILIES[family].config({**base, "architectures": value})
    assert config == FAMILIES[family].config({**base, "architectures": []})


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_many_values_of_known_names(family, tmp_path):
    """More of them, idle ones too; EVERY_VALUE=1 in the environment takes all, some 10,000."""
    walk = list(cases(family))
    if not os.environ.get("EVERY_VALUE"):
        walk = random.Random(f"{family} at length").sample(walk, LONG_SAMPLE)
    for case in walk:
        check(family, *case, tmp_path)
