"""What inseq says moved the predictions of tiny models, as `golden/make.py` wrote it down, against `METHODS`.

inseq was asked one text at a time; we are asked all of a model's at once. Both sides compute in float32, with
sums in another order: 1e-5 is relative to the number where that is larger than 1. What is wrong with inseq's
numbers is listed in the file.
"""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import attribution, models, pretrained

GOLDEN = Path(__file__).parent / "golden"
NUMBERS = json.loads((GOLDEN / "numbers.json").read_text())
MODELS = GOLDEN.parents[1] / "steps" / "golden"
KINDS = ("gpt2", "t5", "marian")
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
SETTINGS = {
    "saliency": attribution.Saliency(),
    "input_x_gradient": attribution.InputXGradient(),
    "integrated_gradients": attribution.IntegratedGradients(steps=NUMBERS["n_steps"]),
    "occlusion": attribution.Occlusion(),
    "attention": attribution.AttentionWeights(),
}
GRANULAR = ("saliency", "input_x_gradient", "integrated_gradients")
# The ids that inseq's baseline has for every token, and those that it leaves as they are.
UNKNOWN = {"gpt2": 270, "t5": 2, "marian": 1}
LEFT = {"gpt2": (), "t5": (0, 1), "marian": (0, 31)}


def asked_of(model):
    """Each method and step function that a model's first case was asked about."""
    first = next(case for case in NUMBERS["cases"] if case["model"] == model)
    return [(answer["method"], answer["step"]) for answer in first["answers"]]


ASKED = [(model, *asked) for model in KINDS for asked in asked_of(model)]


@functools.cache
def opened(model):
    return pretrained.load(MODELS / model)


def cases_of(model, method, step):
    """The cases of a model that have an answer, each with it."""
    found = []
    for case in NUMBERS["cases"]:
        if case["model"] == model:
            answers = [
                answer for answer in case["answers"] if (answer["method"], answer["step"]) == (method, step)
            ]
            found += [(case, answer) for answer in answers]
    return found


@functools.cache
def scores_of(model, method, step):
    """Our scores of all of a model's cases, in one padded batch."""
    loaded, cases = opened(model), [case for case, _ in cases_of(model, method, step)]
    is_translator = loaded.kind.encoder
    starts = [answer["start"] for _, answer in cases_of(model, method, step)]
    rows = padded([case["ids"][:-1] for case in cases])
    inputs = models.Inputs(tokens=rows[0], segments=rows[1])
    baseline = attribution.Sides(baseline_of(model, rows[0]))
    if is_translator:
        sources = padded([case["source_ids"] for case in cases])
        inputs = inputs._replace(encoder=models.Inputs(tokens=sources[0], segments=sources[1]))
        baseline = baseline._replace(source=baseline_of(model, sources[0]))
    targets = [case["ids"][start:] for case, start in zip(cases, starts, strict=True)]
    positions = [
        np.arange(start - 1, len(case["ids"]) - 1) for case, start in zip(cases, starts, strict=True)
    ]
    contrasts = None
    if step == "contrast_prob_diff":
        contrasts = padded(
            [contrast_ids(model, case)[start:] for case, start in zip(cases, starts, strict=True)]
        )
    task = attribution.MethodTask(
        model=loaded.model,
        params=loaded.params,
        inputs=inputs,
        predictions=attribution.Predictions(
            padded(positions, -1)[0], padded(targets)[0], None if contrasts is None else contrasts[0]
        ),
        step="probability" if step is None else step,
        settings=SETTINGS[method],
        baseline=baseline if method in ("integrated_gradients", "occlusion") else None,
        is_granular=method in GRANULAR,
    )
    return jax.device_get(jax.jit(attribution.METHODS[method].function)(task))


def padded(rows, fill=0):
    """Rows of ids as one array, and their segments."""
    most = max(map(len, rows))
    ids, segments = np.full((len(rows), most), fill, np.int32), np.zeros((len(rows), most), np.int32)
    for number, row in enumerate(rows):
        ids[number, : len(row)], segments[number, : len(row)] = row, 1
    return jnp.asarray(ids), jnp.asarray(segments)


def baseline_of(model, ids):
    return jnp.where(jnp.isin(ids, jnp.asarray(LEFT[model], jnp.int32)), ids, UNKNOWN[model])


def contrast_ids(model, case):
    """The contrast's ids, with the token that a decoder begins with."""
    is_translator = opened(model).kind.encoder
    ids = opened(model).tokenizer.encode(case["contrast"], add_specials=is_translator).tolist()
    assert len(ids) + is_translator == len(case["ids"])
    return case["ids"][:is_translator] + ids


def numbers(rows):
    """inseq's scores, `[tokens][predictions]`, without the row of the last token, which nothing reads."""
    return np.array([[np.nan if value is None else value for value in row] for row in rows])


def assert_equal(ours, golden, scale=1.0):
    """Equal where inseq has a number; 0 where the prediction cannot see the token."""
    golden = golden[: len(ours)]
    is_seen = ~np.isnan(golden)
    np.testing.assert_allclose(ours[is_seen] * scale, golden[is_seen], **TOLERANCE)
    assert not ours[~is_seen].any()


@pytest.mark.parametrize(("model", "method", "step"), [asked for asked in ASKED if asked[1] in SETTINGS])
def test_each_score_is_inseq_s(model, method, step):
    scores = scores_of(model, method, step)
    # inseq's gradients are those by Marian's scaled embeddings, 4 times the embeddings.
    scale = 0.25 if (model, method) == ("marian", "saliency") else 1.0
    for number, (case, answer) in enumerate(cases_of(model, method, step)):
        num = answer["end"] - answer["start"]
        sizes = {"target": len(case["ids"]) - 1, "source": len(case["source_ids"])}
        for side in ("target", "source"):
            if side in answer:
                ours = getattr(scores, side)[number, : sizes[side], :num]
                compare(method, ours, answer[side], scale)


def compare(method, ours, golden, scale):
    if method == "saliency":
        assert_equal(np.abs(ours).sum(-1), numbers(golden["sum"]), scale)
        assert_equal(np.linalg.norm(ours, axis=-1), numbers(golden["norm"]), scale)
    elif method in GRANULAR:
        assert_equal(ours.sum(-1), numbers(golden["sum"]))
        assert_equal(np.linalg.norm(ours, axis=-1), numbers(golden["norm"]))
    elif method == "attention":
        assert_equal(ours, numbers(golden["mean"]))
    else:  # inseq has no signs
        assert_equal(np.abs(ours), numbers(golden["scores"]))


@pytest.mark.parametrize("model", KINDS)
def test_attention_of_one_head_and_value_zeroing_of_each_layer_are_inseq_s(model):
    loaded = opened(model)
    zeroing = jax.jit(attribution.layer_value_zeroing, static_argnames=("model",))
    heads = jax.jit(attribution.head_attention, static_argnames=("model",))
    asked = zip(cases_of(model, "value_zeroing", None), cases_of(model, "attention", None), strict=True)
    both = list(asked)
    rows = padded([case["ids"][:-1] for (case, _), _ in both])
    sources = padded([case["source_ids"] for (case, _), _ in both])
    inputs = models.Inputs(tokens=rows[0], segments=rows[1])
    if loaded.kind.encoder:
        inputs = inputs._replace(encoder=models.Inputs(tokens=sources[0], segments=sources[1]))
    positions = padded(
        [np.arange(answer["start"] - 1, len(case["ids"]) - 1) for (case, answer), _ in both], -1
    )[0]
    zeroed = zeroing(loaded.model, loaded.params, inputs, positions)
    attended = heads(loaded.model, loaded.params, inputs, positions)
    for number, ((case, answer), (_, attention)) in enumerate(both):
        num = answer["end"] - answer["start"]
        for side, layers, weights in zip(("target", "source"), zeroed, attended, strict=True):
            if side in answer:
                size = len(case["ids"]) - 1 if side == "target" else len(case["source_ids"])
                for layer, golden in enumerate(answer[side]["by layer"]):
                    assert_equal(np.asarray(layers)[layer, number, :size, :num], numbers(golden))
                one = np.asarray(weights)[-1, number, 0, :num, :size].T
                assert_equal(one, numbers(attention[side]["last layer, first head"]))


def test_the_file_has_every_method_of_every_model():
    assert {case["model"] for case in NUMBERS["cases"]} == set(KINDS)
    for model in KINDS:
        assert {method for method, _ in asked_of(model)} == {*SETTINGS, "value_zeroing"}
    assert NUMBERS["made_with"]["inseq"] == "0.7.1"
    # Masked models are none of inseq's; what else it gets wrong is told.
    assert set(NUMBERS["defects"]) >= {"padding in batches", "rounding of cosines", "euclidean distance"}
