import numpy as np
import pytest

from jaxlm import tokenizers
from jaxlm.decoding._masked_rows import encode_masked, pad_rows

TRACES = ["mov rax 42 [NEXT] ret", "xor rax rax [NEXT] ret"]


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizers.train_instructions(TRACES, vocab_size=512)


def test_rows_hold_the_texts_and_say_where_the_masks_are():
    rows = pad_rows([np.array([7, 4, 9]), np.array([4, 4, 8, 4]), np.array([4])], mask_id=4, max_length=64)
    assert rows.tokens.shape == (4, 16) and rows.positions.shape == (4, 4)  # 3 texts, 4 tokens, 3 masks
    assert rows.tokens[:, :4].tolist() == [[7, 4, 9, 0], [4, 4, 8, 4], [4, 0, 0, 0], [0, 0, 0, 0]]
    assert rows.segments.sum(axis=1).tolist() == [3, 4, 1, 0]
    assert [rows.positions[row][rows.pending[row]].tolist() for row in range(4)] == [[1], [0, 1, 3], [0], []]


def test_a_bucket_never_passes_the_longest_row_of_the_model():
    assert pad_rows([np.full(17, 4)], mask_id=4, max_length=20).tokens.shape == (1, 20)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mov rax 42", r"nothing to fill in 'mov rax 42': write \[MASK\] where a token is missing$"),
        ("mov rax[MASK]", r"nothing to fill .*, apart from its neighbours"),
        ("", "nothing to fill"),
        ("[MASK] " * 9, "9 tokens long and the model takes at most 8"),
        (np.array([[4, 6]]), r"one row of whole numbers: got shape \(1, 2\)"),
        ([4, 100_000], r"ids lie in 0\.\.\d+: got 4\.\.100000"),
        (np.array([4, -1]), "ids lie in"),
        (np.array([6, 7]), "nothing to fill in the ids given"),
    ],
)
def test_what_cannot_be_filled_is_refused_in_one_line(tokenizer, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        encode_masked(tokenizer, text, max_length=8)
    assert "\n" not in str(caught.value)


def test_a_long_text_is_quoted_by_its_head(tokenizer):
    with pytest.raises(ValueError, match=r"'mov mov .*\.\.\.'"):
        encode_masked(tokenizer, "mov " * 100, max_length=8)
