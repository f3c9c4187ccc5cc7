"""A file that is made to put other tokens around texts does so here and in transformers, and nothing else."""

import itertools

import pytest

from jaxlm import tokenizers
from jaxlm.tokenizers import Frame, Tokenizer, file_frame, with_frame
from tests.tokenizers.published import PUBLISHED, published

TEXTS = ["a b", "", "abc"]


def own_kinds():
    yield tokenizers.bytes_tokenizer()
    for alphabet, ambiguous in itertools.product(("esm", "cortex"), ("keep", "unknown", "error")):
        yield tokenizers.residue_tokenizer(alphabet, ambiguous)
    yield tokenizers.train_subwords(["low lower lowest"], vocab_size=270)
    yield tokenizers.train_instructions(["mov rax 1 [NEXT] ret"], vocab_size=512)


def frames(tokenizer):
    first, last = tokenizer.specials.ends
    return [
        Frame(),
        Frame((first,)),
        Frame((), (last,)),
        Frame((first,), (last,)),
        Frame((first, last), (last, first)),
    ]


def check(tokenizer, text):
    plain = tokenizer.encode(text)
    for frame in frames(tokenizer):
        changed = with_frame(tokenizer, frame)
        assert file_frame(changed) == frame
        assert (changed.kind, changed.specials) == (tokenizer.kind, tokenizer.specials)
        assert changed.encode(text).tolist() == plain.tolist()
        assert changed.encode(text, add_specials=True).tolist() == frame.around(plain).tolist()
        offsets = (one.backend.encode(text, add_special_tokens=False).offsets for one in (changed, tokenizer))
        assert next(offsets) == next(offsets)
        back = with_frame(changed, file_frame(tokenizer))
        assert (
            back.encode(text, add_specials=True).tolist()
            == tokenizer.encode(text, add_specials=True).tolist()
        )


@pytest.mark.parametrize("tokenizer", list(own_kinds()), ids=lambda one: one.kind)
def test_our_own_kinds_stay_what_they_are(tokenizer):
    check(tokenizer, "MKT" if tokenizer.kind == "residues" else "mov low 1")


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_files(tmp_path, name):
    check(published(name, tmp_path), "a b")


def test_the_older_steps_keep_what_they_do_to_offsets():
    import tokenizers as hf

    vocab = {"<s>": 0, "</s>": 1, "\u0120a": 2, "a": 3}
    backend = hf.Tokenizer(hf.models.WordLevel(vocab, unk_token="a"))
    backend.pre_tokenizer = hf.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.post_processor = hf.processors.RobertaProcessing(("</s>", 1), ("<s>", 0), add_prefix_space=False)
    tokenizer = Tokenizer.from_json(backend.to_str(), {"bos": "<s>", "eos": "</s>"})
    check(tokenizer, "a a a")
    assert tokenizer.backend.encode("a a", add_special_tokens=False).offsets[1] == (2, 3)


def test_a_file_that_does_so_already_is_left_alone():
    own = tokenizers.bytes_tokenizer()
    assert with_frame(own, file_frame(own)) is own


def test_a_string_is_one_text():
    from jaxlm.tokenizers import as_texts, join_chains, train_instructions, train_subwords

    assert [ids.tolist() for ids in tokenizers.bytes_tokenizer().encode_batch("ab")] == [[97, 98]]
    assert train_subwords("low low low", vocab_size=262) == train_subwords(["low low low"], vocab_size=262)
    text = "mov rax 1 [NEXT] mov rax 1"
    assert train_instructions(text, vocab_size=512) == train_instructions([text], vocab_size=512)
    assert join_chains("MKT") == "MKT"
    with pytest.raises(TypeError, match="decode them first"):
        as_texts(b"ab")
