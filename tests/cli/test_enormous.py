"""Numbers that no machine has room for: refused in one line, before anything is computed."""

import pytest

from jaxlm.cli import main
from jaxlm.cli._failures import UsageError
from jaxlm.cli._job_events import shard_of

ENORMOUS = ("2147483648", "9223372036854775807", "9223372036854775808", "99999999999999999999", "9" * 5000)
OPTIONS = {
    "evaluate": ["--batch-size", "--row-length"],
    "score": ["--rows", "--row-length", "--buffer", "--tile", "--window", "--context", "--stride"],
    "generate": ["-n", "--num-beams", "--no-repeat-ngram-size", "--min-new-tokens"],
}


@pytest.mark.parametrize("command", OPTIONS)
def test_enormous_numbers_are_refused(causal_folder, tmp_path, capsys, command):
    model, text = str(causal_folder / "causal_lm"), tmp_path / "c.txt"
    text.write_text("to be\n")
    rest = {"evaluate": [str(text)], "score": [str(text), "--out", str(tmp_path / "out")], "generate": ["a"]}
    for option in OPTIONS[command]:
        for value in (
            *ENORMOUS,
            "-1",
            "0" if option not in ("--no-repeat-ngram-size", "--min-new-tokens") else "-2",
        ):
            assert main([command, model, *rest[command], option, value]) == 2, (option, value)
            said = capsys.readouterr().err
            assert said.count("\n") == 1 and len(said) < 250 and "failed at" not in said, said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "text",
    [
        "²/3",
        "1/²",
        "1/" + "9" * 5000,
        "9" * 5000,
        "\u0663/4",
        "0/3",
        "4/3",
        "1/0",
        "/",
        "1/2/3",
        "-1/3",
        "1 /3",
        "+1/3",
        "",
    ],
    ids=lambda text: text[:6] or "nothing",
)
def test_a_shard_is_two_numbers(text):
    with pytest.raises(UsageError) as caught:
        shard_of(text)
    assert "--shard is i/n with 1 <= i <= n, such as 3/64: got" in str(caught.value)
    assert len(str(caught.value)) < 130


def test_shards_that_there_are():
    assert (
        shard_of("3/64") == (3, 64)
        and shard_of("007/7") == (7, 7)
        and shard_of("1/999999999999") == (1, 999999999999)
    )
