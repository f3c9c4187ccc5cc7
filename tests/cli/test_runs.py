import pytest

from jaxlm.cli._failures import UsageError
from jaxlm.cli._runs import run_folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_runs_are_numbered_by_name(here):
    assert str(run_folder("text", None, resume=False)) == "runs/text-1"
    assert (here / "runs/text-1").is_dir()
    for name in ("text-9", "text-long-30", "other-40", "text-x"):
        (here / "runs" / name).mkdir(parents=True)
    assert str(run_folder("text", None, resume=True)) == "runs/text-9"
    assert str(run_folder("text", None, resume=False)) == "runs/text-10"
    assert str(run_folder("text", None, resume=False)) == "runs/text-11"


def test_a_named_folder_is_taken_as_it_is(here):
    assert str(run_folder("text", "elsewhere/x", resume=False)) == "elsewhere/x"


def test_there_must_be_a_run_to_resume(here):
    with pytest.raises(UsageError, match="no run to resume: there is no runs/text-N here"):
        run_folder("text", None, resume=True)
    with pytest.raises(UsageError, match="no run to resume in elsewhere"):
        run_folder("text", "elsewhere", resume=True)


def test_the_last_run_that_has_begun_is_gone_on_with(here):
    for number, files in ((1, ["experiment.json"]), (2, ["experiment.json"]), (3, [])):
        (here / f"runs/text-{number}").mkdir(parents=True)
        for name in files:
            (here / f"runs/text-{number}" / name).touch()
    assert str(run_folder("text", None, resume=True)) == "runs/text-2"
