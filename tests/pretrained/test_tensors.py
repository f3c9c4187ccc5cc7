import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models
from jaxlm.pretrained._tensors import read_params

CONFIG = models.TransformerConfig(vocab_size=5, width=4, depth=2, num_heads=1)
# Every bfloat16 there is, infinities, subnormal numbers and what is no number included.
ALL = np.arange(2**16, dtype=np.uint32).astype(np.uint16).view(jnp.bfloat16).reshape(256, 256)
PARTS = {
    "whole": [ALL],
    "joined": [ALL[:100], ALL[100:]],
    "transposed": [ALL.T],
    "rows apart": [ALL[::2]],
}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_values_are_those_of_a_cast(parts, kind):
    config = models.from_dict(models.to_dict(CONFIG) | {"param_dtype": kind})
    got = np.asarray(read_params({"head.kernel": lambda: parts}, config)["head"]["kernel"])
    expected = np.concatenate(parts).astype(jnp.dtype(kind))
    assert got.dtype == expected.dtype and got.tobytes() == expected.tobytes()


def test_blocks_are_stacked_for_a_scan_and_the_rest_is_not():
    config = models.from_dict(models.to_dict(CONFIG) | {"scan_layers": True})
    kernels = [np.full((2, 3), value, np.float16) for value in (1, 2)]
    parts = {f"body.block_{n:02d}.k": lambda one=kernel: [one] for n, kernel in enumerate(kernels)}
    params = read_params({**parts, "body.norm": lambda: [np.ones(2)]}, config)
    assert jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), params) == {
        "body": {"blocks": {"k": ((2, 2, 3), "float32")}, "norm": ((2,), "float32")}
    }
    np.testing.assert_array_equal(params["body"]["blocks"]["k"], np.stack(kernels))
