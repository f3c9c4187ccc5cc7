import dataclasses
import errno
import json
import os
import resource

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from jaxlm import models, pretrained, tokenizers

CONFIG = models.TransformerConfig(vocab_size=270, width=8, depth=2, num_heads=2, num_kv_heads=1, max_length=6)
TOKENS = jnp.array([[1, 2, 3, 259]])


def drawn(config, objective="masked_lm", head=None):
    tokens = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    shapes = jax.eval_shape(models.build(config, objective, head).init, jax.random.key(0), tokens)["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), shapes)


def assert_same(tree, other):
    assert jax.tree.structure(tree) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, tree, other)


@pytest.fixture
def saved(tmp_path):
    params, tokenizer = drawn(CONFIG), tokenizers.bytes_tokenizer()
    pretrained.save_model(
        tmp_path, CONFIG, params, tokenizer, kind="masked_lm", extra={"experiment": {"steps": 3}}
    )
    return tmp_path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scan_layers": True},
        {"param_dtype": "bfloat16", "dtype": "bfloat16"},
        {"causal": True, "head": "linear", "head_bias": False, "tie_embeddings": False},
    ],
)
def test_what_is_saved_is_loaded(tmp_path, options):
    config = dataclasses.replace(CONFIG, **options)
    objective = "causal_lm" if config.causal else "masked_lm"
    params = drawn(config, objective)
    pretrained.save_model(tmp_path / "new" / "run", config, params, None, kind=objective)
    loaded = pretrained.load(tmp_path / "new" / "run")
    assert_same(loaded.params, params)
    assert {leaf.dtype for leaf in jax.tree.leaves(loaded.params)} == {jnp.dtype(config.param_dtype)}
    assert loaded.config == config and loaded.kind.name == objective
    assert loaded.tokenizer is None and loaded.extra == {}
    assert np.isfinite(jax.jit(loaded.model.apply)({"params": loaded.params}, TOKENS).hidden).all()


def test_the_folder_holds_everything(saved):
    loaded = pretrained.load(saved)
    assert sorted(path.name for path in saved.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert loaded.extra == {"experiment": {"steps": 3}}
    assert loaded.tokenizer == tokenizers.bytes_tokenizer()
    assert json.loads((saved / "config.json").read_text())["model"]["width"] == 8


def test_scanned_and_unrolled_models_write_the_same_file(saved, tmp_path):
    scanned = dataclasses.replace(CONFIG, scan_layers=True)
    other = tmp_path / "scanned"
    pretrained.save_model(other, scanned, models.stack_blocks(drawn(CONFIG)), None, kind="masked_lm")
    files = [safetensors.numpy.load_file(folder / "model.safetensors") for folder in (saved, other)]
    assert_same(*files)
    assert "body.block_01.attention.qkv.kernel" in files[0]


def test_a_dtype_of_the_readers_choice(saved):
    loaded = pretrained.load(saved, dtype="bfloat16")
    assert loaded.config.dtype == loaded.config.param_dtype == "bfloat16"
    exact = pretrained.load(saved).params
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b.astype(jnp.bfloat16)), loaded.params, exact)


def test_a_strided_array_is_written_in_its_own_order(tmp_path):
    params = drawn(CONFIG)
    kernel = np.asarray(params["head"]["transform"]["kernel"])
    params["head"]["transform"]["kernel"] = np.ascontiguousarray(kernel.T).T  # Fortran order, same values
    pretrained.save_model(tmp_path, CONFIG, params, None, kind="masked_lm")
    np.testing.assert_array_equal(pretrained.load(tmp_path).params["head"]["transform"]["kernel"], kernel)


def test_files_are_as_readable_as_any(saved):
    (saved / "other").touch()
    assert len({path.stat().st_mode for path in saved.iterdir()}) == 1


def test_a_failed_write_leaves_the_old_model(saved, monkeypatch):
    before = {path.name: path.read_bytes() for path in saved.iterdir()}

    def no_room(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", no_room)
    params = jax.tree.map(jnp.zeros_like, drawn(CONFIG))
    with pytest.raises(OSError, match="No space left"):
        pretrained.save_model(saved, CONFIG, params, None, kind="masked_lm")
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_all_differing_tensors_are_named_in_one_line(saved):
    path = saved / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    del tensors["head.norm.scale"], tensors["body.block_01.mlp.up.bias"]
    tensors |= {"stray": np.zeros(2, np.float32), "head.decode.bias": np.zeros(3, np.float32)}
    safetensors.numpy.save_file(tensors, path)
    with pytest.raises(
        ValueError, match=r"missing body\.block_01\.mlp\.up\.bias, head\.norm\.scale; "
    ) as caught:
        pretrained.load(saved)
    message = str(caught.value)
    assert "unexpected stray; misshapen head.decode.bias [3] instead of [270]" in message
    assert str(path) in message and "\n" not in message


def test_params_of_another_config_are_not_saved(tmp_path):
    wrong = dataclasses.replace(CONFIG, depth=1, width=4)
    with pytest.raises(ValueError, match="unexpected body"):
        pretrained.save_model(tmp_path / "run", wrong, drawn(CONFIG), None, kind="masked_lm")
    assert not (tmp_path / "run").exists()


def test_reserved_entries(tmp_path):
    with pytest.raises(ValueError, match="may not be called model"):
        pretrained.save_model(tmp_path, CONFIG, drawn(CONFIG), None, kind="masked_lm", extra={"model": 1})


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_told(saved, name):
    (saved / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"it has no {name}"):
        pretrained.load(saved)


def test_a_truncated_file_is_told(saved):
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match="is not a whole safetensors file") as caught:
        pretrained.load(saved)
    assert "\n" not in str(caught.value)


WRONG_CONFIGS = [
    ("{", "is not JSON"),
    ("[]", "has no objective and no model"),
    ('{"objective": "masked_lm"}', "has no model"),
    ('{"objective": "seq2seq", "model": {}}', "of kind 'seq2seq'"),
    (
        '{"objective": "masked_lm", "model": {"n_embd": 3, "n_head": 1}}',
        "the model's config has no fields 'n_embd', 'n_head'",
    ),
    ('{"objective": "masked_lm", "model": {"width": "wide"}}', "width must be int: got 'wide'"),
    ('{"objective": "masked_lm", "model": {"vocab_size": 9, "causal": true}}', "got causal=True"),
]


@pytest.mark.parametrize(("text", "message"), WRONG_CONFIGS)
def test_a_wrong_config_is_one_line(saved, text, message):
    (saved / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        pretrained.load(saved)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_an_os_error_that_names_the_file(saved):
    before = (saved / "model.safetensors").read_bytes()
    params, limits = drawn(CONFIG), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match=r"model\.safetensors'$") as caught:
            pretrained.save_model(saved, CONFIG, params, None, kind="masked_lm")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG
    assert (saved / "model.safetensors").read_bytes() == before and len(list(saved.iterdir())) == 3


LABEL = models.HeadConfig(num_outputs=3, pooling="attention", hidden_layers=1, center=0.5)
HEADS = {"fill": "masked_lm", "next": "causal_lm", "label": LABEL, "value": models.HeadConfig(num_outputs=1)}


@pytest.mark.parametrize(("objective", "head"), [("regression", LABEL), ("joint", HEADS)])
def test_heads_are_saved_with_the_model(tmp_path, objective, head):
    params = drawn(CONFIG, objective, head)
    pretrained.save_model(tmp_path, CONFIG, params, None, kind=objective, head=head)
    loaded = pretrained.load(tmp_path)
    assert_same(loaded.params, params)
    assert (loaded.config, loaded.kind.name, loaded.head, loaded.extra) == (CONFIG, objective, head, {})
    assert type(loaded.model) is type(models.build(CONFIG, objective, head))


def test_one_head_of_several_opens_as_a_model_of_its_own(tmp_path):
    params = drawn(CONFIG, "joint", HEADS)
    pretrained.save_model(tmp_path, CONFIG, params, None, kind="joint", head=HEADS)
    wanted = {"fill": "masked_lm", "next": "causal_lm", "label": "classification", "value": "regression"}
    for name, objective in wanted.items():
        loaded = pretrained.load(tmp_path, head=name)
        assert loaded.kind.name == objective and type(loaded.model) is type(
            models.build(loaded.config, objective, loaded.head)
        )
        assert loaded.config.causal == (name == "next")
        assert_same(loaded.params, {"body": params["body"], "head": params[f"head_{name}"]})
        assert np.isfinite(loaded.model.apply({"params": loaded.params}, TOKENS).hidden).all()
    with pytest.raises(ValueError, match="no head 'fil': its heads are fill, next, label, value"):
        pretrained.load(tmp_path, head="fil")


def test_a_head_chosen_where_there_is_one(saved):
    with pytest.raises(ValueError, match="head='fill' chooses one of several: this model is a mas"):
        pretrained.load(saved, head="fill")


@pytest.mark.parametrize(
    ("objective", "head", "told"),
    [
        ("regression", None, "takes a HeadConfig as head: got None"),
        ("regression", {"num_outputs": 1, "classes": 2}, "head has no field 'classes'"),
        ("regression", 3, "head is an object of fields: got 3"),
        ("joint", {"fill": "mlm"}, "head 'fill' is masked_lm, causal_lm or an object of fields: got 'mlm'"),
        ("masked_lm", {"num_outputs": 1}, "has a head of its own"),
    ],
)
def test_a_config_whose_head_cannot_be_is_named(saved, objective, head, told):
    path = saved / "config.json"
    values = json.loads(path.read_text()) | {"objective": objective, "head": head}
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=told) as caught:
        pretrained.load(saved)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
