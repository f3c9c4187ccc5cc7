import numpy as np
import pytest

from jaxlm import data, tokenizers
from jaxlm.cli._probes import (
    FUNCTIONS,
    Probe,
    _trace,
    bytecode_probes,
    crop_around_mask,
    held_out_probes,
    probe_text,
)


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizers.train_instructions([_trace(source) for source, _ in FUNCTIONS] * 3, vocab_size=900)


def test_probes_are_traces_of_this_python_with_one_known_token_hidden(tokenizer):
    probes = list(bytecode_probes(tokenizer))
    # The opcodes of Python versions differ, the names in the functions do not.
    assert len(probes) >= 5
    traces = {_trace(source) for source, _ in FUNCTIONS}
    for probe in probes:
        (place,) = np.flatnonzero(probe.tokens == tokenizer.specials.mask)
        whole = probe.tokens.copy()
        whole[place] = tokenizer.id(probe.answer)
        assert tokenizer.decode(whole) in traces
        assert tokenizer.specials.unk not in probe.tokens


def test_what_a_vocabulary_has_not_as_one_token_is_not_asked_for():
    narrow = tokenizers.train_instructions(["ret"], vocab_size=420)
    assert list(bytecode_probes(narrow)) == []


def test_a_long_probe_is_shown_around_its_mask(tokenizer):
    text = "LOAD_FAST self [NEXT] " * 9 + "[MASK] self" + " [NEXT] LOAD_FAST text" * 9
    shown = crop_around_mask(tokenizer, Probe(tokenizer.encode(text), "LOAD_FAST"), most=30)
    assert shown == "… [NEXT] LOAD_FAST self [NEXT] [MASK] self [NEXT] LOAD_FAST text …"
    short = "LOAD_FAST [MASK]"
    assert crop_around_mask(tokenizer, Probe(tokenizer.encode(short), "self")) == short


def test_held_out_probes_hide_a_token_of_a_record(tmp_path):
    tokenizer = tokenizers.bytes_tokenizer()
    texts = ["abcdefghi", "x", "a longer record than would be shown on a line of its own"]
    records = [data.Record(str(index), text, {}) for index, text in enumerate(texts)]
    cache = data.build_cache(lambda: records, tokenizer, tmp_path, source_fingerprint="f" * 64)
    probes = list(held_out_probes(tokenizer, cache))
    assert len(probes) == 2  # "x" has nothing to predict its only token from
    assert tokenizer.decode(probes[0].tokens) == "abcdef[MASK]hi" and probes[0].answer == "g"
    assert len(probes[1].tokens) == 24


def test_the_text_of_a_probe_has_what_opens_and_closes_it_once(tmp_path):
    """`jaxlm fill`, which the last lines of a run name it for, puts them there again."""
    tokenizer = tokenizers.bytes_tokenizer()
    records = [data.Record(str(index), text, {}) for index, text in enumerate(["abcdefghi", "low lower"])]
    cache = data.build_cache(lambda: records, tokenizer, tmp_path, source_fingerprint="f" * 64, ends=True)
    frame = tokenizers.text_frame(tokenizer, "training")
    probes = list(held_out_probes(tokenizer, cache, frame))
    assert probe_text(tokenizer, probes[0]) == "abcdef[MASK]hi" and len(probes) == 2
    assert not any(set(probe.tokens.tolist()) & {*frame.opening, *frame.closing} for probe in probes)
