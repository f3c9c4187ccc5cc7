"""The same training here and in torch: imported weights, the same batches and masks, AdamW, no dropout."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import corruption, data, tokenizers, training
from jaxlm.pretrained._tensors import as_params
from tests.pretrained.parity import assert_round_trip, imported, read, torch, transformers, written

STEPS = 100
ROWS, LENGTH = 4, 16
TOKENIZER = tokenizers.bytes_tokenizer()
OPTIMIZER = training.OptimizerConfig(
    learning_rate=1e-3,
    warmup=0,
    decay="constant",
    clip_norm=0.0,
    # A key's bias has a gradient of 0 but for rounding, of which a smaller epsilon makes whole steps.
    epsilon=1e-5,
)
SIZES = {"vocab_size": TOKENIZER.vocab_size, "attn_implementation": "eager"}
BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": LENGTH,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    # Torch gives the row of the padding's id no gradient: an id that noise may draw would differ there.
    "pad_token_id": TOKENIZER.specials.pad,
}
GPT2 = {
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 2,
    "n_positions": LENGTH,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
}


class Case(NamedTuple):
    """An imported model, our compiled step from its weights, and the optimiser of theirs."""

    pair: Any
    step: Any
    state: training.TrainState
    optimizer: Any


def batch_of(number):
    """Rows of one text each, of lengths of their own, drawn for a step."""
    draw = np.random.default_rng(number)
    lengths = draw.integers(LENGTH // 2, LENGTH + 1, ROWS)
    segments = (np.arange(LENGTH)[None] < lengths[:, None]).astype(np.int32)
    letters = np.array([TOKENIZER.id(letter) for letter in "abcdefgh"])
    tokens = (letters[draw.integers(0, 8, (ROWS, LENGTH))] * segments).astype(np.int32)
    offsets = (np.arange(LENGTH, dtype=np.int32)[None] * segments).astype(np.int32)
    examples = (number * ROWS + np.arange(ROWS, dtype=np.int32))[:, None] * segments
    return data.Batch(tokens, segments, offsets, examples, offsets, np.zeros(ROWS, np.int32))


MASKING = training.Masking(
    corruption.make_noise(corruption.NoiseConfig(rate=0.3), TOKENIZER), capacity=ROWS * LENGTH // 2
)
MASK_RNG = jax.random.key(7)


@functools.partial(jax.jit, static_argnums=0)
def objective_inputs(causal, batch):
    """What a batch's loss is about: the ids that are read, and flat, what is predicted where."""
    if causal:
        shifted = training.shift_batch(MASK_RNG, batch)
        return shifted.tokens, jnp.arange(ROWS * LENGTH), shifted.targets, shifted.weights
    masked = training.mask_batch(MASK_RNG, batch, MASKING)
    return masked.tokens, masked.indices, masked.targets, masked.weights


def with_fixed_masks(objective):
    """The objective with masks of a key that both sides know, whatever the run's key is."""

    def fixed(apply_fn, params, batch, rngs, step=0):
        return objective(apply_fn, params, batch, {**rngs, "mask": MASK_RNG})

    return fixed


@pytest.fixture(scope="module", params=["bert", "gpt2"])
def case(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "bert":
        config = transformers.BertConfig(**SIZES, **BERT)
        pair = imported(transformers.BertForMaskedLM, config, folder / "theirs")
        objective = training.masked_lm_loss(MASKING)
    else:
        config = transformers.GPT2Config(**SIZES, **GPT2)
        pair = imported(transformers.GPT2LMHeadModel, config, folder / "theirs")
        objective = training.causal_lm_loss()
    optimizer = training.make_optimizer(OPTIMIZER, STEPS)
    step = training.make_train_step(
        with_fixed_masks(objective), pair.model.apply, optimizer, OPTIMIZER.schedule(STEPS)
    )
    zero = jnp.zeros((), jnp.int32)
    start = training.TrainState(zero, zero, zero, pair.params, optimizer.init(pair.params), jax.random.key(0))
    return Case(pair, jax.jit(step), start, torch_optimizer(pair))


def torch_optimizer(pair):
    """AdamW with the decay on the same tensors as ours."""
    parameters = dict(pair.theirs.named_parameters())
    leaves = jax.tree_util.tree_leaves_with_path(training.decay_mask(pair.params))
    flags = {".".join(part.key for part in path): flag for path, flag in leaves}
    decay_mask = {name: flags[row.ours] for row in pair.family.rows(pair.config) for name in row.theirs}
    groups = [
        {"params": [tensor for name, tensor in parameters.items() if decay_mask.get(name, False)]},
        {
            "params": [tensor for name, tensor in parameters.items() if not decay_mask.get(name, False)],
            "weight_decay": 0.0,
        },
    ]
    return torch.optim.AdamW(
        groups, lr=OPTIMIZER.learning_rate, eps=OPTIMIZER.epsilon, weight_decay=OPTIMIZER.weight_decay
    )


def torch_loss(pair, number):
    batch = batch_of(number)
    inputs = objective_inputs(pair.config.causal, batch)
    tokens, indices, targets, weights = (torch.tensor(np.array(array)) for array in inputs)
    mask = torch.tensor(batch.segments > 0).long()
    logits = pair.theirs(input_ids=tokens.long(), attention_mask=mask).logits
    rows = logits.reshape(-1, logits.shape[-1])[indices.long()]
    losses = torch.nn.functional.cross_entropy(rows, targets.long(), reduction="none")
    return (losses * weights).sum() / weights.sum()


def torch_step(case, number):
    case.optimizer.zero_grad()
    loss = torch_loss(case.pair, number)
    loss.backward()
    case.optimizer.step()
    return loss.item()


def test_a_hundred_steps_and_the_way_back(case, tmp_path):
    state, ours, theirs = case.state, [], []
    for number in range(STEPS):
        state, metrics = case.step(state, batch_of(number))
        ours.append(float(metrics["loss_sum"]) / float(metrics["weight"]))
        theirs.append(torch_step(case, number))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    assert np.mean(ours[-10:]) < 0.7 * ours[0]  # it did learn
    pair = case.pair._replace(params=state.params)
    expected = {name: tensor.detach().numpy() for name, tensor in pair.theirs.named_parameters()}
    got = written(pair.family, pair.config, state.params)
    for name, tensor in expected.items():
        np.testing.assert_allclose(got[name], tensor, rtol=0, atol=1e-3, err_msg=name)
    # To transformers, on for fifty steps there, and back: both say the same.
    exported = {name: torch.tensor(np.array(tensor)) for name, tensor in got.items()}
    pair.theirs.load_state_dict(exported, strict=False)
    for number in range(STEPS, STEPS + 50):
        torch_step(case, number)
    tensors = {name: tensor.detach().numpy() for name, tensor in pair.theirs.named_parameters()}
    params = as_params(read(pair.family, pair.config, tensors), pair.config)
    with torch.no_grad():
        expected_loss = torch_loss(case.pair, 1000).item()
    _, metrics = case.step(state._replace(params=params), batch_of(1000))
    loss = float(metrics["loss_sum"]) / float(metrics["weight"])
    np.testing.assert_allclose(loss, expected_loss, rtol=0, atol=1e-4)
    assert_round_trip(pair._replace(params=params, tensors=tensors), tmp_path / "ours")
