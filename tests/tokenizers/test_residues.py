import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxlm import tokenizers

CORTEX = tokenizers.residue_tokenizer("cortex")
EVERY = list(itertools.product(["esm", "cortex"], ["keep", "unknown", "error"]))


def test_cortex_has_its_own_32_ids():
    order = "<cls> <pad> <eos> <unk> L A G V S E R T I D P K Q N F Y M H W C B U Z O . - <null_1> <mask>"
    assert tokenizers.ALPHABETS["cortex"] == tuple(order.split())
    assert [CORTEX.token(id) for id in range(32)] == order.split()
    assert CORTEX.vocab_size == 32 and CORTEX.kind == "residues"
    assert CORTEX.specials == tokenizers.Specials(cls=0, pad=1, eos=2, unk=3, mask=31)


def test_what_cortex_never_corrupts_is_special():
    excluded = ("<unk>", "<eos>", "<pad>", "<cls>", "<mask>", ".", "<null_1>")
    assert CORTEX.special_ids == tuple(sorted(CORTEX.id(symbol) for symbol in excluded))
    assert CORTEX.id("-") not in CORTEX.special_ids


@pytest.mark.parametrize(
    ("alphabet", "ambiguous", "read"),
    [
        ("esm", "keep", ["X", "B", "Z", "<unk>", "U", "O"]),
        ("cortex", "keep", ["<unk>", "B", "Z", "<unk>", "U", "O"]),
        ("esm", "unknown", ["X"] * 6),
        ("cortex", "unknown", ["<unk>"] * 6),
    ],
)
def test_ambiguous_letters_are_read_as_documented(alphabet, ambiguous, read):
    tokenizer = tokenizers.residue_tokenizer(alphabet, ambiguous)
    assert tokenizers.AMBIGUOUS == "XBZJUO"
    ids = tokenizer.encode("M" + tokenizers.AMBIGUOUS + "<mask>K-.")
    assert [tokenizer.token(id) for id in ids] == ["M", *read, "<mask>", "K", "-", "."]


@pytest.mark.parametrize("alphabet", ["esm", "cortex"])
@pytest.mark.parametrize("letter", tokenizers.AMBIGUOUS)
def test_ambiguous_letters_can_be_refused(alphabet, letter):
    tokenizer = tokenizers.residue_tokenizer(alphabet, "error")
    with pytest.raises(
        ValueError, match=f"'{letter}' at position 2 is not a residue; it is ambiguous or rare"
    ):
        tokenizer.encode(f"MK{letter}A")
    assert (
        tokenizer.decode(tokenizer.encode("LAGVSERTIDPKQNFYMHWC-.<mask>")) == "LAGVSERTIDPKQNFYMHWC-.<mask>"
    )


@pytest.mark.parametrize(("alphabet", "ambiguous"), EVERY)
def test_other_letters_are_refused_by_all(alphabet, ambiguous):
    tokenizer = tokenizers.residue_tokenizer(alphabet, ambiguous)
    with pytest.raises(ValueError, match=r"'m' at position 0 is not a residue; write residues in upper case"):
        tokenizer.encode("mK")
    with pytest.raises(
        ValueError, match=r"text 1 of the batch: '\*' at position 1 is not a residue; expected"
    ):
        tokenizer.encode_batch(["MK", "M*"])


@pytest.mark.parametrize(("alphabet", "ambiguous"), EVERY)
def test_a_saved_file_is_the_same_tokenizer(alphabet, ambiguous, tmp_path):
    tokenizer = tokenizers.residue_tokenizer(alphabet, ambiguous)
    tokenizer.save(tmp_path)
    again = tokenizers.load_tokenizer(tmp_path)
    assert again == tokenizer and again.kind == "residues" and again.special_ids == tokenizer.special_ids
    if ambiguous == "error":
        with pytest.raises(ValueError, match="ambiguous"):
            again.encode("MXK")
    else:
        assert again.encode("MXBK").tolist() == tokenizer.encode("MXBK").tolist()


def test_the_six_are_six():
    fingerprints = {tokenizers.residue_tokenizer(*one).fingerprint for one in EVERY}
    assert len(fingerprints) == len(EVERY)


@pytest.mark.parametrize(("alphabet", "ambiguous"), EVERY)
def test_transformers_reads_the_file_the_same_way(alphabet, ambiguous, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer = tokenizers.residue_tokenizer(alphabet, ambiguous)
    tokenizer.save(tmp_path / "tokenizer.json")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    text = "MKTAYI.-<mask>" + ("" if ambiguous == "error" else tokenizers.AMBIGUOUS)
    assert theirs(text, add_special_tokens=False)["input_ids"] == tokenizer.encode(text).tolist()
    if ambiguous == "error":
        assert set(theirs("XBZJUO", add_special_tokens=False)["input_ids"]) == {tokenizer.specials.unk}


@given(st.lists(st.text("LAGVSERTIDPKQNFYMHWC", min_size=1), min_size=1))
def test_chains_join_and_part(chains):
    assert tokenizers.join_chains(chains).split(tokenizers.CHAIN_SEPARATOR) == chains


@pytest.mark.parametrize(
    ("chains", "message"),
    [
        ([], "expected at least one chain"),
        (["MK", ""], "chain 1: expected residues without '.', which separates chains, got ''"),
        (["M.K"], "chain 0: expected residues without"),
    ],
)
def test_chains_that_cannot_be_joined_are_named(chains, message):
    with pytest.raises(ValueError, match=message):
        tokenizers.join_chains(chains)


def test_a_vocab_txt_of_either_is_recognised(tmp_path):
    for alphabet, symbols in tokenizers.ALPHABETS.items():
        (tmp_path / "vocab.txt").write_text("\n".join(symbols))
        assert tokenizers.load_tokenizer(tmp_path) == tokenizers.residue_tokenizer(alphabet)


@pytest.mark.parametrize("arguments", [("blast",), ("esm", "drop")])
def test_unknown_words_are_refused(arguments):
    with pytest.raises((ValueError, TypeError)):
        tokenizers.residue_tokenizer(*arguments)
