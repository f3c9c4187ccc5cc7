"""What is saved as an ensemble is loaded as one, and each member opens alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models, pretrained, tokenizers
from jaxlm.pretrained._ensemble import member_folders

CONFIG = models.TransformerConfig(vocab_size=270, width=8, depth=1, num_heads=2, max_length=6)
HEAD = models.HeadConfig(num_outputs=2)


def drawn(shared_body, members=3):
    shapes = jax.eval_shape(
        models.build(CONFIG, "classification", HEAD).init, jax.random.key(0), jnp.zeros((1, 1), jnp.int32)
    )["params"]
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        lead = () if shared_body and path[0].key == "body" else (members,)
        return jnp.asarray(rng.normal(size=(*lead, *leaf.shape)), leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def save(folder, params, **options):
    pretrained.save_ensemble(
        folder, CONFIG, params, tokenizers.bytes_tokenizer(), kind="classification", head=HEAD, **options
    )


@pytest.mark.parametrize("shared_body", [False, True])
def test_members_come_back_stacked(tmp_path, shared_body):
    params = drawn(shared_body)
    save(tmp_path / "new", params, shared_body=shared_body, extra={"seed": 3})
    loaded = pretrained.load_ensemble(tmp_path / "new", shared_body=shared_body)
    assert jax.tree.structure(loaded.params) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, loaded.params, params)
    assert (loaded.config, loaded.kind.name, loaded.head) == (CONFIG, "classification", HEAD)
    assert loaded.extra == {"seed": 3} and loaded.tokenizer == tokenizers.bytes_tokenizer()
    second = pretrained.load(tmp_path / "new" / "member_01")
    np.testing.assert_array_equal(
        second.params["head"]["output"]["kernel"], params["head"]["output"]["kernel"][1]
    )


def test_runs_apart_are_an_ensemble(tmp_path):
    save(tmp_path, drawn(False))
    folders = [tmp_path / "member_02", str(tmp_path / "member_00")]
    kernel = pretrained.load_ensemble(folders).params["head"]["output"]["kernel"]
    np.testing.assert_array_equal(kernel, drawn(False)["head"]["output"]["kernel"][jnp.array([2, 0])])


def test_more_than_a_hundred_members_keep_their_order(tmp_path):
    names = [f"member_{number:02d}" for number in range(102)]
    for name in [*names, "member_old"]:
        (tmp_path / name).mkdir()
    assert [path.name for path in member_folders(tmp_path)] == names


def test_members_that_do_not_belong_together_are_refused(tmp_path):
    save(tmp_path, drawn(False))
    with pytest.raises(ValueError, match=r"do not share a body: .*member_00 and .*member_01 differ"):
        pretrained.load_ensemble(tmp_path, shared_body=True)
    other = dataclasses.replace(CONFIG, causal=True)
    params = jax.tree.map(lambda leaf: leaf[0], drawn(False))
    pretrained.save_model(tmp_path / "other", other, params, None, kind="classification", head=HEAD)
    with pytest.raises(ValueError, match=r"of one kind: .*member_00 and .*other have another config"):
        pretrained.load_ensemble([tmp_path / "member_00", tmp_path / "other"])
    with pytest.raises(FileExistsError, match="holds an ensemble already"):
        save(tmp_path, drawn(False))
    with pytest.raises(FileNotFoundError, match=r"at least one member: .* holds no member_00"):
        pretrained.load_ensemble(tmp_path / "other")
