"""Whatever a file holds, what is said of it is a line written for it: the last resort is never reached.

Every kind of file is damaged, seeds fixed, and read by the doors that commands read it by, in this process. A
few of each kind run daily; `pytest --long tests/test_mutated_files.py` runs as many as CI has time for, and
`JAXLM_MUTANTS=20000 pytest --long tests/test_mutated_files.py` that many of each kind, by hand.
"""

import contextlib
import gzip
import json
import os
import random
import shutil
import warnings
from io import StringIO

import jax
import jax.numpy as jnp
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxlm import data, decoding, io, models, pretrained, scoring, tokenizers, training
from jaxlm.cli import main
from jaxlm.cli._failures import describe
from tests.mutants import mutated
from tests.scoring.fakes import Fake

SIZE = {"vocab_size": 300, "width": 8, "depth": 1, "num_heads": 2, "max_length": 16}
TEXTS = ["to be or not to be", "that is the question", "whether tis nobler", "in the mind to suffer"] * 3
DAILY = 6


def read_tokenizer(folder):
    tokenizer = tokenizers.load(folder)
    assert tokenizer.vocab_size >= 0
    ids = tokenizer.encode("To be, or not: é漢 [MASK] 12")
    tokenizer.encode("To be", add_specials=True)
    tokenizers.file_frame(tokenizer)
    assert len(tokenizer.special_ids) <= tokenizer.vocab_size
    tokenizer.decode(ids[:5])
    [tokenizer.token(id) for id in range(min(tokenizer.vocab_size, 20))]
    tokenizers.Tokenizer.from_json(tokenizer.to_json(), tokenizer.role_names())


def read_model(folder):
    pretrained.inspect(folder)


def read_generation(folder):
    values = pretrained._load._values(folder / "generation_config.json")
    asked = decoding.with_defaults(decoding.GenerationConfig(), {"generation": dict(values)})
    decoding.unfollowed(asked, {"generation": dict(values)})


def read_corpus(path, **how):
    """Both ways of reading: on, behind what is broken, and up to it."""
    list(data.open_source(path, broken="yield", max_document=1 << 20, **how))
    list(data.open_source(path, max_document=1 << 20, **how))


def read_job(folder):
    source = scoring.file_source(folder / "corpus", keep=())
    list(scoring.run_job(Fake(), source, str(folder / "out"), scoring.JobConfig(part_documents=4)))
    list(scoring.read_parts(str(folder / "out")))


def read_cache(folder):
    data.TokenCache(folder)


def read_run(folder):
    with contextlib.redirect_stdout(StringIO()):
        said = StringIO()
        with contextlib.redirect_stderr(said):
            code = main(["info", str(folder)])
    if "failed at" in said.getvalue():
        raise AssertionError(said.getvalue())
    assert code in (0, 1, 2) and said.getvalue().count("\n") <= 3
    training.read_metrics(folder)
    training.load_experiment(folder)


def make_tokenizers(folder):
    gpt2 = tokenizers.train_subwords(TEXTS, vocab_size=280)
    gpt2.save(folder)
    values = {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False, "bos_token": "[CLS]"}
    values["added_tokens_decoder"] = {"281": {"content": "<x>", "special": True, "lstrip": False}}
    (folder / "tokenizer_config.json").write_text(json.dumps(values))
    (folder / "special_tokens_map.json").write_text(json.dumps({"mask_token": {"content": "[MASK]"}}))
    (folder / "added_tokens.json").write_text("{}")


def make_old_tokenizers(folder):
    content = json.loads(tokenizers.bytes_tokenizer().to_json())
    (folder / "vocab.json").write_text(json.dumps({**content["model"]["vocab"], "ab": 260}))
    (folder / "merges.txt").write_text("#version: 0.2\na b\n")


def make_word_pieces(folder):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "to", "be", "##e", "or", "not", "é"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")


def make_models(folder):
    for name, config in {
        "ours": models.TransformerConfig(causal=True, **SIZE),
        "gpt2": models.TransformerConfig(
            causal=True, activation="gelu_tanh", head="linear", head_bias=False, **SIZE
        ),
    }.items():
        model = models.build(config, "causal_lm")
        params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
        loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizers.bytes_tokenizer(), {})
        (folder / name).mkdir()
        if name == "ours":
            pretrained.save_model(folder / name, config, params, None, objective="causal_lm")
        else:
            pretrained.save_huggingface(folder / name, loaded)
    told = {"eos_token_id": [2, 3], "bad_words_ids": [[7], [8, 9]], "num_beams": 4, "max_length": 20}
    (folder / "generation_config.json").write_text(json.dumps(told))


def make_corpora(folder):
    lines = [json.dumps({"text": text, "id": str(n), "n": n}) for n, text in enumerate(TEXTS)]
    contents = {
        "c.jsonl": "\n".join(lines),
        "c.csv": "text,n\n" + "\n".join(f'"{text}",{n}' for n, text in enumerate(TEXTS)),
        "c.fasta": "\n".join(f">s{n} about it\nMKTAYIAK\nQR" for n in range(6)),
        "c.txt": "\n".join(TEXTS),
    }
    for name, content in contents.items():
        (folder / name).write_text(content + "\n")
    (folder / "c.txt.gz").write_bytes(gzip.compress(contents["c.txt"].encode()))
    (folder / "c.jsonl.zst").write_bytes(
        pa.compress(contents["c.jsonl"].encode(), codec="zstd", asbytes=True)
    )
    table = pa.table({"text": TEXTS, "n": list(range(len(TEXTS))), "s": [{"a": 1}] * len(TEXTS)})
    pq.write_table(table, folder / "c.parquet", row_group_size=5)


def make_job(folder):
    (folder / "corpus").mkdir()
    (folder / "corpus" / "c.txt").write_text("\n".join(TEXTS) + "\n")
    read_job(folder)


def make_cache(folder):
    tokenizer = tokenizers.bytes_tokenizer()
    records = [data.Record(str(n), text, {}) for n, text in enumerate(TEXTS)]
    cache = data.build_cache(lambda: iter(records), tokenizer, folder, source_fingerprint="x")
    for path in cache.folder.iterdir():
        shutil.copy(path, folder / path.name)


def make_run(folder):
    experiment = training.Experiment()
    (folder / "experiment.json").write_text(json.dumps(experiment.to_dict()))
    losses = [{"step": n, "split": "train", "loss": 5.0 / n, "accuracy": 0.1} for n in range(1, 4)]
    losses.append({"step": 3, "split": "validation", "loss": 2.0, "perplexity": 7.4})
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, losses)) + "\n")
    checkpoint = folder / "checkpoints" / "00000003"
    (checkpoint / "state").mkdir(parents=True)
    (checkpoint / "meta.json").write_text(json.dumps({"step": 3, "validation_loss": 2.5, "data": "x"}))
    training.write_digests(checkpoint)


# By kind: who makes the files, the one that is damaged, who reads, and how many of the long run's share.
KINDS = {
    "tokenizer.json": (make_tokenizers, "tokenizer.json", read_tokenizer, 16),
    "tokenizer_config.json": (make_tokenizers, "tokenizer_config.json", read_tokenizer, 16),
    "special_tokens_map.json": (make_tokenizers, "special_tokens_map.json", read_tokenizer, 16),
    "added_tokens.json": (make_tokenizers, "added_tokens.json", read_tokenizer, 16),
    "vocab.json": (make_old_tokenizers, "vocab.json", read_tokenizer, 16),
    "merges.txt": (make_old_tokenizers, "merges.txt", read_tokenizer, 16),
    "vocab.txt": (make_word_pieces, "vocab.txt", read_tokenizer, 16),
    "config.json of ours": (make_models, "ours/config.json", read_model, 2),
    "config.json of GPT-2": (make_models, "gpt2/config.json", read_model, 2),
    "safetensors": (make_models, "ours/model.safetensors", read_model, 2),
    "generation_config.json": (make_models, "generation_config.json", read_generation, 16),
    "jsonl": (make_corpora, "c.jsonl", read_corpus, 16),
    "csv": (make_corpora, "c.csv", read_corpus, 16),
    "fasta": (make_corpora, "c.fasta", read_corpus, 16),
    "text": (make_corpora, "c.txt", read_corpus, 16),
    "gz": (make_corpora, "c.txt.gz", read_corpus, 16),
    "zst": (make_corpora, "c.jsonl.zst", read_corpus, 16),
    "parquet": (make_corpora, "c.parquet", read_corpus, 16),
    "job.json": (make_job, "out/job.json", read_job, 1),
    "plan.json": (make_job, "out/plan.json", read_job, 1),
    "manifest.json of a job": (make_job, "out/manifest.json", read_job, 1),
    "part": (make_job, "out/parts/part-000001.parquet", read_job, 1),
    "manifest.json of a cache": (make_cache, "manifest.json", read_cache, 16),
    "experiment.json": (make_run, "experiment.json", read_run, 2),
    "metrics.jsonl": (make_run, "metrics.jsonl", read_run, 1),
    "meta.json": (make_run, "checkpoints/00000003/meta.json", read_run, 1),
}
SHARES = sum(share for *_, share in KINDS.values())
IN_ALL = 20_000


def check(kind, folder, count, first=0):
    """Damages the file of a kind `count` times and reads each."""
    make, name, read, _ = KINDS[kind]
    whole = folder / "whole"
    whole.mkdir()
    make(whole)
    content, tried = (whole / name).read_bytes(), folder / "tried"
    is_json = ".json" in name and not name.endswith(".zst")
    shutil.copytree(whole, tried)
    reads_folder = read in (read_model, read_corpus)
    wrong = []
    for seed in range(first, first + count):
        if read is read_job:
            shutil.rmtree(tried)
            shutil.copytree(whole, tried)
        (tried / name).write_bytes(mutated(content, random.Random(f"{kind} {seed}"), is_json=is_json))
        place = tried / name if reads_folder else tried
        line = _said(read, place.parent if read is read_model else place)
        if line is not None:
            wrong.append(f"{seed}: {line}")
    assert not wrong, f"{len(wrong)} of {count}:\n" + "\n".join(wrong[:8])


def _said(read, place):
    """What the command line would say, where it is its last resort."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(place)
    except io.DamagedError:
        return None  # whoever opens a cache builds it again
    except Exception as error:
        _, line = describe(error)
        return line if line.startswith(("failed", "out of memory")) else None
    return None


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_of_each_kind(kind, tmp_path):
    check(kind, tmp_path, DAILY)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_many_of_each_kind(kind, tmp_path):
    asked = os.environ.get("JAXLM_MUTANTS")
    check(kind, tmp_path, int(asked) if asked else IN_ALL * KINDS[kind][3] // SHARES, first=DAILY)
