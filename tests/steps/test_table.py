"""The step functions by name: options, one's own, and what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import steps
from jaxlm.steps import _table
from jaxlm.steps._table import resolve_step_functions

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
        ("mc_dropout_prob_avg", {"statistic": "z_score", "logprob": True}, "deviations", "absmax"),
        ("mc_dropout_prob_avg", {"logprob": True, "statistic": "z_score"}, "deviations", "absmax"),
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


def test_an_option_that_is_set_back_brings_unit_and_span_back():
    in_bits = steps.step_function("crossentropy", base="bits")
    assert steps.step_function(in_bits, base="nats").unit == "nats"
    logarithm = steps.step_function("probability", logprob=True)
    back = steps.step_function(logarithm, logprob=False)
    assert (back.unit, back.span) == ("probability", "product")


def test_a_function_of_the_room_is_its_row_also_as_a_partial():
    for name, row in steps.STEP_FUNCTIONS.items():
        if name != "top_p_size":
            assert steps.step_function(row.function) is row
    partial = functools.partial(steps.kl_divergence, top_k=3)
    assert steps.step_function(partial) == steps.step_function("kl_divergence", top_k=3)
    twice = functools.partial(partial, top_p=0.5)
    assert steps.step_function(twice) == steps.step_function("kl_divergence", top_k=3, top_p=0.5)


def test_an_option_of_ones_own_does_not_change_what_was_declared():
    def share(inputs, *, logprob=False):
        return inputs.logits.max(-1)

    row = steps.register_step_function(share, unit="percent", span="sum")
    again = steps.step_function(row, logprob=True)
    assert (again.unit, again.span) == ("percent", "sum")


def test_a_callable_without_a_hash_gets_one():
    class Largest:
        __hash__ = None

        def __call__(self, inputs):
            return inputs.logits.max(-1)

    (row,) = resolve_step_functions(Largest())
    assert row.name == "Largest" and hash(row)
    assert row(steps.StepInputs(jnp.array([1.0, 4.0, 2.0]))).item() == 4.0


def test_what_is_no_callable_is_not_registered():
    with pytest.raises(TypeError, match="a step function is a callable of a StepInputs: got 3"):
        steps.register_step_function(3, "three")
    assert steps.register_step_function(margin, needs="targets").needs == {"targets"}


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
        (lambda: resolve_step_functions(None), "no step function None; there are logit"),
        (lambda: resolve_step_functions([]), "no step function is asked for"),
        (lambda: resolve_step_functions(["entropy", "entropy"]), "two step functions are called 'entropy'"),
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


@pytest.mark.parametrize("kind", [list, np.array, jnp.array])
def test_spans(kind):
    values = kind([0.5, np.nan, -2.0])
    assert [steps.over_span(values, span) for span in ("sum", "product", "absmax")] == [-1.5, -1, -2]
    assert np.isnan(steps.over_span(kind([np.nan]), "sum"))


def test_another_span_is_refused():
    with pytest.raises(ValueError, match="span is one of sum, product, absmax: got 'mean'"):
        steps.over_span([1.0, 2.0], "mean")
