"""Our side of `embed.py`: a scorer of embeddings that is kept from pass to pass."""

import json
from pathlib import Path

from _sides import serve

SHOWN = 64


def start(options: dict):
    """Returns a step, which makes the vectors of all texts, and what there is to tell."""
    from jaxlm.devices import keep_memory

    keep_memory()
    from jaxlm import data, pretrained, scoring

    folder = Path(options["folder"])
    scorer = scoring.make_scorer(pretrained.load(folder), "embedding")
    texts = json.loads((folder / "texts.json").read_text())
    records = [data.Record(str(number), text, {}) for number, text in enumerate(texts)]
    found: list = []

    def step() -> int:
        found[:] = [row["vector"] for row in scorer(records)]
        return options["tokens"]

    def tell() -> dict:
        return {
            "vectors": [vector.tolist() for vector in found[:SHOWN]],
            "padding_share": scorer.work.padding_share,
        }

    return step, {"warmup": 1, "tell": tell}


if __name__ == "__main__":
    serve(start)
