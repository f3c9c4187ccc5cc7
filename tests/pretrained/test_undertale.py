"""A small torch module of undertale's names and computation, its parameters in ours: the same logits."""

import importlib.util

import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models, ops, pretrained

torch = pytest.importorskip("torch")

SIZES = {"vocab": 13, "hidden": 12, "length": 9, "heads": 3, "inner": 20, "depth": 2}
NEXT = 5
TOKENS = np.array([[6, 7, 5, 8, 9, 10, 5, 11, 12], [6, 4, 5, 5, 7, 8, 0, 0, 0]], np.int32)
SEGMENTS = np.array([[1] * 9, [1] * 6 + [0] * 3], np.int32)


class Embedding(torch.nn.Module):
    def __init__(self, vocab, hidden, length, **_):
        super().__init__()
        self.token = torch.nn.Embedding(vocab, hidden)
        self.instruction = torch.nn.Embedding(length, hidden)
        self.argument = torch.nn.Embedding(length, hidden)
        self.norm = torch.nn.LayerNorm(hidden, eps=1e-12)

    def forward(self, tokens):
        instruction, argument = torch.zeros_like(tokens), torch.zeros_like(tokens)
        for row in range(tokens.shape[0]):
            for place in range(1, tokens.shape[1]):
                ended = tokens[row, place - 1] == NEXT
                instruction[row, place] = instruction[row, place - 1] + ended
                argument[row, place] = 0 if ended else argument[row, place - 1] + 1
        return self.norm(self.token(tokens) + self.instruction(instruction) + self.argument(argument))


class Heads(torch.nn.Module):
    def __init__(self, hidden, heads, **_):
        super().__init__()
        names = ("q", "k", "v")
        linears = [{name: torch.nn.Linear(hidden, hidden // heads) for name in names} for _ in range(heads)]
        self.heads = torch.nn.ModuleList(torch.nn.ModuleDict(each) for each in linears)
        self.output = torch.nn.Linear(hidden, hidden)

    def forward(self, hidden, mask):
        outputs = []
        for head in self.heads:
            query, key, value = head["q"](hidden), head["k"](hidden), head["v"](hidden)
            scores = query @ key.transpose(1, 2) / query.shape[-1] ** 0.5
            scores = scores.masked_fill(~mask[:, None, :], float("-inf"))
            outputs.append(scores.softmax(-1) @ value)
        return self.output(torch.cat(outputs, -1))


class Layer(torch.nn.Module):
    def __init__(self, hidden, inner, **sizes):
        super().__init__()
        self.norm1, self.norm2 = torch.nn.LayerNorm(hidden), torch.nn.LayerNorm(hidden)
        self.attention = Heads(hidden, **sizes)
        linears = {"linear1": torch.nn.Linear(hidden, inner), "linear2": torch.nn.Linear(inner, hidden)}
        self.ff = torch.nn.ModuleDict(linears)

    def forward(self, hidden, mask):
        hidden = hidden + self.attention(self.norm1(hidden), mask)
        inner = torch.nn.functional.gelu(self.ff["linear1"](self.norm2(hidden)))
        return hidden + self.ff["linear2"](inner)


class MaskedLM(torch.nn.Module):
    def __init__(self, **sizes):
        super().__init__()
        layers = torch.nn.ModuleList(Layer(**sizes) for _ in range(sizes["depth"]))
        self.encoder = torch.nn.ModuleDict({"embedding": Embedding(**sizes), "layers": layers})
        hidden, vocab = sizes["hidden"], sizes["vocab"]
        self.head = torch.nn.ModuleDict(
            {
                "transform": torch.nn.Linear(hidden, hidden),
                "norm": torch.nn.LayerNorm(hidden, eps=1e-12),
                "decode": torch.nn.Linear(hidden, vocab),
            }
        )

    def forward(self, tokens, mask):
        hidden = self.encoder["embedding"](tokens)
        for layer in self.encoder["layers"]:
            hidden = layer(hidden, mask)
        features = self.head["norm"](torch.nn.functional.gelu(self.head["transform"](hidden)))
        return self.head["decode"](features)


@pytest.fixture(scope="module")
def original():
    torch.manual_seed(0)
    model = MaskedLM(**SIZES).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            tensor.normal_(1.0 if "norm" in name and "weight" in name else 0.0, 0.3)
    return model


@pytest.fixture(scope="module")
def tensors(original):
    return {name: tensor.numpy() for name, tensor in original.state_dict().items()}


@pytest.fixture(scope="module")
def expected(original):
    with torch.no_grad():
        return original(torch.tensor(TOKENS), torch.tensor(SEGMENTS > 0)).numpy()


def logits(model, params, tokens, segments, **arrays):
    hidden = model.apply({"params": params}, models.Inputs(tokens=tokens, segments=segments, **arrays)).hidden
    return np.asarray(model.apply({"params": params}, hidden, method="logits"))


def assert_parity(model, params, expected):
    got = logits(model, params, jnp.asarray(TOKENS), jnp.asarray(SEGMENTS))
    # float32 sums of at most 20 terms, logits of size 3
    np.testing.assert_allclose(got[SEGMENTS > 0], expected[SEGMENTS > 0], rtol=0, atol=1e-5)


def test_the_same_logits(tensors, expected):
    config, params = pretrained.undertale_params(tensors)
    assert (config.vocab_size, config.depth, config.num_heads, config.max_length) == (13, 2, 3, 9)
    assert config.position == models.Instruction(next_id=NEXT, source="corrupted")
    assert_parity(models.build(config), params, expected)


def test_positions_may_be_given(tensors, expected):
    config, params = pretrained.undertale_params(tensors)
    positions = ops.instruction_positions(jnp.asarray(TOKENS), jnp.asarray(SEGMENTS), NEXT)
    arrays = (jnp.asarray(TOKENS), jnp.asarray(SEGMENTS))
    got = logits(models.build(config), params, *arrays, positions=positions)
    np.testing.assert_allclose(got[SEGMENTS > 0], expected[SEGMENTS > 0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("prefix", ["", "model.", "module.model."])
@pytest.mark.parametrize("wrapped", [False, True])
def test_checkpoints_of_torch_and_lightning(tmp_path, original, expected, prefix, wrapped):
    state = {prefix + name: tensor for name, tensor in original.state_dict().items()}
    path = tmp_path / "last.ckpt"
    torch.save({"epoch": 3, "state_dict": state} if wrapped else state, path)
    loaded = pretrained.load_undertale(path)
    assert loaded.kind.name == "masked_lm" and loaded.tokenizer is None
    if prefix == "model.":
        assert_parity(loaded.model, loaded.params, expected)
    assert loaded.params["head"]["decode"]["kernel"].shape == (13, 12)


def test_an_import_can_be_saved_and_opened(tmp_path, tensors):
    config, params = pretrained.undertale_params(tensors)
    pretrained.save_model(tmp_path, config, params, None, kind="masked_lm")
    again = pretrained.load(tmp_path)
    assert again.config == config
    np.testing.assert_array_equal(again.params["head"]["decode"]["kernel"], tensors["head.decode.weight"])


def test_all_differing_tensors_are_named_in_one_line(tensors):
    wrong = dict(tensors)
    del wrong["head.norm.bias"], wrong["encoder.layers.1.attention.heads.2.k.weight"]
    wrong |= {"encoder.pooler.weight": np.zeros((2, 2)), "head.decode.weight": np.zeros((4, 12))}
    with pytest.raises(
        ValueError, match=r"missing encoder\.layers\.1\.attention\.heads\.2\.k\.weight, head\.norm\.bias"
    ) as caught:
        pretrained.undertale_params(wrong)
    message = str(caught.value)
    assert (
        "unexpected encoder.pooler.weight; misshapen head.decode.weight [4, 12] instead of [13, 12]"
        in message
    )
    assert "\n" not in message


def test_without_the_tensors_that_tell_the_sizes(tensors):
    wrong = {name: tensor for name, tensor in tensors.items() if "embedding.token" not in name}
    with pytest.raises(ValueError, match=r"missing encoder\.embedding\.token\.weight$"):
        pretrained.undertale_params(wrong)


def test_what_is_no_checkpoint_is_told(tmp_path):
    path = tmp_path / "model.pt"
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        pretrained.load_undertale(path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="cannot be read as weights alone") as caught:
        pretrained.load_undertale(path)
    assert "\n" not in str(caught.value)
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="expected a dict of tensors"):
        pretrained.load_undertale(path)


def test_without_torch_the_remedy_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="need torch"):
        pretrained.load_undertale(tmp_path / "model.pt")
