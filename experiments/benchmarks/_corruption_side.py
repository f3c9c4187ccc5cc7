"""One side of `corruption_throughput.py`, in a process of its own: the collator, or one of our processes."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from _sides import serve

VOCABULARY, NUM_SPECIALS, MASK_ID, RATE = 30_522, 5, 4, 0.15
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VARIANTS = {
    "bernoulli": {"count": "bernoulli"},
    "exact": {"count": "exact"},
    "cosine, bernoulli": {"count": "bernoulli", "schedule": "cosine"},
    "cosine, exact": {"count": "exact", "schedule": "cosine"},
    "words, exact": {"count": "exact", "unit": "word"},
    "other id, bernoulli": {"count": "bernoulli"},
    "matrix, bernoulli": {"count": "bernoulli"},
    "spans": {},
}


def start(options: dict) -> tuple[Callable[[], int], dict]:
    """Returns a step of the side that `options["side"]` names, and what it runs on."""
    if options["side"] == "collator":
        return _collator(options)
    step, device = ours(options)
    return lambda: step() or options["batch"] * options["length"], {"warmup": 3, "device": device}


def ids(options: dict) -> list[list[int]]:
    """Returns rows of ids without specials, the same for every side."""
    generator = random.Random(0)
    return [
        generator.choices(range(NUM_SPECIALS, VOCABULARY), k=options["length"])
        for _ in range(options["batch"])
    ]


def ours(options: dict) -> tuple[Callable[[], Any], str]:
    """Returns a step that corrupts a batch of NumPy arrays, transfer included, and the device's kind."""
    import jax
    import numpy as np

    shape = (options["batch"], options["length"])
    columns = np.tile(np.arange(shape[1], dtype=np.int32), (shape[0], 1))
    rows = np.tile(np.arange(shape[0], dtype=np.int32)[:, None], (1, shape[1]))
    batch = Rows(np.array(ids(options), np.int32), columns * 0 + 1, rows, columns, columns[:, 0])
    function = jax.jit(_process(options["side"]))
    rng = jax.random.key(0)
    return lambda: jax.block_until_ready(function(rng, batch)) and None, jax.devices()[0].device_kind


class Rows(NamedTuple):
    """A batch's fields."""

    tokens: Any
    segments: Any
    example_ids: Any
    offsets: Any
    epochs: Any


def _process(side: str) -> Callable[[Any, Rows], Any]:
    import jax.numpy as jnp
    import numpy as np

    from jaxlm import corruption

    special = np.arange(VOCABULARY) < NUM_SPECIALS
    if side == "spans":
        sentinels = jnp.arange(VOCABULARY, VOCABULARY + 100)
        return lambda rng, batch: corruption.corrupt_spans(
            rng,
            batch.tokens,
            corruption.corruptible(batch.tokens, batch.segments, special),
            example_ids=batch.example_ids,
            offsets=batch.offsets,
            segments=batch.segments,
            epochs=batch.epochs,
            sentinel_ids=sentinels,
        )
    words = np.flatnonzero(~special).astype(np.int32)
    bert = corruption.mixture(
        [(0.8, corruption.to_mask(MASK_ID)), (0.1, corruption.to_random(words)), (0.1, corruption.keep())]
    )
    replacements = {
        "other id, bernoulli": corruption.to_other(words),
        "matrix, bernoulli": corruption.by_matrix(corruption.blosum62_transitions(), words[:20]),
    }
    config = corruption.NoiseConfig(rate=RATE, **VARIANTS[side])
    # Two in five ids continue a word, as pieces of English do.
    opens, zeros = np.arange(VOCABULARY) % 5 < 3, np.zeros(VOCABULARY, np.uint8)
    noise = corruption.Noise(
        config,
        replacements.get(side, bert),
        MASK_ID,
        words,
        special,
        corruption.UnitBoundaries(opens, zeros, zeros) if config.unit == "word" else None,
        corruption.fraction_table(config),
    )
    return lambda rng, batch: corruption.corrupt_batch(rng, batch, noise)


def _collator(options: dict) -> tuple[Callable[[], int], dict]:
    import tokenizers
    import transformers

    vocabulary = {name: id_ for id_, name in enumerate(SPECIALS)}
    vocabulary |= {f"w{id_}": id_ for id_ in range(NUM_SPECIALS, VOCABULARY)}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    roles = dict(zip(("pad", "unk", "cls", "sep", "mask"), SPECIALS, strict=True))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, **{f"{role}_token": name for role, name in roles.items()}
    )
    collate = transformers.DataCollatorForLanguageModeling(tokenizer, mlm_probability=RATE)
    rows = [{"input_ids": row} for row in ids(options)]
    return lambda: collate(rows)["input_ids"].numel(), {"warmup": 1, "device": "cpu"}


if __name__ == "__main__":
    serve(start)
