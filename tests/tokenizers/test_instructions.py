import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jaxlm import tokenizers
from jaxlm.tokenizers._instructions import MIN_INSTRUCTIONS_VOCAB, count_pretokens
from jaxlm.tokenizers._pieces import ALPHABET

TRACES = [
    "xor eax eax [NEXT] add rax [ rbx + 42 ] [NEXT] call rel 5 [NEXT] ret",
    "mov eax -8 [NEXT] mov rcx qword fs + 40 [NEXT] test eax eax [NEXT] call rel 105",
    "push rbp [NEXT] mov rbp rsp [NEXT] sub rsp 42 [NEXT] call 4198400 [NEXT] vzeroupper",
    "LOAD_FAST self [NEXT] LOAD_ATTR append [NEXT] LOAD_FAST item [NEXT] CALL 1 [NEXT] RETURN_VALUE",
]
# Unicode's White_Space property, where the tokenizer splits; `str.split` does so at U+001C to U+001F too.
SPACE = re.compile("[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizers.train_instructions(TRACES, vocab_size=640)


def shown(tokenizer, text):
    return [tokenizer.token(id) for id in tokenizer.encode(text)]


def test_specials_have_undertales_ids(tokenizer):
    names = ["[PAD]", "[UNK]", "[SEP]", "[CLS]", "[MASK]", "[NEXT]"]
    assert tokenizer.encode(" ".join(names)).tolist() == [0, 1, 2, 3, 4, 5]
    assert [tokenizer.token(id) for id in range(6)] == names
    expected = tokenizers.Specials(pad=0, unk=1, sep=2, cls=3, mask=4, next=5)
    assert tokenizer.specials == expected
    assert tokenizer.special_ids == (0, 1, 2, 3, 4, 5)
    assert tokenizer.kind == "instructions"


def test_mnemonics_and_frequent_operands_are_whole(tokenizer):
    mnemonics = {instruction.split()[0] for text in TRACES for instruction in text.split("[NEXT]")}
    assert "vzeroupper" in mnemonics  # seen once
    for pretoken in [*mnemonics, "eax", "rbp", "rel", "42"]:
        assert shown(tokenizer, pretoken) == [pretoken]


@pytest.mark.parametrize(
    "text",
    [
        "-8",
        "add eax 300",
        "3.14 -0x1F 1e-09",
        "__init__ __ _",
        "MOV Eax",
        "变量名 = größe_2 🙂 e\u0301",
        "syscall xmm16 vmovdqa",
        "…append \u2026 ## ▁x Ġy",
        "\x00 \x1f \x7f",
        "fs: ; [ ] [[ ]] [NEXT",
    ],
)
def test_unseen_operands_and_mnemonics_come_back(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert not set(ids.tolist()) & set(tokenizer.special_ids)


@given(TEXTS)
@example("mov\u3000eax\t[MASK]\n\n[NEXT] \x1c")
def test_any_text_comes_back_with_its_white_space_normalised(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == SPACE.sub(" ", text).strip(" ")
    assert ids.tolist().count(1) == SPACE.split(text).count("[UNK]")


@given(st.lists(st.sampled_from(["[MASK]", "[NEXT]", "eax", "[", "]", ".", "call", "-", "é", " "])))
def test_specials_are_whole_pretokens_only(tokenizer, parts):
    text = "".join(parts)
    specials = [id for id in tokenizer.encode(text) if id in tokenizer.special_ids]
    assert specials == [
        tokenizer.id(pretoken) for pretoken in text.split() if pretoken in ("[MASK]", "[NEXT]")
    ]


def test_no_token_is_matched_inside_a_word(tokenizer):
    assert shown(tokenizer, "call") == ["call"]
    pieces = shown(tokenizer, "syscall xmm1call")
    assert "call" not in pieces
    assert pieces[0] == "s" and pieces[1].startswith("…")


def test_a_pretoken_that_opens_with_a_special_stays_text():
    # The commonest prefix of these operands is the special: as a merge it would have the special's id.
    operands = [f"[NEXT]{letter}" for letter in "abcdefgh"]
    tokenizer = tokenizers.train_instructions([" ".join(["x", *operands])] * 9, vocab_size=640)
    for text in (*operands, "[NEXT]zest", "[NEXT"):
        assert not set(tokenizer.encode(text).tolist()) & set(tokenizer.special_ids)
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_every_operand_seen_twice_is_whole_where_there_is_room():
    words = [f"operand_{number}" for number in range(60)]
    tokenizer = tokenizers.train_instructions([f"op {word} {word}" for word in words], vocab_size=4096)
    assert all(len(tokenizer.encode(word)) == 1 for word in words)
    assert tokenizer.vocab_size < 4096


@given(st.permutations(TRACES))
def test_the_order_of_the_texts_does_not_matter(tokenizer, texts):
    assert tokenizers.train_instructions(texts, vocab_size=640).to_json() == tokenizer.to_json()


@pytest.mark.parametrize("vocab_size", [MIN_INSTRUCTIONS_VOCAB, MIN_INSTRUCTIONS_VOCAB + 1, 430, 440])
def test_vocab_size_is_an_upper_bound(vocab_size):
    tokenizer = tokenizers.train_instructions(TRACES, vocab_size=vocab_size)
    assert tokenizer.vocab_size == vocab_size
    assert tokenizer.decode(tokenizer.encode(TRACES[1])) == TRACES[1]


def test_too_small_a_vocabulary_and_nothing_to_train_on():
    with pytest.raises(ValueError, match=rf"at least {MIN_INSTRUCTIONS_VOCAB} ids .*vocab_size=100"):
        tokenizers.train_instructions(TRACES, vocab_size=100)
    with pytest.raises(ValueError, match="expected traces to train on"):
        tokenizers.train_instructions(["", " [NEXT] "])


def test_every_byte_of_utf8_text_is_in_the_alphabet():
    firsts, continuing = set(), set()
    for code in (*range(0xD800), *range(0xE000, 0x110000)):
        character = chr(code)
        if not SPACE.fullmatch(character):
            data = character.encode()
            firsts.add(data[0])
            continuing.update(data)
    assert len(ALPHABET) == len(set(ALPHABET)) == len(firsts) + len(continuing)


def test_counts_are_of_pretokens_and_of_heads():
    counts = count_pretokens(["xor eax eax [NEXT] add eax ebx [NEXT] [MASK] [NEXT] sub eax 42"])
    assert counts.pretokens == {"xor": 1, "eax": 4, "add": 1, "ebx": 1, "sub": 1, "42": 1}
    assert counts.mnemonics == {"xor": 1, "add": 1, "sub": 1}


def test_transformers_reads_the_file_the_same_way(tokenizer, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer.save(tmp_path / "tokenizer.json")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    for text in [*TRACES, "LOAD_FAST self [NEXT] xor rax [MASK]", "eax[MASK] syscall -8 变量 [PAD]"]:
        assert theirs(text)["input_ids"] == tokenizer.encode(text).tolist()
        assert theirs.decode(tokenizer.encode(text)) == text
