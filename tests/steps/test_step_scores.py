"""Step functions of many texts against the model applied to one text at a time, and invariances."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models, scoring, steps, tokenizers
from jaxlm.errors import UsageError
from jaxlm.steps import _step_scores
from jaxlm.steps._dropout_model import as_key, choose_dropout_model
from jaxlm.steps._encoded_texts import TextReader, model_kind
from jaxlm.steps._forward import compile_step
from tests.steps.tiny_models import open_model

TEXTS = ["To be", "or not to be, that is the question", "a", "whether 'tis nobler in the mind"]
ALL = [name for name in steps.STEP_FUNCTIONS if name not in ("top_p_size", "mc_dropout_prob_avg")]
ALL += [steps.step_function("top_p_size", top_p=0.9), steps.step_function("kl_divergence", top_k=5)]
PLAIN = ["logit", "probability", "entropy", "crossentropy"]


ONE_DEVICE = tuple(jax.local_devices()[:1])


def step_scores(loaded, texts, functions, **how):
    """`steps.step_scores` on one device, for which programs compile faster than for eight."""
    return steps.step_scores(loaded, texts, functions, **{"devices": ONE_DEVICE, **how})


def ids(text):
    return np.frombuffer(text.encode(), np.uint8).astype(np.int32)


@functools.lru_cache
def program_of(model):
    """The model's logits at every position of one row, compiled."""

    def run(params, tokens, source):
        read = None if source is None else models.Inputs(tokens=source)
        hidden = model.apply({"params": params}, models.Inputs(tokens=tokens, encoder=read)).hidden
        return model.apply({"params": params}, hidden[0], method="logits")

    return jax.jit(run)


def logits_of(loaded, tokens, source=None):
    """Logits at every position of one text alone; a causal model's beside others that come after it."""
    tokens = jnp.asarray(tokens)
    source = None if source is None else jnp.asarray(source)[None]
    # What comes later is nothing to a causal model, and one length is one compilation.
    padded = jnp.pad(tokens, (0, 64 - len(tokens))) if loaded.config.causal else tokens
    return program_of(loaded.model)(loaded.params, padded[None], source)[: len(tokens)]


def assert_scores(scores, functions, inputs):
    """The values are those of the functions, applied to all positions of one text."""
    for function in functions:
        row = steps.step_function(function)
        np.testing.assert_allclose(scores.values[row.name], row(inputs), rtol=2e-5, atol=2e-5)
        expected = steps.over_span(scores.values[row.name], row.span)
        np.testing.assert_allclose(scores.spans[row.name], expected)


def test_a_causal_model_predicts_every_token_but_the_first(causal):
    texts = [text for text in TEXTS if len(text) > 1]
    for text, scores in zip(texts, step_scores(causal, texts, PLAIN), strict=True):
        tokens = ids(text)
        np.testing.assert_array_equal(scores.tokens, tokens[1:])
        assert scores.strings == list(text[1:])
        assert scores.offsets.tolist() == list(range(1, len(text)))
        inputs = steps.StepInputs(logits_of(causal, tokens)[:-1], jnp.asarray(tokens[1:]))
        assert_scores(scores, PLAIN, inputs)


def test_one_forward_gives_what_a_forward_for_every_prefix_gives(causal):
    tokens = ids("or not to be")
    scores = step_scores(causal, [tokens], ["entropy", "probability"])[0]
    for index in (1, 2, 6, 11):
        inputs = steps.StepInputs(logits_of(causal, tokens[:index])[-1], jnp.asarray(tokens[index]))
        for name in ("entropy", "probability"):
            np.testing.assert_allclose(
                scores.values[name][index - 1], steps.step_function(name)(inputs), rtol=2e-5, atol=2e-6
            )


def test_a_prompt_is_not_predicted(causal):
    scores = step_scores(causal, "To be", PLAIN, targets="To be, or not")[0]
    whole = step_scores(causal, "To be, or not", PLAIN)[0]
    assert "".join(scores.strings) == ", or not"
    assert scores.offsets.tolist() == list(range(5, 13))
    for name in PLAIN:
        np.testing.assert_allclose(scores.values[name], whole.values[name][4:], rtol=1e-5, atol=1e-6)


def test_a_masked_model_predicts_at_its_masks(masked):
    mask = masked.tokenizer.specials.mask
    text, target = "T[MASK] be or n[MASK]t", "To be or not"
    tokens = masked.tokenizer.encode(text)
    places = np.flatnonzero(tokens == mask)
    scores = step_scores(masked, [text, "[MASK]"], PLAIN, targets=[target, "x"])[0]
    assert scores.strings == ["o", "o"] and scores.offsets.tolist() == places.tolist()
    inputs = steps.StepInputs(logits_of(masked, tokens)[places], jnp.asarray(ids("oo")))
    assert_scores(scores, PLAIN, inputs)
    untold = step_scores(masked, text, "entropy")[0]
    np.testing.assert_allclose(untold.values["entropy"], scores.values["entropy"], rtol=1e-6)
    assert untold.tokens.tolist() == [mask, mask]


def test_an_encoder_decoder_predicts_targets_from_sources(seq2seq):
    sources, targets = ["To be", "or not to be"], ["Sein", "oder Nichtsein"]
    for source, target, scores in zip(
        sources, targets, step_scores(seq2seq, sources, PLAIN, targets=targets), strict=True
    ):
        written = ids(target)
        logits = logits_of(seq2seq, [0, *written[:-1]], ids(source))
        assert scores.strings == list(target)
        assert_scores(scores, PLAIN, steps.StepInputs(logits, jnp.asarray(written)))


def test_contrasts_of_a_causal_model(causal):
    text, other = "To be here", "To go away"
    scores = step_scores(causal, text, ALL, contrast=other)[0]
    first, second = ids(text), ids(other)
    inputs = steps.StepInputs(
        logits_of(causal, first)[:-1],
        jnp.asarray(first[1:]),
        logits_of(causal, second)[:-1],
        jnp.asarray(second[1:]),
    )
    assert_scores(scores, ALL, inputs)
    np.testing.assert_array_equal(scores.contrast_tokens, second[1:])
    for name in ("contrast_prob_diff", "contrast_logits_diff", "pcxmi", "in_context_pvi", "kl_divergence"):
        assert (scores.values[name][:2] == 0).all(), "the runs agree up to the space"
        assert (scores.values[name][3:] != 0).all()


def test_a_contrast_with_a_longer_context_is_compared_at_the_same_targets(causal):
    """By the last common token, by pairs, and by prompts, all of which compare the same positions."""
    context, text = "He was ill. ", "She came"
    plain = ids(text)
    runs = logits_of(causal, plain)[:-1], logits_of(causal, ids(context + text))[len(context) : -1]
    inputs = steps.StepInputs(runs[0], jnp.asarray(plain[1:]), runs[1], jnp.asarray(plain[1:]))
    names = ["kl_divergence", "pcxmi", "contrast_prob"]
    # Predicted tokens are counted from the second byte on.
    pairs = [(index, index + len(context)) for index in range(len(text) - 1)]
    for alignment in ("last_common", pairs, [pairs]):
        contrast = steps.Contrast([context + text], alignment=alignment)
        scores = step_scores(causal, [text], names, contrast=contrast)[0]
        assert_scores(scores, names, inputs)
    told = step_scores(
        causal, text[:1], names, targets=text, contrast=steps.Contrast(texts=context + text[:1])
    )[0]
    assert_scores(told, names, inputs)


def test_tokens_without_a_partner_have_no_value_and_are_left_out_of_the_span(causal):
    scores = step_scores(
        causal, "To be here", ["entropy", "pcxmi"], contrast=steps.Contrast("To go away", alignment=[(3, 3)])
    )[0]
    assert np.isnan(scores.values["pcxmi"]).tolist() == [True] * 3 + [False] + [True] * 5
    assert scores.contrast_tokens.tolist() == [-1] * 3 + [ord("o")] + [-1] * 5
    assert scores.spans["pcxmi"] == pytest.approx(scores.values["pcxmi"][3])
    assert not np.isnan(scores.values["entropy"]).any()


def test_without_forced_inputs_only_the_token_is_the_contrasts(causal):
    first, second = ids("To be here"), ids("To go away")
    logits = logits_of(causal, first)[:-1]
    inputs = steps.StepInputs(logits, jnp.asarray(first[1:]), logits, jnp.asarray(second[1:]))
    names = ["contrast_prob_diff", "contrast_logits", "pcxmi"]
    contrast = steps.Contrast(second[None], force_inputs=False)
    assert_scores(step_scores(causal, [first], names, contrast=contrast)[0], names, inputs)


@pytest.mark.parametrize("side", ["left", "right"])
def test_contrast_ids_and_their_mask(causal, side):
    texts, others = ["To be", "or not to"], ["To go", "or not at"]
    tokens, mask = np.full((2, 12), 7, np.int32), np.zeros((2, 12), np.int32)
    for row, other in enumerate(others):
        start = 12 - len(other) if side == "left" else 0
        tokens[row, start : start + len(other)] = ids(other)
        mask[row, start : start + len(other)] = 1
    names = ["contrast_prob_diff", "kl_divergence"]
    expected = step_scores(causal, texts, names, contrast=others)
    contrast = steps.Contrast(jnp.asarray(tokens), attention_mask=jnp.asarray(mask))
    found = step_scores(causal, texts, names, contrast=contrast)
    assert_equal(found, expected)
    own = step_scores(causal, tokens, "entropy", attention_mask=mask)
    assert_equal(own, step_scores(causal, others, "entropy"))


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_sources_beside_targets_and_their_masks(seq2seq, side):
    def padded(texts):
        rows = np.full((len(texts), 12), 7, np.int32), np.zeros((len(texts), 12), bool)
        for row, text in enumerate(texts):
            start = 12 - len(text) if side == "left" else 0
            rows[0][row, start : start + len(text)], rows[1][row, start : start + len(text)] = ids(text), True
        return rows

    sources, targets, others = ["To be", "or not to"], ["Sein", "oder nicht"], ["To go", "or so"]
    names = ["entropy", "pcxmi"]
    expected = step_scores(seq2seq, sources, names, targets=targets, contrast=steps.Contrast(others, targets))
    tokens, mask = padded(sources)
    goals, goal_mask = padded(targets)
    others, other_mask = padded(others)
    contrast = steps.Contrast(others, goals, attention_mask=goal_mask, text_attention_mask=other_mask)
    how = {"attention_mask": goal_mask, "text_attention_mask": mask, "contrast": contrast}
    assert_equal(step_scores(seq2seq, tokens, names, targets=goals, **how), expected)


def test_contrasts_of_a_masked_model(masked):
    text, other, names = "To [MASK] here", "To [MASK] away", ["kl_divergence", "pcxmi", "contrast_prob"]
    place = 3
    logits = [logits_of(masked, masked.tokenizer.encode(one))[place] for one in (text, other)]
    inputs = steps.StepInputs(logits[0], jnp.int32(ord("x")), logits[1], jnp.int32(ord("x")))
    contrast = steps.Contrast(texts=other)
    scores = step_scores(masked, text, names, targets="To x here", contrast=contrast)[0]
    assert_scores(scores, names, jax.tree.map(lambda leaf: leaf[None], inputs))
    inputs = inputs._replace(contrast_logits=logits[0], contrast_targets=jnp.int32(ord("y")))
    scores = step_scores(masked, text, names, targets="To x here", contrast="To y here")[0]
    assert_scores(scores, names, jax.tree.map(lambda leaf: leaf[None], inputs))


@pytest.mark.parametrize("by", ["source", "target", "both"])
def test_contrasts_of_an_encoder_decoder(seq2seq, by):
    source, target = "To be", "Sein oder"
    other_source = "Not to be" if by != "target" else source
    other_target = "Sein nicht" if by != "source" else target
    contrast = steps.Contrast(
        texts=other_source if by != "target" else None,
        targets=other_target if by != "source" else None,
        alignment="one_to_one" if by == "source" else "last_common",
    )
    scores = step_scores(seq2seq, source, ALL, targets=target, contrast=contrast)[0]
    written, other = ids(target), ids(other_target)
    number = min(len(written), len(other))
    inputs = steps.StepInputs(
        logits_of(seq2seq, [0, *written[:-1]], ids(source))[:number],
        jnp.asarray(written[:number]),
        logits_of(seq2seq, [0, *other[:-1]], ids(other_source))[:number],
        jnp.asarray(other[:number]),
    )
    assert_scores(scores, ALL, inputs)
    if by == "target":
        assert (scores.values["kl_divergence"][:6] == 0).all(), "as long as they write the same"


def assert_equal(found, expected, **tolerance):
    tolerance = tolerance or {"rtol": 1e-5, "atol": 1e-6}
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.tokens, other.tokens)
        assert list(one.values) == list(other.values)
        for name in one.values:
            np.testing.assert_allclose(one.values[name], other.values[name], **tolerance)


OTHER_NAMES = tokenizers.Tokenizer.from_json(tokenizers.bytes_tokenizer().to_json().replace("[SEP]", "[END]"))
LONGER = ["abc " * n + "!" for n in (1, 3, 2, 12)]
SHORT = ["abc " * n + "!" for n in (1, 3, 2)]  # rows of one length: two programs, of one row and of four


@pytest.mark.parametrize("kind", ["causal", "masked", "seq2seq"])
def test_a_batch_gives_what_its_texts_give_alone_in_any_order(kind, causal, masked, seq2seq):
    loaded = {"causal": causal, "masked": masked, "seq2seq": seq2seq}[kind]
    texts = [text.replace("!", "[MASK]") if kind == "masked" else text for text in SHORT]
    targets = None if kind == "causal" else [text.replace("[MASK]", "?") for text in texts]
    functions = [*PLAIN, "mc_dropout_prob_avg"]

    def scores(chosen):
        own = None if targets is None else [targets[index] for index in chosen]
        return step_scores(
            loaded,
            [texts[index] for index in chosen],
            functions,
            targets=own,
            rng=jax.random.key(1),
            n_mcd_steps=3,
        )

    together = scores(range(3))
    assert_equal([scores([index])[0] for index in range(3)], together)
    order = [2, 0, 1]
    assert_equal(scores(order), [together[index] for index in order])


def test_packed_rows_give_what_rows_of_one_text_give(causal):
    packed = step_scores(causal, LONGER, PLAIN)
    assert_equal([step_scores(causal, [text], PLAIN)[0] for text in LONGER], packed)


@pytest.mark.parametrize("functions", [PLAIN, ["kl_divergence"], ["mc_dropout_prob_avg"]])
def test_eight_devices_give_what_one_gives(causal, functions):
    rest = {"contrast": [text[::-1] for text in LONGER]} if functions == ["kl_divergence"] else {}
    rest |= {"rng": jax.random.key(0), "n_mcd_steps": 2} if functions == ["mc_dropout_prob_avg"] else {}
    eight = step_scores(causal, LONGER, functions, devices=None, **rest)
    assert_equal(eight, step_scores(causal, LONGER, functions, **rest))


def test_dropout_runs_are_those_of_the_models_dropout(causal):
    """The mean over K runs is that of K runs of the model itself, with keys of the text's own."""
    tokens = ids("To be here")
    found = step_scores(causal, [tokens], "mc_dropout_prob_avg", rng=jax.random.key(3), n_mcd_steps=400)

    @jax.jit
    def probs_of(key):
        variables, rngs = {"params": causal.params}, {"dropout": key}
        rows = jnp.asarray(tokens[None])
        hidden = causal.model.apply(variables, rows, deterministic=False, rngs=rngs).hidden
        logits = causal.model.apply(variables, hidden[0, :-1], method="logits")
        return steps.probability(steps.StepInputs(logits, jnp.asarray(tokens[1:])))

    probs = [probs_of(key) for key in jax.random.split(jax.random.key(9), 400)]
    mean, deviation = np.mean(probs, 0), np.std(probs, 0)
    # Both means are of 400 draws: they differ by sqrt(2 / 400) deviations, and five of that are too many.
    assert (np.abs(found[0].values["mc_dropout_prob_avg"] - mean) < 5 * deviation * np.sqrt(2 / 400)).all()
    plain = step_scores(causal, [tokens], "probability")[0].values["probability"]
    assert (np.abs(mean - plain) > 1e-4).any()


def test_the_draws_depend_on_key_and_text(causal):
    def draw(seed, **contrast):
        rows = ["mc_dropout_prob_avg", *(["kl_divergence"] if contrast else [])]
        how = {"rng": jax.random.key(seed), "n_mcd_steps": 2, **contrast}
        return step_scores(causal, ["To be"], rows, **how)[0].values["mc_dropout_prob_avg"]

    first = draw(0)
    np.testing.assert_array_equal(draw(0), first)
    assert (draw(1) != first).any()
    # A contrast of another length makes the row longer.
    longer = steps.Contrast("or not to be, that is the question", alignment="last_common")
    np.testing.assert_allclose(draw(0, contrast=longer), first, rtol=1e-5)


def test_an_aux_model_is_run_under_dropout_in_the_place_of_the_model(causal):
    # It reads texts of up to 20 tokens, which the model would lay out in rows of 32.
    aux, text = open_model("causal", seed=5, max_length=20), "or not to be, that"
    how = {"rng": jax.random.key(0), "n_mcd_steps": 3}
    found = step_scores(causal, text, "mc_dropout_prob_avg", aux_model=aux, **how)
    assert_equal(found, step_scores(aux, text, "mc_dropout_prob_avg", **how))
    quiet = open_model("causal", seed=5, **dict.fromkeys(models.DROPOUTS, 0.0))
    with pytest.raises(ValueError, match="the aux_model has none: all of embedding_dropout"):
        step_scores(causal, "To be", "mc_dropout_prob_avg", aux_model=quiet, **how)
    with pytest.raises(ValueError, match="and the model has none"):
        step_scores(quiet, "To be", "mc_dropout_prob_avg", **how)


def test_ones_own_function_is_called_with_a_key_for_each_example(causal):
    def drawn(inputs):
        assert inputs.rng.shape == inputs.targets.shape
        return jax.vmap(jax.random.uniform)(inputs.rng)

    row = steps.StepFunction("drawn", drawn, frozenset({"rng"}))
    first, again = (
        step_scores(causal, texts, row, rng=jax.random.key(0))[-1].values["drawn"]
        for texts in (["To be"], ["or not", "To be"])
    )
    np.testing.assert_array_equal(first, again)
    assert len(set(first.tolist())) == len(first)


def test_ones_own_function_of_another_shape_is_refused(causal):
    def totals(inputs):
        return inputs.logits.sum()

    with pytest.raises(ValueError, match="totals gives a number an example: expected an array"):
        step_scores(causal, "To be", totals)


def test_crossentropies_are_the_log_likelihoods_of_scoring(causal):
    texts = [text for text in TEXTS if len(text) > 1]
    scores = step_scores(causal, texts, "crossentropy")
    for score, own in zip(scoring.score(causal, texts), scores, strict=True):
        assert -own.spans["crossentropy"] == pytest.approx(score.values["log_likelihood"], rel=1e-5)


def test_a_text_is_opened_as_scoring_opens_it():
    loaded = open_model("causal")._replace(extra={"huggingface": {}})
    scores = step_scores(loaded, ["To be"], "crossentropy")[0]
    assert scores.strings == list("To be") and scores.offsets.tolist() == [1, 2, 3, 4, 5]
    score = next(iter(scoring.score(loaded, ["To be"])))
    assert -scores.spans["crossentropy"] == pytest.approx(score.values["log_likelihood"], rel=1e-5)
    # Behind an empty prompt, what opens texts predicts the first token.
    empty = step_scores(loaded, "", "crossentropy", targets="To be")
    assert_equal(empty, [scores])


OTHER_MAKES = [
    {"position": "learned", "tie_embeddings": True, "logit_softcap": 5.0},
    {"position": "rotary", "tie_embeddings": False, "window": 4},
    {"position": "relative", "tie_embeddings": True, "scan_layers": True, "depth": 2},
    {"position": models.Instruction(next_id=ord(" ")), "tie_embeddings": False},
]


@pytest.mark.parametrize("changes", OTHER_MAKES, ids=lambda changes: str(changes["position"]))
def test_models_of_other_makes(changes):
    """Two texts that share a row, the second of which is compared."""
    loaded = open_model("causal", head="linear", **changes)
    tokens = ids("or not to be")
    scores = step_scores(loaded, [ids("To be"), tokens], PLAIN)[1]
    inputs = steps.StepInputs(logits_of(loaded, tokens)[:-1], jnp.asarray(tokens[1:]))
    assert_scores(scores, PLAIN, inputs)


def test_texts_that_share_a_row_have_their_own_share_of_masks():
    """As ESM scales its embeddings by it."""
    mask = tokenizers.bytes_tokenizer().specials.mask
    loaded = open_model("masked", token_dropout=True, mask_id=mask)
    tokens = ids("or not to be").copy()
    tokens[[2, 5]] = mask
    other = np.full(4, mask, np.int32)
    scores = step_scores(loaded, [other, tokens], "entropy")[1]
    inputs = steps.StepInputs(logits_of(loaded, tokens)[np.array([2, 5])])
    assert_scores(scores, ["entropy"], inputs)


def test_one_batch_takes_one_device(causal, monkeypatch):
    """The others would be given all parameters for nothing."""
    given = []
    monkeypatch.setattr(
        _step_scores, "compile_step", lambda program: given.append(program) or compile_step(program)
    )
    for texts in (["To be"], LONGER):
        step_scores(causal, texts, PLAIN, devices=None)
    assert [len(program.layout.devices) for program in given] == [1, 8]


def test_ids_that_no_tokenizer_has_are_shown_as_numbers():
    loaded = open_model("causal", vocab_size=300)
    scores = step_scores(loaded, [[97, 98, 299]], "entropy")[0]
    assert scores.strings == ["b", "<299>"]
    assert step_scores(loaded._replace(tokenizer=None), [[97, 98, 299]], "entropy")[0].strings == [
        "98",
        "299",
    ]


def test_an_old_key_draws_as_a_new_one(causal):
    old, new = (
        step_scores(causal, "To be", "mc_dropout_prob_avg", rng=key(0), n_mcd_steps=2)
        for key in (jax.random.PRNGKey, jax.random.key)
    )
    assert_equal(old, new)


def test_no_texts_give_no_scores(causal):
    assert step_scores(causal, [], "entropy") == []


REFUSED = [
    ("causal", ["To"], "entropi", {}, "no step function 'entropi'; did you mean 'entropy'"),
    ("causal", ["To"], "kl_divergence", {}, "kl_divergence compares two runs: give contrast"),
    ("causal", ["To"], "entropy", {"contrast": ["To"]}, "a contrast is given, and none of entropy compares"),
    ("causal", ["To"], "mc_dropout_prob_avg", {}, "mc_dropout_prob_avg draws: give rng="),
    ("causal", ["To"], "entropy", {"rng": jax.random.key(0)}, "a key is given, and none of entropy draws"),
    (
        "causal",
        ["To"],
        "mc_dropout_prob_avg",
        {"rng": jax.random.key(0), "n_mcd_steps": 0},
        "n_mcd_steps is a whole number from 1: got 0",
    ),
    ("causal", ["To be", "a"], "entropy", {}, "text 1: nothing is predicted"),
    ("causal", ["To be", ""], "entropy", {}, "text 1: a text has one token at least: got none"),
    ("causal", ["x" * 66], "entropy", {}, "text 0: a text is 66 tokens long, and the model reads at most 64"),
    ("causal", [[1, 300]], "entropy", {}, r"text 0: ids lie in 0..259: got 1..300"),
    (
        "causal",
        ["To"],
        "entropy",
        {"targets": ["We go"]},
        "text 0: a target is a whole text that begins with",
    ),
    ("causal", ["To"], "entropy", {"targets": ["To"]}, "text 0: nothing is predicted"),
    ("causal", ["To"], "entropy", {"targets": []}, "targets: expected one for each of 1 texts, got 0"),
    (
        "causal",
        ["To be"],
        "pcxmi",
        {"contrast": ["To be so"]},
        r"text 0: a contrast has as many tokens, 4.*'b'",
    ),
    ("causal", ["To be"], "pcxmi", {"contrast": steps.Contrast()}, "a contrast has texts, targets, or both"),
    (
        "causal",
        ["To be"],
        "pcxmi",
        {"contrast": steps.Contrast(targets="To go")},
        "a contrast has other targets where targets are given",
    ),
    (
        "causal",
        ["To be"],
        "kl_divergence",
        {"contrast": steps.Contrast("To go", force_inputs=False)},
        "kl_divergence compares two runs, and force_inputs=False makes one",
    ),
    (
        "causal",
        ["To", "be"],
        "pcxmi",
        {"contrast": steps.Contrast(["To", "go"], alignment=[[(0, 0)]])},
        "an alignment has pairs for each of 2 texts: got 1",
    ),
    ("causal", ["To"], "entropy", {"attention_mask": [[1, 1]]}, "an attention_mask is of ids in an array"),
    (
        "causal",
        [[1, 2]],
        "entropy",
        {"attention_mask": [[1]]},
        r"the shape of the ids, \(1, 2\): got \(1, 1\)",
    ),
    ("masked", ["To be"], "entropy", {}, r"text 0: a masked model predicts at \[MASK\], and there is none"),
    (
        "masked",
        ["[MASK]"],
        "contrast_prob",
        {"contrast": ["[MASK]"]},
        "contrast_prob reads the token at a mask: give targets",
    ),
    ("causal", ["To be"], "pcxmi", {"contrast": [""]}, "contrast of text 0: a text has one token at least"),
    (
        "causal",
        ["To"],
        "pcxmi",
        {"contrast": steps.Contrast("To", force_inputs="no")},
        "force_inputs is True or False: got 'no'",
    ),
    (
        "causal",
        ["To be"],
        "pcxmi",
        {"contrast": steps.Contrast("To go", alignment=None)},
        "alignment is one of one_to_one, last_common, or pairs: got None",
    ),
    (
        "causal",
        ["To be"],
        "pcxmi",
        {"contrast": steps.Contrast("To go", alignment=[[(0, 0), (1,)]])},
        r"text 0: an alignment is pairs of indices \(i, j\): got \(1,\)",
    ),
    ("causal", [[1, 2], [3]], "entropy", {"attention_mask": [[1, 1], [1, 1]]}, r"got rows of \[1, 2\] ids"),
    (
        "causal",
        [[1, 2]],
        "entropy",
        {"attention_mask": [[0.0, -1e9]]},
        "1 at real ids and 0 at padding: got -1",
    ),
    (
        "causal",
        [[1, 2]],
        "entropy",
        {"attention_mask": [[1], [1, 1]]},
        r"an attention_mask is Bool\[B L\]: got",
    ),
    (
        "causal",
        [[1, 2]],
        "entropy",
        {"text_attention_mask": [[1, 1]]},
        "a text_attention_mask is of texts beside targets: got one of them; give attention_mask",
    ),
    (
        "causal",
        ["To"],
        "entropy",
        {"target_tokenizer": tokenizers.bytes_tokenizer()},
        "a target_tokenizer is for an encoder-decoder, and this model is none",
    ),
    ("masked", ["[MASK]"], "probability", {}, "probability reads the token at a mask: give targets"),
    (
        "masked",
        ["a[MASK]"],
        "logit",
        {"targets": ["bc"]},
        "text 0: a masked text's target is the text with a",
    ),
    ("masked", ["a[MASK]"], "logit", {"targets": ["abc"]}, "got 'abc', 3 tokens, for 'a.MASK.', 2 tokens"),
    (
        "masked",
        ["a[MASK]"],
        "pcxmi",
        {"targets": ["ab"], "contrast": steps.Contrast("[MASK][MASK]")},
        "text 0: a contrast has as many masks as its text, 1",
    ),
    ("seq2seq", ["To be"], "entropy", {}, "text 0: an encoder-decoder needs a target for each text"),
]


@pytest.mark.parametrize(("kind", "texts", "function", "rest", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_refused(kind, texts, function, rest, message, causal, masked, seq2seq):
    loaded = {"causal": causal, "masked": masked, "seq2seq": seq2seq}[kind]
    with pytest.raises(UsageError, match=message) as caught:
        step_scores(loaded, texts, function, **rest)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "rest", "message"),
    [
        (None, {}, "texts are a text, several, or ids"),
        ({"a": "b"}, {}, "texts are a text, several, or ids"),
        (np.array([1, 2]), {}, "texts are strings or rows of ids: got .*1.* as number 0"),
        (
            ["To", "a"],
            {"targets": ["To be", None]},
            "targets are strings or rows of ids: got None as number 1",
        ),
        (["To"], {"contrast": {"texts": "To"}}, "contrast texts are a text, several, or ids"),
    ],
)
def test_what_is_no_text_is_refused(texts, rest, message, causal):
    function = "pcxmi" if "contrast" in rest else "entropy"
    with pytest.raises(TypeError, match=message):
        step_scores(causal, texts, function, **rest)


def test_texts_without_a_tokenizer_are_refused(causal):
    with pytest.raises(
        ValueError, match="text 0: there is no tokenizer beside this model: got 'To be'; give ids"
    ):
        step_scores(causal._replace(tokenizer=None), "To be", "entropy")
    with pytest.raises(TypeError, match=r"is what tokenizers.load_tokenizer returns: got str"):
        TextReader(open_model("seq2seq"), "folder")


@pytest.mark.parametrize("rng", [0, "key", jax.random.split(jax.random.key(0), 2), jnp.zeros(2)])
def test_what_is_no_key_is_refused(rng):
    with pytest.raises(ValueError, match=r"rng is one PRNG key, jax.random.key\(seed\): got") as caught:
        as_key(rng)
    assert "\n" not in str(caught.value)


def test_an_aux_model_that_is_not_opened_is_refused(causal):
    rows = (steps.step_function("mc_dropout_prob_avg"),)
    with pytest.raises(TypeError, match=r"an aux_model is what pretrained.load returns: got CausalLM"):
        choose_dropout_model(rows, causal, causal.model, 2)


def test_models_that_predict_no_tokens_are_refused(causal):
    with pytest.raises(TypeError, match=r"expected what pretrained.load returns, got CausalLM"):
        model_kind(causal.model)
    with pytest.raises(ValueError, match="takes one model: got an ensemble of 2 members"):
        step_scores(causal._replace(members=2), "To be", "entropy")
    body = causal._replace(model=models.BodyModel(causal.config), kind=models.BODY_ALONE)
    with pytest.raises(
        ValueError, match="step functions need a model that predicts tokens, and this one is a 'body'"
    ):
        step_scores(body, "To be", "entropy")


@pytest.mark.parametrize(
    ("aux", "message"),
    [
        (lambda: open_model("masked"), "of the model's kind, causal: got masked"),
        (lambda: open_model("causal", vocab_size=261), "the model's vocabulary of 260 tokens: got 261"),
        (
            lambda: open_model("causal", tokenizer=OTHER_NAMES),
            r"the model's vocabulary: id 257 is '\[SEP\]' here, '\[END\]' there",
        ),
        (lambda: open_model("causal", max_length=4), "the aux_model reads at most 4 tokens: got a text of 9"),
    ],
)
def test_an_aux_model_of_another_kind_is_refused(aux, message, causal):
    with pytest.raises(ValueError, match=message):
        step_scores(causal, "To be here", "mc_dropout_prob_avg", aux_model=aux(), rng=jax.random.key(0))


def test_an_aux_model_that_nothing_runs_is_refused(causal):
    with pytest.raises(ValueError, match="an aux_model is given, and none of entropy runs a model"):
        step_scores(causal, "To be", "entropy", aux_model=causal)
