"""`jaxlm generate --unit byte` on a tiny model: what it prints is what `generate_bytes` returns."""

import io
import json

import jax
import pytest

from jaxlm import decoding, models, pretrained
from jaxlm.cli import _generate_bytes, main
from jaxlm.cli._byte_models import refuse_model_without_bytes
from jaxlm.decoding.bytes import BeamSettings, ByteGenerationConfig, generate_bytes, make_byte_model
from jaxlm.errors import UsageError


@pytest.fixture(scope="module")
def byte_model(causal_folder):
    return make_byte_model(pretrained.load(causal_folder / "causal_lm"))


@pytest.fixture
def generate(causal_folder):
    """Runs the command with --unit byte."""

    def run(*arguments, model="causal_lm"):
        return main(["generate", str(causal_folder / model), "--unit", "byte", *arguments])

    return run


def expected(byte_model, prompts, rng=None, **options):
    return generate_bytes(byte_model, prompts, ByteGenerationConfig(max_new_bytes=6, **options), rng=rng)


def test_bytes_are_printed_as_they_are(generate, byte_model, capfdbinary):
    assert generate("ab", "--max-new-bytes", "6") == 0
    (one,) = expected(byte_model, [b"ab"])
    assert capfdbinary.readouterr().out == b"ab" + one.data + b"\n"


def test_draws_of_bytes_and_json_that_loses_nothing(generate, byte_model, capsys):
    options = [
        "--byte-temperature",
        "1.3",
        "--byte-top-k",
        "200",
        "--seed",
        "5",
        "--json",
        "--max-new-bytes",
        "6",
    ]
    assert generate("ab", "\udcc3", "ab", *options) == 0
    sampling = decoding.Sampling(temperature=1.3, top_k=200)
    prompts = [b"ab", b"\xc3", b"ab"]
    found = expected(byte_model, prompts, rng=jax.random.key(5), byte_sampling=sampling)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for values, prompt, one in zip(lines, prompts, found, strict=True):
        assert bytes(values["prompt_bytes"]) == prompt and bytes(values["bytes"]) == one.data
        assert values["text"] == one.data.decode(errors="replace")
        assert values["log_probs"] == pytest.approx(one.log_probs.tolist(), abs=1e-5)
        assert values["log_likelihood"] == pytest.approx(sum(values["log_probs"]), abs=1e-4)
        assert (values["ended_by"], values["probability"]) == ("length", "stem")
    assert lines[0]["bytes"] != lines[2]["bytes"]  # the same prompt, and another draw


def test_valid_utf8_and_stop_strings(generate, byte_model, capsys):
    assert generate("ab", "--valid-utf8", "--json", "--max-new-bytes", "6") == 0
    values = json.loads(capsys.readouterr().out)
    assert values["text"].encode() == bytes(values["bytes"])
    (one,) = expected(byte_model, [b"ab"], valid_utf8=True)
    assert bytes(values["bytes"]) == one.data
    stop = one.data[1:3].decode()
    assert generate("ab", "--valid-utf8", "--stop", stop, "--json", "--max-new-bytes", "6") == 0
    values = json.loads(capsys.readouterr().out)
    assert (
        values["ended_by"] == "stop_string" and bytes(values["bytes"]) == one.data.partition(stop.encode())[0]
    )


def test_a_beam_follows_options_of_tokens_up_to_the_models_length(generate, causal_folder, capsys):
    options = ["--num-candidates", "2", "--prune-threshold", "0.01", "--temperature", "0.7", "--top-k", "200"]
    options += ["--seed", "3", "--json", "--max-new-bytes", "40"]
    # This model has no token that begins texts, which a beam needs.
    assert generate("ab", "--opening", "[CLS]", *options) == 0
    said = capsys.readouterr()
    values = json.loads(said.out)
    opened = make_byte_model(pretrained.load(causal_folder / "causal_lm"), opening=(258,))
    tokens = decoding.Sampling(temperature=0.7, top_k=200)
    beam = BeamSettings(num_candidates=2, prune_threshold=0.01, token_sampling=tokens)
    config = ByteGenerationConfig(
        max_new_bytes=40, beam=beam, byte_sampling=decoding.Sampling(temperature=1.0)
    )
    (one,) = generate_bytes(opened, b"ab", config, rng=jax.random.key(3))
    assert bytes(values["bytes"]) == one.data and values["probability"] == "beam"
    assert values["ended_by"] == "length" and len(values["bytes"]) < 40
    assert "the text stopped at the model's length, before 40 new bytes: it reads no more" in said.err


def test_a_character_that_does_not_fit_is_not_called_the_models_length(generate, capsys):
    # The character lacks three bytes, and two may be written.
    assert generate("\udcf0", "--valid-utf8", "--json", "--max-new-bytes", "2") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["bytes"] == []
    assert "before 2 new bytes: the model reads no more, or no whole character fits" in said.err


def test_a_text_that_cut_tokens_cannot_write_says_which_option_cut_them(generate, capsys):
    options = ["--num-candidates", "2", "--temperature", "1", "--top-k", "1", "--max-new-bytes", "6"]
    assert generate("ab", "--opening", "[CLS]", *options) == 2
    said = capsys.readouterr().err
    assert "no byte can follow b'ab'" in said and "--top-k cuts tokens of the text, too: allow more" in said


def test_special_tokens_in_a_text_are_bytes_unless_they_are_its_opening(generate, causal_folder, capsys):
    assert generate("[CLS]ab", "--json", "--max-new-bytes", "3") == 0
    said = capsys.readouterr()
    assert bytes(json.loads(said.out)["prompt_bytes"]) == b"[CLS]ab"
    assert "warning: [CLS] in the text is read as plain bytes" in said.err and "--opening '[CLS]'" in said.err
    assert generate("ab", "--opening", "[CLS]", "--json", "--max-new-bytes", "3") == 0
    said = capsys.readouterr()
    opened = make_byte_model(pretrained.load(causal_folder / "causal_lm"), opening=(258,))
    (one,) = generate_bytes(opened, "ab", ByteGenerationConfig(max_new_bytes=3))
    assert bytes(json.loads(said.out)["bytes"]) == one.data and not said.err


def test_lines_of_stdin_may_be_any_bytes(generate, monkeypatch, capsys):
    lines = io.TextIOWrapper(io.BytesIO(b"a\xc3\n\n\xff b\n"), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", lines)
    assert generate("-", "--json", "--max-new-bytes", "1") == 0
    prompts = [bytes(json.loads(line)["prompt_bytes"]) for line in capsys.readouterr().out.splitlines()]
    assert prompts == [b"a\xc3", b"\xff b"]


def test_a_terminal_shows_what_is_no_utf8_as_escapes(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    _generate_bytes._print(b"caf\xc3\xa9 \xff")
    assert capsys.readouterr().out == "café \\xff\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [],
            "the text is empty, and {model} has no token that begins texts: write some, or name tokens with",
        ),
        (
            ["a", "-n", "5"],
            "--max-new-tokens is for tokens, and --unit byte writes bytes: use --max-new-bytes",
        ),
        (["a", "--num-beams", "4"], "a beam over bytes is --num-candidates"),
        (["a", "--repetition-penalty", "1.2"], "--repetition-penalty is for tokens"),
        (["a", "--no-repeat-ngram-size", "2"], "--no-repeat-ngram-size is for tokens"),
        (["a", "--min-new-tokens", "2"], "--min-new-tokens is for tokens"),
        (["a", "--early-stopping", "no"], "--early-stopping is for tokens"),
        (
            ["a", "--top-k", "5"],
            "--top-k changes the distribution of tokens, which a beam alone follows: add ",
        ),
        (["a", "--temperature", "1"], "or change that of bytes, --byte-temperature"),
        (["a", "--prune-threshold", "0.1"], "--prune-threshold is for a beam: add --num-candidates 8"),
        (
            ["a", "--byte-top-k", "5"],
            "--byte-top-k is for draws, and without --byte-temperature there are none",
        ),
        (["a", "--seed", "5"], "--seed is for draws"),
        (["a", "--byte-temperature", "-1"], "--byte-temperature is 0 (no draws) or above 0: got -1.0"),
        (["a", "--byte-temperature", "1", "--byte-top-p", "2"], "top_p is in (0, 1]: got 2.0"),
        (["a", "--num-candidates", "0"], "num_candidates is at least 1: got 0"),
        (["a", "--max-new-bytes", "0"], "max_new_bytes is at least 1: got 0"),
        (["a" * 33], "33 tokens with the opening and the model reads at most 32"),
        (["a\ud800"], "half a surrogate pair cannot be written in UTF-8"),
    ],
)
def test_mistakes_are_one_line(generate, causal_folder, capsys, arguments, message):
    assert generate(*arguments) == 2
    said = capsys.readouterr().err
    assert message.format(model=causal_folder / "causal_lm") in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "option", ["--max-new-bytes=5", "--byte-temperature=1", "--valid-utf8", "--opening=a"]
)
def test_options_of_bytes_are_refused_for_tokens(causal_folder, capsys, option):
    assert main(["generate", str(causal_folder / "causal_lm"), "ab", option]) == 2
    assert f"{option.split('=')[0]} is for bytes: add --unit byte, or leave" in capsys.readouterr().err


def test_models_that_are_not_causal_are_refused(generate, capsys):
    assert generate("a", model="masked_lm") == 2
    said = capsys.readouterr().err
    assert "--unit byte needs a causal LM" in said and "is a masked_lm; leave --unit byte out" in said
    with pytest.raises(UsageError, match="t5 is a seq2seq_lm; leave --unit byte out, or name a causal LM"):
        refuse_model_without_bytes("./t5", models.SEQ2SEQ_LM)


def test_a_tokenizer_whose_bytes_are_unknown_is_named_with_the_reason(
    generate, causal_folder, pieces_folder, capsys
):
    assert generate("a", model=pieces_folder) == 2
    said = capsys.readouterr().err
    assert f"{pieces_folder}: the bytes of this tokenizer's tokens are not known:" in said
    assert said.endswith("leave --unit byte out\n") and said.count("\n") == 1


def test_a_byte_that_no_token_writes_is_named(generate, letters_folder, capsys):
    assert generate("abd", model=letters_folder) == 2
    assert "no token of this model can write the byte b'd', which the text has" in capsys.readouterr().err
