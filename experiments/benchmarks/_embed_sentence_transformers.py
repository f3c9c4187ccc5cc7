"""The peer's side of `embed.py`: `SentenceTransformer.encode`, which sorts texts by length itself."""

import json
from pathlib import Path

from _sides import serve

SHOWN = 64


def start(options: dict):
    """Returns a step, which makes the vectors of all texts, and what there is to tell."""
    from sentence_transformers import SentenceTransformer

    folder = Path(options["folder"])
    model = SentenceTransformer(str(folder), device="cpu")
    texts = json.loads((folder / "texts.json").read_text())
    found: list = []

    def step() -> int:
        found[:] = model.encode(texts, batch_size=options["batch"], show_progress_bar=False)
        return options["tokens"]

    return step, {"warmup": 1, "tell": lambda: {"vectors": [vector.tolist() for vector in found[:SHOWN]]}}


if __name__ == "__main__":
    serve(start)
