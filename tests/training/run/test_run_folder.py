"""Whose folder it is."""

import pytest

from jaxlm import io, training
from jaxlm.training.run._run_folder import begin_run, check_run_folder, clear_leftovers, lock_run_folder


def test_a_missing_or_empty_folder_is_free(tmp_path, experiment):
    assert check_run_folder(tmp_path / "new", experiment, resume=False) is False
    assert check_run_folder(tmp_path, experiment, resume=True) is False
    assert list(tmp_path.iterdir()) == []


def test_what_systems_leave_in_a_folder_is_nobodys(tmp_path, experiment):
    (tmp_path / "checkpoints").mkdir()
    for name in (".DS_Store", "._x", "Thumbs.db", "checkpoints/.DS_Store"):
        (tmp_path / name).write_bytes(b"\0")
    assert check_run_folder(tmp_path, experiment, resume=False) is False


def test_a_run_is_not_written_over(tmp_path, experiment):
    begin_run(tmp_path, experiment)
    with pytest.raises(ValueError, match="already holds a run: continue it by --resume, or name another"):
        check_run_folder(tmp_path, experiment, resume=False)
    assert check_run_folder(tmp_path, experiment, resume=True) is True
    assert training.load_experiment(tmp_path) == experiment


def test_another_experiment_is_named_by_what_differs(tmp_path, changed):
    begin_run(tmp_path, changed(seed=1, batch_size=8))
    with pytest.raises(
        ValueError, match=r"run\.batch_size: 8 and 16; run\.seed: 1 and 2; resume with the same"
    ) as refused:
        check_run_folder(tmp_path, changed(seed=2, batch_size=16), resume=True)
    assert "\n" not in str(refused.value)


def test_what_changes_no_parameter_may_differ(tmp_path, changed):
    begin_run(tmp_path, changed(log_every=1, keep_last=1))
    assert check_run_folder(tmp_path, changed(log_every=5, keep_last=4, save_every=3), resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_somebody_elses_folder_is_left_alone(tmp_path, experiment, resume):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty and holds no run"):
        check_run_folder(tmp_path, experiment, resume=resume)
    with pytest.raises(ValueError, match="is a file"):
        check_run_folder(tmp_path / "thesis.txt", experiment, resume=resume)


def test_a_broken_experiment_is_one_line(tmp_path, experiment):
    (tmp_path / "experiment.json").write_text("{")
    with pytest.raises(ValueError, match=r"experiment\.json is not JSON") as refused:
        check_run_folder(tmp_path, experiment, resume=True)
    assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match=r"holds no run: it has no experiment\.json"):
        training.load_experiment(tmp_path / "nowhere")


LEFT = {
    "nothing": [],
    "an empty folder": ["checkpoints/"],
    "half of a checkpoint": ["checkpoints/.saving-00000001/"],
    "half of the experiment": [".experiment.json.712.partial"],
    "what earlier versions left": ["experiment.json.new", "checkpoints/"],
}


@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT)
def test_a_run_that_was_killed_before_it_had_begun_can_be_begun(tmp_path, experiment, left):
    for name in left:
        (tmp_path / name).mkdir(parents=True) if name.endswith("/") else (tmp_path / name).touch()
    for resume in (False, True):
        assert check_run_folder(tmp_path, experiment, resume=resume) is False
    clear_leftovers(tmp_path)
    begin_run(tmp_path, experiment)
    assert {path.name for path in tmp_path.iterdir()} <= {"experiment.json", "checkpoints"}
    assert not list(tmp_path.glob("checkpoints/*"))


@pytest.mark.parametrize("name", ["checkpoints/00000001/a", "checkpoints/mine.txt", "mine.partial", ".mine"])
def test_what_may_be_of_worth_is_no_leftover(tmp_path, experiment, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match="is not empty and holds no run"):
        check_run_folder(tmp_path, experiment, resume=False)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(io.WriteError) as refused, lock_run_folder(tmp_path / "file" / "run"):
        pass
    assert refused.value.filename == str(tmp_path / "file" / "run")
