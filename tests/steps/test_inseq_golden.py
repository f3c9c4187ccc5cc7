"""What inseq says of tiny models, as `golden/make.py` wrote it down, against `step_scores`.

Both sides compute in float32, with sums in another order: of numbers up to about 10, 1e-5 is a hundred units
in the last place, and relative to the number where that is larger. What is wrong with inseq's numbers has a
name in the file, which every score that it touches carries.
"""

import functools
import json
import math
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxlm import pretrained, steps, tokenizers

GOLDEN = Path(__file__).parent / "golden"
NUMBERS = json.loads((GOLDEN / "numbers.json").read_text())
CASES = {f"{case['model']}: {case['name']}": case for case in NUMBERS["cases"]}
NOISY = {case["model"]: case for case in NUMBERS["dropout"]}
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
# A product, or the sum of many terms, of numbers that are apart by the tolerance above is further apart.
SPAN_TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
# Of a span inseq takes the largest where the sum is meant, since its table leaves the function out.
SPANS_EXCEPTED = {"in_context_pvi"}
# How often we ask for z-scores, and how many draws our mean probability has.
ASKED, DRAWN = 60, 2000


@functools.cache
def opened(model):
    return pretrained.load(GOLDEN / model)


def asked(case, functions, **options):
    """Our scores of a case: prompts by their ids, so that what is predicted is known by its place."""
    loaded = opened(case["model"])
    if loaded.objective == "causal_lm":
        ids = np.array(case["ids"], np.int32)
        texts, targets = [ids[: case["offsets"][0]]], [ids]
    else:
        options["target_tokenizer"] = target_tokenizer(case["model"])
        texts, targets = [case["text"]], [case["target"]]
    (scores,) = steps.step_scores(loaded, texts, functions, targets=targets, **options)
    assert scores.offsets.tolist() == case["offsets"]
    assert scores.tokens.tolist() == [case["ids"][offset] for offset in case["offsets"]]
    return scores


@functools.cache
def target_tokenizer(model):
    return tokenizers.load(GOLDEN / model, side="target")


def contrast_of(case, *, force_inputs):
    """What a case is compared with, and how: an alignment told, or inseq's own, by the ends of both."""
    loaded = opened(case["model"])
    sources = case.get("contrast_source")
    if "contrast" not in case:
        return steps.Contrast(texts=[sources])
    predicted = [case["ids"][offset] for offset in case["offsets"]]
    if loaded.objective == "causal_lm":
        ids = loaded.tokenizer.encode(case["contrast"])
        # Of equal lengths the same is predicted of both, otherwise all of the contrast but its first.
        first = case["offsets"][0] if len(ids) == len(case["ids"]) else 1
        texts, targets = [ids[:first]], [ids]
    else:
        ids = target_tokenizer(case["model"]).encode(case["contrast"], add_specials=True)
        first, texts, targets = 0, None if sources is None else [sources], [case["contrast"]]
    alignment = alignment_of(case, predicted, ids, first)
    return steps.Contrast(texts=texts, targets=targets, alignment=alignment, force_inputs=force_inputs)


def alignment_of(case, predicted, ids, first):
    number = len(ids) - first
    told = {one: other for one, other in case.get("alignment", ())}
    if not told and number == len(predicted):
        return "one_to_one"
    if not told and ids[-1] == predicted[-1]:
        return "last_common"
    # What is not told is aligned by the ends; what the contrast does not reach, with its last token.
    behind = len(ids) - len(case["ids"])
    filled = {offset: offset + behind if offset + behind > 0 else len(ids) - 1 for offset in case["offsets"]}
    pairs = [(offset - case["offsets"][0], (filled | told)[offset] - first) for offset in case["offsets"]]
    return [pairs]


def function_of(score):
    options = dict(score["options"])
    if score["function"] == "perplexity":
        options["convention"] = "inseq"
    return steps.step_function(score["function"], **options)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("as_attributed", [False, True], ids=["", "attributed"])
def test_each_number_is_inseq_s(name, as_attributed):
    case = CASES[name]
    golden = [score for score in case["scores"] if score.get("as_attributed", False) == as_attributed]
    if as_attributed and not golden:
        pytest.skip("nothing else is attributed where no other target is compared")
    functions = [function_of(score) for score in golden]
    is_compared = any(function.needs_contrast for function in functions)
    options = {"contrast": contrast_of(case, force_inputs=not as_attributed)} if is_compared else {}
    scores = asked(case, functions, **options)
    for score, function in zip(golden, functions, strict=True):
        values = score.get("repaired", score["values"])
        np.testing.assert_allclose(
            scores.values[function.name], np.array(values), **TOLERANCE, err_msg=function.name
        )
        if score["span"] is not None and score["function"] not in SPANS_EXCEPTED:
            np.testing.assert_allclose(
                scores.spans[function.name], score["span"], **SPAN_TOLERANCE, err_msg=function.name
            )


def test_the_file_has_every_function_and_every_defect():
    scores = [score for case in NUMBERS["cases"] for score in case["scores"]]
    names = {score["function"] for score in scores}
    assert names == set(steps.STEP_FUNCTIONS) - {"mc_dropout_prob_avg"}
    assert {model for model, *_ in (name.split(":") for name in CASES)} == set(NOISY)
    told = {score["defect"] for score in scores if "defect" in score}
    of_all = {"padding in batches", "z-score", "training mode", "product of logarithms"}
    assert told | of_all == set(NUMBERS["defects"])
    # Every divergence with a filter lost an id, and was repaired.
    filtered = [score for score in scores if score["function"] == "kl_divergence" and score["options"]]
    assert all(set(score["values"]) == {None} and None not in score["repaired"] for score in filtered)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "contrast" not in case])
def test_perplexities_and_bits_that_inseq_has_not(name):
    case = CASES[name]
    golden = next((one for one in case["scores"] if one["function"] == "crossentropy"), None)
    if golden is None:
        pytest.skip("compared by its source alone")
    bits = steps.step_function("crossentropy", base="bits")
    scores = asked(case, ["perplexity", bits])
    nats = np.array(golden["values"])
    np.testing.assert_allclose(scores.values[bits.name], nats / math.log(2), **TOLERANCE)
    # The exponential makes of 1e-6 nats a millionth of the number, and of ten times that 1e-5.
    np.testing.assert_allclose(scores.values["perplexity"], np.exp(nats), rtol=3e-5)


@pytest.mark.parametrize("model", NOISY)
def test_probabilities_under_dropout_are_inseq_s_on_average(model):
    case = case_of(NOISY[model])
    scores = asked(case, ["mc_dropout_prob_avg"], rng=jax.random.key(0), n_mcd_steps=DRAWN)
    assert_same_mean(scores.values["mc_dropout_prob_avg"], NOISY[model]["probability"], DRAWN)


@pytest.mark.parametrize("model", NOISY)
def test_z_scores_are_inseq_s_on_average(model):
    case, draws = case_of(NOISY[model]), NOISY[model]["draws"]
    function = steps.step_function("mc_dropout_prob_avg", statistic="z_score")
    values = [
        asked(case, [function], rng=jax.random.key(seed), n_mcd_steps=draws).values[function.name]
        for seed in range(ASKED)
    ]
    assert_same_mean(np.mean(values, axis=0), NOISY[model]["z_score"], ASKED)


def case_of(noisy):
    return next(
        case
        for case in NUMBERS["cases"]
        if all(case[key] == noisy[key] for key in ("model", "text", "target")) and "contrast" not in case
    )


def assert_same_mean(ours, golden, number):
    """Two means of one distribution are within four standard errors of their difference."""
    for value, one in zip(ours, golden, strict=True):
        error = math.hypot(one["error"], one["deviation"] / math.sqrt(number))
        assert abs(value - one["mean"]) < 4 * error, (float(value), one)
