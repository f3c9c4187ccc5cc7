import pytest

from jaxlm import training
from jaxlm.cli import _experiments, main
from jaxlm.cli._experiments import open_experiment
from jaxlm.cli._failures import UsageError

GOOD = """
from jaxlm import training


def get_experiment():
    return training.Experiment(run=training.RunConfig(steps=7))
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with experiments of its own, and none that come with jaxlm."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_experiments, "OWN_FOLDER", tmp_path / "installed" / "experiments")
    return tmp_path


def written(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_an_argument_it_is_the_embedded_default(here):
    assert open_experiment(None) == ("bytecode", training.Experiment(), None)


@pytest.mark.parametrize(
    "argument", ["my-protein", "my_protein", "experiments/my_protein", "experiments/my_protein/config.py"]
)
def test_a_folder_goes_by_its_name(here, argument):
    written(here / "experiments/my_protein/config.py", GOOD)
    name, experiment, _ = open_experiment(argument)
    assert (name, experiment.run.steps) == ("my_protein", 7)


def test_a_file_goes_by_its_stem(here):
    written(here / "quick.py", GOOD)
    assert open_experiment("quick.py").name == "quick"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = (", "bad.py:1: SyntaxError"),
        ("import no_such_module", "bad.py:1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def get_experiment():\n\n    return 1 / 0", "bad.py:3: ZeroDivisionError: division by zero"),
        ("x = 1", "bad.py defines no get_experiment()"),
        (
            "def get_experiment():\n    return 5",
            "bad.py: get_experiment() returns a jaxlm.training.Experiment: got int",
        ),
    ],
)
def test_a_file_that_gives_no_experiment_is_refused_at_its_line(here, text, message):
    written(here / "bad.py", text)
    with pytest.raises(UsageError) as caught:
        open_experiment("bad.py")
    assert message in str(caught.value)


def test_a_name_that_is_not_there_names_those_that_are(here):
    written(here / "experiments/protein/config.py", GOOD)
    with pytest.raises(UsageError, match="or one of protein; did you mean 'protein'"):
        open_experiment("protien")
    with pytest.raises(UsageError, match=r"no experiment file nowhere\.py"):
        open_experiment("nowhere.py")


def test_the_first_words_of_a_name_are_enough_if_no_other_begins_with_them(here):
    written(here / "experiments/source_causal/config.py", GOOD)
    assert open_experiment("source").name == "source_causal"
    written(here / "experiments/source_masked/config.py", GOOD)
    with pytest.raises(UsageError, match="no experiment 'source'"):
        open_experiment("source")


def test_a_file_may_have_more_to_say_of_a_finished_run_and_import_its_neighbours(here):
    written(here / "experiments/told/words_of_told.py", "WORDS = 'all is well in'")
    text = f"{GOOD}\nfrom words_of_told import WORDS\ndef report(folder):\n    return f'{{WORDS}} {{folder}}'"
    written(here / "experiments/told/config.py", text)
    assert open_experiment("told").report("runs/1") == "all is well in runs/1"


def test_those_that_come_with_jaxlm_are_known_anywhere_and_ones_own_come_first(here):
    written(here / "installed/experiments/words/config.py", GOOD)
    written(here / "installed/experiments/source_causal/config.py", GOOD)
    assert open_experiment("words").experiment.run.steps == 7
    assert open_experiment("source").name == "source_causal"
    written(here / "experiments/words/config.py", GOOD.replace("steps=7", "steps=8"))
    assert open_experiment("words").experiment.run.steps == 8
    with pytest.raises(UsageError, match="or one of source_causal, words"):
        open_experiment("nothing")


def test_the_list_says_what_each_experiment_is_for(here, capsys):
    written(here / "installed/experiments/words/config.py", f'"""Which words?\n\nMore."""\n{GOOD}')
    written(here / "experiments/my_own/config.py", GOOD)
    written(here / "experiments/broken/config.py", "x = (")
    assert main(["train", "--list"]) == 0
    assert capsys.readouterr().out == (
        "broken  (cannot be read)\nmy-own  (no description)\nwords   Which words?\n"
    )
    assert main(["train", "--list", "--steps", "3"]) == 2
    assert "--list only lists the experiments: leave out --steps 3" in capsys.readouterr().err
