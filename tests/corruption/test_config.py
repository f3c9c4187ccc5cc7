"""A config that contradicts itself is refused in one line."""

from types import SimpleNamespace

import pytest

from jaxlm.corruption import MaskingConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 1.5}, r"masking\.rate is a share in \[0, 1\]: got 1\.5"),
        ({"rate": float("nan")}, r"masking\.rate"),
        ({"mask_share": -0.1}, r"masking\.mask_share"),
        ({"mask_share": 0.9}, r"sum to 1: got 1\.1"),
    ],
)
def test_contradictions_are_named(options, message):
    with pytest.raises(ValueError, match=message) as error:
        MaskingConfig(**options)
    assert "\n" not in str(error.value)


def test_an_unknown_count_is_named_even_without_a_type_checker():
    unchecked = SimpleNamespace(rate=0.1, mask_share=0.8, random_share=0.1, keep_share=0.1, count="poisson")
    with pytest.raises(ValueError, match="'exact' or 'bernoulli': got 'poisson'"):
        MaskingConfig.__post_init__(unchecked)


def test_shares_may_be_thirds():
    third = 1 / 3
    assert MaskingConfig(mask_share=third, random_share=third, keep_share=third).count == "exact"
