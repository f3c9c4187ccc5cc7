"""A config that contradicts itself is refused in one line."""

import pytest

from jaxlm.corruption import NoiseConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 1.5}, r"noise\.rate is a share in \[0, 1\]: got 1\.5"),
        ({"rate": float("nan")}, r"noise\.rate"),
        ({"mask_share": -0.1}, r"noise\.mask_share"),
        ({"mask_share": 0.9}, r"sum to 1: got 1\.1"),
        ({"beta_a": 0.0}, r"noise\.beta_a is a positive number: got 0\.0"),
        ({"temperature": float("nan")}, r"noise\.temperature is a positive number"),
    ],
)
def test_contradictions_are_named(options, message):
    with pytest.raises(ValueError, match=message) as error:
        NoiseConfig(**options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("count", "exact, bernoulli"),
        ("unit", "token, word, instruction"),
        ("schedule", "constant"),
    ],
)
def test_an_unknown_word_is_named_even_without_a_type_checker(name, known):
    unchecked = NoiseConfig()
    object.__setattr__(unchecked, name, "poisson")
    with pytest.raises(ValueError, match=rf"noise\.{name} must be one of {known}.*: got 'poisson'"):
        NoiseConfig.__post_init__(unchecked)


def test_shares_may_be_thirds_and_the_rate_may_be_left_open():
    third = 1 / 3
    config = NoiseConfig(mask_share=third, random_share=third, keep_share=third)
    assert config.rate is None
