"""The causal objective against documents taken one by one, and what must never reach a prediction."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import corruption, data, models, ops, training

V = 13
RNGS = {"mask": jax.random.key(3), "dropout": jax.random.key(4)}
CONFIG = models.TransformerConfig(
    vocab_size=V, width=16, depth=1, num_heads=2, max_length=16, causal=True, position="rotary", init_std=0.5
)
DOCUMENTS = ((5, 7, 1, 2, 9), (3,), (8, 6, 4, 11), (12, 1), (10, 10, 2, 7, 5, 3, 8))


def packed(rows, length=12):
    """A batch whose rows hold the documents of these numbers, one after the other."""
    names = ("tokens", "segments", "positions", "example_ids", "offsets")
    arrays = {name: np.zeros((len(rows), length), np.int32) for name in names}
    for row, numbers in enumerate(rows):
        column = 0
        for segment, number in enumerate(numbers, start=1):
            document = DOCUMENTS[number]
            place = (row, slice(column, column + len(document)))
            arrays["tokens"][place] = document
            arrays["segments"][place] = segment
            arrays["example_ids"][place] = number
            arrays["positions"][place] = arrays["offsets"][place] = np.arange(len(document))
            column += len(document)
    return data.Batch(**arrays, epochs=np.zeros(len(rows), np.int32))


BATCH = packed(((0, 1, 2), (3, 4)))


@pytest.fixture(scope="module")
def model():
    return models.build(CONFIG, "causal_lm")


@pytest.fixture(scope="module")
def params(model):
    return jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]


@pytest.fixture(scope="module")
def run(model, params):
    """Returns the compiled objective's sums, and the gradient of its loss."""

    @functools.cache
    def compiled(gradient, options):
        objective = training.causal_lm_loss(**dict(options))

        def loss(params, batch):
            loss_sum, weight, metrics = objective(model.apply, params, batch, RNGS)
            return loss_sum, metrics | {"weight": weight}

        return jax.jit(jax.value_and_grad(loss, has_aux=True) if gradient else loss)

    def run(batch=BATCH, gradient=False, **options):
        can_keep = all(isinstance(value, (bool, float)) for value in options.values())
        make = compiled if can_keep else compiled.__wrapped__
        output = make(gradient, tuple(options.items()))(params, batch)
        (loss_sum, sums), *slopes = output if gradient else (output,)
        sums = sums | {"loss_sum": loss_sum}
        return (sums, *slopes) if gradient else sums

    return run


@pytest.fixture(scope="module")
def alone(model):
    """Returns the function from parameters to the logits of the documents, each in a row of its own.

    What is behind a document is of no matter: the model is causal.
    """
    tokens = jnp.array([document + (0,) * (7 - len(document)) for document in DOCUMENTS])

    def logits(params):
        hidden = model.apply({"params": params}, tokens).hidden
        return model.apply({"params": params}, hidden, method="logits")

    return jax.jit(logits)


def one_by_one(logits, smoothing=(0.0,) * 5, z_loss=0.0):
    """The summed loss of all documents, every prediction in turn."""
    log_probs, total = jax.nn.log_softmax(logits, axis=-1), 0.0
    for number, document in enumerate(DOCUMENTS):
        for t in range(len(document) - 1):
            row, share = log_probs[number, t], smoothing[number]
            total += -(1 - share) * row[document[t + 1]] - share * row.mean()
            total += z_loss * jax.nn.logsumexp(logits[number, t]) ** 2
    return total


def test_it_is_the_loss_of_each_document_alone(params, run, alone):
    sums, gradient = run(gradient=True)
    expected, slopes = jax.jit(jax.value_and_grad(lambda params: one_by_one(alone(params))))(params)
    assert int(sums["weight"]) == sum(len(document) - 1 for document in DOCUMENTS)
    assert int(sums["tokens"]) == sum(map(len, DOCUMENTS)) and int(sums["overflow"]) == 0
    best = np.asarray(alone(params).argmax(-1))
    right = [
        best[number, t] == document[t + 1]
        for number, document in enumerate(DOCUMENTS)
        for t in range(len(document) - 1)
    ]
    assert int(sums["correct"]) == sum(right)
    # Float32 sums in another order.
    np.testing.assert_allclose(sums["loss_sum"], expected, rtol=1e-5)
    for ours, theirs in zip(jax.tree.leaves(gradient), jax.tree.leaves(slopes), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-4)


def test_smoothing_and_z_loss_are_added_in_training_only(params, run, alone):
    expected = one_by_one(alone(params), (0.1,) * 5, 0.01)
    sums = run(label_smoothing=0.1, z_loss=0.01)
    np.testing.assert_allclose(sums["loss_sum"], expected, rtol=1e-5)
    evaluated = run(label_smoothing=0.1, z_loss=0.01, deterministic=True)
    np.testing.assert_allclose(evaluated["loss_sum"], run()["loss_sum"], rtol=1e-5)


def test_packing_batches_and_padding_change_nothing(run):
    names = ("loss_sum", "weight", "correct", "tokens")
    whole = run()
    for batch in (packed(((4, 0), (2,), (3, 1)), 16), packed(((0,), (1,), (2,), (3,), (4,)), 7)):
        sums = run(batch)
        for name in names:
            np.testing.assert_allclose(sums[name], whole[name], rtol=1e-5)
    padding = BATCH.segments == 0
    spoiled = run(BATCH._replace(tokens=np.where(padding, 7, BATCH.tokens)))
    np.testing.assert_allclose(spoiled["loss_sum"], whole["loss_sum"], rtol=1e-6)


def test_a_batch_without_predictions_is_a_loss_of_zero(run):
    empty = data.Batch(*(np.zeros_like(array) for array in BATCH))
    with jax.debug_nans(True):
        for batch in (empty, packed(((1,), (1,)))):
            sums, gradient = run(batch, gradient=True)
            assert float(sums["loss_sum"]) == float(sums["weight"]) == 0
            assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient))
            assert float(run(batch, deterministic=True)["loss_sum"]) == 0


def test_nothing_later_and_nothing_of_another_document_reaches_a_prediction(model, params):
    """Each prediction's log-probabilities, differentiated by every token's vector of the row."""
    batch = jax.tree.map(jnp.asarray, packed(((0, 2),)))
    vectors = model.apply({"params": params}, batch.tokens, method="token_vectors")

    def at(vectors):
        inputs = models.Inputs(embeddings=vectors, segments=batch.segments, positions=batch.positions)
        hidden = model.apply({"params": params}, inputs).hidden
        return model.apply({"params": params}, hidden, method="logits")[0, :, 0]

    reach = np.abs(np.asarray(jax.jit(jax.jacrev(at))(vectors))[:, 0]).sum(-1) > 0
    segments = np.asarray(batch.segments)[0]
    real = segments > 0
    for t in np.flatnonzero(real):
        assert not reach[t, t + 1 :].any()
        assert not reach[t, real & (segments != segments[t])].any()
        assert reach[t, t]


def test_the_evaluation_has_the_metrics_of_its_predictions(params, run, alone):
    summary = training.summarize_tokens(run(deterministic=True))
    log_probs = np.asarray(jax.nn.log_softmax(alone(params), axis=-1))
    rows = [
        (log_probs[number, t], document[t + 1])
        for number, document in enumerate(DOCUMENTS)
        for t in range(len(document) - 1)
    ]
    nll = np.mean([-row[target] for row, target in rows])
    near = np.mean([target in np.argsort(-row)[:5] for row, target in rows])
    np.testing.assert_allclose(summary.nll, nll, rtol=1e-5)
    np.testing.assert_allclose(summary.perplexity, np.exp(nll), rtol=1e-5)
    np.testing.assert_allclose(summary.top_k_accuracy, near, rtol=1e-6)
    assert summary.weight == len(rows) and summary.by_level == ()


def test_a_baseline_of_frequencies_is_judged_at_the_same_predictions(run):
    log_unigrams = np.log(np.arange(1, V + 1) / (V * (V + 1) / 2)).astype(np.float32)
    sums = run(deterministic=True, log_unigrams=log_unigrams)
    targets = [token for document in DOCUMENTS for token in document[1:]]
    np.testing.assert_allclose(sums["unigram_loss_sum"], -log_unigrams[targets].sum(), rtol=1e-6)
    assert int(sums["unigram_correct"]) == targets.count(V - 1)


def test_a_baseline_counts_by_the_same_weights(model, params):
    """With every prediction weighing a quarter, sums are a quarter, and shares are what they were."""

    def quartered(rng, batch, step):
        inputs = training.shift_batch(rng, batch)
        return inputs._replace(weights=0.25 * inputs.weights)

    log_unigrams = np.where(np.arange(V) == 7, 0.5, 0.5 / (V - 1))
    loss = training.token_loss_function(quartered, deterministic=True, log_unigrams=np.log(log_unigrams))
    loss_sum, weight, sums = jax.jit(functools.partial(loss, model.apply))(params, BATCH, RNGS)
    found = training.summarize({**sums, "loss_sum": loss_sum, "weight": weight})
    targets = [token for document in DOCUMENTS for token in document[1:]]
    assert found.scored == len(targets) and weight == len(targets) / 4
    np.testing.assert_allclose(found.unigram_accuracy, np.mean(np.array(targets) == 7), rtol=1e-6)


def test_dropout_is_of_its_key_and_off_where_deterministic(params):
    model = models.build(dataclasses.replace(CONFIG, mlp_dropout=0.5), "causal_lm")

    @functools.partial(jax.jit, static_argnames="deterministic")
    def loss(rng, batch, deterministic):
        objective = training.causal_lm_loss(deterministic=deterministic)
        return objective(model.apply, params, batch, RNGS | {"dropout": rng})[0]

    one, two = jax.random.key(1), jax.random.key(2)
    assert loss(one, BATCH, False) != loss(two, BATCH, False)
    assert loss(one, BATCH, True) == loss(two, BATCH, True) != loss(one, BATCH, False)


def noise(replacement, **config):
    """A noise that may act on every token."""
    config = corruption.NoiseConfig(**config)
    return corruption.Noise(
        config=config,
        replacement=replacement,
        mask_id=0,
        random_ids=np.arange(V, dtype=np.int32),
        forbidden=np.zeros(V, bool),
        units=None,
        fraction_table=corruption.fraction_table(config),
    )


ZEROS = noise(corruption.to_mask(0), rate=1.0)
ONES = noise(corruption.to_mask(1), rate=1.0)


def test_input_noise_is_read_and_target_noise_is_compared_with():
    rng, batch, real = RNGS["mask"], jax.tree.map(jnp.asarray, BATCH), BATCH.segments > 0
    goals, loss_mask = (
        np.asarray(part).reshape(-1) for part in ops.next_token_targets(batch.tokens, batch.segments)
    )
    shift = functools.partial(training.shift_batch, rng, batch)
    clean, read, compared = shift(), shift(input_noise=ZEROS), shift(target_noise=ONES)
    both = shift(input_noise=ZEROS, target_noise=ONES)
    for shifted in (read, both):
        np.testing.assert_array_equal(shifted.tokens, np.where(real, 0, BATCH.tokens))
    for shifted in (clean, compared):
        np.testing.assert_array_equal(shifted.tokens, BATCH.tokens)
    for shifted in (clean, read):
        np.testing.assert_array_equal(shifted.targets, goals)
    for shifted in (compared, both):
        np.testing.assert_array_equal(shifted.targets, loss_mask.astype(int))
    # The same positions count, whatever is corrupted.
    for shifted in (clean, read, compared, both):
        np.testing.assert_array_equal(shifted.weights, loss_mask)


def test_targets_that_are_specials_stay_and_padding_never_counts():
    special = ONES._replace(forbidden=np.isin(np.arange(V), (2, 7)))
    shifted = training.shift_batch(RNGS["mask"], jax.tree.map(jnp.asarray, BATCH), target_noise=special)
    targets = np.asarray(shifted.targets)[np.asarray(shifted.weights) > 0]
    clean = [token for document in DOCUMENTS for token in document[1:]]
    np.testing.assert_array_equal(targets, [token if token in (2, 7) else 1 for token in clean])


def test_the_two_noises_draw_from_keys_of_their_own():
    half = noise(corruption.to_mask(0), rate=0.5, count="bernoulli")
    batch = jax.tree.map(jnp.asarray, BATCH)
    shifted = training.shift_batch(RNGS["mask"], batch, input_noise=half, target_noise=half)
    same = ops.next_token_targets(shifted.tokens, batch.segments).targets.reshape(-1)
    assert (np.asarray(same) != np.asarray(shifted.targets)).any()


def fractions_of(rng, noise):
    """Of each document, by its number."""
    drawn = corruption.corrupt_batch(rng, BATCH, noise).fractions
    places = [np.argwhere((BATCH.example_ids == number) & (BATCH.segments > 0))[0] for number in range(5)]
    return [float(drawn[tuple(place)]) for place in places]


@pytest.mark.parametrize("which", ["input_noise", "target_noise"])
def test_smoothing_by_fraction_is_each_examples_own(params, run, alone, which):
    kept = noise(corruption.keep(), schedule="cosine")
    rng = RNGS["mask"] if which == "input_noise" else training.named_rng(RNGS["mask"], "target")
    fractions = fractions_of(rng, kept)
    assert len(set(fractions)) > 2
    sums = run(label_smoothing="fraction", **{which: kept})
    np.testing.assert_allclose(sums["loss_sum"], one_by_one(alone(params), fractions), rtol=1e-5)


def test_full_smoothing_by_fraction_asks_for_the_uniform_distribution(params, run, alone):
    kept = noise(corruption.keep(), rate=1.0)
    sums = run(label_smoothing="fraction", target_noise=kept)
    np.testing.assert_allclose(sums["loss_sum"], one_by_one(alone(params), (1.0,) * 5), rtol=1e-5)


def test_the_noise_of_targets_is_trainings_alone(run):
    evaluated = run(target_noise=ONES, label_smoothing="fraction", deterministic=True)
    np.testing.assert_allclose(evaluated["loss_sum"], run()["loss_sum"], rtol=1e-5)
    assert "by_level" not in evaluated
    assert run(target_noise=ONES)["loss_sum"] != run()["loss_sum"]


def test_the_evaluation_is_by_level_of_a_scheduled_input_noise(run):
    kept = noise(corruption.keep(), schedule="cosine")
    summary = training.summarize_tokens(run(input_noise=kept, deterministic=True))
    expected = {}
    for document, fraction in zip(DOCUMENTS, fractions_of(RNGS["mask"], kept), strict=True):
        low = int(fraction * 10) / 10
        expected[low] = expected.get(low, 0) + len(document) - 1
    expected = {low: count for low, count in expected.items() if count}
    assert {level.low: level.weight for level in summary.by_level} == expected
    # Where all examples are corrupted alike there are no levels to tell apart.
    assert "by_level" not in run(input_noise=ZEROS, deterministic=True)


def test_smoothing_by_fraction_needs_noise():
    with pytest.raises(ValueError, match="give input_noise or target_noise"):
        training.causal_lm_loss(label_smoothing="fraction")
