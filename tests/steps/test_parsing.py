"""Step functions on one line: what is read is what `step_function` makes of the same words."""

import pytest

from jaxlm import steps
from jaxlm.errors import UsageError


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("entropy", "entropy", {}),
        ("top_p_size=0.9", "top_p_size", {"top_p": 0.9}),
        (" top_p_size( top_p = 0.9 ) ", "top_p_size", {"top_p": 0.9}),
        ("crossentropy=bits", "crossentropy", {"base": "bits"}),
        ("probability=True", "probability", {"logprob": True}),
        (
            "kl_divergence(top_k=20, min_tokens_to_keep=2)",
            "kl_divergence",
            {"top_k": 20, "min_tokens_to_keep": 2},
        ),
        ("kl_divergence()", "kl_divergence", {}),
    ],
)
def test_options_are_those_that_are_written(text, name, options):
    assert steps.parse_step_function(text) == steps.step_function(name, **options)


@pytest.mark.parametrize(
    "text", ["entropy", "top_p_size=0.9", "kl_divergence(top_k=20)", "crossentropy=bits"]
)
def test_what_a_function_is_called_is_read_as_itself(text):
    row = steps.parse_step_function(text)
    assert steps.parse_step_function(row.name) == row


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("entropie", "did you mean 'entropy'"),
        ("entropy=1", "entropy takes no option"),
        ("kl_divergence=3", "takes top_k, top_p, min_tokens_to_keep: got one value without its option"),
        ("kl_divergence(top_q=3)", "got top_q"),
        ("kl_divergence(3)", "a step function is a name, name=value"),
        ("kl_divergence(top_k=3", "a step function is a name, name=value"),
        ("probability=yes", "logprob is such as False: got 'yes'"),
        ("kl_divergence(top_k=many)", "top_k is such as 0: got 'many'"),
        ("top_p_size", "top_p_size needs top_p"),
    ],
)
def test_what_is_spelled_otherwise_is_refused_in_one_line(text, reason):
    with pytest.raises(UsageError, match=reason.replace("(", r"\(")) as caught:
        steps.parse_step_function(text)
    assert "\n" not in str(caught.value)
