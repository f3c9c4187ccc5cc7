"""Writes what genlm-bytes 0.2.0 says of a tiny GPT-2: the model, and distributions of the next byte.

    python3.11 -m venv genlm
    genlm/bin/pip install genlm-bytes==0.2.0
    genlm/bin/python tests/decoding/bytes/golden/make.py

Beside this file lie then a folder that Hugging Face's classes and jaxlm both open, and `numbers.json`. The
model's numbers are sines, so that they are the same everywhere. Thresholds are off. A beam of 64 holds every
tokenization of these texts; of a small beam the distribution is that after `prune`, and a text ends with null
where the beam dies.
"""

import asyncio
import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from genlm.backend import load_model_by_name
from genlm.bytes import BeamParams, ByteBeamState

HERE = Path(__file__).parent
END = "<|endoftext|>"
MERGES = (
    "t h,th e,Ġ the,Ġ a,o g,d og,Ġ dog,a t,c at,Ġ cat,Ġ cats,s at,Ġ s,Ġs at,Ċ Ċ,Ã ©,a t,i n,in g,l l,ll ing"
)
TEXTS = ("the cats sat", "dog's é\n\ncalling the dog", " at\xff\x00")
ASKED = (0, 1, 2, 5, 9, 12, 17)
WIDE, NARROW = 64, 3


def main() -> None:
    write(HERE / "gpt2")
    model = load_model_by_name(str(HERE / "gpt2"), backend="hf", llm_opts={"hf_opts": {"device_map": "cpu"}})
    found = {
        "made_with": {name: version(name) for name in ("genlm-bytes", "genlm-backend", "torch")},
        "cases": [
            asyncio.run(numbers(model, text.encode("latin-1" if "\xff" in text else "utf-8"), beam))
            for text in TEXTS
            for beam in (WIDE, NARROW)
        ],
    }
    text = json.dumps(found, indent=1, allow_nan=False)
    (HERE / "numbers.json").write_text(
        re.sub(r"\[([^\[\]{}]*)\]", lambda row: f"[{' '.join(row[1].split())}]", text) + "\n"
    )


async def numbers(model: Any, text: bytes, num_candidates: int) -> dict[str, Any]:
    """Returns the log-prob of every prefix of a text, and some distributions of what follows."""
    params = BeamParams(K=num_candidates, prune_threshold=0.0, eos_byte_strings={END.encode()}, heal=False)
    state = await ByteBeamState.initial(model, params)
    log_probs, followers = [], {}
    for size in range(len(text) + 1):
        state = state.prune()
        if not len(state):  # nothing goes on with the byte
            log_probs.append(None)
            break
        log_probs.append(round(float(state.logZ), 5))
        if size in ASKED:
            row = (await state.logp_next()).ps
            slots = [*row[:256], row[257]]
            followers[size] = [None if slot == -torch.inf else round(float(slot), 4) for slot in slots]
        if size < len(text):
            state = await (state << text[size])
    return {
        "text": list(text),
        "num_candidates": num_candidates,
        "log_probs": log_probs,
        "followers": followers,
    }


def write(folder: Path) -> None:
    """Writes GPT-2 over bytes and a few merges of them."""
    folder.mkdir(exist_ok=True)
    names = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    merges = []
    for pair in MERGES.split(","):
        left, _, right = pair.partition(" ")
        if left in names and right in names and left + right not in names:
            merges.append((left, right))
            names.append(left + right)
    vocab = {name: number for number, name in enumerate([*names, END])}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, merges))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    transformers.GPT2TokenizerFast(
        tokenizer_object=backend, bos_token=END, eos_token=END, unk_token=END
    ).save_pretrained(folder)
    for other in ("vocab.json", "merges.txt"):  # tokenizer.json holds both
        (folder / other).unlink(missing_ok=True)
    config = transformers.GPT2Config(
        vocab_size=len(vocab),
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=64,
        bos_token_id=vocab[END],
        eos_token_id=vocab[END],
    )
    model = transformers.GPT2LMHeadModel(config)
    with torch.no_grad():
        for number, (name, weights) in enumerate(sorted(model.named_parameters()), start=1):
            places = torch.arange(1, weights.numel() + 1, dtype=torch.float64)
            values = torch.sin(places * places * 0.37 + number).reshape(weights.shape).to(weights.dtype)
            weights.copy_(1 + 0.1 * values if "ln" in name and "weight" in name else 0.4 * values)
    model.save_pretrained(folder)


if __name__ == "__main__":
    main()
