"""The step functions by name: options, one's own, and what is refused."""

import functools

import jax
import jax.numpy as jnp
import pytest

from jaxlm import steps
from jaxlm.steps import _table
from jaxlm.steps._table import resolve_all

NAMES = [
    *("logit", "probability", "entropy", "crossentropy", "perplexity", "contrast_logits", "contrast_prob"),
    *("contrast_logits_diff", "contrast_prob_diff", "pcxmi", "in_context_pvi", "kl_divergence"),
    *("mc_dropout_prob_avg", "top_p_size"),
]
# How inseq adds them up over a span of tokens; of the others it takes the largest magnitude.
INSEQ_SPANS = {
    **dict.fromkeys(
        ("probability", "perplexity", "contrast_prob", "contrast_prob_diff", "mc_dropout_prob_avg"), "product"
    ),
    **dict.fromkeys(("entropy", "crossentropy", "pcxmi", "kl_divergence"), "sum"),
}


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(_table, "_registered", {})


def margin(inputs):
    top = jax.lax.top_k(inputs.logits, 2)[0]
    return top[..., 0] - top[..., 1]


def test_every_function_of_inseq_is_there():
    assert list(steps.STEP_FUNCTIONS) and set(steps.STEP_FUNCTIONS) == set(NAMES)
    for name in NAMES:
        assert steps.STEP_FUNCTIONS[name].function is getattr(steps, name)


def test_spans_add_up_as_in_inseq_but_for_a_logarithm():
    found = {name: row.span for name, row in steps.STEP_FUNCTIONS.items()}
    # In nats what pcxmi is in bits, and so a sum too; inseq has no rule for it.
    assert found.pop("in_context_pvi") == "sum"
    assert found == {name: INSEQ_SPANS.get(name, "absmax") for name in found}


@pytest.mark.parametrize(
    ("name", "options", "unit", "span"),
    [
        ("probability", {"logprob": True}, "nats", "sum"),
        ("probability", {"logprob": False}, "probability", "product"),
        ("contrast_prob_diff", {"logprob": True}, "nats", "sum"),
        ("crossentropy", {"base": "bits"}, "bits", "sum"),
        ("mc_dropout_prob_avg", {"statistic": "z_score"}, "deviations", "absmax"),
    ],
)
def test_options_change_unit_and_span(name, options, unit, span):
    row = steps.step_function(name, **options)
    assert (row.unit, row.span) == (unit, span)
    assert row.name.startswith(f"{name}(")


def test_options_are_set_one_after_another():
    first = steps.step_function("kl_divergence", top_k=3)
    both = steps.step_function(first, top_p=0.5)
    assert both.name == "kl_divergence(top_k=3, top_p=0.5)"
    assert both == steps.step_function("kl_divergence", top_p=0.5, top_k=3)
    assert steps.step_function(both, top_k=4).options == (("top_k", 4), ("top_p", 0.5))


def test_ones_own_function_is_a_callable_or_a_name():
    inputs = steps.StepInputs(jnp.array([1.0, 4.0, 2.0]))
    assert steps.step_function(margin)(inputs).item() == 2.0
    row = steps.register_step_function(margin, needs=(), unit="logit", span="sum")
    assert steps.step_function("margin") == row and row(inputs).item() == 2.0
    assert steps.list_step_functions() == [*NAMES_IN_ORDER, "margin"]
    assert steps.step_function(functools.partial(margin)).name == "margin"


NAMES_IN_ORDER = list(steps.STEP_FUNCTIONS)


def test_a_taken_name_is_refused_unless_overwritten():
    steps.register_step_function(margin)
    for name in ("margin", "entropy"):
        with pytest.raises(ValueError, match=f"a step function '{name}' is there already.*overwrite=True"):
            steps.register_step_function(margin, name)
    steps.register_step_function(margin, "entropy", overwrite=True)
    assert steps.step_function("entropy").function is margin


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: steps.step_function("entropi"), "no step function 'entropi'; did you mean 'entropy'"),
        (lambda: steps.step_function("qqqq"), "no step function 'qqqq'; there are logit, probability"),
        (lambda: steps.step_function(3), "no step function 3; there are logit"),
        (lambda: steps.step_function("entropy", base="bits"), "entropy takes no option: got base"),
        (
            lambda: steps.step_function("kl_divergence", topk=3),
            "kl_divergence takes the options top_k, top_p, min_tokens_to_keep: got topk",
        ),
        (lambda: steps.step_function("top_p_size"), "top_p_size needs top_p: give it by step_function"),
        (
            lambda: steps.step_function("kl_divergence", top_k=[3]),
            "an option is a number or a word: got top_k",
        ),
        (lambda: resolve_all([]), "no step function is asked for"),
        (lambda: resolve_all(["entropy", "entropy"]), "two step functions are called 'entropy'"),
        (lambda: steps.register_step_function(margin, needs=("logit",)), "needs are among targets.*'logit'"),
        (lambda: steps.register_step_function(margin, span="mean"), "span is one of sum, product, absmax"),
        (
            lambda: steps.register_step_function(lambda inputs: 0),
            "by a name of letters, digits and _: got '<lam",
        ),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_spans():
    values = jnp.array([0.5, jnp.nan, -2.0])
    assert [steps.over_span(values.__array__(), span) for span in ("sum", "product", "absmax")] == [
        -1.5,
        -1,
        -2,
    ]
    assert steps.over_span(jnp.array([jnp.nan]).__array__(), "sum") != 0
