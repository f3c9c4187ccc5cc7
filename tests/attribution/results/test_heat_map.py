"""What a heat map shows: tokens to be seen, numbers with enough digits, colours that can be told apart."""

import numpy as np
import pytest

from jaxlm.attribution.results._colours import NUM_LEVELS, colour_level, level_colour
from jaxlm.attribution.results._heat_map import heat_map, short_value, visible_token
from tests.attribution.results.examples import causal, translation


@pytest.mark.parametrize(
    ("largest", "shown", "exponent"),
    [
        (0.5, "+0.500", 0),
        (0.012, "+1.20", -2),
        (25.0, "+25.0", 0),
        (999.0, "+999", 0),
        (1234.0, "+1.23", 3),
        (3e-7, "+3.00", -7),
        (0.1, "+0.100", 0),
    ],
)
def test_numbers_have_three_digits(largest, shown, exponent):
    drawn = heat_map(causal(scores=np.array([[largest]] * 6)[:, [0, 0, 0]] * [1, -1, 0.1]))
    assert (drawn.limit, drawn.exponent, drawn.shown(largest)) == (largest, exponent, shown)
    assert drawn.shown(-largest) == shown.replace("+", "-") and drawn.shown(float("nan")) == ""


def test_what_rounds_to_zero_has_no_sign_and_magnitudes_have_none():
    drawn = heat_map(causal())
    assert drawn.shown(-1e-9) == drawn.shown(0.0) == drawn.shown(1e-9)
    assert not heat_map(causal(is_signed=False)).shown(2.0).startswith("+")


def test_a_map_of_nothing_is_a_map():
    empty = causal(scores=np.full((6, 3), np.nan))
    assert heat_map(empty).limit == 1 and heat_map(empty).sides[0].labels == ()
    assert heat_map(causal(scores=None)).sides == ()


def test_sides_numbers_and_facts():
    drawn = heat_map(causal())
    assert drawn.title == "integrated_gradients of probability"
    assert drawn.sides[0].labels == ("The", "▁old", "▁man", "▁sl", "eeps")  # the last token is predicted only
    assert [row.label for row in drawn.numbers] == [
        "probability",
        "at the baseline",
        "entropy (nats)",
        "logit",
    ]
    facts = dict(drawn.facts)
    assert facts["settings"] == "steps = 50, rule = left, baseline = zero"
    assert facts["completeness"].endswith("within 0.0002") and facts["model"] == "./gpt2"
    assert (
        "raises it" in facts["scores"]
        and "magnitudes" in dict(heat_map(causal(is_signed=False)).facts)["scores"]
    )
    assert [side.name for side in heat_map(translation()).sides] == ["source", "target"]


def test_granular_scores_are_drawn_as_norms():
    granular = causal(scores=np.stack([causal().scores * 0.6, causal().scores * 0.8], -1))
    drawn = heat_map(granular)
    assert not drawn.is_signed and drawn.limit == pytest.approx(np.nanmax(np.abs(causal().scores)))


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("a\tb", "a\\tb"),
        ("\u202eabc", "\\u202eabc"),
        ("\udc80", "\\udc80"),
        ("e\u0301", "e\u0301"),
        ("  ", "▁▁"),
        ("\x7f\x1b[0m", "\\x7f\\x1b[0m"),
    ],
)
def test_tokens_are_to_be_seen_and_turn_nothing(token, shown):
    assert visible_token(token) == shown


def test_short_values():
    assert [short_value(value) for value in (0.0, 1234.56, 1e7, -0.00012345)] == [
        "0",
        "1235",
        "1e+07",
        "-0.000123",
    ]


def linear(colour):
    """Red, green and blue of "#rrggbb" in linear light, by sRGB's definition."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def contrast(colour):
    """The ratio of luminances of text and background, as the W3C defines it."""
    lights = [np.dot(linear(own), [0.2126, 0.7152, 0.0722]) for own in colour]
    return (max(lights) + 0.05) / (min(lights) + 0.05)


@pytest.mark.parametrize("is_signed", [True, False])
def test_every_colour_can_be_read_and_is_another(is_signed):
    levels = range(-NUM_LEVELS if is_signed else 0, NUM_LEVELS + 1)
    colours = [level_colour(level, is_signed=is_signed) for level in levels]
    assert len({colour.background for colour in colours}) == len(colours)
    assert min(map(contrast, colours)) > 4.5


def deuteranope(colour):
    """How a person without the middle cones sees a colour, in linear light (Vienot et al., 1999)."""
    red, green, blue = linear(colour)
    one = 0.29275 * red + 0.70725 * green
    return np.array([one, one, -0.02234 * red + 0.02234 * green + blue])


def test_signs_are_told_apart_without_red_and_green():
    for level in range(3, NUM_LEVELS + 1):
        low, high = (deuteranope(level_colour(sign * level, is_signed=True).background) for sign in (-1, 1))
        # Below 0 more blue than yellow, above 0 the reverse.
        assert low[2] > low[0] and high[2] < high[0]


def test_levels():
    assert [colour_level(score, 2.0) for score in (-2.0, -0.04, 0.0, 1.0, 5.0)] == [-20, 0, 0, 10, 20]
