"""What inseq says of tiny models, as `golden/make.py` wrote it down, against `step_scores`.

inseq was asked one text at a time; we are asked all of a model's at once. Both sides compute in float32, with
sums in another order: of numbers up to about 10, 1e-5 is some ten units in the last place, and it is relative
to the number where that is larger. What is wrong with inseq's numbers has a name in the file, which every
score that it touches carries.
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
PLAIN = [name for name, case in CASES.items() if not case.keys() & {"contrast", "contrast_source"}]
COMPARED = [name for name in CASES if name not in PLAIN]
ATTRIBUTED = [name for name in COMPARED if "contrast" in CASES[name]]
NOISY = {case["model"]: case for case in NUMBERS["dropout"]}
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
# A product of many numbers that are apart by the tolerance above is further apart.
SPAN_TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
# inseq's table of spans leaves it out, and the largest takes the place of the sum.
SPANS_EXCEPTED = {"in_context_pvi"}
# inseq has no bits, and 2 to the power of nats for the perplexity.
BITS = steps.step_function("crossentropy", base="bits")
# How often we ask for what dropout makes random.
SEEDS = 120


@functools.cache
def opened(model):
    """A model, and what divides its targets where that is another file."""
    loaded = pretrained.load(GOLDEN / model)
    is_translator = loaded.kind.name == "seq2seq_lm"
    return loaded, tokenizers.load_tokenizer(GOLDEN / model, side="target") if is_translator else None


def asked(cases, functions, **options):
    """Our scores of cases of one model; prompts by their ids, so that what is predicted is known."""
    loaded, target_tokenizer = opened(cases[0]["model"])
    if target_tokenizer is None:
        targets = [np.array(case["ids"], np.int32) for case in cases]
        texts = [ids[: case["offsets"][0]] for ids, case in zip(targets, cases, strict=True)]
    else:
        texts, targets = [case["text"] for case in cases], [case["target"] for case in cases]
    found = steps.step_scores(
        loaded, texts, functions, targets=targets, target_tokenizer=target_tokenizer, **options
    )
    for case, scores in zip(cases, found, strict=True):
        assert scores.offsets.tolist() == case["offsets"]
        assert scores.tokens.tolist() == [case["ids"][offset] for offset in case["offsets"]]
    return found


def contrast_of(cases, *, force_inputs):
    """What cases are compared with, and which tokens with which."""
    texts, targets, alignments = zip(*map(contrast_parts, cases), strict=True)
    return steps.Contrast(
        texts=list(texts), targets=list(targets), alignment=list(alignments), force_inputs=force_inputs
    )


def contrast_parts(case):
    loaded, target_tokenizer = opened(case["model"])
    target = case.get("contrast", case["target"])
    if target_tokenizer is not None:
        ids = target_tokenizer.encode(target, add_specials=True)
        return case.get("contrast_source", case["text"]), target, alignment_of(case, ids, 0)
    ids = loaded.tokenizer.encode(target)
    # Of equal lengths the same places are predicted in both, otherwise all of the contrast but the first.
    first = case["offsets"][0] if len(ids) == len(case["ids"]) else 1
    return ids[:first], ids, alignment_of(case, ids, first)


def alignment_of(case, ids, first):
    """The pairs that a case tells; else inseq's own rule, by the ends of both texts."""
    behind = len(ids) - len(case["ids"])
    if "alignment" not in case and behind == 0:
        return "one_to_one"
    laid = {offset: offset + behind for offset in case["offsets"]}
    partners = {one: other if other >= first else len(ids) - 1 for one, other in laid.items()}
    partners |= dict(case.get("alignment", ()))
    return [(offset - case["offsets"][0], partners[offset] - first) for offset in case["offsets"]]


def golden_of(case, is_attributed):
    """inseq's scores of a case, each beside our function."""
    golden = [score for score in case["scores"] if score.get("as_attributed", False) == is_attributed]
    return [(score, function_of(score)) for score in golden]


def function_of(score):
    convention = {"convention": "inseq"} if score["function"] == "perplexity" else {}
    return steps.step_function(score["function"], **score["options"], **convention)


@functools.cache
def scores_of(model, kind):
    """Our scores of all cases of a kind, by their names."""
    names = {"plain": PLAIN, "compared": COMPARED, "attributed": ATTRIBUTED}[kind]
    names = [name for name in names if CASES[name]["model"] == model]
    cases = [CASES[name] for name in names]
    is_attributed = kind == "attributed"
    functions = [function for _, function in golden_of(cases[0], is_attributed)]
    if kind == "plain":
        found = asked(cases, [*functions, "perplexity", BITS])
    else:
        found = asked(cases, functions, contrast=contrast_of(cases, force_inputs=not is_attributed))
    return dict(zip(names, found, strict=True))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("plain", name) for name in PLAIN),
        *(("compared", name) for name in COMPARED),
        *(("attributed", name) for name in ATTRIBUTED),
    ],
)
def test_each_number_is_inseq_s(kind, name):
    case = CASES[name]
    ours = scores_of(case["model"], kind)[name]
    golden = golden_of(case, kind == "attributed")
    assert golden
    for score, function in golden:
        values, told = np.array(score.get("repaired", score["values"])), {"err_msg": function.name}
        np.testing.assert_allclose(ours.values[function.name], values, **TOLERANCE, **told)
        if score["span"] is not None and score["function"] not in SPANS_EXCEPTED:
            np.testing.assert_allclose(ours.spans[function.name], score["span"], **SPAN_TOLERANCE, **told)


@pytest.mark.parametrize("name", PLAIN)
def test_perplexities_and_bits_follow_from_inseq_s_nats(name):
    ours = scores_of(CASES[name]["model"], "plain")[name]
    nats = next(score for score in CASES[name]["scores"] if score["function"] == "crossentropy")["values"]
    np.testing.assert_allclose(ours.values[BITS.name], np.array(nats) / math.log(2), **TOLERANCE)
    # An error of the exponent is one of the number relative to it: 1e-5 of 10 nats would be 1e-4.
    np.testing.assert_allclose(ours.values["perplexity"], np.exp(nats), rtol=1e-4)


def test_the_file_has_every_function_and_every_defect():
    scores = [score for case in NUMBERS["cases"] for score in case["scores"]]
    names = {score["function"] for score in scores}
    assert names == set(steps.STEP_FUNCTIONS) - {"mc_dropout_prob_avg"}
    assert {case["model"] for case in NUMBERS["cases"]} == set(NOISY) == {"gpt2", "t5", "marian"}
    of_no_score = {"padding in batches", "z-score", "training mode", "product of logarithms"}
    of_no_score |= {"short contrast", "Marian's decoder"}
    told = {score["defect"] for score in scores if "defect" in score}
    assert told | of_no_score == set(NUMBERS["defects"])
    # Every divergence with a filter lost an id, and was repaired.
    filtered = [score for score in scores if score["function"] == "kl_divergence" and score["options"]]
    assert filtered and all(set(score["values"]) == {None} for score in filtered)
    assert all(None not in score["repaired"] for score in filtered)


@pytest.mark.parametrize("model", NOISY)
def test_probabilities_and_z_scores_under_dropout_are_inseq_s_on_average(model):
    case, draws = case_of(model), NOISY[model]["draws"]
    functions = ["mc_dropout_prob_avg", steps.step_function("mc_dropout_prob_avg", statistic="z_score")]
    found = [
        asked([case], functions, rng=jax.random.key(seed), n_mcd_steps=draws)[0].values
        for seed in range(SEEDS)
    ]
    probability, z_score = (
        np.mean(values, axis=0) for values in zip(*(one.values() for one in found), strict=True)
    )
    assert_same_mean(probability, NOISY[model]["probability"], SEEDS * draws)
    assert_same_mean(z_score, NOISY[model]["z_score"], SEEDS)


def case_of(model):
    """The case of which there are draws."""
    keys = ("model", "text", "target")
    return next(CASES[name] for name in PLAIN if all(CASES[name][key] == NOISY[model][key] for key in keys))


def assert_same_mean(ours, golden, number):
    """Two means of one distribution are within four standard errors of their difference."""
    for value, one in zip(ours, golden, strict=True):
        error = math.hypot(one["error"], one["deviation"] / math.sqrt(number))
        assert abs(value - one["mean"]) < 4 * error, (float(value), one)
