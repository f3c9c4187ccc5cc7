"""lm-evaluation-harness on a tiny random GPT-2: `jaxlm` says what the harness's own `hf` says."""

import json
import shutil

import jax
import jax.numpy as jnp
import pytest

from jaxlm import cli, data, models, pretrained, scoring, tokenizers
from jaxlm.scoring._harness import HarnessModel, refuse_unknown_arguments

LINES = [f"{word} number {n} goes on and on" for n in range(6) for word in ("First", "Second", "Third")]
TASKS = {
    "choice": """
task: tiny_choice
output_type: multiple_choice
doc_to_text: "{{question}} "
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
target_delimiter: ""
metric_list:
  - metric: acc
  - metric: acc_norm
""",
    "rolling": """
task: tiny_rolling
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list:
  - metric: word_perplexity
  - metric: bits_per_byte
""",
    "written": """
task: tiny_written
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{text}}"
generation_kwargs:
  until: ["on", "zz"]
  max_gen_toks: 8
  do_sample: false
metric_list:
  - metric: exact_match
""",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model, its tokenizer, local data and three tasks on it."""
    for needed in ("lm_eval", "torch", "transformers"):
        pytest.importorskip(needed)
    folder = tmp_path_factory.mktemp("harness")
    _model(folder / "gpt2")
    documents = [
        {
            "question": line,
            "choices": [" yes it is", " no", "."],
            "answer": n % 3,
            "text": f"{line} {line} " * (n + 1),
        }
        for n, line in enumerate(LINES[:6])
    ]
    (folder / "data.jsonl").write_text("".join(json.dumps(one) + "\n" for one in documents))
    (folder / "tasks").mkdir()
    for name, text in TASKS.items():
        where = (
            f"dataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {folder / 'data.jsonl'}\n"
            f"test_split: test\n"
        )
        (folder / "tasks" / f"{name}.yaml").write_text(text.strip() + "\n" + where)
    return folder


def _model(folder):
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(LINES, trainer)
    end = {f"{name}_token": "<|endoftext|>" for name in ("bos", "eos", "unk")}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **end)
    torch.manual_seed(0)
    size = {"vocab_size": len(tokenizer), "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 32}
    config = transformers.GPT2Config(**size, bos_token_id=0, eos_token_id=0, initializer_range=0.3)
    transformers.GPT2LMHeadModel(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def evaluated(place, model, out):
    """The samples and results of a model on the three tasks."""
    code = cli.main(
        [
            *("lm-eval", "run", "--model", model, "--model_args", f"pretrained={place / 'gpt2'}"),
            *("--include_path", str(place / "tasks"), "--tasks", "tiny_choice,tiny_rolling,tiny_written"),
            *("--output_path", str(out), "--log_samples", "--device", "cpu", "--batch_size", "2"),
        ]
    )
    assert code == 0
    (results,) = out.rglob("results_*.json")
    samples = {}
    for path in out.rglob("samples_*.jsonl"):
        task = next(name for name in ("choice", "rolling", "written") if name in path.name)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        samples[task] = [line["resps"] for line in sorted(lines, key=lambda line: line["doc_id"])]
    return json.loads(results.read_text())["results"], samples


def _number(value):
    """The number within lists of one."""
    return _number(value[0]) if isinstance(value, list) else float(value)


@pytest.mark.filterwarnings("ignore")
def test_the_same_numbers_as_the_harness_itself(place, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    theirs, their_samples = evaluated(place, "hf", tmp_path / "hf")
    ours, our_samples = evaluated(place, "jaxlm", tmp_path / "jaxlm")
    for task in ("tiny_choice", "tiny_rolling", "tiny_written"):
        for name, value in theirs[task].items():
            if isinstance(value, float):
                assert ours[task][name] == pytest.approx(value, abs=1e-3), (task, name)
    for theirs_one, ours_one in zip(their_samples["choice"], our_samples["choice"], strict=True):
        for (their_choice,), (our_choice,) in zip(theirs_one, ours_one, strict=True):
            assert float(our_choice[0]) == pytest.approx(float(their_choice[0]), abs=1e-3)
            assert str(our_choice[1]) == str(their_choice[1])
    totals = [[_number(one) for one in samples["rolling"]] for samples in (our_samples, their_samples)]
    # A float32 sum over up to 200 tokens, in another order.
    assert totals[0] == pytest.approx(totals[1], abs=1e-3)
    assert our_samples["written"] == their_samples["written"]
    assert any(text for one in our_samples["written"] for text in one[0])


@pytest.mark.filterwarnings("ignore")
def test_of_requests_that_are_too_long_the_harness_own_tokens_are_read(place, tmp_path):
    """With a tokenizer that opens every text: its opening token is the first that is cut."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM
    from tokenizers import processors
    from transformers import AutoTokenizer

    shutil.copytree(place / "gpt2", tmp_path / "gpt2")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "gpt2")
    opened = processors.TemplateProcessing(single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)])
    tokenizer.backend_tokenizer.post_processor = opened
    tokenizer.save_pretrained(tmp_path / "gpt2")
    pairs = [("First number 1 goes on and on " * n, f" Third number {n}") for n in range(8)]
    pairs += [("<|endoftext|>First", " on"), ("", "<|endoftext|>First on")]
    requests = [Instance("loglikelihood", {}, pair, 0) for pair in pairs]
    hf = HFLM(pretrained=str(tmp_path / "gpt2"), device="cpu", dtype="float32")
    model = HarnessModel(str(tmp_path / "gpt2"))
    # One by one: in a batch theirs takes two requests of the same ids for one, divided as the first.
    theirs = [hf.loglikelihood([request])[0] for request in requests]
    ours = model.log_likelihoods(pairs)
    assert [one for one, _ in ours] == pytest.approx([one for one, _ in theirs], abs=1e-3)
    assert [one for _, one in ours] == [one for _, one in theirs]
    texts = ["", "First on", "<|endoftext|>First on", "First number 1 goes on and on " * 9]
    rolling = hf.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, (text,), 0) for text in texts])
    assert model.rolling(texts) == pytest.approx(rolling, abs=1e-3) and rolling[0]


def test_requests_are_read_as_far_as_the_model_reads(tmp_path):
    # As GPT-2's: its file puts nothing around texts, and there is a token that begins them.
    plain = tokenizers.with_frame(tokenizers.bytes_tokenizer(), tokenizers.Frame())
    tokenizer = tokenizers.Tokenizer.from_json(plain.to_json(), {"bos": "[CLS]"})
    config = models.TransformerConfig(
        vocab_size=tokenizer.vocab_size,
        width=8,
        depth=1,
        num_heads=1,
        max_length=1100,
        causal=True,
        position="learned",
        init_std=0.5,
    )
    model = models.build(config, "causal_lm")
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
    pretrained.save_model(tmp_path, config, params, tokenizer, kind="causal_lm")
    harness, long = HarnessModel(str(tmp_path)), "to be or " * 120
    short = harness.rolling(["to be"])[0]
    # Rows are as long as the engine makes them until a text is longer.
    assert harness._scorers["log-likelihood"].engine.config.row_length == 1024
    (whole,), ((rest, greedy),) = harness.rolling([long]), harness.log_likelihoods([(long[:5], long[5:])])
    assert harness._scorers["log-likelihood"].engine.config.row_length == 1100
    assert not greedy and harness.rolling([""]) == [0.0]
    config = scoring.EngineConfig(row_length=1100)
    measure = scoring.LogLikelihood(bos="document", window=1100, long="error")
    (first, expected) = scoring.score(harness.loaded, ["to be", long], measure, config)
    assert short == pytest.approx(first.values["log_likelihood"], abs=1e-3)
    assert whole == pytest.approx(expected.values["log_likelihood"], abs=1e-2)
    record = data.Record("", long[5:], {"context": long[:5]})
    (expected,) = scoring.score(harness.loaded, record, scoring.Conditional(bos="none"), config)
    assert rest == pytest.approx(expected.values["log_likelihood"], abs=1e-2)


def test_arguments_without_an_effect_are_refused_by_name():
    with pytest.raises(scoring.ScoreError, match="jaxlm has no max_len, peft; it has pretrained, dtype"):
        refuse_unknown_arguments({"peft": "x", "max_len": 8, "dtype": "float32", "batch_size": "4"})
