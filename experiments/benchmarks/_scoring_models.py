"""The models, the pieces and the FLOPs of `scoring.py`; every side opens the same folder."""

import ast
import json
import random
from pathlib import Path
from typing import NamedTuple


class Shape(NamedTuple):
    """A language model of random parameters."""

    objective: str
    vocab_size: int
    width: int
    depth: int
    heads: int
    context: int


SHAPES = {
    "gpt2-7m": Shape("causal_lm", 50_257, 128, 2, 4, 1024),
    "gpt2-124m": Shape("causal_lm", 50_257, 768, 12, 12, 1024),
    "gpt2-7m-250k": Shape("causal_lm", 250_002, 128, 2, 4, 1024),
    "bert-base": Shape("masked_lm", 30_522, 768, 12, 12, 512),
    "tiny-gpt2": Shape("causal_lm", 600, 32, 2, 2, 256),
    "tiny-bert": Shape("masked_lm", 600, 32, 2, 2, 256),
}
FORMULA = (
    "2 FLOPs a matmul parameter: 12 D^2 a layer for each token read, D V (BERT: D^2 + D V) for each asked"
)


def flops(shape: Shape, read: int, asked: int) -> float:
    """Returns what products alone cost, attention's left out: see `FORMULA`.

    >>> round(flops(SHAPES["gpt2-124m"], 1, 1) / 1e6)
    247
    """
    head = shape.width * shape.vocab_size + (shape.width**2 if shape.objective == "masked_lm" else 0)
    return 2.0 * (read * shape.depth * 12 * shape.width**2 + asked * head)


def prepare(folder: Path, name: str, number: int, longest: int, seed: int = 0) -> dict:
    """Writes the model and `pieces.jsonl`, definitions of this Python's library, and says how many."""
    import jax
    import jax.numpy as jnp

    from jaxlm import data, models, pretrained, tokenizers

    shape = SHAPES[name]
    texts = sorted({text for record in data.python_source() for text in definitions(record.text)})
    random.Random(seed).shuffle(texts)
    tokenizer = tokenizers.train_subwords(texts[:4000], vocab_size=min(8192, shape.vocab_size))
    lengths = ((text, len(ids)) for text, ids in zip(texts, tokenizer.encode_batch(texts), strict=True))
    pieces = [(text, length) for text, length in lengths if 4 <= length <= longest][:number]
    config = models.TransformerConfig(
        vocab_size=shape.vocab_size,
        width=shape.width,
        depth=shape.depth,
        num_heads=shape.heads,
        max_length=shape.context,
        **CAUSAL if shape.objective == "causal_lm" else MASKED,
    )
    model = models.build(config, shape.objective)
    params = jax.jit(model.init)(jax.random.key(seed), jnp.zeros((1, 4), jnp.int32))["params"]
    loaded = pretrained.Loaded(config, shape.objective, model, params, tokenizer, {})
    pretrained.save_huggingface(folder, loaded)
    settings = folder / "tokenizer_config.json"
    ends = {"bos_token": "[CLS]", "eos_token": "[SEP]", "pad_token": "[PAD]"}
    settings.write_text(json.dumps(json.loads(settings.read_text()) | ends))
    lines = (json.dumps({"text": text, "tokens": length}) for text, length in pieces)
    (folder / "pieces.jsonl").write_text("\n".join(lines) + "\n")
    return {"pieces": len(pieces), "tokens": sum(length for _, length in pieces)}


CAUSAL = {"causal": True, "activation": "gelu_tanh", "head": "linear", "head_bias": False}
MASKED = {
    "norm_placement": "post",
    "norm_epsilon": 1e-12,
    "embedding_norm": True,
    "token_types": 2,
    "head_bias": True,
}


def definitions(source: str) -> list[str]:
    """The functions and classes at the top of a module, as they are written."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        return []
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [ast.get_source_segment(source, node) for node in body if isinstance(node, kinds)]


def turns(folder: str, size: int):
    """Yields the pieces of one turn after another, some `size` tokens each, and begins again at the end.

    Every side goes through the same turns.
    """
    pieces = [json.loads(line) for line in (Path(folder) / "pieces.jsonl").read_text().splitlines()]
    while True:
        turn, tokens = [], 0
        for piece in pieces:
            turn.append(piece)
            tokens += piece["tokens"]
            if tokens >= size:
                yield turn
                turn, tokens = [], 0
        if turn:
            yield turn
