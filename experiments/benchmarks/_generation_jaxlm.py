"""Our side of `generation.py`: `decoding.generate`, or the prefill of a prompt."""

import numpy as np
from _generation_shape import PROMPT_SEED, Shape
from _sides import serve


def start(options: dict):
    """Returns a step, which generates or prefills, and what there is to tell about it."""
    from jaxlm.devices import keep_memory

    keep_memory()
    import jax

    model, params = random_model(Shape(*options["shape"]), options["dtype"])
    shape = (options["batch"], options["prompt"])
    prompts = np.random.default_rng(PROMPT_SEED).integers(0, model.config.vocab_size, shape, dtype=np.int32)
    work = prefill if options["task"] == "prefill" else generate
    return work(model, params, prompts, options["new"]), {"device": jax.local_devices()[0].device_kind}


def random_model(shape: Shape, dtype: str):
    import jax
    import jax.numpy as jnp

    from jaxlm import models

    config = models.TransformerConfig(
        vocab_size=shape.vocab_size,
        width=shape.width,
        depth=shape.depth,
        num_heads=shape.heads,
        max_length=shape.context,
        causal=True,
        activation="gelu_tanh",
        head="linear",
        head_bias=False,
        dtype=dtype,
        param_dtype=dtype,
    )
    model = models.build(config, "causal_lm")
    return model, jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]


def generate(model, params, prompts: np.ndarray, new: int):
    from jaxlm import decoding, pretrained, tokenizers

    config = decoding.GenerationConfig(max_new_tokens=new, stop_ids=())
    # Its text is looked at once, at the end; ids beyond its bytes have none.
    tokenizer = tokenizers.bytes_tokenizer()
    loaded = pretrained.Loaded(model.config, "causal_lm", model, params, tokenizer, {})

    def step() -> int:
        written = decoding.generate(loaded, list(prompts), config)
        return sum(len(one.tokens) for one in written)

    return step


def prefill(model, params, prompts: np.ndarray, new: int):
    """Reads the prompts into a cache with room for new tokens, to the logits of the first one."""
    import jax
    import jax.numpy as jnp

    from jaxlm import ops
    from jaxlm.decoding._cached_rows import read_prompts

    num_slots = min(ops.fine_bucket(prompts.shape[1] + new), model.config.max_length)
    read = jax.jit(lambda params, *rows: read_prompts(model, params, *rows, num_slots))
    rows = jnp.asarray(prompts), jnp.full(len(prompts), prompts.shape[1], jnp.int32)

    def step() -> int:
        jax.block_until_ready(read(params, *rows))
        return prompts.size

    return step


serve(start)
