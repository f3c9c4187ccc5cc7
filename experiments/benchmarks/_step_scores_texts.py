"""The model and the texts of `step_scores.py`; every side opens the same folder."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from _scoring_models import CAUSAL, definitions


class Shape(NamedTuple):
    """A GPT-2, and the tokens of a prompt and of what follows it."""

    vocab_size: int = 8_000
    width: int = 256
    depth: int = 6
    heads: int = 4
    context: int = 256
    prompt: int = 128
    continuation: int = 64


SMALL = Shape(vocab_size=600, width=32, depth=2, heads=2, prompt=24, continuation=8)


def random_model(folder: Path, shape: Shape, seed: int = 0) -> None:
    """Writes a model of random parameters: what a step costs does not depend on what was learned."""
    import jax
    import jax.numpy as jnp

    from jaxlm import models, pretrained, tokenizers

    config = models.TransformerConfig(
        vocab_size=shape.vocab_size,
        width=shape.width,
        depth=shape.depth,
        num_heads=shape.heads,
        max_length=shape.context,
        embedding_dropout=0.1,
        attention_dropout=0.1,
        attention_output_dropout=0.1,
        mlp_dropout=0.1,
        **CAUSAL,
    )
    model = models.build(config, "causal_lm")
    params = jax.jit(model.init)(jax.random.key(seed), jnp.zeros((1, 4), jnp.int32))["params"]
    tokenizer = tokenizers.train_subwords(sources(400), vocab_size=shape.vocab_size)
    # Texts are opened by a token, as training does and as the tokenizer's own file says to others.
    ends = {"jaxlm_ends": {"opening": ["[CLS]"], "closing": ["[SEP]"]}}
    loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, ends)
    pretrained.save_huggingface(folder, loaded)


def sources(number: int) -> list[str]:
    """Functions and classes of this Python's library, in an order drawn once."""
    from jaxlm import data

    texts = sorted({text for record in data.python_source() for text in definitions(record.text)})
    random.Random(0).shuffle(texts)
    return texts[:number]


def prepare(model: Path, file: Path, shape: Shape, texts: int, mixed: int) -> dict[str, Any]:
    """Writes the questions and the mixed texts as JSON, and returns how many tokens there are of each.

    A question is a prompt, the prompt with what follows, another prompt, and that with the same behind it.
    Text and ids go over into each other both ways, so that every side reads the same ids.
    """
    from jaxlm import tokenizers

    tokenizer = tokenizers.load_tokenizer(model)
    encoded = [(text, tokenizer.encode(text)) for text in sources(40 * texts + 4 * mixed)]
    questions = list(questions_of(tokenizer, encoded, shape, texts))
    fitting = [(text, len(ids)) for text, ids in encoded if 4 <= len(ids) < shape.context][:mixed]
    written = {"questions": questions, "mixed": [text for text, _ in fitting]}
    written |= {"continuation": shape.continuation, "mixed_tokens": sum(length for _, length in fitting)}
    file.write_text(json.dumps(written))
    return {"texts": len(questions), "mixed": len(fitting), "mixed_tokens": written["mixed_tokens"]}


def questions_of(tokenizer: Any, encoded: list, shape: Shape, number: int) -> Iterator[dict[str, str]]:
    """Yields the first questions that the texts give."""
    whole = shape.prompt + shape.continuation
    long = [ids for _, ids in encoded if len(ids) >= whole]
    for ids, others in zip(long[0::2], long[1::2], strict=False):
        pieces = {
            "prompt": ids[: shape.prompt],
            "whole": ids[:whole],
            "other": others[: shape.prompt],
            "contrast": [*others[: shape.prompt], *ids[shape.prompt : whole]],
        }
        texts = {name: tokenizer.decode(list(map(int, piece))) for name, piece in pieces.items()}
        if all(list(tokenizer.encode(texts[name])) == list(piece) for name, piece in pieces.items()):
            yield texts
            number -= 1
        if not number:
            return
