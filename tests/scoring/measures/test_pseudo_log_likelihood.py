"""Pseudo-log-likelihoods against one forward pass a mask, and what the maskings have in common."""

import math

import jax
import numpy as np
import pytest

from jaxlm import data, scoring, tokenizers

TEXTS = ["the souvenir of the traveler was lost", "lost souvenirs", "there"]
MASKINGS = ("original", "within-word", "whole-word")
COLUMNS = {
    "original": "pseudo_log_likelihood",
    "within-word": "pseudo_log_likelihood_within_word",
    "whole-word": "pseudo_log_likelihood_whole_word",
}
# Float32: rounding depends on where a copy lies in its row; the contract is this many nats a token.
CLOSE = 1e-5


def words_of(tokenizer, tokens):
    """The places of each word: a token that begins with a space opens one."""
    words = []
    for place, token in enumerate(tokens):
        if not words or tokenizer.token(int(token)).startswith(" "):
            words.append([])
        words[-1].append(place)
    return words


def slowly(loaded, text, log_probs_of, *, opening=(), closing=(), keep=None):
    """Each masking's log-probabilities by token, a forward pass each."""
    tokenizer = loaded.tokenizer
    tokens = tokenizer.encode(text)
    words = words_of(tokenizer, tokens)
    found = {masking: [] for masking in MASKINGS}
    for word in words:
        for place in word:
            hidden = {
                "original": [place],
                "within-word": [one for one in word if one >= place],
                "whole-word": word,
            }
            for masking, places in hidden.items():
                masked = tokens.copy()
                masked[places] = tokenizer.specials.mask
                read = np.concatenate([opening, masked, closing]).astype(np.int32)
                log_probs = log_probs_of(loaded, read)[len(opening) + place]
                if keep is not None:
                    log_probs = log_probs - np.logaddexp.reduce(log_probs[keep])
                found[masking].append(log_probs[tokens[place]])
    return found


@pytest.fixture(scope="module")
def rows(word_lm, rows_of):
    return rows_of(word_lm, scoring.PseudoLogLikelihood(masking=MASKINGS), TEXTS)


@pytest.mark.parametrize("masking", MASKINGS)
def test_a_masking_is_a_forward_pass_for_each_token(word_lm, rows, log_probs_of, masking):
    assert max(len(word) for word in words_of(word_lm.tokenizer, word_lm.tokenizer.encode(TEXTS[0]))) > 2
    for text, row in zip(TEXTS, rows, strict=True):
        expected = slowly(word_lm, text, log_probs_of)[masking]
        assert row[COLUMNS[masking]] == pytest.approx(sum(expected), abs=CLOSE * len(expected))


def test_counts_are_of_the_text_and_the_perplexity_of_the_first_masking(word_lm, rows):
    row, num = rows[0], len(word_lm.tokenizer.encode(TEXTS[0]))
    assert [row[name] for name in ("num_tokens", "num_scored", "num_words", "num_bytes")] == [num, num, 7, 37]
    assert row["pseudo_perplexity"] == pytest.approx(math.exp(-row["pseudo_log_likelihood"] / num))


def test_all_maskings_cost_a_copy_a_token_and_one_for_each_that_does_not_end_its_word(word_lm, context):
    tokenizer = word_lm.tokenizer
    record = data.Record("text", TEXTS[0], {})
    words = words_of(tokenizer, tokenizer.encode(TEXTS[0]))
    tokens, inner = sum(map(len, words)), sum(len(word) - 1 for word in words)
    for maskings, expected in (
        (("original",), tokens),
        (("within-word",), tokens),
        (("whole-word",), len(words)),
        (("original", "within-word"), tokens + inner),
        (MASKINGS, tokens + inner),
    ):
        planned = scoring.PseudoLogLikelihood(masking=maskings, ends=False).start(context(word_lm), record)
        assert len(planned.queries) == expected
        assert len({piece.tokens.tobytes() for piece in planned.queries}) == expected


def test_the_last_token_of_a_word_is_the_same_question_in_the_original_and_within_the_word(word_lm, rows_of):
    measure = scoring.PseudoLogLikelihood(masking=("original", "within-word", "whole-word"), tokens=True)
    row = rows_of(word_lm, measure, TEXTS[:1])[0]
    original, within, whole = (
        row[name] for name in ("token_log_probs", "token_log_probs_within_word", "token_log_probs_whole_word")
    )
    for word in words_of(word_lm.tokenizer, row["token_ids"]):
        assert original[word[-1]] == within[word[-1]]
        assert within[word[0]] == whole[word[0]]
        assert len(word) == 1 or original[word[0]] != within[word[0]]


def test_tokens_have_places_ranks_and_entropies(word_lm, rows_of, log_probs_of):
    measure = scoring.PseudoLogLikelihood(tokens=True, top_k=2)
    text = "lost [MASK] there"
    row = rows_of(word_lm, measure, [text])[0]
    tokens = word_lm.tokenizer.encode(text)
    special = tokens.tolist().index(word_lm.tokenizer.specials.mask)
    assert row["num_scored"] == len(tokens) - 1 and row["num_tokens"] == len(tokens)
    assert row["token_log_probs"][special] is row["token_ranks"][special] is row["top_ids"][special] is None
    assert [text[a:b] for a, b in zip(row["token_starts"], row["token_ends"], strict=True)][
        special
    ] == "[MASK]"
    masked = tokens.copy()
    masked[0] = word_lm.tokenizer.specials.mask
    log_probs = log_probs_of(word_lm, masked)[0]
    assert [row["token_words"][place] for place in (0, 1, special)] == [0, 0, None]
    assert row["token_ranks"][0] == (log_probs > log_probs[tokens[0]]).sum()
    assert row["token_entropies"][0] == pytest.approx(-(np.exp(log_probs) * log_probs).sum(), abs=1e-5)
    assert row["top_ids"][0] == np.argsort(-log_probs)[:2].tolist()


def test_words_have_the_sums_of_their_tokens(word_lm, rows_of):
    measure = scoring.PseudoLogLikelihood(masking=("original", "whole-word"), tokens=True, words=True)
    row = rows_of(word_lm, measure, ["the souvenir [MASK] was lost"])[0]
    assert row["words"] == ["the", "souvenir", "", "was", "lost"]
    for item in ("log_probs", "log_probs_whole_word"):
        sums = [0.0] * 5
        for word, value in zip(row["token_words"], row[f"token_{item}"], strict=True):
            sums[word or 0] += value or 0.0
        assert row[f"word_{item}"] == pytest.approx(sums, abs=1e-5)
    assert sum(row["word_log_probs"]) == pytest.approx(row["pseudo_log_likelihood"], abs=1e-5)


def test_ends_are_read_and_not_scored(word_lm, rows_of, log_probs_of):
    ends = word_lm.tokenizer.specials
    row = rows_of(word_lm, scoring.PseudoLogLikelihood(masking=MASKINGS, ends=True), TEXTS[1:2])[0]
    found = slowly(word_lm, TEXTS[1], log_probs_of, opening=[ends.cls], closing=[ends.sep])
    for masking, expected in found.items():
        assert row[COLUMNS[masking]] == pytest.approx(sum(expected), abs=CLOSE * len(expected))


def test_a_vocabulary_of_amino_acids_is_normalised_over_them(protein_lm, rows_of, log_probs_of):
    letters = [protein_lm.tokenizer.id(letter) for letter in "ACDEFGHIKLMNPQRSTVWY"]
    measure = scoring.PseudoLogLikelihood(vocabulary="amino-acids")
    row, unknown = rows_of(protein_lm, measure, ["MKTAYI", "MKXAYI"])
    tokens, expected = protein_lm.tokenizer.encode("MKTAYI"), 0.0
    for place, token in enumerate(tokens):
        masked = tokens.copy()
        masked[place] = protein_lm.tokenizer.specials.mask
        log_probs = log_probs_of(protein_lm, masked)[place]
        expected += log_probs[token] - np.logaddexp.reduce(log_probs[letters])
    assert row["pseudo_log_likelihood"] == pytest.approx(expected, abs=6 * CLOSE)
    assert unknown == "'X' at token 2 is none of the amino acids"


def test_long_texts_are_predicted_in_windows_around_each_word_or_refused(word_lm, rows_of, log_probs_of):
    text, room = " ".join([TEXTS[0]] * 2), 16
    tokens = word_lm.tokenizer.encode(text)
    windowed = scoring.PseudoLogLikelihood(masking=MASKINGS, tokens=True)
    row = rows_of(word_lm, windowed, [text], row_length=room)[0]
    assert len(tokens) > room and row["num_scored"] == len(tokens)
    for word in words_of(word_lm.tokenizer, tokens):
        middle = (word[0] + word[-1] + 1) / 2
        start = min(max(int(middle) - room // 2, 0), len(tokens) - room)
        assert start <= word[0] and word[-1] < start + room
        for place in word:
            masked = tokens.copy()
            masked[place : word[-1] + 1] = word_lm.tokenizer.specials.mask
            log_probs = log_probs_of(word_lm, masked[start : start + room])[place - start]
            assert row["token_log_probs_within_word"][place] == pytest.approx(
                log_probs[tokens[place]], abs=CLOSE
            )
    refused = rows_of(word_lm, scoring.PseudoLogLikelihood(long="error"), [text], row_length=room)[0]
    assert refused.startswith(f"{len(tokens)} tokens, and the model reads at most 16")


def test_of_bytes_a_word_is_what_stands_between_spaces(context):
    tokenizer = tokenizers.bytes_tokenizer()
    numbers = scoring.word_numbers(tokenizer, "to  bé[MASK]or", np.array([True] * 7 + [False] + [True] * 2))
    #        t  o  _  _  b  é1 é2 M   o  r: the special divides a word
    assert numbers.tolist() == [0, 0, 1, 1, 1, 1, 1, -1, 2, 2]


def test_a_word_longer_than_half_a_window_has_the_original_masking_alone(word_lm, rows_of):
    text = "the " + "souvenir" * 6
    said = rows_of(word_lm, scoring.PseudoLogLikelihood(masking=("whole-word",)), [text], row_length=16)[0]
    assert "is longer than half a window of 16: ask for the original masking alone" in said
    row = rows_of(word_lm, scoring.PseudoLogLikelihood(), [text], row_length=16)[0]
    assert row["num_scored"] == len(word_lm.tokenizer.encode(text)) > 16


def test_texts_that_cannot_be_scored_are_told(word_lm, protein_lm, rows_of):
    measure = scoring.PseudoLogLikelihood()
    assert rows_of(word_lm, measure, ["", "[SEP]"]) == [
        "no tokens: the text is empty",
        "nothing to score: all tokens are specials",
    ]
    said = rows_of(protein_lm, measure, ["MKT1"])[0]
    assert said.startswith("'1' at position 3 is not a residue")


def test_requests_that_make_no_sense_are_refused(protein_lm, context):
    with pytest.raises(scoring.ScoreError, match="each once: got original, original"):
        scoring.PseudoLogLikelihood(masking=("original", "original"))
    with pytest.raises(scoring.ScoreError, match="residues and no words"):
        scoring.PseudoLogLikelihood(masking=("whole-word",)).resolved(context(protein_lm))


def test_a_scorer_gives_the_same_rows_alone_and_in_any_order(protein_lm):
    config = scoring.EngineConfig(row_length=32, rows=8, buffer=16)
    scorer = scoring.make_scorer(protein_lm, "pseudo-log-likelihood", config)
    texts = ["MKTAYIAKQR", "GG", "MKT1", "WYV" * 9, "MKTAYIAKQR"]
    records = [data.Record(str(number), text, {}) for number, text in enumerate(texts)]
    forth, back = list(scorer(records)), list(scorer(records[::-1]))[::-1]
    alone = [next(scorer([record])) for record in records]
    assert forth[2]["error"].startswith("'1' at position 3")
    for rows in (back, alone):
        for row, other in zip(forth, rows, strict=True):
            assert row.keys() == other.keys()
            if "error" not in row:
                found, expected = (one["pseudo_log_likelihood"] for one in (row, other))
                assert found == pytest.approx(expected, abs=CLOSE * row["num_scored"])
    assert scorer.work.traces == 1


def test_a_model_without_opinions_gives_every_token_the_same(protein_lm, rows_of):
    blank = protein_lm._replace(params=jax.tree.map(np.zeros_like, protein_lm.params))
    row = rows_of(blank, scoring.PseudoLogLikelihood(), ["MKTAYI"])[0]
    assert row["pseudo_log_likelihood"] == pytest.approx(-6 * math.log(33), abs=6 * CLOSE)
    assert row["pseudo_perplexity"] == pytest.approx(33, rel=1e-5)
    methods = ("wt-marginals", "mask-fill", "match-fill", "pllr")
    for row in rows_of(blank, scoring.VariantEffect(wild_type="MKTAYI", methods=methods), ["K2A:Y5W", "MKT"]):
        assert [row[name] or 0.0 for name in ("wt_marginals", "mask_fill", "match_fill", "pllr")] == [0.0] * 4
