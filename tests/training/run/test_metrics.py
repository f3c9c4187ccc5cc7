"""Sums are exact, and a log is cut back to where a run goes on."""

import json
import math

from jaxlm.training import read_metrics
from jaxlm.training.run._metrics import MetricsWindow, append_line, truncate_metrics

STEP = {
    "bad": 0,
    "loss_sum": 6.0,
    "weight": 4.0,
    "correct": 3,
    "tokens": 100,
    "overflow": 1,
    "grad_norm": 2.0,
}
BAD = dict.fromkeys(STEP, 0) | {"bad": 1, "tokens": 100}


def test_means_are_of_sums_and_bad_steps_count_as_such():
    window = MetricsWindow().add(STEP, None).add(STEP | {"weight": 8.0, "loss_sum": 30.0}, 0.5).add(BAD, 0.5)
    line = window.line(3, 0.1)
    assert (line["loss"], line["accuracy"], line["grad_norm"]) == (3.0, 0.5, 2.0)
    assert (line["scored"], line["tokens"], line["overflow"], line["bad_steps"]) == (12, 300, 2, 1)
    # The first step is not timed: 200 tokens in a second.
    assert line["tokens_per_second"] == 200.0


def test_counts_do_not_round():
    window = MetricsWindow(tokens=2**53)
    assert window.add(STEP | {"tokens": 1}, 0.0).tokens == 2**53 + 1


def test_a_window_survives_json():
    window = MetricsWindow().add(STEP, 0.125)
    assert MetricsWindow(**json.loads(json.dumps(window._asdict()))) == window


def test_nothing_masked_is_no_number_and_null_in_the_file(tmp_path):
    window = MetricsWindow().add(BAD, None)
    assert math.isnan(window.loss) and math.isnan(window.tokens_per_second)
    append_line(tmp_path, window.line(1, 0.1))
    (text,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(text, parse_constant=lambda name: name)["loss"] is None


def test_cutting_back_drops_later_lines_a_torn_one_and_the_last_evaluation(tmp_path):
    for step, split in ((10, "train"), (20, "train"), (20, "validation"), (20, "test"), (30, "train")):
        append_line(tmp_path, {"step": step, "split": split})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 5, "spl')
    truncate_metrics(tmp_path, 20)
    found = [(line["step"], line["split"]) for line in read_metrics(tmp_path)]
    assert found == [(10, "train"), (20, "train"), (20, "validation")]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_cutting_back_keeps_what_changed_from_the_step_on_at_which_the_run_goes_on(tmp_path):
    for step, value in ((10, 1), (30, 2), (40, 3)):
        append_line(tmp_path, {"step": step, "changed": "run.keep_last", "before": value, "after": value + 1})
    truncate_metrics(tmp_path, 20)
    assert [(line["step"], line["after"]) for line in read_metrics(tmp_path)] == [(10, 2), (20, 3), (20, 4)]


def test_no_log_is_no_lines(tmp_path):
    assert read_metrics(tmp_path) == []


def test_lines_with_something_else_in_the_place_of_a_score_are_left_out(tmp_path):
    import json

    from jaxlm import training

    lines = [{"step": 1, "split": "train", "loss": 2.0}, {"step": 2, "loss": 1}, {"step": 3, "loss": None}]
    odd = [{"step": 4, "loss": value} for value in ("x", [1], {}, True, 10**400)]
    odd += [{"step": 4, "accuracy": "x"}, {"step": 4, "split": ["a"]}, {"step": "4"}, {"step": True}, 5, []]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, [*odd, *lines])) + "\n" + "[" * 5000)
    assert training.read_metrics(tmp_path) == lines
