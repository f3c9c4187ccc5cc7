"""Surprisal of words: the corrected probabilities of all words sum to one, uncorrected ones do not."""

import functools
import itertools
import json

import numpy as np
import pytest
import tokenizers as hf

from jaxlm import scoring, tokenizers
from jaxlm.scoring.measures import _words
from jaxlm.scoring.measures._masked_rows import word_texts
from jaxlm.scoring.measures._token_rows import byte_offsets

# A toy model over the tokens "a", "b", " a", " b" and the end of text; the last row opens a text.
A, B, SPACED_A, SPACED_B, END, OPEN = range(6)
LINE = 6  # "a" with a line end behind it
INITIAL = {SPACED_A, SPACED_B}


@pytest.fixture(scope="module")
def toy():
    # Words go on rarely, so that those of more than eight tokens are of no weight.
    weights = np.random.default_rng(0).random((6, 5)) * np.array([0.3, 0.2, 1.0, 1.5, 0.2])
    return np.log(weights / weights.sum(1, keepdims=True))


def beta(toy, token):
    return np.logaddexp.reduce(toy[token, [SPACED_A, SPACED_B, END]])


def unspaced(toy, token):
    return np.logaddexp.reduce(toy[token, [A, B, END]])


def words(starts):
    for length in range(8):
        for rest in itertools.product((A, B), repeat=length):
            yield from ((start, *rest) for start in starts)


def log_prob(toy, before, word, first):
    """Corrected, by the function under test; and as it is."""
    path = (before, *word)
    own = np.array([toy[one, other] for one, other in itertools.pairwise(path)])
    ends = np.array([beta(toy, token) for token in path])
    (corrected,) = _words.word_log_probs([(0, len(word))], own, ends, first)
    return corrected, own.sum()


@pytest.mark.parametrize("before", [A, SPACED_B])
def test_the_words_behind_a_context_and_the_end_sum_to_one(toy, before):
    found = [log_prob(toy, before, word, beta(toy, before)) for word in words((SPACED_A, SPACED_B))]
    corrected, raw = np.exp(found).sum(0)
    end = np.exp(toy[before, END] - beta(toy, before))
    assert corrected + end == pytest.approx(1.0, abs=1e-3)
    assert abs(raw + np.exp(toy[before, END]) - 1.0) > 0.05


def test_the_first_words_of_a_text_sum_to_one(toy):
    found = [log_prob(toy, OPEN, word, unspaced(toy, OPEN))[0] for word in words((A, B))]
    end = np.exp(toy[OPEN, END] - unspaced(toy, OPEN))
    assert np.exp(found).sum() + end == pytest.approx(1.0, abs=1e-3)


def test_corrections_telescope(toy):
    path = (OPEN, A, B, SPACED_A, SPACED_B, B, A)
    own = np.array([toy[one, other] for one, other in itertools.pairwise(path)])
    ends = np.array([beta(toy, token) for token in path])
    found = _words.word_log_probs([(0, 2), (2, 3), (3, 6)], own, ends, ends[0])
    assert sum(found) == pytest.approx(own.sum() + ends[-1] - ends[0])


@pytest.mark.parametrize("before", [A, SPACED_B, LINE])
def test_words_that_end_with_white_space_and_others_sum_to_one(before):
    """A token that ends with white space ends its word, whatever follows; behind it any token begins one."""
    weights = np.random.default_rng(1).random((7, 6)) * np.array([0.3, 0.2, 1.0, 1.5, 0.2, 0.4])
    # Of the columns the last but one ends the text, the last is "a" with a line end.
    toy = np.log(weights / weights.sum(1, keepdims=True))
    column = {A: 0, B: 1, SPACED_A: 2, SPACED_B: 3, END: 4, LINE: 5}
    tokens = {token: place for token, place in column.items() if token != END}
    total = 0.0
    starts = tokens if before == LINE else (SPACED_A, SPACED_B)
    open_words = [(start,) for start in starts]
    for _ in range(9):
        found = []
        for word in open_words:
            path = (before, *word)
            own = np.array([toy[one, column[other]] for one, other in itertools.pairwise(path)])
            masses = np.array([np.logaddexp.reduce(toy[one, [2, 3, 4]]) for one in path])
            final = np.array([one == LINE for one in path])
            ends = _words.end_masses(np.concatenate([[0.0], masses]), final)[1:]
            (log_prob,) = _words.word_log_probs([(0, len(word))], own, ends, ends[0])
            total += np.exp(log_prob)
            found += [] if word[-1] == LINE else [(*word, token) for token in (A, B, LINE)]
        open_words = found
    end = np.exp(toy[before, 4] - (0.0 if before == LINE else np.logaddexp.reduce(toy[before, [2, 3, 4]])))
    assert total + end == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize(
    ("initial", "blank", "spans"),
    [
        ([0, 1, 0, 1], [0, 0, 0, 0], [(0, 1), (1, 3), (3, 4)]),
        ([1, 1, 0], [1, 0, 0], [(0, 3)]),  # white space belongs to the word behind it
        ([0, 1, 1], [0, 1, 1], [(0, 3)]),  # and to the one before at the end
        ([1], [1], [(0, 1)]),
    ],
)
def test_spans(initial, blank, spans):
    assert _words.word_spans([bool(one) for one in initial], [bool(one) for one in blank]) == spans


def test_the_rule_of_a_vocabulary():
    tokenizer = tokenizers.train_subwords(["a low slow low slow"] * 3, vocab_size=270)
    rule = _words.WordRule.of(tokenizer, tokenizer.vocab_size + 2)
    own = [tokenizer.token(id) for id in np.flatnonzero(rule.initial)]
    assert " low" in own and " " in own and "low" not in own and "[MASK]" not in own
    both = np.flatnonzero(rule.sets.all(0))
    assert both.tolist() == [tokenizer.specials.ends[1]] and rule.sets.any(0).all()


LINES = [
    "one.\nTwo",
    "a b\n\nc",
    "x \n y",
    "end.\n",
    "\nbegin",
    "a,\r\nb.\tc",
    "no space. and\n\n\nmore\n",
    " a.\n b",
]


@functools.cache
def line_tokenizer():
    """Divides as Llama 3's and Qwen's do: line ends stay with the signs before them."""
    backend = hf.Tokenizer(hf.models.BPE())
    pattern = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    backend.pre_tokenizer = hf.pre_tokenizers.Sequence(
        [
            hf.pre_tokenizers.Split(hf.Regex(pattern), "isolated"),
            hf.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = hf.decoders.ByteLevel()
    alphabet = hf.pre_tokenizers.ByteLevel.alphabet()
    trainer = hf.trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(LINES * 5, trainer)
    return tokenizers.Tokenizer.from_json(backend.to_str())


@pytest.mark.parametrize("text", LINES)
def test_line_ends_within_tokens_end_words(text):
    tokenizer = line_tokenizer()
    tokens = tokenizer.encode(text)
    rule = _words.WordRule.of(tokenizer, tokenizer.vocab_size)
    blank = [not tokenizer.token(id).strip() for id in tokens.tolist()]
    spans = _words.word_spans(rule.initial[tokens].tolist(), blank, rule.final[tokens].tolist())
    found = [tokenizer.decode(tokens[start:end]).strip() for start, end in spans]
    assert found == text.split()
    assert spans[0][0] == 0 and spans[-1][1] == len(tokens)


def test_some_tokens_do_end_with_a_line_end():
    shown = [line_tokenizer().token(int(id)) for id in line_tokenizer().encode("one.\nTwo")]
    assert ".\n" in shown


COMBINED = [
    "cafe\u0301 e\u0301te\u0301",
    "n\u0303o\u0308 x\u0323\u0307y",
    "\u1112\u1161\u11ab a",
    "e\u0301",
    "naïve é",
]


@pytest.mark.parametrize("normaliser", ["NFC", "NFKC", "StripAccents", "Lowercase"])
@pytest.mark.parametrize("text", COMBINED)
def test_labels_of_words_keep_their_marks_whatever_a_normaliser_makes_of_them(text, normaliser):
    file = json.loads(tokenizers.train_subwords(COMBINED, vocab_size=300).to_json())
    steps = {"NFC": ["NFC"], "NFKC": ["NFKC"], "StripAccents": ["NFD", "StripAccents"]}
    steps = [{"type": name} for name in steps.get(normaliser, [normaliser])]
    file["normalizer"] = {"type": "Sequence", "normalizers": steps}
    tokenizer = tokenizers.Tokenizer.from_json(json.dumps(file))
    tokens = tokenizer.encode(text)
    starts, ends = byte_offsets(tokenizer, text)
    rule = _words.WordRule.of(tokenizer, tokenizer.vocab_size)
    spans = _words.word_spans(rule.initial[tokens].tolist(), [False] * len(tokens))
    encoded = text.encode()
    assert [encoded[starts[a] : ends[b - 1]].decode().strip() for a, b in spans] == text.split()
    numbers = scoring.word_numbers(tokenizer, text, np.ones(len(tokens), bool), "spaces")
    assert word_texts(tokenizer, text, numbers) == text.split()


def test_a_tokenizer_without_spaces_has_no_such_words():
    with pytest.raises(scoring.ScoreError, match="begin with a space"):
        _words.WordRule.of(tokenizers.residue_tokenizer(), 33)
