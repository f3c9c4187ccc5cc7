"""The objective against the whole head written out, and the arrays that it never makes."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import corruption, data, models, ops, training
from jaxlm.training.objectives._masked import plan_masked

RNGS = {"mask": jax.random.key(3), "dropout": jax.random.key(4)}


@pytest.fixture(scope="module")
def objective(task, masking):
    return training.masked_lm_loss(masking, **training.position_options(task.config))


@pytest.fixture(scope="module")
def graded(model, objective):
    """Compiled loss, weight, metrics and gradient of the objective."""

    def loss_fn(params, batch):
        loss_sum, weight, metrics = objective(model.apply, params, batch, RNGS)
        return loss_sum, (weight, metrics)

    return jax.jit(jax.value_and_grad(loss_fn, has_aux=True))


def written_out(model, params, batch, tokens, loss_mask):
    """Loss over all positions times the vocabulary: logits, log-softmax, gather."""
    inputs = models.Inputs(
        tokens=tokens,
        segments=batch.segments,
        positions=ops.instruction_positions(batch.tokens, batch.segments, model.config.position.next_id),
    )
    hidden = model.apply({"params": params}, inputs).hidden
    logits = model.apply({"params": params}, hidden, method="logits")
    log_probs = jnp.take_along_axis(jax.nn.log_softmax(logits), batch.tokens[..., None], axis=-1)[..., 0]
    correct = jnp.sum((jnp.argmax(logits, -1) == batch.tokens) & loss_mask)
    return -jnp.sum(jnp.where(loss_mask, log_probs, jnp.zeros_like(log_probs))), correct


def test_it_is_the_whole_heads_loss_at_the_masked_positions(model, masking, params, batches, graded):
    batch = jax.tree.map(jnp.asarray, batches[0])
    masked = training.mask_batch(RNGS["mask"], batch, masking)
    used = np.asarray(masked.weights) > 0
    loss_mask = np.zeros(batch.tokens.size, bool)
    loss_mask[np.asarray(masked.indices)[used]] = True
    loss_mask = jnp.asarray(loss_mask.reshape(batch.tokens.shape))

    (loss_sum, (weight, metrics)), gradient = graded(params, batch)
    reference = jax.jit(jax.value_and_grad(written_out, argnums=1, has_aux=True), static_argnums=0)
    (expected, correct), expected_gradient = reference(model, params, batch, masked.tokens, loss_mask)

    assert int(weight) == used.sum() > 0
    assert int(metrics["correct"]) == int(correct)
    assert int(metrics["tokens"]) == int((batch.segments > 0).sum())
    assert int(metrics["overflow"]) == 0
    # Float32 sums over some dozens of positions in another order.
    np.testing.assert_allclose(loss_sum, expected, rtol=1e-5)
    for ours, theirs in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected_gradient), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-4)


def sizes(jaxpr):
    """The sizes of all arrays that a program makes, inner programs included."""
    for equation in jaxpr.eqns:
        yield from (variable.aval.size for variable in equation.outvars if hasattr(variable.aval, "size"))
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda leaf: hasattr(leaf, "jaxpr")):
            if hasattr(inner, "jaxpr"):
                yield from sizes(inner.jaxpr)
            elif hasattr(inner, "eqns"):
                yield from sizes(inner)


def test_no_array_over_positions_and_vocabulary_exists(model, params, batches, graded, task):
    batch = jax.tree.map(jnp.asarray, batches[0])
    program = jax.make_jaxpr(graded)(params, batch)
    largest = max(sizes(program.jaxpr))
    assert largest < batch.tokens.size * task.config.vocab_size / 2
    # The same count does see the logits of the whole head.
    whole = jax.make_jaxpr(lambda hidden: model.apply({"params": params}, hidden, method="logits"))
    shape = (*batch.tokens.shape, task.config.width)
    assert max(sizes(whole(jnp.zeros(shape)).jaxpr)) == batch.tokens.size * task.config.vocab_size


@pytest.fixture(scope="module")
def scheduled(task, experiment):
    """A masking whose examples are corrupted by fractions of their own."""
    config = corruption.NoiseConfig(schedule="cosine")
    return training.make_masking(
        config, task.config, task.tokenizer, task.splits["train"], experiment.run.batch_size
    )


@pytest.fixture(scope="module")
def rows(model, params, batches, scheduled):
    """The batch masked, and the logits of its masked positions with the places where these are."""
    batch = jax.tree.map(jnp.asarray, batches[0])

    @jax.jit
    def written_out(params, batch):
        masked = training.mask_batch(RNGS["mask"], batch, scheduled)
        positions = ops.instruction_positions(batch.tokens, batch.segments, model.config.position.next_id)
        inputs = models.Inputs(tokens=masked.tokens, segments=batch.segments, positions=positions)
        hidden = model.apply({"params": params}, inputs).hidden
        gathered = hidden.reshape(-1, hidden.shape[-1])[masked.indices]
        return masked, model.apply({"params": params}, gathered, method="logits")

    masked, logits = jax.tree.map(np.asarray, written_out(params, batch))
    used = masked.weights > 0
    masked = jax.tree.map(lambda leaf: leaf[used] if leaf.shape == used.shape else leaf, masked)
    return batch, masked, logits[used].astype(np.float64)


@pytest.mark.parametrize("smoothing", [0.1, "fraction"])
def test_what_training_adds_an_evaluation_leaves_out(model, params, task, scheduled, rows, smoothing):
    """Smoothing by a number or by each example's fraction, z-loss, targets that are not clean."""
    batch, masked, logits = rows
    other = corruption.NoiseConfig(
        rate=1.0, mask_share=0.0, random_share=0.0, keep_share=0.0, substitute_share=1.0
    )
    noise = corruption.make_noise(other, task.tokenizer, vocab_size=task.config.vocab_size)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    draw = jax.jit(lambda rng: corruption.corrupt_batch(rng, batch, noise).tokens)
    noisy = np.asarray(draw(training.named_rng(RNGS["mask"], "target"))).reshape(-1)[masked.indices]
    assert (noisy != masked.targets).all()
    share = masked.fractions if smoothing == "fraction" else smoothing
    picked = np.take_along_axis(log_probs, noisy[:, None], 1)[:, 0]
    squares = np.square(np.log(np.exp(logits).sum(-1)))
    expected = (-(1 - share) * picked - share * log_probs.mean(-1) + 0.01 * squares).sum()

    @functools.partial(jax.jit, static_argnames="deterministic")
    def loss(batch, deterministic):
        objective = training.masked_lm_loss(
            scheduled,
            target_noise=noise,
            label_smoothing=smoothing,
            z_loss=0.01,
            deterministic=deterministic,
            **training.position_options(task.config),
        )
        return objective(model.apply, params, batch, RNGS)[0]

    # Float32 sums over some dozens of positions in another order.
    np.testing.assert_allclose(loss(batch, False), expected, rtol=1e-5)
    nll = -np.take_along_axis(log_probs, masked.targets[:, None], 1).sum()
    np.testing.assert_allclose(loss(batch, True), nll, rtol=1e-5)


def test_an_evaluation_has_every_metric_by_level_of_noise(model, params, task, scheduled, rows):
    batch, masked, logits = rows
    probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    targets = masked.targets
    objective = training.masked_lm_loss(
        scheduled, deterministic=True, **training.position_options(task.config)
    )
    loss_sum, weight, sums = jax.jit(functools.partial(objective, model.apply))(params, batch, RNGS)
    summary = training.summarize_tokens(sums | {"loss_sum": loss_sum, "weight": weight})
    levels = np.minimum((masked.fractions * 10).astype(int), 9)
    assert [round(level.low * 10) for level in summary.by_level] == sorted(set(levels.tolist()))
    assert len(summary.by_level) > 2
    for level in summary.by_level:
        inside = levels == round(level.low * 10)
        own, wanted = probs[inside], targets[inside]
        nll = -np.log(np.take_along_axis(own, wanted[:, None], 1)).mean()
        best, near = own.argmax(-1), np.argsort(-own, axis=-1)[:, :5]
        bins = np.minimum((own.max(-1) * 15).astype(int), 14)
        gaps = [((best == wanted)[bins == one] - own.max(-1)[bins == one]).sum() for one in set(bins)]
        assert level.weight == inside.sum()
        np.testing.assert_allclose((level.nll, level.perplexity), (nll, np.exp(nll)), rtol=1e-4)
        assert level.accuracy == pytest.approx((best == wanted).mean())
        assert level.top_k_accuracy == pytest.approx((near == wanted[:, None]).any(-1).mean())
        assert level.calibration_error == pytest.approx(np.abs(gaps).sum() / inside.sum(), rel=1e-4)


def positions_masked(masked):
    return set(np.asarray(masked.indices)[np.asarray(masked.weights) > 0].tolist())


def test_specials_are_never_masked_or_drawn(task, masking, batches):
    special = set(task.tokenizer.special_ids)
    assert task.tokenizer.specials.next in special
    assert not special & set(masking.noise.random_ids.tolist())
    mask = jax.jit(lambda batch: training.mask_batch(RNGS["mask"], batch, masking))
    for step in range(5):
        batch = batches[step]
        masked = mask(batch)
        targets = np.asarray(masked.targets)[np.asarray(masked.weights) > 0]
        assert not special & set(targets.tolist())
        changed = np.asarray(masked.tokens) != batch.tokens
        drawn = set(np.asarray(masked.tokens)[changed].tolist()) - {task.tokenizer.specials.mask}
        assert not drawn & special


def test_next_may_be_masked_where_positions_are_of_corrupted_ids(experiment, task, batches):
    position = dataclasses.replace(task.config.position, source="corrupted")
    config = dataclasses.replace(task.config, position=position)
    half = dataclasses.replace(experiment.resolved_input_noise, rate=0.5)
    masking = training.make_masking(half, config, task.tokenizer, task.splits["train"], 8)
    assert not masking.noise.forbidden[task.tokenizer.specials.next]
    assert task.tokenizer.specials.next not in masking.noise.random_ids
    masked = training.mask_batch(RNGS["mask"], jax.tree.map(jnp.asarray, batches[0]), masking)
    targets = np.asarray(masked.targets)[np.asarray(masked.weights) > 0]
    assert task.tokenizer.specials.next in targets


def all_masked(task, count, forbidden, capacity):
    """Half of what is not forbidden, and nothing but the mask in its place."""
    config = corruption.NoiseConfig(rate=0.5, count=count, mask_share=1.0, random_share=0.0, keep_share=0.0)
    noise = corruption.make_noise(config, task.tokenizer, vocab_size=task.config.vocab_size)
    return training.Masking(noise._replace(forbidden=forbidden), capacity)


@pytest.mark.parametrize("source", ["clean", "corrupted"])
def test_instruction_positions_are_of_the_ids_asked_for(source, task, batches):
    """The positions that reach the model, caught by a body that only hands them on."""
    # [NEXT] may be masked, so that the two sources differ.
    masking = all_masked(task, "exact", np.arange(task.config.vocab_size) == 0, capacity=200)
    seen = {}

    def apply_fn(variables, *arguments, method=None, **options):
        if method == "features":
            return arguments[0]
        if method == "output_softcap":
            return None
        if method == "output_weights":
            return jnp.zeros((task.config.vocab_size, 4)), None
        seen.update(arguments[0]._asdict())
        return models.Output(jnp.zeros((*seen["tokens"].shape, 4)), None)

    position = dataclasses.replace(task.config.position, source=source)
    config = dataclasses.replace(task.config, position=position)
    batch = jax.tree.map(jnp.asarray, batches[0])
    training.masked_lm_loss(masking, **training.position_options(config))(apply_fn, {}, batch, RNGS)
    clean = ops.instruction_positions(batch.tokens, batch.segments, config.position.next_id)
    corrupted = ops.instruction_positions(seen["tokens"], batch.segments, config.position.next_id)
    assert (clean != corrupted).any()
    np.testing.assert_array_equal(seen["positions"], clean if source == "clean" else corrupted)


def test_other_positions_are_the_batchs(task, masking, batches):
    seen = {}

    def apply_fn(variables, *arguments, method=None, **options):
        if method == "features":
            return arguments[0]
        if method == "output_softcap":
            return None
        if method == "output_weights":
            return jnp.zeros((task.config.vocab_size, 4)), None
        seen.update(arguments[0]._asdict())
        return models.Output(jnp.zeros((*seen["tokens"].shape, 4)), None)

    batch = jax.tree.map(jnp.asarray, batches[0])
    config = dataclasses.replace(task.config, position="rotary")
    training.masked_lm_loss(masking, **training.position_options(config))(apply_fn, {}, batch, RNGS)
    np.testing.assert_array_equal(seen["positions"], batch.positions)


def test_bernoulli_overflow_is_left_as_it_is_and_counted(task, batches):
    masking = all_masked(task, "bernoulli", np.zeros(task.config.vocab_size, bool), capacity=1)
    batch = jax.tree.map(jnp.asarray, batches[0])
    whole, tight = (
        training.mask_batch(RNGS["mask"], batch, masking._replace(capacity=room)) for room in (256, 16)
    )
    drawn = len(positions_masked(whole))
    assert drawn > 16 and int(whole.overflow) == 0
    assert len(positions_masked(tight)) == 16 and int(tight.overflow) == drawn - 16
    assert int((tight.tokens != batch.tokens).sum()) == 16


def test_the_masks_of_an_example_are_the_same_in_any_batch(masking, batches):
    batch = batches[0]
    mask = jax.jit(lambda rows: training.mask_batch(RNGS["mask"], rows, masking))
    whole = mask(batch)
    backwards = mask(data.Batch(*(array[::-1] for array in batch)))
    np.testing.assert_array_equal(whole.tokens, backwards.tokens[::-1])
    for row in range(0, 8, 4):
        part = mask(data.Batch(*(array[row : row + 2] for array in batch)))
        np.testing.assert_array_equal(whole.tokens[row : row + 2], part.tokens)


def test_nothing_to_mask_is_a_loss_of_zero(model, params, batches, graded):
    batch = batches[0]
    empty = data.Batch(*(np.zeros_like(array) for array in batch))
    with jax.debug_nans(True):
        (loss_sum, (weight, metrics)), gradient = graded(params, empty)
    assert float(loss_sum) == 0 and float(weight) == 0 and int(metrics["tokens"]) == 0
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient))


def test_dropout_is_of_its_key_and_off_where_deterministic(params, task, masking, batches):
    config = dataclasses.replace(task.config, mlp_dropout=0.3, embedding_dropout=0.3)
    model, batch = models.build(config), jax.tree.map(jnp.asarray, batches[0])

    @functools.partial(jax.jit, static_argnames="deterministic")
    def loss(dropout_rng, deterministic):
        objective = training.masked_lm_loss(
            masking, deterministic=deterministic, **training.position_options(config)
        )
        return objective(model.apply, params, batch, RNGS | {"dropout": dropout_rng})[0]

    one, two = jax.random.key(1), jax.random.key(2)
    assert loss(one, False) == loss(one, False) != loss(two, False)
    assert loss(one, True) == loss(two, True) != loss(one, False)


@pytest.mark.parametrize("count", ["exact", "bernoulli"])
@pytest.mark.parametrize(("rate", "final"), [(0.5, 0.1), (0.0, 0.4)])
def test_the_rate_of_masks_changes_with_the_step(experiment, task, batches, count, rate, final):
    """At each step the masks are those of a constant rate, and at the rates between none is left out."""
    noise = dataclasses.replace(experiment.resolved_input_noise, rate=rate, final_rate=final, count=count)
    setting = training.setting_of(
        dataclasses.replace(experiment, input_noise=noise, run=training.RunConfig(steps=5, batch_size=8)),
        task,
        8,
    )
    plan = plan_masked(setting)
    batch = jax.tree.map(jnp.asarray, batches[0])
    prepare = jax.jit(lambda step: training.prepare_masked(RNGS["mask"], batch, step, plan))
    scored = []
    for step in range(6):
        now = rate + (final - rate) * min(step / 4, 1)
        constant = dataclasses.replace(noise, rate=round(now, 6), final_rate=None)
        found = prepare(jnp.int32(step))
        scored.append(float(found.weights.sum()))
        assert int(found.overflow) == 0
        if now > 0:
            drawn = corruption.corrupt_batch(RNGS["mask"], batch, plan.input_noise._replace(config=constant))
            np.testing.assert_array_equal(found.tokens, drawn.tokens)
            assert scored[-1] == float(drawn.loss_mask.sum())
    assert scored[4] == scored[5] and sorted(scored[:5]) == (scored[:5] if final > rate else scored[4::-1])


def test_held_out_text_is_masked_at_the_final_rate(experiment, task):
    noise = dataclasses.replace(experiment.resolved_input_noise, rate=0.5, final_rate=0.1)
    setting = training.setting_of(dataclasses.replace(experiment, input_noise=noise), task, 8)
    splits = [task.splits["validation"]]
    held_out = training.evaluation_setting(setting, splits, 8, is_noisy=True)
    assert held_out.input_noise == dataclasses.replace(noise, rate=0.1, final_rate=None)
