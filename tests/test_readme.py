"""What the README shows in Python runs as it stands, and what its table promises exists."""

import pkgutil
import re
import shlex
from pathlib import Path

import pytest

from jaxlm import pretrained
from jaxlm.cli import main
from tests.decoding.bytes.small_models import loaded_model
from tests.tokenizers.byte_kinds import kind

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
BYTE_COMMANDS = re.findall(
    r"^jaxlm (.+)$", README.partition("## By the byte\n")[2].partition("\n## ")[0], flags=re.MULTILINE
)
ROWS = re.findall(r"^\| [^|]+\| `(jaxlm[.]\w+[.][^`]+)`[^|]*\|(.+)\|$", README, flags=re.MULTILINE)
# What the page of cortex's autoregressive leaf documents, and its processes of corruption.
CORTEX = {
    *("AutoregressiveLanguageModelLeafOutput", "logits", "AutoregressiveLanguageModelLeaf", "layernorm"),
    *("corruption_process", "corruption_rate", "forward", "loss", "format_outputs", "evaluate"),
    *("format_autoregressive_lm_ensemble_output", "autoregressive_log_likelihood", "CorruptionProcess"),
    *("MaskCorruptionProcess", "SubstitutionCorruptionProcess", "GaussianCorruptionProcess"),
    *("from_tokenizer", "from_blosum62", "sample_timestep", "sample_corrupt_frac"),
    "timestep_to_corrupt_frac",
}


# What the page of inseq's step functions documents: functions, parameters and defaults.
INSEQ = {
    *(
        "logit_fn",
        "probability_fn",
        "entropy_fn",
        "crossentropy_fn",
        "perplexity_fn",
        "contrast_prob_diff_fn",
    ),
    *("mc_dropout_prob_avg_fn", "attribution_model", "forward_output", "target_ids", "encoder_input_embeds"),
    *("encoder_attention_mask", "decoder_input_ids", "decoder_input_embeds", "decoder_attention_mask"),
    *("contrast_ids", "contrast_attention_mask", "aux_model", "n_mcd_steps"),
}
GENLM = {
    *("StatefulTokenizedLM", "initial", "initial_context", "max_context_length", "n_calls", "logp_next"),
    *("StatefulByteLM", "LazyByteProbs", "prefill", "prune", "greedy", "sample", "draw", "sample_dict"),
}


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_python_examples_run(number, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(EXAMPLES[number], f"README example {number}", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out


@pytest.fixture(scope="module")
def models_of_the_commands(tmp_path_factory):
    """A folder with two models of different tokenizers and a corpus, as the commands name them."""
    folder = tmp_path_factory.mktemp("commands")
    for name, of in (("gpt2", "byte-level"), ("qwen", "byte-level, spaced")):
        tokenizer = kind(of)[0]
        own = loaded_model(tokenizer, max_length=300)
        pretrained.save_model(folder / name, own.config, own.params, tokenizer, kind="causal_lm")
    (folder / "corpus.jsonl").write_text('{"text": "to be"}\n{"text": "naïve " }\n')
    return folder


@pytest.mark.parametrize("command", BYTE_COMMANDS)
def test_commands_of_bytes_run(command, models_of_the_commands, monkeypatch, capfdbinary):
    monkeypatch.chdir(models_of_the_commands)
    assert main(shlex.split(command, comments=True)) == 0
    assert capfdbinary.readouterr().out


def test_there_are_six_commands_of_bytes():
    assert len(BYTE_COMMANDS) == 6


def test_there_are_nine_examples():
    assert len(EXAMPLES) == 9


@pytest.mark.parametrize(("symbol", "tests"), ROWS)
def test_the_coming_from_table_points_at_what_exists(symbol, tests):
    assert pkgutil.resolve_name(symbol.split("(")[0]) is not None
    paths = re.findall(r"`([^`]+)`", tests)
    assert paths
    for path in paths:
        assert (ROOT / path).exists()


@pytest.mark.parametrize(
    ("heading", "symbols"),
    [("cortex", CORTEX), ("inseq's step functions", INSEQ), ("genlm-bytes", GENLM)],
    ids=["cortex", "inseq", "genlm"],
)
def test_every_symbol_of_the_page_has_its_row(heading, symbols):
    section = README.partition(f"## Coming from {heading}\n")[2].partition("\n## ")[0]
    named = re.findall(r"\w+", "".join(re.findall(r"^\|([^|]+)\|", section, flags=re.MULTILINE)))
    assert set(named) >= symbols
