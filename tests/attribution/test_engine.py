"""How `attribute` computes: batches, devices, memory, spans, steps, layers; and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import attribution, models, pretrained, steps
from jaxlm.attribution import Baseline, InputXGradient, IntegratedGradients, attribute
from jaxlm.attribution._program import compile_explanation
from jaxlm.errors import UsageError
from tests.attribution.one_prediction import ids
from tests.steps.tiny_models import open_model

ONE_DEVICE = tuple(jax.local_devices()[:1])
# Float32 sums in another order, of probabilities and their derivatives
CLOSE = {"rtol": 1e-4, "atol": 1e-6}
PROMPT, TEXT = "To be or ", "To be or not"


@pytest.fixture(scope="module")
def causal():
    return open_model("causal", depth=2)


@pytest.fixture(scope="module")
def masked():
    return open_model("masked")


@pytest.fixture(scope="module")
def seq2seq():
    return open_model("seq2seq", depth=2)


def explain(loaded, texts=PROMPT, **how):
    return attribute(loaded, texts, **{"devices": ONE_DEVICE, "method": "input_x_gradient", **how})


def assert_same(first, second):
    np.testing.assert_allclose(first.scores, second.scores, **CLOSE)
    np.testing.assert_allclose(first.values, second.values, **CLOSE)


def test_a_record_says_what_was_explained(causal):
    (result,) = explain(causal, targets=TEXT, step_scores=["entropy", "probability"], step="logit")
    assert "".join(result.tokens) == TEXT and result.token_ids.tolist() == ids(TEXT).tolist()
    assert result.positions.tolist() == [9, 10, 11] and "".join(result.target_tokens) == "not"
    assert result.targets.tolist() == ids("not").tolist()
    assert result.scores.shape == (12, 3) and result.scores.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(result.scores).sum(0), [3, 2, 1])
    beside = steps.step_scores(causal, PROMPT, ["entropy", "logit"], targets=TEXT, devices=ONE_DEVICE)[0]
    np.testing.assert_allclose(result.step_scores["entropy"], beside.values["entropy"], **CLOSE)
    np.testing.assert_allclose(result.values, beside.values["logit"], **CLOSE)
    assert result.unit == result.settings["scores_unit"] == "logit" and result.is_signed
    assert result.fingerprint == pretrained.weights_fingerprint(causal.params)
    assert result.settings["layer"] is None and "baseline" not in result.settings
    assert result.completeness_error is None and result.contrast_tokens is None


def test_devices_and_batches_change_nothing(causal):
    texts = [f"{PROMPT}n{letter}" for letter in "abcdefghi"]
    how = {"targets": [f"{text}t!" for text in texts]}
    many = attribute(causal, texts, method="input_x_gradient", **how)
    few = explain(causal, texts, **how)
    assert len(many) == len(few) == 9
    for one, other in zip(many, few, strict=True):
        assert one.target_tokens == other.target_tokens == ("t", "!")
        assert_same(one, other)
    assert explain(causal, [], targets=[]) == []


def test_less_memory_gives_the_same_in_smaller_chunks(causal, monkeypatch):
    """The program's own bytes are within the limit, down to the least that one position takes."""
    seen = []

    def watched(spec, arguments):
        program = compile_explanation(spec, arguments)
        seen.append((spec.chunk, program.num_bytes))
        return program

    monkeypatch.setattr("jaxlm.attribution._engine.compile_explanation", watched)
    free = explain(causal, TEXT)[0]
    (chunk, num_bytes) = seen.pop()
    memory = num_bytes * 2 // 3
    limited = explain(causal, TEXT, memory=memory)[0]
    assert seen[-1][0] < chunk and seen[-1][1] <= memory
    assert_same(free, limited)
    with pytest.raises(
        UsageError, match=r"text 0: one position .* takes [\d,]+ bytes: got memory=1,000"
    ) as told:
        explain(causal, TEXT, memory=1000)
    least = int(str(told.value).partition("give memory=")[2].split()[0])
    assert 1000 < least <= memory
    assert_same(free, explain(causal, TEXT, memory=least)[0])


def test_a_span_is_explained_as_one(causal):
    each = explain(causal, targets=TEXT)[0]
    (span,) = explain(causal, targets=TEXT, reduce="sum", step_scores="probability")
    np.testing.assert_allclose(span.scores[:-1, 0], np.nansum(each.scores, 1)[:-1], **CLOSE)
    np.testing.assert_allclose(span.values, each.values.sum(keepdims=True), **CLOSE)
    assert span.positions.tolist() == [9] and span.target_tokens == ("not",)
    assert span.settings["span"] == [9, 10, 11] and np.isnan(span.scores[-1, 0])
    assert span.step_scores["probability"].shape == (1,)


def test_steps_are_raised_until_the_scores_are_complete(causal):
    settings = IntegratedGradients(steps=2, rule="left", tolerance=1e-2, max_steps=512)
    (result,) = explain(causal, targets=TEXT, method="integrated_gradients", settings=settings)
    assert result.completeness_error.max() <= 1e-2 < 1 and result.settings["steps"] > 2
    np.testing.assert_allclose(
        np.nansum(result.scores, 0) - (result.values - result.baseline_values), 0, atol=1e-2
    )
    # The same number of steps at once: more of the same program gave the same.
    at_once = IntegratedGradients(steps=result.settings["steps"], rule="left")
    (other,) = explain(causal, targets=TEXT, method="integrated_gradients", settings=at_once)
    assert_same(result, other)


def test_a_tolerance_that_is_missed_is_told(causal, caplog):
    settings = IntegratedGradients(steps=2, rule="left", tolerance=1e-9, max_steps=4)
    (result,) = explain(causal, targets=TEXT, method="integrated_gradients", settings=settings)
    assert result.settings["steps"] == 4 and result.completeness_error.max() > 1e-9
    (told,) = caplog.messages
    assert told.startswith("text 0: scores add up within ") and "with 4 steps; raise max_steps" in told


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
def test_scores_at_a_layer_are_complete(kind, request):
    """Between what the block returns for the text and for the baseline: all that the model knows of it."""
    loaded, settings = request.getfixturevalue(kind), IntegratedGradients(steps=24, layer=0)
    target = TEXT if kind == "causal" else "Sein"
    how = {"targets": target, "step": "crossentropy", "baseline": "mean"}
    (result,) = explain(loaded, method="integrated_gradients", settings=settings, **how)
    difference = np.abs(result.values - result.baseline_values)
    assert (result.completeness_error < 1e-3).all() and difference.max() > 0.1
    beside = steps.step_scores(loaded, PROMPT, "crossentropy", targets=target, devices=ONE_DEVICE)[0]
    np.testing.assert_allclose(result.values, beside.values["crossentropy"], **CLOSE)
    assert result.settings["site"] == "residual" and result.settings["layer"] == 0
    assert (result.source_scores is None) == (kind == "causal")


def test_a_layers_gradient_is_that_of_an_intervention(causal):
    (result,) = explain(causal, targets=TEXT, settings=InputXGradient(layer=1, site=models.Site.BLOCK_INPUT))
    tokens, site = jnp.asarray(ids(TEXT))[None], models.Site.BLOCK_INPUT

    def values(vectors):
        change = models.Intervention(site=site, layer=1, value=vectors)
        output = causal.model.apply({"params": causal.params}, tokens, interventions=(change,))
        logits = causal.model.apply({"params": causal.params}, output.hidden[0, 8:11], method="logits")
        return steps.probability(steps.StepInputs(logits, tokens[0, 9:]))

    read = causal.model.apply({"params": causal.params}, tokens, intermediates=(site,))
    vectors = read.intermediates[site][1]
    expected = (jax.jit(jax.jacrev(values))(vectors)[:, 0] * vectors).sum(-1).T
    np.testing.assert_allclose(np.nan_to_num(result.scores), expected, **CLOSE)
    with pytest.raises(UsageError, match="the layers of site residual are 0 to 1: got layer=2"):
        explain(causal, targets=TEXT, settings=InputXGradient(layer=2))


def test_a_masked_model_explains_its_likeliest_tokens(masked):
    text, mask = "To [MASK]e", masked.tokenizer.specials.mask
    (result,) = explain(masked, text)
    read = masked.model.apply({"params": masked.params}, jnp.asarray(masked.tokenizer.encode(text))[None])
    logits = masked.model.apply({"params": masked.params}, read.hidden[0, 3], method="logits")
    assert result.targets.tolist() == [int(logits.argmax())] and result.positions.tolist() == [3]
    np.testing.assert_allclose(result.values, jax.nn.softmax(logits).max(), **CLOSE)
    assert result.token_ids[3] == mask and not np.isnan(result.scores).any()


def test_functions_of_two_runs_and_of_dropout(causal):
    rng = jax.random.key(3)
    how = {"targets": TEXT, "contrast": "To be or why"}
    (forced,) = explain(causal, step="kl_divergence", **how)
    beside = steps.step_scores(
        causal, PROMPT, "kl_divergence", targets=TEXT, contrast=how["contrast"], devices=ONE_DEVICE
    )[0]
    np.testing.assert_allclose(forced.values, beside.values["kl_divergence"], rtol=1e-4, atol=1e-5)
    assert forced.settings["force_inputs"] and np.abs(forced.scores[:9, 0]).max() < 1e-6, "equal prefixes"
    (noisy,) = explain(causal, step="mc_dropout_prob_avg", targets=TEXT, rng=rng)
    found = steps.step_scores(
        causal, PROMPT, "mc_dropout_prob_avg", targets=TEXT, rng=rng, devices=ONE_DEVICE
    )[0]
    np.testing.assert_allclose(noisy.values, found.values["mc_dropout_prob_avg"], **CLOSE)
    assert np.nanmax(np.abs(noisy.scores)) > 0


def test_an_aligned_contrast_leaves_out_what_has_no_partner(causal):
    contrast = steps.Contrast(targets=["To be or why not"], alignment=[(0, 4), (2, 6)])
    (result,) = explain(causal, targets=TEXT, step="contrast_prob_diff", contrast=contrast)
    assert result.contrast_tokens == ("n", "", "t")
    assert np.isnan(result.scores[:, 1]).all() and np.isnan(result.values[1])
    np.testing.assert_allclose(result.scores[:9, 0], 0.0, atol=1e-7)


def test_baselines_by_name_and_as_a_text(causal, masked, seq2seq):
    how = {"targets": TEXT, "method": "occlusion"}
    pad, own = (explain(causal, baseline=one, **how)[0] for one in ("pad", ["To be or not"]))
    # The text itself changes nothing: two programs round the same probability.
    np.testing.assert_allclose(np.nan_to_num(own.scores), 0, atol=1e-7)
    special = causal.tokenizer.specials.pad
    given = explain(causal, baseline=np.full((1, 11), special), **how)[0]
    np.testing.assert_array_equal(pad.scores, given.scores)
    assert pad.settings["baseline"] == "pad" and own.settings["baseline"] == [TEXT]
    sides = Baseline(texts=["To be or "], targets=["Nein"])
    (result,) = explain(seq2seq, targets="Sein", method="occlusion", baseline=sides)
    np.testing.assert_allclose(result.source_scores, 0, atol=1e-7)
    # "Nein" and "Sein" differ in one letter.
    np.testing.assert_allclose(np.nan_to_num(result.scores[[0, 2, 3, 4]]), 0, atol=1e-7)
    assert np.abs(result.scores[1, 1:]).max() > 1e-5


LONG = "a contrast has as many tokens, 3, or an alignment of them: got 5"
REFUSED = {
    "salience": ({"method": "salience"}, "no method 'salience'; did you mean 'saliency'?"),
    "settings": (
        {"settings": IntegratedGradients()},
        "settings of input_x_gradient are a InputXGradient: got",
    ),
    "no step": (
        {"method": "attention", "step": "entropy"},
        "attention explains no step function: got entropy; leave step out, or put it beside",
    ),
    "reduce": ({"reduce": "mean"}, "reduce is None or 'sum': got 'mean'"),
    "granular": ({"method": "occlusion", "granular": True}, "occlusion has no scores for dimensions"),
    "no baseline": ({"baseline": "zero"}, "input_x_gradient has no baseline; leave it out"),
    "flat": ({"step": steps.step_function("top_p_size", top_p=0.9)}, "is constant almost everywhere; take"),
    "contrast": ({"step": "pcxmi"}, "pcxmi compares two runs: give contrast="),
    "unread": ({"contrast": "To be or why"}, "none of probability compares; leave it out"),
    "key": ({"method": "smooth_grad"}, "smooth_grad draws: give rng=jax.random.key"),
    "no key": ({"rng": jax.random.key(0)}, "a key is given, and input_x_gradient does not draw"),
    "memory": ({"memory": 0}, "memory is a number of bytes, 1 at least: got 0"),
    "no continuation": (
        {"targets": "Or not"},
        "text 0: a target is a whole text that begins with its prompt",
    ),
    "long": ({"step": "contrast_prob_diff", "contrast": "To be or whyso"}, LONG),
    "mask": ({"method": "occlusion", "baseline": "To be"}, "a baseline has as many tokens as its text, 11"),
    "both": (
        {"step": "kl_divergence", "contrast": steps.Contrast(targets="To be or why", force_inputs=False)},
        "kl_divergence compares two runs, and force_inputs=False makes one",
    ),
    "vectors": (
        {"method": "occlusion", "baseline": np.zeros(3)},
        "have the shape .16,. or .11, 16.: got .3,.",
    ),
    "sides": (
        {"method": "occlusion", "baseline": Baseline()},
        "a Baseline has two sides, for an encoder-dec",
    ),
}


@pytest.mark.parametrize(("how", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_input_is_one_line(causal, how, message):
    with pytest.raises(UsageError, match=message) as told:
        explain(causal, **{"targets": TEXT, **how})
    assert "\n" not in str(told.value)


def test_bad_input_of_other_models(masked, seq2seq):
    with pytest.raises(UsageError, match=r"predicts at .MASK., and there is none in 'To be'"):
        explain(masked, "To be")
    with pytest.raises(UsageError, match="an encoder-decoder needs a target for each text"):
        explain(seq2seq, "To be")
    body = models.build(masked.config, "body")
    with pytest.raises(UsageError, match="need a model that predicts tokens"):
        explain(pretrained.Loaded(masked.config, "body", body, {}, masked.tokenizer, {}))
    only = attribution.METHODS["saliency"]._replace(kinds=("masked",))
    with pytest.raises(UsageError, match="saliency explains masked models: got a seq2seq one"):
        explain(seq2seq, "To be", targets="Sein", method=only)
