"""Documents to rows: whole texts and continuations under a causal model, against logits of one text alone."""

import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import data, models, pretrained, scoring, tokenizers

TEXTS = ["a low slow low", "slow", "é low\nslow  a ", "low " * 30, "a"]
CONFIG = scoring.EngineConfig(row_length=32, rows=8, buffer=8)
CLOSE = 2e-5  # nats a token, float32
LONGEST = 128


@pytest.fixture(scope="module")
def loaded():
    tokenizer = tokenizers.train_subwords(TEXTS, vocab_size=268)
    config = models.TransformerConfig(
        vocab_size=tokenizer.vocab_size,
        width=16,
        depth=1,
        num_heads=2,
        max_length=LONGEST,
        causal=True,
        position="rotary",
        init_std=0.5,
    )
    model = models.build(config, "causal_lm")
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
    extra = {"experiment": {"data": {"ends": True}}}
    return pretrained.Loaded(config, "causal_lm", model, params, tokenizer, extra)


@pytest.fixture(scope="module")
def log_probs_of(loaded):
    """All log-probabilities of what follows each token of a stream, `[n V]`, from that stream alone."""

    @jax.jit
    def forward(params, tokens):
        hidden = loaded.model.apply({"params": params}, tokens).hidden
        return jax.nn.log_softmax(loaded.model.apply({"params": params}, hidden, method="logits"))

    def found(tokens):
        row = np.zeros((1, LONGEST), np.int32)
        row[0, : len(tokens)] = tokens
        return np.asarray(forward(loaded.params, row))[0, : len(tokens)].astype(np.float64)

    return found


@pytest.fixture(scope="module")
def make(loaded):
    """Scorers, of which those that need the same share what was compiled."""
    engines = {}

    def made(measure):
        scorer = scoring.make_scorer(loaded, measure, CONFIG)
        key = str(scorer.engine._forward)
        scorer.engine = engines.setdefault(key, scorer.engine)
        return scorer

    return made


def records(texts, **meta):
    return [data.Record(str(number), text, meta) for number, text in enumerate(texts)]


def rows(scorer, documents):
    found = list(scorer(documents))
    known = set(scorer.schema.names)
    assert all(set(row) in (known, {"error"}) for row in found)
    return found


def token_log_probs(log_probs_of, stream):
    everything = log_probs_of(stream[:-1])
    return everything[np.arange(len(stream) - 1), stream[1:]]


def test_whole_documents_and_what_follows_from_bytes_and_words(make, loaded, log_probs_of):
    for row, text in zip(rows(make("log-likelihood"), records(TEXTS[:3])), TEXTS, strict=False):
        tokens = loaded.tokenizer.encode(text)
        total = token_log_probs(log_probs_of, [loaded.tokenizer.specials.cls, *tokens]).sum()
        assert row["log_likelihood"] == pytest.approx(total, abs=CLOSE * len(tokens))
        assert (row["num_tokens"], row["num_scored"]) == (len(tokens),) * 2
        assert (row["num_words"], row["num_bytes"]) == (len(text.split()), len(text.encode()))
        assert row["perplexity"] == pytest.approx(math.exp(-total / len(tokens)), rel=1e-4)
        assert row["word_perplexity"] == pytest.approx(math.exp(-total / len(text.split())), rel=1e-3)
        # 2 to the bits per byte is the perplexity of bytes.
        assert 2 ** row["bits_per_byte"] == pytest.approx(row["byte_perplexity"], rel=1e-9)
        assert row["byte_perplexity"] == pytest.approx(math.exp(-total / len(text.encode())), rel=1e-4)


def test_nothing_before_a_text_leaves_its_first_token_out(make, loaded, log_probs_of):
    measure = scoring.LogLikelihood(bos="none", eos=True)
    first, *_, last = rows(make(measure), records(TEXTS))
    stream = [*loaded.tokenizer.encode(TEXTS[0]), loaded.tokenizer.specials.sep]
    assert first["log_likelihood"] == pytest.approx(token_log_probs(log_probs_of, stream).sum(), abs=1e-4)
    assert first["num_scored"] == first["num_tokens"] and first["bits_per_byte"] is None
    assert last["num_scored"] == 1
    (alone,) = rows(make(scoring.LogLikelihood(bos="none")), records("a"))
    assert "nothing before it" in alone["error"]


@pytest.mark.parametrize(
    "options", [{"context": 1}, {"stride": 4}, {}, {"bos": "window"}, {"bos": "window", "context": 1}]
)
def test_long_documents_in_windows(make, loaded, log_probs_of, options):
    scorer = make(scoring.LogLikelihood(window=16, **options))
    context = {"context": 1, "stride": 13}.get(next(iter(options.keys() - {"bos"}), ""), 8)
    assert (scorer.measure.window, scorer.measure.context, scorer.measure.stride) == (16, context, None)
    text = TEXTS[3]
    stream = np.array([loaded.tokenizer.specials.cls, *loaded.tokenizer.encode(text)])
    total, opened = 0.0, options.get("bos") == "window"
    for window in scoring.windows(len(stream), 16, context, opened=opened):
        read = [*(stream[:1] if window.opened else []), *stream[window.start : window.end + 1]]
        total += token_log_probs(log_probs_of, read)[window.first - window.end - 1 :].sum()
    (row,) = rows(scorer, records([text]))
    assert row["log_likelihood"] == pytest.approx(total, abs=CLOSE * len(stream))
    assert row["num_scored"] == len(stream) - 1


def test_windows_that_hold_all_of_it_are_the_whole(make):
    short, whole = (
        make(scoring.LogLikelihood(window=30, context=7)),
        make(scoring.LogLikelihood(long="error")),
    )
    for one, other in zip(rows(short, records(TEXTS[:3])), rows(whole, records(TEXTS[:3])), strict=True):
        assert one["log_likelihood"] == pytest.approx(other["log_likelihood"], abs=1e-4)
    (row,) = rows(make(scoring.LogLikelihood(long="error")), records([TEXTS[3] * 2]))
    assert "a window holds 32" in row["error"]


def test_rows_of_tokens(make, loaded, log_probs_of):
    scorer = make(scoring.LogLikelihood(tokens=True, top_k=2, eos=True))
    text = TEXTS[2]
    (row,) = rows(scorer, records([text]))
    tokens = loaded.tokenizer.encode(text)
    cls, sep = loaded.tokenizer.specials.ends
    everything = log_probs_of([cls, *tokens])
    own = token_log_probs(log_probs_of, [cls, *tokens, sep])
    assert row["token_ids"] == [*tokens, sep]
    np.testing.assert_allclose(row["token_log_probs"], own, atol=CLOSE)
    assert row["token_ranks"] == (everything > own[:, None]).sum(1).tolist()
    np.testing.assert_allclose(row["token_entropies"], -(np.exp(everything) * everything).sum(1), atol=1e-4)
    assert [top[0] for top in row["top_ids"]] == everything.argmax(1).tolist()
    spelled = [
        text.encode()[start:end] for start, end in zip(row["token_starts"], row["token_ends"], strict=True)
    ]
    assert spelled[-1] == b"" and spelled[2].decode().strip() in text and row["token_starts"][0] == 0
    none = make(scoring.LogLikelihood(tokens=True, top_k=2, bos="none"))
    (row,) = rows(none, records([text]))
    assert row["token_log_probs"][0] is None and len(row["token_log_probs"]) == len(tokens)


@pytest.mark.parametrize("options", [{}, {"eos": True}, {"window": 8, "context": 8}, {"bos": "none"}])
def test_rows_of_words(make, loaded, log_probs_of, options):
    text = TEXTS[0]
    (row,) = rows(make(scoring.LogLikelihood(words=True, **options)), records([text]))
    assert row["words"] == text.split()
    if options.get("bos") == "none":
        assert row["word_surprisals"][0] is None and None not in row["word_surprisals"][1:]
        return
    tokens = loaded.tokenizer.encode(text)
    cls, sep = loaded.tokenizer.specials.ends
    everything, own = log_probs_of([cls, *tokens]), token_log_probs(log_probs_of, [cls, *tokens])
    spaced = [id for id in range(loaded.tokenizer.vocab_size) if loaded.tokenizer.token(id)[:1].isspace()]
    after = np.logaddexp.reduce(everything[-1, [*spaced, sep]])
    rest = sorted(set(range(loaded.tokenizer.vocab_size)) - set(spaced) | {sep})
    before = np.logaddexp.reduce(everything[0, rest])
    # All boundaries within the text cancel.
    if "window" not in options:
        assert -sum(row["word_surprisals"]) == pytest.approx(own.sum() + after - before, abs=1e-4)
    assert row["num_scored"] == len(tokens) + ("eos" in options)


@pytest.mark.parametrize(
    "options",
    [
        {"window": 16},
        {"window": 16, "context": 16},
        {"window": 16, "bos": "window"},
        {"window": 16, "bos": "none"},
        {"window": 1, "context": 1},
    ],
)
def test_words_move_no_other_number(make, options):
    # Some end within a window, some fill their last one.
    documents = records(["low", TEXTS[0], *("low " * count for count in range(3, 12)), TEXTS[3]])
    plain = rows(make(scoring.LogLikelihood(**options)), documents)
    with_words = rows(make(scoring.LogLikelihood(words=True, **options)), documents)
    for one, other in zip(plain, with_words, strict=True):
        assert one.keys() - other.keys() == set() and one.get("error") == other.get("error")
        if "error" not in one:
            assert one["log_likelihood"] == pytest.approx(other["log_likelihood"], abs=1e-4)
    assert len({one["num_tokens"] for one in plain if "error" not in one}) > 5


def test_a_text_that_just_fits_has_words(make, loaded, log_probs_of):
    text = TEXTS[0]
    tokens = loaded.tokenizer.encode(text)
    exact = {"window": len(tokens), "long": "error", "words": True}
    (row,) = rows(make(scoring.LogLikelihood(**exact)), records([text]))
    (wide,) = rows(make(scoring.LogLikelihood(words=True)), records([text]))
    assert row["log_likelihood"] == pytest.approx(wide["log_likelihood"], abs=1e-4)
    # The mass behind the last word is read from all that fits a window, which is not the opening token.
    assert row["word_surprisals"][:-1] == pytest.approx(wide["word_surprisals"][:-1], abs=1e-4)
    log_probs = log_probs_of(tokens)[-1]
    rule = scoring.measures._words.WordRule.of(loaded.tokenizer, loaded.tokenizer.vocab_size)
    after = np.logaddexp.reduce(log_probs[rule.sets[0]])
    log_probs = log_probs_of([loaded.tokenizer.specials.cls, *tokens])[-1]
    moved = np.logaddexp.reduce(log_probs[rule.sets[0]]) - after
    assert row["word_surprisals"][-1] - wide["word_surprisals"][-1] == pytest.approx(moved, abs=1e-4)


def test_continuations_of_contexts(make, loaded, log_probs_of):
    scorer = make(scoring.Conditional())
    documents = [
        data.Record(str(n), text, {"context": "a low "}) for n, text in enumerate(("slow a", "low", "a"))
    ]
    documents += [data.Record("3", "slow", {"context": ""}), data.Record("4", "slow", {})]
    *found, missing = rows(scorer, documents)
    for row, document in zip(found, documents, strict=False):
        before, after = scoring.measures._conditional.split_text(document.meta["context"], document.text)
        known = len(loaded.tokenizer.encode(before)) if before else 0
        stream = [loaded.tokenizer.specials.cls, *loaded.tokenizer.encode(before + after)]
        own = token_log_probs(log_probs_of, stream)[known:]
        assert row["log_likelihood"] == pytest.approx(own.sum(), abs=CLOSE * len(own))
        assert (row["num_context_tokens"], row["num_tokens"]) == (known, len(own))
        assert row["log_likelihood_per_byte"] == pytest.approx(own.sum() / len(after.encode()), abs=1e-4)
        greedy = log_probs_of(stream[:-1]).argmax(1)[known:] == stream[1 + known :]
        assert row["is_greedy"] == greedy.all()
    assert "no context 'context'" in missing["error"]


def test_chain_rule(make):
    whole, start = rows(make("log-likelihood"), records(["low slow a", "low slow"]))
    (rest,) = rows(make("conditional"), [data.Record("0", " a", {"context": "low slow"})])
    joined = start["log_likelihood"] + rest["log_likelihood"]
    assert whole["log_likelihood"] == pytest.approx(joined, abs=1e-4)


def test_a_context_that_is_too_long_is_an_error_or_cut_from_the_left(make, loaded, log_probs_of):
    document = data.Record("0", "slow a", {"context": "low " * 40})
    (row,) = rows(make("conditional"), [document])
    assert "at most 32 can be" in row["error"]
    (row,) = rows(make(scoring.Conditional(long="left")), [document])
    read = loaded.tokenizer.encode("low " * 40 + "slow a")[-33:]
    stream = [loaded.tokenizer.specials.cls, *read[1:]]
    own = token_log_probs(log_probs_of, stream)[-row["num_tokens"] :]
    assert row["log_likelihood"] == pytest.approx(own.sum(), abs=CLOSE * 32) and row["num_cut"] > 0
    (row,) = rows(make(scoring.Conditional(long="last")), [document])
    own = token_log_probs(log_probs_of, read)[-row["num_tokens"] :]
    assert row["log_likelihood"] == pytest.approx(own.sum(), abs=CLOSE * 32)
    beyond = data.Record("0", "low " * 40, {"context": "low"})
    for long in ("left", "last"):
        assert "at most 32" in rows(make(scoring.Conditional(long=long)), [beyond])[0]["error"]


def test_documents_that_cannot_be_scored_have_a_row_that_says_why(make):
    texts = ["", "low", "\ud800", "slow"]
    empty, low, broken, slow = rows(make("log-likelihood"), records(texts))
    assert empty == {"error": "no tokens: the text is empty"}
    assert "surrogate" in broken["error"] and "\n" not in broken["error"]
    assert low["num_tokens"] and slow["num_tokens"]
    assert [set(row) for row in rows(make("log-likelihood"), records(["", ""]))] == [{"error"}] * 2
    assert rows(make("log-likelihood"), []) == []


def test_weights_that_are_no_numbers_give_no_score(loaded):
    broken = loaded._replace(params=jax.tree.map(lambda leaf: leaf * jnp.nan, loaded.params))
    (row,) = scoring.make_scorer(broken, "log-likelihood", CONFIG)(records(["low"]))
    assert "not finite" in row["error"]


def test_three_lines(loaded, make):
    found = list(scoring.score(loaded, ["low", "", *records(["slow"])], config=CONFIG))
    assert [one.id for one in found] == ["0", "1", "0"]
    assert found[1].values == {} and found[1].error == "no tokens: the text is empty"
    (again,) = rows(make("log-likelihood"), records(["low"]))
    assert found[0].values["log_likelihood"] == pytest.approx(again["log_likelihood"], abs=CLOSE)


@pytest.mark.parametrize("record", [b"low", 1, ["low"], None])
def test_what_is_no_record_is_refused_by_what_it_is(loaded, record):
    with pytest.raises(TypeError, match=rf"records are texts or data\.Record: got .*{type(record).__name__}"):
        list(scoring.score(loaded, iter(["low", record]), config=CONFIG))


def test_the_description_says_what_the_numbers_depend_on(loaded, make):
    one = make("log-likelihood").description
    assert one["bos"] == "document" and one["window"] == 32 and one["context"] == 16
    other = make(scoring.LogLikelihood(eos=True)).description
    assert {name for name in one if one[name] != other[name]} == {"eos"}
    changed = loaded._replace(params=jax.tree.map(lambda leaf: leaf + 1, loaded.params))
    theirs = scoring.make_scorer(changed, "log-likelihood", CONFIG).description
    assert {name for name in one if one[name] != theirs[name]} == {"model"}
    turned = loaded._replace(config=dataclasses.replace(loaded.config, position=models.Rotary(base=500.0)))
    theirs = scoring.make_scorer(turned, "log-likelihood", CONFIG).description
    assert {name for name in one if one[name] != theirs[name]} == {"config"}
    assert json.loads(json.dumps(one["config"]))["rotary_base"] == 10000.0
    assert {field.name for field in make("log-likelihood").schema if field.metadata} == {"log_likelihood"}


@pytest.mark.parametrize(
    ("measure", "reason"),
    [
        ("likelihood", "there are log-likelihood, conditional"),
        (scoring.LogLikelihood(window=64), "up to 32: got 64"),
        (scoring.LogLikelihood(window=4, stride=9), "1 to the window's 4 tokens, got -4"),
        (scoring.Conditional(bos="window"), "documents in windows"),
        (scoring.LogLikelihood(tokens=True, top_k=265), "top_k: expected 0 to the 264 ids .* got 265"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_reason(loaded, measure, reason):
    with pytest.raises(scoring.ScoreError, match=reason):
        scoring.make_scorer(loaded, measure, CONFIG)


def test_a_count_below_nothing_is_refused_where_it_is_said():
    with pytest.raises(scoring.ScoreError, match="top_k: expected a whole number from 0, got -1"):
        scoring.LogLikelihood(tokens=True, top_k=-1)


def test_a_causal_measure_of_a_masked_model_is_refused(loaded):
    with pytest.raises(scoring.ScoreError, match="asked of a causal_lm: this model is a masked_lm"):
        scoring.make_scorer(loaded._replace(kind=models.MASKED_LM), "log-likelihood", CONFIG)
