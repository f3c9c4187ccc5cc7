"""Saliency and integrated gradients against autograd of tiny random models of transformers."""

import jax
import numpy as np
import pytest

from jaxlm import pretrained
from jaxlm.attribution import IntegratedGradients, attribute

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZES = {"vocab_size": 30, "pad_token_id": 0}
# Float32 in two libraries
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def gpt2():
    config = transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=32, **SIZES)
    return transformers.GPT2LMHeadModel(config)


def bert():
    config = transformers.BertConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        **SIZES,
    )
    return transformers.BertForMaskedLM(config)


@pytest.fixture(scope="module", params=[gpt2, bert], ids=lambda make: make.__name__)
def pair(request, tmp_path_factory):
    torch.manual_seed(0)
    theirs = request.param().eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    theirs.tie_weights()
    folder = tmp_path_factory.mktemp("theirs")
    theirs.save_pretrained(folder)
    loaded = pretrained.load(folder)
    if request.param is bert:
        config = loaded.config.__class__(**{**vars(loaded.config), "mask_id": 4})
        loaded = loaded._replace(config=config)
    return theirs, loaded


def asked(loaded):
    """The ids that are read, and (position, target) of each prediction."""
    read = [7, 8, 4, 9, 10, 4]
    if loaded.config.causal:
        return read, read, [(position, read[position + 1]) for position in range(2, 5)]
    return read, [7, 8, 11, 9, 10, 12], [(2, 11), (5, 12)]


def probability(theirs, vectors, position, target):
    return torch.softmax(theirs(inputs_embeds=vectors).logits[0, position], -1)[target]


def gradient(theirs, vectors, position, target):
    vectors = vectors.detach().requires_grad_()
    return torch.autograd.grad(probability(theirs, vectors, position, target), vectors)[0]


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients"])
def test_equals_autograd(pair, method):
    theirs, loaded = pair
    text, target, predictions = asked(loaded)
    prompt = text[:3] if loaded.config.causal else text
    settings = IntegratedGradients(steps=5) if method == "integrated_gradients" else None
    (result,) = attribute(
        loaded, [prompt], targets=[target], method=method, settings=settings, devices=jax.local_devices()[:1]
    )
    vectors = theirs.get_input_embeddings()(torch.tensor([text]))
    points, weights = np.polynomial.legendre.leggauss(5)
    for number, (position, wanted) in enumerate(predictions):
        if method == "saliency":
            expected = gradient(theirs, vectors, position, wanted).norm(dim=-1)[0]
        else:
            shares = [
                (float(point + 1) / 2, float(weight) / 2)
                for point, weight in zip(points, weights, strict=True)
            ]
            mean = sum(
                weight * gradient(theirs, share * vectors, position, wanted) for share, weight in shares
            )
            expected = (mean * vectors).sum(-1)[0]
        np.testing.assert_allclose(
            np.nan_to_num(result.scores[:, number]), expected.detach().numpy(), **CLOSE
        )
        value = probability(theirs, vectors, position, wanted)
        np.testing.assert_allclose(result.values[number], value.item(), **CLOSE)
