import pytest

from jaxlm import tokenizers
from jaxlm.tokenizers import TokenizerConfig, train_tokenizer

TEXTS = ["mov eax 1 [NEXT] ret"]


@pytest.mark.parametrize("kind", ["instructions", "subwords", "bytes", "residues"])
def test_auto_stands_for_what_the_data_want(kind):
    tokenizer = train_tokenizer(TEXTS, TokenizerConfig(vocab_size=450), kind)
    assert tokenizer.kind == kind
    assert tokenizer.vocab_size <= 450
    assert train_tokenizer(TEXTS, TokenizerConfig(kind=kind, vocab_size=450), "bytes") == tokenizer


def test_texts_are_not_read_where_nothing_is_trained(tmp_path):
    def unread():
        raise AssertionError
        yield

    tokenizers.residue_tokenizer().save(tmp_path)
    assert train_tokenizer(unread(), TokenizerConfig(kind="bytes"), "subwords").kind == "bytes"
    assert train_tokenizer(unread(), TokenizerConfig(path=str(tmp_path)), "subwords").kind == "residues"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"kind": "instructions", "vocab_size": 100},
            "of kind 'instructions' needs vocab_size >= 416: got 100",
        ),
        ({"kind": "subwords", "vocab_size": 259}, "of kind 'subwords' needs vocab_size >= 260: got 259"),
        ({"vocab_size": 0}, "needs vocab_size >= 1: got 0"),
        ({"kind": "bytes", "path": "x"}, "either loaded from a path or made: got path='x' and kind='bytes'"),
        (
            {"kind": "bytes", "alphabet": "cortex"},
            "are of tokenizers of kind 'residues': got alphabet='cortex'",
        ),
        ({"path": "x", "ambiguous": "error"}, "are of tokenizers of kind 'residues'"),
    ],
)
def test_contradictions_are_one_line(fields, message):
    with pytest.raises(ValueError, match=message) as caught:
        TokenizerConfig(**fields)
    assert "\n" not in str(caught.value)


def test_the_config_chooses_alphabet_and_treatment():
    config = TokenizerConfig(alphabet="cortex", ambiguous="unknown")
    assert train_tokenizer([], config, "residues") == tokenizers.residue_tokenizer("cortex", "unknown")
