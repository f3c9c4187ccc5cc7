import pytest
import tokenizers as library
from tokenizers import AddedToken

from jaxlm.tokenizers._added_tokens import insert_added_tokens, register_added_tokens
from jaxlm.tokenizers._settings import ListedToken


def token(name, id=None, **flags):
    return ListedToken(AddedToken(name, **flags), id)


def built(vocab, listed, *, size=0, rows=None):
    filled, holes = insert_added_tokens(vocab, listed, size=size)
    backend = library.Tokenizer(library.models.WordLevel(filled, unk_token=next(iter(vocab))))
    register_added_tokens(backend, listed, rows=rows, plain=holes)
    return backend


@pytest.mark.parametrize(("a", "b", "size"), [(0, 1, 0), (0, 3, 0), (0, 1, 4), (2, 5, 6)])
@pytest.mark.parametrize("gap", [0, 1, 3])
def test_tokens_get_the_ids_that_they_are_said_to_have(a, b, size, gap):
    vocab = {"a": a, "b": b}
    first = max(size, 1 + max(vocab.values())) + gap
    listed = [
        token("<x>", first),
        token("<y>", first + 1, special=True),
        token("<z>"),
        token("a", vocab["a"]),
    ]
    backend = built(vocab, listed, size=size)
    assert [backend.token_to_id(name) for name in ("<x>", "<y>", "<z>")] == [first, first + 1, first + 2]
    assert backend.encode("b<x>").ids == [b, first]
    assert backend.token_to_id("a") == a and backend.token_to_id("b") == b


def test_a_token_may_fill_a_hole_of_the_vocabulary():
    backend = built({"a": 0, "b": 3}, [token("<x>", 2)])
    assert backend.token_to_id("<x>") == 2 and backend.id_to_token(1) == "<hole 1>"


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ([token("<x>", 1)], "'<x>' would have the id of 'b', and is said to have 1"),
        ([token("a", 7)], "'a' has id 0, and is said to have 7"),
        ([token("<x>", 2), token("<y>", 2)], "'<y>' would have the id of '<x>', and is said to have 2"),
        ([token("<x>", 10**9)], "ids below 1000000000 have no token: the last is of '<x>'"),
    ],
)
def test_ids_that_cannot_be_are_one_line(listed, message):
    with pytest.raises(ValueError, match=message):
        built({"a": 0, "b": 1}, listed)


def test_a_token_without_an_id_needs_a_row():
    listed = [token("<x>", 2), token("<y>"), token("<z>"), token("b")]
    backend = built({"a": 0, "b": 1}, listed, rows=4)
    assert [backend.token_to_id(name) for name in ("<x>", "<y>", "<z>", "b")] == [2, 3, None, 1]
