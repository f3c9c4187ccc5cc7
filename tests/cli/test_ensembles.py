"""What each command says of a folder of members."""

import json

import jax
import jax.numpy as jnp
import pytest

from jaxlm import models, pretrained, scoring, tokenizers
from jaxlm.cli import main
from tests.cli.conftest import CONFIG


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """Two members of a causal model."""
    folder = tmp_path_factory.mktemp("ensembles") / "two"
    init = jax.jit(jax.vmap(models.build(CONFIG, "causal_lm").init, in_axes=(0, None)))
    params = init(jax.random.split(jax.random.key(0), 2), jnp.zeros((1, 4), jnp.int32))["params"]
    pretrained.save_ensemble(folder, CONFIG, params, tokenizers.bytes_tokenizer(), kind="causal_lm")
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ["next", "MODEL", "a"],
        ["generate", "MODEL", "a"],
        ["fill", "MODEL", "a"],
        ["evaluate", "MODEL", "CORPUS"],
        ["convert", "MODEL", "OUT"],
        ["train", "--data", "CORPUS", "--init", "MODEL"],
        ["score", "CORPUS_MODEL", "CORPUS", "--out", "OUT", "--with-members", "MODEL"],
    ],
    ids=lambda command: command[0],
)
def test_commands_of_one_model_say_that_it_is_an_ensemble(ensemble, causal_folder, tmp_path, capsys, command):
    (tmp_path / "c.txt").write_text("to be or not\n" * 20)
    places = {"MODEL": ensemble, "CORPUS": tmp_path / "c.txt", "OUT": tmp_path / "out"}
    places["CORPUS_MODEL"] = causal_folder / "causal_lm"
    assert main([str(places.get(word, word)) for word in command]) == 2
    said = capsys.readouterr().err
    assert f"{ensemble} is an ensemble of 2 members, which jaxlm score reads together; name one" in said
    assert str(ensemble / "member_00") in said and said.count("\n") == 1


def test_info_describes_an_ensemble(ensemble, capsys):
    assert main(["info", str(ensemble), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["members"] == [str(ensemble / f"member_0{number}") for number in range(2)]
    assert found["folder"] == str(ensemble) and found["config"]["objective"] == "causal_lm"
    assert main(["info", str(ensemble)]) == 0
    assert "an ensemble of 2 members, which jaxlm score reads together; of each:" in capsys.readouterr().out


def test_score_says_what_an_ensemble_leaves_unread(ensemble, tmp_path, capsys):
    (tmp_path / "c.txt").write_text("to be or not\n")
    score = ["score", str(ensemble), str(tmp_path / "c.txt"), "--out", str(tmp_path / "out")]
    assert main([*score, "--dtype", "bfloat16"]) == 2
    assert "--dtype is for a single model" in capsys.readouterr().err
    assert main([*score, "--actors", "2"]) == 2
    assert "--actors is for a Ray cluster" in capsys.readouterr().err


def test_what_was_loaded_knows_that_it_is_an_ensemble(ensemble):
    loaded = pretrained.load_ensemble(ensemble)
    assert loaded.members == 2 and not loaded.shared_body
    assert pretrained.load(ensemble / "member_00").members is None
    with pytest.raises(ValueError, match="is an ensemble of 2 members: load_ensemble opens them together"):
        pretrained.load(ensemble)
    with pytest.raises(ValueError, match="generate takes one model: got an ensemble of 2 members"):
        loaded.check_single("generate")
    with pytest.raises(ValueError, match="save_huggingface takes one model"):
        pretrained.save_huggingface(ensemble / "out", loaded)


def test_scoring_takes_the_members_together_unasked(ensemble):
    loaded = pretrained.load_ensemble(ensemble)
    asked = scoring.EngineConfig(row_length=16, rows=8, combine="probs")
    unasked = scoring.EngineConfig(row_length=16, rows=8)
    (first,), (second,) = (list(scoring.score(loaded, ["to be"], config=one)) for one in (asked, unasked))
    assert first.values == second.values
    shared = loaded._replace(shared_body=True)
    with pytest.raises(ValueError, match="members are scored apart: got an ensemble on one body"):
        list(scoring.score(shared, ["to be"]))
