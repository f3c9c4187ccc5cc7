import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jaxlm import tokenizers

BYTES = tokenizers.bytes_tokenizer()
PROTEIN = tokenizers.residue_tokenizer()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_id_of_a_byte_is_the_byte(text):
    assume(not any(BYTES.token(id) in text for id in BYTES.special_ids))
    np.testing.assert_array_equal(BYTES.encode(text), np.frombuffer(text.encode(), np.uint8))
    assert BYTES.decode(BYTES.encode(text)) == text


@given(st.lists(st.sampled_from(["[MASK]", "[PAD]", "[", "]", "MASK", "é", "\n"])))
def test_the_fast_path_of_bytes_is_the_pipeline(parts):
    text = "".join(parts)
    assert BYTES.encode(text).tolist() == BYTES.backend.encode(text, add_special_tokens=False).ids
    assert BYTES.encode_batch([text])[0].tolist() == BYTES.encode(text).tolist()


def test_specials_of_bytes():
    assert BYTES.kind == "bytes"
    assert BYTES.vocab_size == 260
    assert BYTES.specials == tokenizers.Specials(pad=256, sep=257, cls=258, mask=259)
    assert BYTES.special_ids == (256, 257, 258, 259)
    assert BYTES.encode("a[MASK]b").tolist() == [97, 259, 98]


def test_bytes_that_are_no_text_show_as_replacements():
    assert BYTES.decode([0xC3, 0x28]) == "\ufffd("


def test_residues_have_esms_ids():
    order = "<cls> <pad> <eos> <unk> L A G V S E R T I D P K Q N F Y M H W C X B U Z O . - <null_1> <mask>"
    assert tuple(order.split()) == tokenizers.RESIDUES
    assert [PROTEIN.token(id) for id in range(33)] == order.split()
    assert PROTEIN.kind == "residues"
    assert PROTEIN.vocab_size == 33
    assert PROTEIN.specials == tokenizers.Specials(cls=0, pad=1, eos=2, unk=3, mask=32)
    assert PROTEIN.special_ids == (0, 1, 2, 3, 29, 31, 32)


@given(st.text("LAGVSERTIDPKQNFYMHWCXBUZO.-"))
def test_a_residue_is_an_id(sequence):
    ids = PROTEIN.encode(sequence)
    assert [tokenizers.RESIDUES[id] for id in ids] == list(sequence)
    assert PROTEIN.decode(ids) == sequence
    assert PROTEIN.encode(sequence, add_specials=True).tolist() == [0, *ids, 2]


def test_masks_between_residues():
    assert PROTEIN.encode("M<mask><mask>K").tolist() == [20, 32, 32, 15]


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        ("MKtA", r"'t' at position 2 is not a residue; write residues in upper case \('T'\)"),
        ("MK?A", r"'\?' at position 2 is not a residue; expected one of LAGVS.* or <mask>"),
        ("M K", r"' ' at position 1 is not a residue; write sequences without white space"),
        ("MKT*", r"'\*' at position 3"),
        ("MK<msk>", r"'<' at position 2"),
        ("<mask>é", r"'é' at position 6"),
    ],
)
def test_what_is_no_residue_is_named(sequence, message):
    with pytest.raises(ValueError, match=message):
        PROTEIN.encode(sequence)
    with pytest.raises(ValueError, match="text 1 of the batch: " + message):
        PROTEIN.encode_batch(["MKT", sequence])


@pytest.mark.parametrize("tokenizer", [BYTES, PROTEIN], ids=["bytes", "residues"])
def test_transformers_reads_the_file_the_same_way(tokenizer, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer.save(tmp_path / "tokenizer.json")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    for text in ["MKTAYIXBUZO.-", f"MK{tokenizer.token(tokenizer.specials.mask)}T"]:
        assert theirs(text, add_special_tokens=False)["input_ids"] == tokenizer.encode(text).tolist()
        assert theirs(text)["input_ids"] == tokenizer.encode(text, add_specials=True).tolist()
