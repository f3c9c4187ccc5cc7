"""Files of every kind of place, who reads them, and what is said of them once they are damaged.

`python -m tests.mutated_files job 20000` damages so many files of jobs, seeds fixed, and prints each after
which a command would have reached its last resort.
"""

import contextlib
import functools
import gzip
import json
import logging
import random
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import pyarrow as pa
import pyarrow.parquet as pq

from jaxlm import data, decoding, io, models, pretrained, scoring, tokenizers, training
from jaxlm.cli import main
from jaxlm.cli._failures import exit_code_and_line
from jaxlm.pretrained._description import read_description
from jaxlm.pretrained._huggingface import read_config
from jaxlm.pretrained._weights import open_weights
from jaxlm.scoring.jobs._finish import done_parts
from jaxlm.scoring.jobs._job import make_job as describe_the_job
from jaxlm.scoring.jobs._manifest import check_store
from jaxlm.scoring.jobs._plan import read_plan
from tests.mutants import mutated
from tests.scoring.fakes import Fake

SIZE = {"vocab_size": 300, "width": 8, "depth": 1, "num_heads": 2, "max_length": 16}
TEXTS = ["to be or not to be", "that is the question", "whether tis nobler", "in the mind to suffer"] * 3
# One in so many is read by all that a command reads: programs are traced, jobs run, tables shown.
WHOLE = 30
CONFIG = scoring.JobConfig(part_documents=4)


def read_tokenizer(folder):
    tokenizer = tokenizers.load_tokenizer(folder)
    assert tokenizer.vocab_size >= 0
    ids = tokenizer.encode("To be, or not: é漢 [MASK] 12")
    tokenizer.encode("To be", add_specials=True)
    tokenizers.file_frame(tokenizer)
    assert len(tokenizer.special_ids) <= tokenizer.vocab_size
    tokenizer.decode(ids[:5])
    [tokenizer.token(id) for id in range(min(tokenizer.vocab_size, 20))]
    tokenizers.Tokenizer.from_json(tokenizer.to_json(), tokenizer.role_names())


def read_model(file):
    pretrained.inspect(file.parent)


def read_published_config(file):
    read_config(file, pretrained._load._values(file))


def read_weights(file):
    open_weights(file.parent)


def read_generation(file):
    values = pretrained._load._values(file)
    asked = decoding.with_defaults(decoding.GenerationConfig(), {"generation": dict(values)})
    decoding.ignored_rules(asked, {"generation": dict(values)})


def read_corpus(path):
    """Both ways of reading: on, behind what is broken, and up to it."""
    list(data.open_source_with_errors(path, max_document=1 << 20))
    list(data.open_source(path, max_document=1 << 20))


def source_of(out):
    return scoring.file_source(out.parent / "corpus", keep=())


@functools.cache
def job_of(out):
    return describe_the_job(Fake(), source_of(out), CONFIG)


def read_job_file(file):
    check_store(io.open_store(str(file.parent)), job_of(file.parent))


def read_plan_file(file):
    read_plan(io.open_store(str(file.parent)), job_of(file.parent))


def read_parts(out):
    list(scoring.read_parts(str(out)))


def read_part(file):
    out = file.parents[1]
    if 1 in done_parts(io.open_store(str(out)), job_of(out), shard=(2, 3)):
        read_parts(out)


def run_job(file):
    """As `jaxlm score` goes on, beside the whole job, which stays."""
    whole = next(folder for folder in file.parents if (folder / "corpus").exists())
    with contextlib.ExitStack() as kept:
        folder = whole.with_name("run")
        kept.callback(shutil.rmtree, folder)
        shutil.copytree(whole, folder)
        list(scoring.run_job(Fake(), source_of(folder / "out"), str(folder / "out"), CONFIG))
        read_parts(folder / "out")


def read_cache(file):
    data.TokenCache(file.parent)


def read_meta(file):
    training.checkpoints(file.parents[1])


def show_run(file):
    """As `jaxlm info` does."""
    run = next(folder for folder in file.parents if (folder / "experiment.json").exists())
    with contextlib.redirect_stdout(StringIO()), contextlib.redirect_stderr(StringIO()) as said:
        code = main(["info", str(run)])
    assert "failed at" not in said.getvalue(), said.getvalue()
    assert code in (0, 1, 2) and said.getvalue().count("\n") <= 3
    training.read_metrics(run)
    training.load_experiment(run)


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
            pretrained.save_model(folder / name, config, params, None, kind="causal_lm")
        else:
            pretrained.save_huggingface(folder / name, loaded)


def make_generation(folder):
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
    out = folder / "out"
    list(scoring.run_job(Fake(), source_of(out), str(out), CONFIG))


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


class File(NamedTuple):
    """One that is damaged: the kind of place it lies in, who makes that, its name there, and who reads."""

    kind: str
    make: Callable
    name: str
    read: Callable
    read_all: Callable | None = None


FILES = {
    "tokenizer.json": File("tokenizer", make_tokenizers, "tokenizer.json", read_tokenizer),
    "tokenizer_config.json": File("tokenizer", make_tokenizers, "tokenizer_config.json", read_tokenizer),
    "special_tokens_map.json": File("tokenizer", make_tokenizers, "special_tokens_map.json", read_tokenizer),
    "added_tokens.json": File("tokenizer", make_tokenizers, "added_tokens.json", read_tokenizer),
    "vocab.json": File("tokenizer", make_old_tokenizers, "vocab.json", read_tokenizer),
    "merges.txt": File("tokenizer", make_old_tokenizers, "merges.txt", read_tokenizer),
    "vocab.txt": File("tokenizer", make_word_pieces, "vocab.txt", read_tokenizer),
    "config.json": File("model", make_models, "ours/config.json", read_description, read_model),
    "GPT-2's": File("model", make_models, "gpt2/config.json", read_published_config, read_model),
    "safetensors": File("model", make_models, "ours/model.safetensors", read_weights, read_model),
    "generation_config.json": File("model", make_generation, "generation_config.json", read_generation),
    "jsonl": File("corpus", make_corpora, "c.jsonl", read_corpus),
    "csv": File("corpus", make_corpora, "c.csv", read_corpus),
    "fasta": File("corpus", make_corpora, "c.fasta", read_corpus),
    "text": File("corpus", make_corpora, "c.txt", read_corpus),
    "gz": File("corpus", make_corpora, "c.txt.gz", read_corpus),
    "zst": File("corpus", make_corpora, "c.jsonl.zst", read_corpus),
    "parquet": File("corpus", make_corpora, "c.parquet", read_corpus),
    "job.json": File("job", make_job, "out/job.json", read_job_file, run_job),
    "plan.json": File("job", make_job, "out/plan.json", read_plan_file, run_job),
    "manifest.json": File(
        "job", make_job, "out/manifest.json", lambda file: read_parts(file.parent), run_job
    ),
    "part": File("job", make_job, "out/parts/part-000001.parquet", read_part, run_job),
    "cache": File("cache", make_cache, "manifest.json", read_cache),
    "experiment.json": File(
        "run", make_run, "experiment.json", lambda file: training.load_experiment(file.parent), show_run
    ),
    "metrics.jsonl": File(
        "run", make_run, "metrics.jsonl", lambda file: training.read_metrics(file.parent), show_run
    ),
    "meta.json": File("run", make_run, "checkpoints/00000003/meta.json", read_meta, show_run),
}
KINDS = tuple(dict.fromkeys(file.kind for file in FILES.values()))


def last_resorts(which, folder, count, first=0, *, whole_each=1):
    """Damages a file `count` times, reads each, one in `whole_each` as a command does; returns the bugs."""
    file = FILES[which]
    whole, tried = folder / "whole", folder / "tried"
    whole.mkdir()
    file.make(whole)
    shutil.copytree(whole, tried)
    content, place = (whole / file.name).read_bytes(), tried / file.name
    is_json, wrong = ".json" in file.name and not file.name.endswith(".zst"), []
    for seed in range(first, first + count):
        place.write_bytes(mutated(content, random.Random(f"{which} {seed}"), is_json=is_json))
        lines = [_said(file.read, place)]
        if file.read_all is not None and seed % whole_each == 0:
            lines.append(_said(file.read_all, place))
        wrong += [f"{which} {seed}: {line}" for line in lines if line is not None]
    return wrong


def _said(read, place):
    """What the command line would say, where it is its last resort."""
    try:
        read(place.parent if read is read_tokenizer else place)
    except io.DamagedError:
        return None  # whoever opens a cache builds it again
    except Exception as error:
        _, line = exit_code_and_line(error)
        return line if line.startswith(("failed", "out of memory")) else None
    return None


@contextlib.contextmanager
def silence():
    """What is warned of is not looked at here."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def main_of(kind, count, first):
    """Damages the files of a kind, each as often as the others."""
    names = [name for name, file in FILES.items() if file.kind == kind]
    with silence(), tempfile.TemporaryDirectory() as folder:
        for name in names:
            place = Path(folder, name.replace("'", ""))
            place.mkdir()
            for line in last_resorts(name, place, -(-count // len(names)), first, whole_each=WHOLE):
                print(line, flush=True)


if __name__ == "__main__":
    main_of(sys.argv[1], int(sys.argv[2]), first=int(sys.argv[3]) if len(sys.argv) > 3 else 0)
