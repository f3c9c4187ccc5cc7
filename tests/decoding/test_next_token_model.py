"""The next-token model: outputs, loss, parts of one's own, and whose parts they may be."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import decoding, models
from jaxlm.decoding._embedders import check_part
from tests.decoding.conftest import SMALL, log_softmax
from tests.decoding.own_parts import WIDTH, Bag, Returns, Scores, Total, Words

TOKENS = np.array([[5, 6, 7, 8], [9, 10, 0, 0]], np.int32)
SEGMENTS = np.array([[1, 1, 1, 1], [1, 1, 0, 0]], np.int32)
TARGETS = np.array([3, 99], np.int32)
# Float32 sums in another order
CLOSE = {"rtol": 0, "atol": 1e-4}


def wrapped(case, **options):
    model = decoding.NextTokenModel.of_language_model(case.model, **options)
    return model, decoding.NextTokenModel.params_of(case.params)


def drawn(model, tokens=TOKENS):
    return jax.jit(lambda rng: model.init_params(rng, jnp.asarray(tokens)))(jax.random.key(0))


def ask(model, params, *, tokens=TOKENS, segments=SEGMENTS, targets=TARGETS, **options):
    return jax.jit(
        lambda params: model.apply(
            {"params": params},
            jnp.asarray(tokens),
            segments=jnp.asarray(segments),
            targets=jnp.asarray(targets),
            **options,
        )
    )(params)


def check(output, logits):
    """Outputs of rows against the logits that another way found for each."""
    losses = []
    for row, expected in enumerate(map(log_softmax, logits)):
        best = np.argsort(-expected)[: output.tokens.shape[1]]
        assert output.tokens[row].tolist() == best.tolist()
        np.testing.assert_allclose(output.probs[row], np.exp(expected[best]), **CLOSE)
        losses.append(-expected[TARGETS[row]])
    assert float(output.loss) == pytest.approx(np.mean(losses), abs=1e-4)
    assert (float(output.loss_sum), float(output.weight)) == (pytest.approx(sum(losses), abs=1e-4), 2.0)


def test_it_is_the_language_model_at_the_last_real_position(writer):
    case = writer()
    check(ask(*wrapped(case, top_k=3)), [case.logits(context) for context in ([5, 6, 7, 8], [9, 10])])


@pytest.mark.parametrize("options", [{}, {"tie_embeddings": False}, {"head": "linear", "logit_softcap": 2.0}])
def test_the_head_of_a_language_model_keeps_its_tie_transform_and_soft_cap(writer, options):
    case = writer(**options)
    model, params = wrapped(case)
    check(ask(model, params), [case.logits(context) for context in ([5, 6, 7, 8], [9, 10])])
    fresh = jax.eval_shape(lambda: model.init_params(jax.random.key(0), jnp.asarray(TOKENS)))
    shapes = jax.tree.map(jnp.shape, params)
    # Linen leaves out what has no parameters; a table that is used twice is there once
    assert jax.tree.map(jnp.shape, fresh) == {name: part for name, part in shapes.items() if part}


def test_an_embedder_and_a_head_of_ones_own():
    model = decoding.NextTokenModel(text_field_embedder=Bag(), language_model_head=Scores())
    params = drawn(model)
    table = np.asarray(params["text_field_embedder"]["table"], np.float64)
    kernel = np.asarray(params["language_model_head"]["kernel"], np.float64)
    sums = [table[[5, 6, 7, 8]].sum(0), table[[9, 10]].sum(0)]
    check(ask(model, params), [total @ kernel for total in sums])


def test_the_librarys_bodies_are_embedders():
    config = SMALL
    for embedder in (models.Transformer(config), models.BodyModel(config)):
        model = decoding.NextTokenModel(text_field_embedder=embedder, language_model_head=Scores())
        params = drawn(model)
        body = params["text_field_embedder"].get("body", params["text_field_embedder"])
        apply = jax.jit(
            lambda body, tokens: models.Transformer(config).apply({"params": body}, tokens).hidden
        )
        hidden = np.asarray(apply(body, jnp.asarray(TOKENS)), np.float64)
        kernel = np.asarray(params["language_model_head"]["kernel"], np.float64)
        check(ask(model, params), [hidden[0, 3] @ kernel, hidden[1, 1] @ kernel])


@pytest.mark.parametrize("width", [WIDTH, 4])
def test_a_contextualizer_is_told_what_is_real_and_stands_before_the_head(width):
    options = {"language_model_head": Scores(), "contextualizer": Total(width)}
    model = decoding.NextTokenModel(text_field_embedder=Words(), **options)
    params = drawn(model)
    table = np.tanh(np.asarray(params["text_field_embedder"]["table"], np.float64))
    kernel = np.asarray(params["language_model_head"]["kernel"], np.float64)
    sums = [0.5 * table[[5, 6, 7, 8]].sum(0), 0.5 * table[[9, 10]].sum(0)]
    check(ask(model, params), [total[:width] @ kernel for total in sums])


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_padding_on_either_side_changes_nothing_and_its_position_is_never_read(shift):
    model = decoding.NextTokenModel(text_field_embedder=Words(), language_model_head=Scores())
    params = drawn(model)
    tokens, segments = np.full((1, 4), 77, np.int32), np.zeros((1, 4), np.int32)
    tokens[0, shift : shift + 2], segments[0, shift : shift + 2] = [9, 10], 1
    found = ask(model, params, tokens=tokens, segments=segments, targets=TARGETS[1:])
    alone = ask(model, params, tokens=TOKENS[1:, :2], segments=SEGMENTS[1:, :2], targets=TARGETS[1:])
    assert found.tokens.tolist() == alone.tokens.tolist()
    np.testing.assert_allclose(found.loss, alone.loss, **CLOSE)


def test_a_row_of_padding_alone_counts_nowhere():
    model = decoding.NextTokenModel(text_field_embedder=Words(), language_model_head=Scores())
    params = drawn(model)
    tokens, targets = np.vstack([TOKENS, [[0, 0, 0, 0]]]), np.append(TARGETS, 1)
    segments = np.vstack([SEGMENTS, [[0, 0, 0, 0]]])
    found, alone = ask(model, params, tokens=tokens, segments=segments, targets=targets), ask(model, params)
    assert float(found.weight) == 2.0
    np.testing.assert_allclose(found.loss, alone.loss, **CLOSE)


def test_as_many_tokens_are_told_as_asked_for_and_as_there_are():
    for top_k, told in ((1, 1), (5, 5), (1000, 260)):
        parts = {"text_field_embedder": Words(), "language_model_head": Scores()}
        model = decoding.NextTokenModel(**parts, top_k=top_k)
        output = ask(model, drawn(model))
        assert output.tokens.shape == output.probs.shape == (2, told)
    np.testing.assert_allclose(output.probs.sum(1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("deterministic", [True, False])
def test_parts_are_told_whether_dropout_is_on(deterministic):
    asked = []

    class Embedder(nn.Module):
        def __call__(self, inputs, *, deterministic):
            asked.append(("embedder", deterministic))
            return jnp.ones((*inputs.tokens.shape, WIDTH)) * inputs.segments[..., None].astype(jnp.float32)

    class Contextualizer(nn.Module):
        def __call__(self, vectors, mask, *, deterministic):
            asked.append(("contextualizer", deterministic))
            return jnp.where(mask[..., None], vectors, jnp.nan)

    parts = {"text_field_embedder": Embedder(), "contextualizer": Contextualizer()}
    model = decoding.NextTokenModel(language_model_head=Scores(), **parts)
    params = drawn(model)
    asked.clear()
    output = ask(model, params, deterministic=deterministic)
    assert asked == [("embedder", deterministic), ("contextualizer", deterministic)]
    assert np.isfinite(output.loss)


def test_dropout_is_on_the_head_alone_and_only_in_training(writer):
    model, params = wrapped(writer(), dropout=0.5)
    still = ask(model, params)
    np.testing.assert_array_equal(still.probs, ask(model, params).probs)
    keys = [{"dropout": jax.random.key(seed)} for seed in (0, 1)]
    losses = [ask(model, params, deterministic=False, rngs=key).loss for key in keys]
    assert len({float(loss) for loss in (*losses, still.loss)}) == 3


def test_what_dropout_leaves_is_scaled_up():
    class Ones(nn.Module):
        @nn.compact
        def __call__(self, vectors):
            return vectors

    class Embedder(nn.Module):
        def __call__(self, inputs, *, deterministic):
            return jnp.ones((*inputs.tokens.shape, 4000))

    model = decoding.NextTokenModel(
        text_field_embedder=Embedder(), language_model_head=Ones(), dropout=0.25, top_k=4000
    )
    found = ask(model, {}, deterministic=False, rngs={"dropout": jax.random.key(0)})
    # Logits are 1 / 0.75 where a feature stays and 0 where not: two probabilities, their ratio exp(4 / 3)
    probs = np.asarray(found.probs[0])
    assert probs[0] / probs[-1] == pytest.approx(math.exp(4 / 3), rel=1e-5)
    # 5 deviations of a binomial of 4000 draws
    assert np.mean(probs > probs.mean()) == pytest.approx(0.75, abs=5 * math.sqrt(0.75 * 0.25 / 4000))


def test_an_initializer_has_the_last_word(writer):
    model, _ = wrapped(writer(), initializer=lambda rng, params: jax.tree.map(jnp.zeros_like, params))
    params = drawn(model)
    assert all(not leaf.any() for leaf in jax.tree.leaves(params))
    output = ask(model, params)
    # Of zeros alone every token is as likely
    assert float(output.loss) == pytest.approx(math.log(260), rel=1e-6)


def test_it_maps_over_models_and_its_loss_has_gradients():
    model = decoding.NextTokenModel(text_field_embedder=Words(), language_model_head=Scores())
    members = [model.init_params(jax.random.key(seed), jnp.asarray(TOKENS)) for seed in (0, 1)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    options = {"segments": jnp.asarray(SEGMENTS), "targets": jnp.asarray(TARGETS)}

    def loss(params):
        return model.apply({"params": params}, jnp.asarray(TOKENS), **options).loss

    for row, params in enumerate(members):
        np.testing.assert_allclose(jax.jit(jax.vmap(loss))(stacked)[row], loss(params), **CLOSE)
    gradients = jax.jit(jax.grad(loss))(members[0])
    # Of a softmax's loss: hidden times (probability - 1 at the target), the mean of two texts
    hidden = np.tanh(np.asarray(members[0]["text_field_embedder"]["table"], np.float64)[[8, 10]])
    logits = hidden @ np.asarray(members[0]["language_model_head"]["kernel"], np.float64)
    error = np.exp([log_softmax(row) for row in logits])
    error[[0, 1], TARGETS] -= 1.0
    np.testing.assert_allclose(
        gradients["language_model_head"]["kernel"], hidden.T @ error / 2.0, rtol=0, atol=1e-5
    )


def test_a_head_of_another_width_is_told():
    head = decoding.language_model_head("linear", vocab_size=9, width=WIDTH + 2)
    model = decoding.NextTokenModel(text_field_embedder=Words(), language_model_head=head)
    with pytest.raises(ValueError, match="this head reads vectors of width 8: got 6; make it with width=6"):
        drawn(model)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"text_field_embedder": Returns((2, WIDTH))},
            r"a text_field_embedder returns .*\[2, 4, width\].*2, 6",
        ),
        ({"text_field_embedder": Returns((2, 3, WIDTH))}, r"a text_field_embedder .*float32\[2, 3, 6\] from"),
        ({"text_field_embedder": Returns("vectors")}, "a text_field_embedder .*: got str from Returns"),
        (
            {"contextualizer": Returns((2, WIDTH))},
            r"a contextualizer returns .*: got float32\[2, 6\] from Ret",
        ),
        (
            {"language_model_head": Returns((2, 9))},
            r"a language_model_head .*\[\.\.\., V\] .*float32\[2, 9\]",
        ),
        ({"language_model_head": Returns((1, 1, 9))}, r"a language_model_head .*for vectors of \[2, 1, 6\]"),
    ],
)
def test_a_part_that_breaks_its_contract_is_told_in_one_line(parts, message):
    parts = {"text_field_embedder": Words(), "language_model_head": Scores(), **parts}
    with pytest.raises(ValueError, match=message) as told:
        decoding.NextTokenModel(**parts).init_params(jax.random.key(0), jnp.asarray(TOKENS))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"dropout": 1.5}, r"dropout is a rate in \[0, 1\): got 1.5"),
        ({"dropout": -0.1}, r"dropout is a rate in \[0, 1\): got -0.1"),
        ({"top_k": 0}, "top_k .* got 0"),
    ],
)
def test_attributes_out_of_range_are_refused_when_the_model_is_made(attributes, message):
    parts = {"text_field_embedder": Words(), "language_model_head": Scores(), **attributes}
    with pytest.raises(ValueError, match=message) as told:
        decoding.NextTokenModel(**parts)
    assert "\n" not in str(told.value)


def test_what_is_no_module_is_refused_by_its_attributes_name():
    with pytest.raises(ValueError, match="a text_field_embedder is a module: got None"):
        check_part("text_field_embedder", None)
    check_part("text_field_embedder", Words())


def test_a_masked_lm_has_no_next_token():
    with pytest.raises(ValueError, match=r"a CausalLM: got a MaskedLM; masks are filled by decoding\.fill"):
        decoding.NextTokenModel.of_language_model(models.MaskedLM(models.TransformerConfig(vocab_size=9)))
