import errno
import json
import resource

import matplotlib.image
import numpy as np
import pytest

from jaxlm import reports

LINES = [
    {"step": 10, "split": "train", "loss": 6.0},
    {"step": 20, "split": "train", "loss": 5.0},
    {"step": 20, "split": "validation", "loss": 5.5, "unigram_nll": 6.0},
    {"step": 20, "split": "test", "loss": 5.6},
    {"step": 30, "split": "train", "loss": None},
]


def drawn(folder, lines, **options):
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    reports.draw_curve(folder / "metrics.jsonl", folder / "curve.png", **options)
    return (matplotlib.image.imread(folder / "curve.png")[..., :3] * 255).round().astype(int)


def has(picture, colour):
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return bool((picture == np.array(wanted)).all(axis=-1).any())


def test_every_series_is_in_the_picture_in_its_colour(tmp_path):
    picture = drawn(tmp_path, LINES, baseline=5.8)
    assert picture.shape == (675, 1200, 3)
    assert all(has(picture, colour) for colour in ("#4477aa", "#cc3311", "#228833"))


def test_without_a_baseline_its_line_is_left_out(tmp_path):
    assert not has(drawn(tmp_path, LINES), "#228833")


def test_without_held_out_scores_the_training_loss_is_drawn_alone(tmp_path):
    picture = drawn(tmp_path, LINES[:2])
    assert has(picture, "#4477aa")


@pytest.mark.parametrize("lines", [[], [{"step": 1, "split": "train", "loss": None}]])
def test_nothing_to_draw_is_said(tmp_path, lines):
    with pytest.raises(ValueError, match="no loss to draw"):
        drawn(tmp_path, lines)


def test_a_full_disk_leaves_the_old_picture(tmp_path):
    drawn(tmp_path, LINES)
    before, limits = (tmp_path / "curve.png").read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match=r"curve\.png") as caught:
            reports.draw_curve(tmp_path / "metrics.jsonl", tmp_path / "curve.png", baseline=5.8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG
    assert (tmp_path / "curve.png").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", "curve.png"}
