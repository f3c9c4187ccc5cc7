"""The models and the texts of `bytes.py`; every side opens the same folder."""

import argparse
import json
from pathlib import Path
from typing import Any

from _scoring_models import CAUSAL
from _step_scores_texts import sources

PROMPT_BYTES = 48


def prepare(file: Path, options: argparse.Namespace) -> str:
    """Writes prompts and the text that is scored, of this Python's source, and returns the file's name."""
    pieces = [text for text in sources(400) if text.isascii() and len(text) > PROMPT_BYTES]
    prompts = [text[:PROMPT_BYTES] for text in pieces[: max(options.batches)]]
    text = "\n\n\n".join(pieces)[: max(8000, options.bytes)]
    file.write_text(json.dumps({"prompts": prompts, "text": text}))
    return str(file)


def random_model(folder: Path) -> None:
    """Writes a tiny model of random parameters, to see that everything runs."""
    from jaxlm import tokenizers

    tokenizer = tokenizers.train_subwords(sources(400), vocab_size=600)
    save(folder, tokenizer, vocab_size=600, width=32, depth=2, num_heads=2, max_length=1024)


def gpt2_model(folder: Path, gpt2: Path, **shape: Any) -> None:
    """Writes a model of random parameters with GPT-2's published vocabulary."""
    import tokenizers as hf

    from jaxlm import tokenizers

    backend = hf.ByteLevelBPETokenizer(str(gpt2 / "vocab.json"), str(gpt2 / "merges.txt"))
    backend.add_special_tokens(["<|endoftext|>"])
    tokenizer = tokenizers.Tokenizer.from_json(backend.to_str())
    save(folder, tokenizer, vocab_size=50_257, max_length=1024, **shape)


def save(folder: Path, tokenizer: Any, **shape: Any) -> None:
    import jax
    import jax.numpy as jnp

    from jaxlm import models, pretrained

    config = models.TransformerConfig(**CAUSAL, **shape)
    model = models.build(config, "causal_lm")
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
    pretrained.save_huggingface(folder, pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {}))


def opening_id(folder: str) -> int:
    """Returns the id before every text: that of [CLS], or of <|endoftext|>."""
    table = json.loads((Path(folder) / "tokenizer.json").read_text())
    ids = {token["content"]: token["id"] for token in table["added_tokens"]}
    return ids.get("[CLS]", ids.get("<|endoftext|>"))
