"""What is written is what is read, the last and the best stay, and damage is left out."""

import errno
import json
import logging
import os
import random
import resource
import time
from types import SimpleNamespace

import numpy as np
import pytest

from jaxlm import io, training
from jaxlm.training.run import _checkpoints

TREE = {
    "params": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)},
    "opt_state": (np.array(7, np.int32), {"mu": np.array([0.1, np.nan, -0.0], np.float32)}),
    "step": np.array(3, np.int32),
}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def save_all(folder, losses, **options):
    writer = training.CheckpointWriter(folder, **{"keep_last": 2, "keep_best": 1, **options})
    for step, loss in losses.items():
        writer.save(step, TREE, {"validation_loss": loss})
    writer.finished(wait=True)
    writer.close()


def steps(folder):
    return [checkpoint.step for checkpoint in training.checkpoints(folder)]


def test_what_is_read_is_what_was_written_bit_for_bit(folder):
    save_all(folder, {3: 1.5})
    (checkpoint,) = training.checkpoints(folder)
    assert checkpoint.meta == {"step": 3, "validation_loss": 1.5}
    read = training.load_arrays(checkpoint, TREE)
    assert read["params"]["kernel"].dtype == np.float32 and read["step"].dtype == np.int32
    for ours, theirs in (
        (read["params"]["kernel"], TREE["params"]["kernel"]),
        (read["opt_state"][0], TREE["opt_state"][0]),
        (read["opt_state"][1]["mu"], TREE["opt_state"][1]["mu"]),
    ):
        assert ours.tobytes() == theirs.tobytes()


def test_the_last_and_the_best_stay(folder):
    save_all(folder, {1: 3.0, 2: 1.0, 3: 2.0, 4: None, 5: 4.0, 6: None})
    assert steps(folder) == [2, 5, 6]


def test_of_equally_good_ones_the_later_stays(folder):
    save_all(folder, {1: 1.0, 2: 1.0, 3: 2.0}, keep_last=1)
    assert steps(folder) == [2, 3]


def test_none_of_the_best_may_be_asked_for(folder):
    save_all(folder, {1: 1.0, 2: 2.0, 3: 3.0}, keep_last=1, keep_best=0)
    assert steps(folder) == [3]


def test_a_step_saved_again_replaces_itself(folder):
    save_all(folder, {1: 1.0})
    save_all(folder, {1: 2.0})
    assert [one.meta["validation_loss"] for one in training.checkpoints(folder)] == [2.0]


def test_damaged_ones_are_left_out_and_moved_aside(folder):
    save_all(folder, {1: 1.0, 2: None, 3: None}, keep_last=3)
    for step, cut in ((3, 0), (2, 1)):
        files = [path for path in (folder / f"{step:08d}" / "state").rglob("*") if path.is_file()]
        path = max(files, key=lambda path: path.stat().st_size)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 16
        path.write_bytes(content[: len(content) - cut])
    checkpoint, lines = training.last_good(folder)
    assert checkpoint.step == 1
    assert [line.split(" is damaged")[0] for line in lines] == ["checkpoint 3", "checkpoint 2"]
    assert all("SHA-256 differs" in line and "\n" not in line for line in lines)
    assert steps(folder) == [1]
    assert sorted(path.name for path in folder.glob("*.damaged")) == ["00000002.damaged", "00000003.damaged"]


STRAYS = [".DS_Store", "._meta.json", ".nfs000000000001", "Thumbs.db", "desktop.ini", "notes.txt", "empty/"]


@pytest.mark.parametrize("name", STRAYS)
def test_what_lies_in_a_checkpoint_beside_its_files_is_no_damage(folder, name):
    save_all(folder, {1: 1.0, 2: None})
    for inner in [path for path in folder.rglob("*") if path.is_dir()] + [folder]:
        (inner / name).mkdir() if name.endswith("/") else (inner / name).write_bytes(b"\0\1Bud1")
    checkpoint, lines = training.last_good(folder)
    assert (checkpoint.step, lines) == (2, [])
    read = training.load_arrays(checkpoint, TREE)
    assert read["params"]["kernel"].tobytes() == TREE["params"]["kernel"].tobytes()
    assert steps(folder) == [1, 2]


def test_nothing_that_was_moved_aside_is_ever_removed(folder):
    for _ in range(3):
        save_all(folder, {1: 1.0})
        (folder / "00000001" / "meta.json").write_text("{}")
        assert training.last_good(folder)[0] is None
    names = ["00000001.damaged", "00000001.damaged-2", "00000001.damaged-3"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert all((folder / name / "state").is_dir() for name in names)


def test_a_flipped_bit_of_a_checkpoint_is_seen_or_changes_nothing(folder):
    save_all(folder, {1: 1.0})
    (checkpoint,), draw = training.checkpoints(folder), random.Random(0)
    digests = json.loads((checkpoint.folder / "sha256.json").read_text())
    for path in [path for path in checkpoint.folder.rglob("*") if path.is_file()] * 4:
        content = path.read_bytes()
        damaged = bytearray(content)
        damaged[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        if training.verify_digests(checkpoint.folder) is None:
            assert json.loads((checkpoint.folder / "sha256.json").read_text()) == digests
        path.write_bytes(content)


def test_folders_of_other_names_are_no_checkpoints(folder):
    save_all(folder, {1: 1.0})
    for name in ("²", "7", "00000009.damaged", "1" * 200, "000000007", "٠٠٠٠٠٠٠٣"):
        (folder / name).mkdir()
    assert steps(folder) == [1]


def test_a_loss_that_is_not_as_it_was_written_is_none(folder):
    """It would be the best for ever, and the best would go."""
    save_all(folder, {1: 1.0, 2: 3.0}, keep_last=2)
    path = folder / "00000002" / "meta.json"
    path.write_text(path.read_text().replace("3.0", "0.0"))
    assert [one.meta.get("validation_loss") for one in training.checkpoints(folder)] == [1.0, None]
    save_all(folder, {3: None, 4: None})
    assert steps(folder) == [1, 3, 4]


def test_half_a_checkpoint_is_none(folder):
    save_all(folder, {1: 1.0})
    (folder / "00000009").mkdir()
    (folder / "00000009" / "meta.json").write_text('{"step": 9')
    checkpoint, (line,) = training.last_good(folder)
    assert checkpoint.step == 1 and line == "checkpoint 9 is damaged and is left out: sha256.json is missing"


def test_an_empty_or_missing_folder_has_none(folder):
    assert training.last_good(folder) == (None, [])


def test_leftovers_of_a_kill_are_cleared(folder):
    for name in (".saving-00000004", ".removing-00000002"):
        (folder / name / "state").mkdir(parents=True)
    save_all(folder, {5: 1.0})
    assert sorted(path.name for path in folder.iterdir()) == ["00000005"]


def no_room(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def no_room_as_orbax_says_it(*_):
    raise ValueError(
        "RESOURCE_EXHAUSTED: Failed to write: No space left on device [os_error_code='28']\nmore"
    )


def test_a_disk_that_is_too_small_is_not_begun_with(folder, monkeypatch):
    monkeypatch.setattr(_checkpoints.shutil, "disk_usage", lambda _: SimpleNamespace(free=7))
    monkeypatch.setattr(_checkpoints, "_write_arrays", lambda *_: pytest.fail("Orbax was called"))
    writer = training.CheckpointWriter(folder, keep_last=1, keep_best=0)
    writer.save(2, TREE, {})
    with pytest.raises(OSError, match="No space left on device") as refused:
        writer.finished(wait=True)
    writer.close()
    assert refused.value.errno == errno.ENOSPC and refused.value.filename.endswith("00000002")
    assert not list(folder.iterdir())


@pytest.mark.parametrize("failure", [no_room, no_room_as_orbax_says_it])
def test_no_room_is_one_line_and_loses_nothing(folder, monkeypatch, failure):
    save_all(folder, {1: 1.0})
    monkeypatch.setattr(_checkpoints, "_write_arrays", failure)
    writer = training.CheckpointWriter(folder, keep_last=1, keep_best=0)
    writer.save(2, TREE, {})
    with pytest.raises(OSError, match="No space left on device") as refused:
        writer.finished(wait=True)
    writer.close()
    assert refused.value.errno == errno.ENOSPC and refused.value.filename.endswith("00000002")
    assert "\n" not in str(refused.value)
    assert [path.name for path in folder.iterdir()] == ["00000001"]
    assert training.last_good(folder)[0].step == 1


def test_orbax_does_not_log_what_it_raises():
    logger = logging.getLogger("absl")
    level = logger.level
    with _checkpoints._unlogged():
        assert not logger.isEnabledFor(logging.ERROR)
    assert logger.level == level


def test_another_model_is_refused_by_name(folder):
    save_all(folder, {1: 1.0})
    (checkpoint,) = training.checkpoints(folder)
    other = TREE | {"params": {"kernel": np.zeros((2, 4), np.float32), "bias": np.zeros(4, np.float32)}}
    with pytest.raises(ValueError, match=r"of another model: 2 arrays differ, params\.bias first"):
        training.load_arrays(checkpoint, other)


def test_a_checkpoint_too_large_for_the_system_is_one_line(folder, capfd):
    save_all(folder, {1: 1.0})
    writer = training.CheckpointWriter(folder, keep_last=1, keep_best=0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        noise = np.random.default_rng(0)
        writer.save(2, {f"a{n}": noise.random(4000) for n in range(30)}, {})
        with pytest.raises(io.WriteError) as refused:
            writer.finished(wait=True)
        writer.close()
        # What Orbax had begun beside ends a moment later, and says nothing.
        time.sleep(0.3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert refused.value.errno == errno.EFBIG and refused.value.filename == str(folder / "00000002")
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in folder.iterdir()] == ["00000001"]


def test_a_folder_that_is_gone_does_not_come_back(tmp_path):
    writer = training.CheckpointWriter(tmp_path / "run/checkpoints", keep_last=1, keep_best=0)
    writer.save(2, TREE, {})
    with pytest.raises(io.WriteError) as refused:
        writer.finished(wait=True)
    writer.close()
    assert refused.value.errno == errno.ENOENT and not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [".saving-", ".removing-"])
@pytest.mark.parametrize("is_whole", [True, False])
def test_a_kill_between_two_names_loses_no_checkpoint(folder, kind, is_whole):
    save_all(folder, {1: 1.0, 2: 2.0})
    (folder / "00000002").rename(folder / f"{kind}00000002")
    if not is_whole:
        (folder / f"{kind}00000002/meta.json").unlink()
    training.CheckpointWriter(folder, keep_last=1, keep_best=0).close()
    assert sorted(os.listdir(folder)) == (["00000001", "00000002"] if is_whole else ["00000001"])
    assert training.last_good(folder)[0].step == (2 if is_whole else 1)
