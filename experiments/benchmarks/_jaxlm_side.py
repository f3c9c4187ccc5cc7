"""Our side: `jaxlm.models.MaskedLM` and `jaxlm.training`'s step, masking included, as `jaxlm train` runs."""

import itertools

import numpy as np
from _shape import (
    DEPTH,
    EPSILON,
    FIRST_WORD,
    HEADS,
    LEARNING_RATE,
    LONGEST,
    MASK_ID,
    MLP,
    VOCABULARY,
    WEIGHT_DECAY,
    WIDTH,
    step_flops,
)
from _sides import serve


def start(options: dict):
    """Returns a step over full or packed rows, and what there is to tell about it."""
    from jaxlm.devices import keep_memory

    keep_memory()
    import jax

    config = model_config(options)
    batches, masking, facts = (packed if options["data"] == "mixed" else full)(options)
    step, state = training_step(options, config, masking, jax.local_devices()[:1])
    capacity, (rows, length) = masking.capacity, facts["rows"]
    facts |= {"head_rows": capacity, "flops": step_flops(rows, length, capacity, options["depth"]).total}
    return trained(step, state, batches), facts | {"device": jax.local_devices()[0].device_kind}


def model_config(options: dict):
    from jaxlm import models

    rate = options["dropout"]
    return models.TransformerConfig(
        vocab_size=VOCABULARY,
        width=WIDTH,
        depth=options.get("depth", DEPTH),
        num_heads=HEADS,
        mlp_width=MLP,
        max_length=LONGEST,
        norm="layer",
        norm_placement="post",
        norm_epsilon=EPSILON,
        final_norm=False,
        position="learned",
        activation="gelu",
        embedding_norm=True,
        embedding_dropout=rate,
        attention_dropout=rate if options["attention_dropout"] is None else options["attention_dropout"],
        attention_output_dropout=rate,
        mlp_dropout=rate,
        tie_embeddings=True,
        head="transform",
        head_bias=True,
        dtype=options["dtype"],
    )


def training_step(options: dict, config, masking, devices):
    import jax

    from jaxlm import models, training
    from jaxlm.devices import Layout

    settings = training.OptimizerConfig(
        learning_rate=LEARNING_RATE,
        warmup=0,
        decay="constant",
        weight_decay=WEIGHT_DECAY,
        clip_norm=options["clip"],
    )
    optimizer, schedule = training.make_optimizer(settings, 1000), settings.schedule(1000)
    model = models.build(config, "masked_lm")
    step = training.make_train_step(
        training.masked_lm_loss(masking), model.apply, optimizer, schedule, clip_norm=settings.clip_norm
    )
    layout = Layout(tuple(devices))
    state = layout.replicate(training.init_state(model, optimizer, jax.random.key(0)))
    return layout.parallel(step, (False, True), is_reduced=True, donate=(0,)), state


def trained(step, state, batches):
    """Returns a function that trains on the next batch and waits for the result."""
    import jax

    from jaxlm.devices import Layout

    layout, held = Layout(tuple(jax.local_devices()[:1])), [state]

    def once() -> int:
        batch = next(batches)
        held[0], metrics = step(held[0], layout.divide(batch))
        jax.block_until_ready(held[0])
        if not np.isfinite(float(metrics["loss_sum"])):
            raise FloatingPointError("the loss is not finite")
        return int((batch.segments > 0).sum())

    return once


def full(options: dict):
    """Rows without padding, of ids drawn at random, 15 % of each masked."""
    from jaxlm import corruption, data, training

    batch, length = options["batch"], options["length"]
    generator = np.random.default_rng(0)
    tokens = generator.integers(FIRST_WORD, VOCABULARY, (batch, length), dtype=np.int32)
    row, column = (grid.astype(np.int32) for grid in np.indices((batch, length)))
    rows = data.Batch(
        tokens=tokens,
        segments=np.ones_like(tokens),
        positions=column,
        example_ids=row,
        offsets=column,
        epochs=np.zeros(batch, np.int32),
    )
    forbidden = np.arange(VOCABULARY) < FIRST_WORD
    ids = np.arange(FIRST_WORD, VOCABULARY, dtype=np.int32)
    parts = [(0.8, corruption.to_mask(MASK_ID)), (0.1, corruption.to_random(ids)), (0.1, corruption.keep())]
    noise = corruption.Noise(
        corruption.NoiseConfig(rate=0.15), corruption.mixture(parts), MASK_ID, ids, forbidden, None, None
    )
    masking = training.Masking(noise, batch * round(0.15 * length + 0.5))
    return itertools.repeat(rows), masking, {"rows": [batch, length]}


def packed(options: dict):
    """The embedded corpus's functions in packed rows, as many real tokens a step as the peer's batch has."""
    import dataclasses

    from jaxlm import corruption, data, tokenizers, training

    prepared = data.prepare(data.DataConfig(), tokenizers.TokenizerConfig())
    cache, length = prepared.caches["train"], options["length"]
    plan = data.plan_packing(cache.lengths, length, long="truncate")
    batches = data.Batches(cache, plan, batch_size=options["batch"], seed=0)
    config = dataclasses.replace(model_config(options), vocab_size=VOCABULARY)
    split = training.Split(cache, plan)
    masking = training.make_masking(
        corruption.NoiseConfig(rate=0.15), config, prepared.tokenizer, split, options["batch"]
    )
    facts = {"rows": [options["batch"], length], "padding_share": plan.padding_share}
    return (batches[step] for step in itertools.count()), masking, facts


if __name__ == "__main__":
    serve(start)
