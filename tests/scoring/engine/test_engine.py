"""The engine against a piece on its own: packing, order, devices, shared contexts, what is asked beside."""

import dataclasses
import itertools
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models, pretrained, scoring
from jaxlm.scoring.engine import _engine
from jaxlm.scoring.engine._engine_config import WorkCounts
from jaxlm.scoring.engine._packer import BatchShape, pack
from jaxlm.scoring.engine._queries import query_block

V = 23
# Float32: rounding differs with where a piece lies in its row; the contract is this many nats a token.
CLOSE = 1e-5


def loaded(objective="causal_lm", **options):
    config = models.TransformerConfig(
        vocab_size=V,
        width=16,
        depth=2,
        num_heads=2,
        max_length=32,
        causal=objective == "causal_lm",
        position="rotary",
        init_std=0.5,
    )
    config = dataclasses.replace(config, **options)
    model = models.build(config, objective)
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
    return pretrained.Loaded(config, objective, model, params, None, {})


@pytest.fixture(scope="module")
def causal():
    return loaded()


@pytest.fixture(scope="module")
def masked():
    return loaded("masked_lm", position="learned")


def next_tokens(stream):
    stream = np.asarray(stream, np.int32)
    return scoring.Query(stream[:-1], np.arange(len(stream) - 1, dtype=np.int32), stream[1:])


def draw(number, longest, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, V, rng.integers(2, longest + 1)) for _ in range(number)]


def _logits(model, params, tokens, segments):
    hidden = model.apply({"params": params}, models.Inputs(tokens=tokens, segments=segments)).hidden
    return model.apply({"params": params}, hidden, method="logits")[0]


_logits_of = jax.jit(_logits, static_argnums=0)


def alone(model, piece):
    """The log-probabilities at every asked place, from the piece as the one text of a row."""
    tokens, segments = np.zeros((2, 1, 32), np.int32)
    tokens[0, : len(piece.tokens)] = piece.tokens
    segments[0, : len(piece.tokens)] = 1
    logits = np.asarray(_logits_of(model.model, model.params, tokens, segments), np.float64)[piece.scored]
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def chosen(log_probs, piece):
    return log_probs[np.arange(len(piece.targets)), piece.targets]


SMALL = scoring.EngineConfig(row_length=32, rows=8, buffer=64, tile=16)


@pytest.fixture(scope="module")
def engine(causal):
    return scoring.Engine(causal, SMALL)


def test_each_piece_is_scored_as_it_is_alone_in_order_with_one_compilation(causal, engine):
    pieces = [next_tokens(stream) for stream in draw(60, 31)]
    found = list(engine(iter(pieces)))
    for piece, scores in zip(pieces, found, strict=True):
        np.testing.assert_allclose(scores.log_probs, chosen(alone(causal, piece), piece), atol=CLOSE)
        assert scores.ranks is None and scores.top_tokens is None
    assert engine.work.traces == 1 and engine.work.queries == 60
    assert engine.work.scored == sum(len(piece.scored) for piece in pieces)


def test_neighbours_order_buffer_and_devices_change_nothing(causal, engine):
    pieces = [next_tokens(stream) for stream in draw(40, 31, seed=1)]
    once = [scores.log_probs for scores in engine(pieces)]
    back = [scores.log_probs for scores in engine(pieces[::-1])][::-1]
    one_device = dataclasses.replace(SMALL, devices=(jax.local_devices()[0],), rows=2, tile=7, buffer=4)
    others = [scores.log_probs for scores in scoring.score_queries(causal, pieces, one_device)]
    for ours, reversed_, theirs in zip(once, back, others, strict=True):
        np.testing.assert_allclose(ours, reversed_, atol=CLOSE)
        np.testing.assert_allclose(ours, theirs, atol=CLOSE)


def test_the_same_pieces_give_the_same_bits(engine):
    pieces = [next_tokens(stream) for stream in draw(30, 31, seed=2)]
    for one, other in zip(engine(pieces), engine(pieces), strict=True):
        np.testing.assert_array_equal(one.log_probs, other.log_probs)


def test_identical_pieces_are_read_once(engine):
    stream = draw(1, 31, seed=3)[0]
    before = engine.work
    found = list(engine([next_tokens(stream)] * 50))
    assert engine.work.tokens - before.tokens == len(stream) - 1
    assert engine.work.scored - before.scored == len(stream) - 1
    assert len({scores.log_probs.tobytes() for scores in found}) == 1 and len(found) == 50


def test_a_masked_lm_is_asked_at_its_masks_and_its_details_are_those_of_all_logits(masked):
    rng = np.random.default_rng(4)
    pieces = []
    for tokens in draw(20, 32, seed=4):
        places = np.sort(rng.choice(len(tokens), min(2, len(tokens)), replace=False)).astype(np.int32)
        read = tokens.astype(np.int32)
        read[places] = V - 1
        pieces.append(scoring.Query(read, places, tokens[places].astype(np.int32)))
    sets = np.arange(V)[None] % 3 == np.arange(2)[:, None]
    forward = scoring.LogProbForward(details=True, top_k=3, sets=sets)
    for piece, scores in zip(pieces, scoring.score_queries(masked, pieces, SMALL, forward), strict=True):
        everything = alone(masked, piece)
        own = chosen(everything, piece)
        np.testing.assert_allclose(scores.log_probs, own, atol=CLOSE)
        np.testing.assert_array_equal(scores.ranks, (everything > own[:, None]).sum(1))
        np.testing.assert_allclose(scores.entropy, -(np.exp(everything) * everything).sum(1), atol=1e-4)
        np.testing.assert_allclose(scores.confidence, np.exp(everything.max(1)), atol=CLOSE)
        np.testing.assert_array_equal(scores.top_tokens, np.argsort(-everything, 1)[:, :3])
        np.testing.assert_allclose(scores.top_log_probs, -np.sort(-everything, 1)[:, :3], atol=CLOSE)
        masses = np.stack([np.log(np.exp(everything[:, one]).sum(1)) for one in sets], 1)
        np.testing.assert_allclose(scores.masses, masses, atol=CLOSE)


def test_a_restricted_vocabulary_is_the_distribution_given_it(masked):
    ids = (9, 4, 17, 2)
    piece = scoring.Query(*(np.array(one, np.int32) for one in ([1, 22, 3], [1, 1], [17, 9])))
    forward = scoring.LogProbForward(vocabulary=ids, top_k=4, details=True)
    (scores,) = scoring.score_queries(masked, [piece], SMALL, forward)
    everything = alone(masked, piece)[0, list(ids)]
    everything -= np.log(np.exp(everything).sum())
    np.testing.assert_allclose(scores.log_probs, everything[[2, 0]], atol=CLOSE)
    order = np.argsort(-everything)
    np.testing.assert_array_equal(scores.top_tokens[0], np.array(ids)[order])
    np.testing.assert_array_equal(scores.ranks, [list(order).index(2), list(order).index(0)])


def test_many_continuations_read_their_context_once(causal):
    context = np.arange(10) % V
    streams = [np.concatenate([context, tail]) for tail in draw(12, 6, seed=5)]
    streams += [np.concatenate([context, [one]]) for one in (3, 4, 3)]
    pieces = [
        scoring.Query(
            stream[:-1].astype(np.int32),
            np.arange(9, len(stream) - 1, dtype=np.int32),
            stream[10:].astype(np.int32),
            context=10,
        )
        for stream in streams
    ]
    engine = scoring.Engine(causal, SMALL, scoring.LogProbForward(shared_contexts=True))
    for piece, scores in zip(pieces, engine(pieces), strict=True):
        np.testing.assert_allclose(scores.log_probs, chosen(alone(causal, piece), piece), atol=CLOSE)
    tails = {piece.tokens[10:].tobytes() for piece in pieces} - {b""}
    each = sum(len(np.frombuffer(tail, np.int32)) for tail in tails)
    # A tree is at most a row: each further one reads the context again.
    assert (engine.work.tokens - each) % 10 == 0 and engine.work.tokens - each < 10 * len(tails) / 2


def test_a_window_in_attention_shares_no_context():
    model = loaded(window=4)
    stream = np.arange(14) % V
    pieces = [next_tokens(np.concatenate([stream[:10], tail]))._replace(context=10) for tail in draw(5, 8)]
    found = scoring.score_queries(model, pieces, SMALL, scoring.LogProbForward(shared_contexts=True))
    for piece, scores in zip(pieces, found, strict=True):
        np.testing.assert_allclose(scores.log_probs, chosen(alone(model, piece), piece), atol=CLOSE)


@pytest.mark.parametrize("combine", ["probs", "log_probs", "scores"])
def test_members_become_one_by_the_mean_that_is_named(causal, combine):
    other = jax.tree.map(lambda leaf: leaf * 0.5, causal.params)
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), causal.params, other)
    pieces = [next_tokens(stream) for stream in draw(3, 9, seed=6)]
    config = dataclasses.replace(SMALL, combine=combine)
    forward = scoring.LogProbForward(details=True)
    found = list(scoring.score_queries(causal._replace(params=both), pieces, config, forward))
    for piece, scores in zip(pieces, found, strict=True):
        each = np.stack([alone(causal, piece), alone(causal._replace(params=other), piece)])
        mean = np.log(np.exp(each).mean(0)) if combine == "probs" else each.mean(0)
        if combine == "log_probs":
            mean -= np.log(np.exp(mean).sum(-1, keepdims=True))
        np.testing.assert_allclose(scores.log_probs, chosen(mean, piece), atol=CLOSE)


def test_no_array_holds_logits_of_more_than_a_tile(causal):
    shape, setting = BatchShape(1, 4, 32), scoring.ForwardSetting(tile=16, combine=None, on_cpu=True)
    asked = scoring.LogProbForward(details=True, top_k=2, sets=np.ones((1, V), bool))
    forward = asked.program(causal.model, setting)
    (packed,) = pack([query_block([next_tokens(range(9))])], shape, buffer=1, shared=False)
    rows = jax.tree.map(lambda leaf: leaf[0], packed.rows)
    sizes = {}
    largest(jax.make_jaxpr(forward)(causal.params, rows).jaxpr, sizes)
    with_vocabulary = [shape for shape in sizes if V in shape]
    assert max(map(np.prod, with_vocabulary)) == 16 * V < 4 * 32 * V


def largest(jaxpr, sizes):
    """The shapes of everything that a computation makes, inner ones among them."""
    for equation in jaxpr.eqns:
        sizes.update({tuple(variable.aval.shape): None for variable in equation.outvars})
        for value in equation.params.values():
            for one in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(one, "jaxpr", one)
                if hasattr(inner, "eqns"):
                    largest(inner, sizes)


def test_padding_is_little_on_lengths_as_they_are(engine):
    for seed, lengths in enumerate(([31] * 10 + [1] * 300, [5, 20, 9, 16] * 60, [17] * 50 + [14] * 60)):
        rng, before = np.random.default_rng(seed), engine.work
        streams = (rng.integers(0, V, length + 1) for length in lengths)
        list(engine(map(next_tokens, streams)))
        used = engine.work.tokens - before.tokens
        assert engine.work.positions - before.positions < used * 1.05 + 2 * 8 * 32


def test_a_failing_source_fails_the_caller_and_nobody_waits(engine):
    def pieces():
        yield next_tokens([1, 2, 3])
        raise KeyError("source")

    with pytest.raises(KeyError, match="source"):
        list(engine(pieces()))
    endless = engine(next_tokens(np.arange(30) % V) for _ in iter(int, 1))
    next(endless)
    endless.close()
    assert "jaxlm-pieces" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("piece", "reason"),
    [
        (scoring.Query(*(np.zeros(0, np.int32),) * 3), "1 to 32 tokens"),
        (scoring.Query(np.zeros(33, np.int32), *(np.zeros(1, np.int32),) * 2), "got 33 and 1"),
        (scoring.Query(*(np.array(one, np.int32) for one in ([1], [1], [2]))), "is asked"),
    ],
)
def test_a_piece_that_cannot_be_asked_is_refused(engine, piece, reason):
    with pytest.raises(ValueError, match=reason):
        list(engine([piece]))


def test_rows_divide_over_devices(causal):
    with pytest.raises(ValueError, match="8 devices: got 7"):
        scoring.Engine(causal, scoring.EngineConfig(rows=7))


def test_answers_that_come_late_keep_their_place(engine, monkeypatch):
    """The first batch is held back until later ones are answered."""
    pieces = [next_tokens(stream) for stream in draw(300, 31, seed=3)]
    expected = [scores.log_probs for scores in engine(pieces)]
    answers, answered, calls = engine._computed_rows, threading.Event(), itertools.count()

    def late(step, rows):
        if next(calls) == 0:
            assert answered.wait(60)
            return answers(step, rows)
        found = answers(step, rows)
        answered.set()
        return found

    monkeypatch.setattr(engine, "_computed_rows", late)
    for one, other in zip(engine(pieces), expected, strict=True):
        np.testing.assert_array_equal(one.log_probs, other)


def test_a_batch_that_fails_fails_the_caller_and_the_engine_goes_on(engine):
    pieces = [next_tokens(stream) for stream in draw(300, 31, seed=4)]
    answers, calls = engine._computed_rows, itertools.count()

    def failing(step, rows):
        if next(calls) == 2:
            raise MemoryError("third batch")
        return answers(step, rows)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine, "_computed_rows", failing)
        with pytest.raises(MemoryError, match="third batch"):
            list(engine(pieces))
    assert len(list(engine(pieces))) == 300


def test_whoever_stops_listening_does_not_wait_for_what_is_on_its_way(engine, monkeypatch):
    answers, calls = engine._computed_rows, itertools.count()
    begun, go = threading.Event(), threading.Event()

    def held(step, rows):
        if next(calls) == 0:
            assert begun.wait(60)
        else:
            begun.set()
            assert go.wait(60)
        return answers(step, rows)

    monkeypatch.setattr(engine, "_computed_rows", held)
    endless = engine(next_tokens(np.arange(30) % V) for _ in iter(int, 1))
    next(endless)
    endless.close()
    busy = [thread for thread in threading.enumerate() if thread.name.startswith("jaxlm-batches")]
    assert busy
    go.set()
    for thread in busy:
        thread.join(60)
    assert not any(thread.is_alive() for thread in busy) and next(calls) <= 1 + _engine.BATCHES_IN_FLIGHT


def test_several_threads_of_a_new_engine_compile_once(causal):
    engine = scoring.Engine(causal, SMALL)
    pieces = [next_tokens(stream) for stream in draw(100, 31, seed=5)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: list(engine(pieces)), range(4)))
    assert engine.work.traces == 1 and engine.work.queries == 400
    for one in found:
        for scores, expected in zip(one, found[0], strict=True):
            np.testing.assert_array_equal(scores.log_probs, expected.log_probs)


def test_settings_of_the_callers_thread_are_those_of_the_compilation(causal, monkeypatch):
    seen, make = [], scoring.LogProbForward.program

    def noting(self, *arguments):
        forward = make(self, *arguments)

        def noted(params, rows):
            seen.append(jax.config.jax_default_matmul_precision)
            return forward(params, rows)

        return noted

    monkeypatch.setattr(scoring.LogProbForward, "program", noting)
    engine = scoring.Engine(causal, SMALL)
    with jax.default_matmul_precision("highest"):
        list(engine([next_tokens([1, 2, 3])]))
    assert seen == ["highest"]


def test_work_of_several_threads_is_all_counted(engine):
    before, interval = engine.work, sys.getswitchinterval()
    threads = [
        threading.Thread(target=lambda: [engine._count(WorkCounts(batches=1)) for _ in range(2000)])
        for _ in range(4)
    ]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert engine.work == before._replace(batches=before.batches + 8000)
