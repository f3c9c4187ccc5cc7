"""Vectors of texts of mixed length: ours against sentence-transformers, from one folder of its kind.

    python experiments/benchmarks/embed.py --peer-python /path/to/venv/bin/python
    python experiments/benchmarks/embed.py --small --rounds 1                 # a smoke test, ours alone

The model has MiniLM's shape (6 x 384, 30,522 ids) and random parameters; its vectors are means over all
tokens, divided by their length. The texts are functions and classes of this Python's library, of 4 to 256
tokens; none is cut. Rates are tokens a second in float32, those that open and close a text not counted, the
median over turns of whole passes. Programs are compiled and texts are read once before the first turn. How
far the vectors are apart is told, too: at most 1e-5.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from _machine import describe
from _scoring_models import definitions
from _sides import Side, alternate

LONGEST = 256


def main() -> None:
    options = arguments()
    print(json.dumps(describe()))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        told = prepare(folder, 60 if options.small else options.texts, small=options.small)
        print(json.dumps(told))
        given = {"folder": name, "tokens": told["tokens"]}
        sides = [Side("jaxlm", "_embed_jaxlm.py", given, {"JAX_PLATFORMS": "cpu"})]
        if options.peer_python:
            peer = given | {"batch": options.batch}
            script = "_embed_sentence_transformers.py"
            sides.append(Side("sentence-transformers", script, peer, None, options.peer_python))
        alternate(sides, options.rounds, 1)
        results = summary(sides)
        for side in sides:
            side.close()
    for line, value in results.items():
        print(f"  {line}: {value}")
    if options.out:
        written = {"machine": describe(), "texts": told, "results": results}
        Path(options.out).write_text(json.dumps(written, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=32, help="the peer's batch size")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="a tiny model, to see that all runs")
    parser.add_argument("--peer-python", help="an interpreter with sentence-transformers")
    parser.add_argument("--out", help="a JSON file for everything")
    return parser.parse_args()


def summary(sides: list[Side]) -> dict:
    """Returns the rates, their ratio, how far the vectors are apart, and what failed."""
    done = [side for side in sides if side.turns]
    results: dict = {f"{side.name}, tokens/s": round(side.rate()) for side in done}
    if len(done) == 2:
        results["ratio"] = round(done[0].rate() / done[1].rate(), 3)
        ours, theirs = (np.array(side.ask()["vectors"]) for side in done)
        results["apart by at most"] = float(np.abs(ours - theirs).max())
    return results | {f"{side.name} failed": side.failure for side in sides if side.failure}


def prepare(folder: Path, number: int, *, small: bool) -> dict:
    """Writes a sentence-transformers folder and `texts.json` into it, and says how much there is."""
    import random

    import jax
    import jax.numpy as jnp

    from jaxlm import data, models, pretrained, tokenizers

    texts = sorted({text for record in data.python_source() for text in definitions(record.text)})
    random.Random(0).shuffle(texts)
    tokenizer = tokenizers.train_subwords(texts[:2000], vocab_size=8192)
    lengths = [len(ids) for ids in tokenizer.encode_batch(texts[: 4 * number])]
    kept = [
        (text, length) for text, length in zip(texts, lengths, strict=False) if 4 <= length <= LONGEST - 2
    ]
    kept = kept[:number]
    size = {"width": 32, "depth": 1, "num_heads": 2} if small else {"width": 384, "depth": 6, "num_heads": 12}
    config = models.TransformerConfig(
        vocab_size=30_522,
        mlp_width=4 * size["width"],
        max_length=512,
        position="learned",
        norm_placement="post",
        embedding_norm=True,
        norm_epsilon=1e-12,
        token_types=2,
        **size,
    )
    model = models.build(config, models.BODY_ALONE)
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
    trained = {"experiment": {"data": {"ends": True}}}
    loaded = pretrained.Loaded(config, models.BODY_ALONE, model, params, tokenizer, trained)
    name = pretrained.save_huggingface(folder, loaded)
    write_modules(folder)
    (folder / "texts.json").write_text(json.dumps([text for text, _ in kept]))
    num_tokens = sum(length for _, length in kept)
    return {"class": name, "texts": len(kept), "tokens": num_tokens}


def write_modules(folder: Path) -> None:
    """Writes what sentence-transformers puts around a transformer: a mean over all tokens, of length 1."""
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(kinds.items())
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": LONGEST}))
    for path in ("1_Pooling", "2_Normalize"):
        (folder / path).mkdir()
    width = json.loads((folder / "config.json").read_text())["hidden_size"]
    pooling = {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


if __name__ == "__main__":
    main()
