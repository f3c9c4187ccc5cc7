"""What the benchmarks' numbers rest on: the turns, the counting and the FLOPs; none of it times a model."""

import importlib
import sys
from pathlib import Path

import pytest

from jaxlm import tokenizers

BENCHMARKS = Path(__file__).resolve().parents[2] / "experiments" / "benchmarks"

WORKER = """
import sys
sys.path.insert(0, {benchmarks!r})
from _sides import serve

def start(options):
    if options.get("fails"):
        raise RuntimeError("no such thing\\nwith details")
    tell = lambda: {{"later": options["tokens"] + 1}}
    return lambda: options["tokens"], {{"warmup": 1, "told": options["tokens"], "tell": tell}}

serve(start)
"""


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module
    for name in [name for name, module in sys.modules.items() if str(BENCHMARKS) in str(module)]:
        del sys.modules[name]


@pytest.fixture
def worker(tmp_path):
    path = tmp_path / "worker.py"
    path.write_text(WORKER.format(benchmarks=str(BENCHMARKS)))
    return str(path)


def test_sides_take_turns_and_count_tokens(load, worker, capsys):
    sides = load("_sides")
    few, many = (sides.Side(str(tokens), worker, {"tokens": tokens}) for tokens in (10, 1000))
    sides.alternate([few, many], rounds=3, steps=2, pause=0.0)
    for side, tokens in ((few, 10), (many, 1000)):
        assert side.facts["told"] == tokens
        assert [turn.tokens for turn in side.turns] == [tokens] * 3
        assert side.rate() > 0
        assert side.ask()["later"] == tokens + 1
        side.close()
    assert "round 3 of 3" in capsys.readouterr().err


def test_a_side_that_fails_is_told_in_one_line_and_the_others_go_on(load, worker):
    sides = load("_sides")
    broken, whole = sides.Side("broken", worker, {"fails": True}), sides.Side("whole", worker, {"tokens": 1})
    sides.alternate([broken, whole], rounds=1, steps=1, pause=0.0)
    assert (broken.failure, broken.turns) == ("RuntimeError: no such thing", [])
    assert len(whole.turns) == 1
    broken.close()
    whole.close()


def test_flops_of_bert_base(load):
    shape = load("_shape")
    ours, full = shape.step_flops(8, 128, 160), shape.step_flops(8, 128, 1024)
    assert ours.body == full.body
    # 84,934,656 parameters in the products of 12 layers; scores and weighted sums of 128 keys of 768 numbers.
    assert ours.body == 6 * 84_934_656 * 1024 + 12 * 1024 * 12 * 128 * 768
    assert full.head == 6.4 * ours.head


def test_an_unknown_device_has_no_peak(load):
    machine = load("_machine")
    assert machine.peak_flops("NVIDIA H100 80GB HBM3") == machine.peak_flops("NVIDIA H200") == 989.4e12
    assert machine.peak_flops("cpu") is None


@pytest.mark.parametrize(
    "name",
    [
        *("masked_lm_step", "mixed_lengths", "import_time", "_jaxlm_side", "_torch_side"),
        *("step_scores", "_step_scores_jaxlm", "_step_scores_inseq"),
        *("bytes", "_bytes_texts", "_bytes_jaxlm", "_bytes_genlm"),
        *("embed", "_embed_jaxlm", "_embed_sentence_transformers"),
    ],
)
def test_each_opens_without_its_peers(load, name):
    assert load(name).__doc__


def test_a_step_of_generation_reads_every_kernel_and_what_was_kept(load):
    shape = load("_generation_shape")
    weights = 12 * 12 * 768 * 768 + 50_257 * 768
    assert shape.step_bytes(shape.Shape(), 1, 0, 4) == 4 * weights
    assert shape.step_bytes(shape.Shape(), 8, 100, 2) == 2 * (weights + 8 * 100 * 12 * 2 * 768)


def test_pieces_for_scoring_come_in_the_same_turns_for_all(load, tmp_path):
    shapes = load("_scoring_models")
    assert shapes.definitions("import os\n\ndef one():\n    pass\n\nclass Two:\n    x = 1\n") == [
        "def one():\n    pass",
        "class Two:\n    x = 1",
    ]
    assert shapes.definitions("def broken(:") == []
    lines = [f'{{"text": "{number}", "tokens": 4}}' for number in range(5)]
    (tmp_path / "pieces.jsonl").write_text("\n".join(lines) + "\n")
    turns = shapes.turns(str(tmp_path), 7)
    found = [[piece["text"] for piece in next(turns)] for _ in range(4)]
    assert found == [["0", "1"], ["2", "3"], ["4"], ["0", "1"]]


def test_scoring_costs_its_products(load):
    shapes = load("_scoring_models")
    shape = shapes.SHAPES["gpt2-124m"]
    assert shapes.flops(shape, 1, 0) == 2 * 12 * 12 * 768**2
    assert shapes.flops(shape, 0, 3) == 2 * 3 * 768 * 50_257


def test_questions_are_prompts_that_are_gone_on_from_and_others_before_the_same(load):
    texts, tokenizer = load("_step_scores_texts"), tokenizers.bytes_tokenizer()
    shape = texts.SMALL._replace(prompt=4, continuation=2)
    encoded = [(text, tokenizer.encode(text)) for text in ("abcdefgh", "short", "ijklmnop", "qrstuvwx")]
    (question,) = texts.questions_of(tokenizer, encoded, shape, 5)
    assert question == {"prompt": "abcd", "whole": "abcdef", "other": "ijkl", "contrast": "ijklef"}
    assert list(texts.questions_of(tokenizer, encoded, shape._replace(prompt=7), 5)) == []


def test_a_question_whose_text_has_other_ids_is_not_asked(load):
    texts, tokenizer = load("_step_scores_texts"), tokenizers.bytes_tokenizer()
    shape = texts.SMALL._replace(prompt=4, continuation=2)
    # The prompt would end within a letter of two bytes.
    encoded = [(text, tokenizer.encode(text)) for text in ("abcéfgh", "ijklmnop", "abcdefgh", "qrstuvwx")]
    prompts = [question["prompt"] for question in texts.questions_of(tokenizer, encoded, shape, 5)]
    assert prompts == ["abcd"]


def test_step_scores_are_compared_batch_by_batch(load):
    scores = load("step_scores")
    rates = {
        "jaxlm batch 1": 30.0,
        "jaxlm batch 4": 60.0,
        "inseq batch 1 eager": 2.0,
        "inseq batch 4 sdpa": 5.0,
    }
    assert (scores.ratio(rates, "batch 1"), scores.ratio(rates, "batch")) == (15.0, 12.0)


def test_both_sides_of_bytes_open_texts_with_the_same_token(load, tmp_path):
    texts = load("_bytes_texts")
    texts.random_model(tmp_path / "model")
    tokenizer = tokenizers.load_tokenizer(tmp_path / "model")
    assert tokenizer.token(texts.opening_id(str(tmp_path / "model"))) == "[CLS]"


def test_medians_of_turns_leave_the_first_out(load):
    assert load("_bytes_jaxlm").zip_medians([(9.0, 9.0), (1.0, 4.0), (2.0, 5.0), (3.0, 9.0)]) == [2.0, 5.0]
