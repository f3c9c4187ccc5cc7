"""The trie of a vocabulary against brute force: its nodes, steps, and the mass of every node in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm.decoding import bytes as byte_models
from jaxlm.errors import UsageError

LONG = b" " * 128
words = st.binary(min_size=0, max_size=3) | st.text("ab", max_size=5).map(str.encode)
vocabularies = st.lists(
    st.none() | words | st.sampled_from([LONG, LONG[:100], LONG + b"a"]), max_size=12
).map(lambda tokens: [*tokens, b"a"])
# From certain to impossible, 1e-30 and what float32 cannot hold as a probability among them
log_prob_lists = st.lists(
    st.sampled_from([-np.inf, -0.5, -3.0, -69.1, -69.3, -120.0]) | st.floats(-100, 0, width=32), min_size=13
)
few = settings(max_examples=25, deadline=None)
SEVERAL = [b"b", None, b"ab", b"", b"abc", b"a", b"ab", b"bcd", b"\xff\x00", b"ac"]


def prefixes(token_bytes):
    """All prefixes of all tokens, sorted: the nodes in pre-order."""
    return sorted({data[:size] for data in token_bytes if data for size in range(len(data) + 1)})


def ids_below(token_bytes, prefix):
    return [id for id, data in enumerate(token_bytes) if data and data.startswith(prefix)]


def log_sum(log_probs, ids):
    return np.logaddexp.reduce(np.array([-np.inf, *(np.float64(log_probs[id]) for id in ids)]))


def assert_close(ours, theirs):
    """Within 1e-5 nats, down to probabilities of 1e-30; below that within float32's own steps."""
    ours = np.asarray(ours, np.float64)
    np.testing.assert_array_equal(np.isneginf(ours), np.isneginf(theirs))
    finite = np.isfinite(theirs)
    tolerance = np.maximum(1e-5, 2e-7 * np.abs(theirs[finite]))
    assert (np.abs(ours[finite] - theirs[finite]) <= tolerance).all()


@jax.jit
def all_masses(trie, log_probs):
    """Every kind of mass, of every node: log_probs of several rows at once."""
    pyramid = byte_models.mass_pyramid(trie, log_probs)
    nodes = jnp.arange(trie.starts.shape[0], dtype=jnp.int32)
    nodes = jnp.broadcast_to(nodes, (*log_probs.shape[:-1], len(nodes)))
    return (
        byte_models.node_log_masses(trie, pyramid, nodes),
        byte_models.exact_log_masses(trie, pyramid, nodes),
        byte_models.next_byte_log_masses(trie, pyramid, nodes),
    )


def assert_right(token_bytes, rows):
    """Compares the masses of all nodes with sums over all tokens, for each row of log-probs."""
    rows = np.asarray(rows, np.float32)
    names = prefixes(token_bytes)
    ours = all_masses(byte_models.make_byte_trie(token_bytes), jnp.asarray(rows))
    for log_probs, below, exact, following in zip(rows, *ours, strict=True):
        expected = np.array([log_sum(log_probs, ids_below(token_bytes, name)) for name in names])
        assert_close(below, expected)
        expected_following = np.full((len(names), 256), -np.inf)
        for name, mass in zip(names[1:], expected[1:], strict=True):
            expected_following[names.index(name[:-1]), name[-1]] = mass
        assert_close(following, expected_following)
        spelled = [[id for id, data in enumerate(token_bytes) if data and data == name] for name in names]
        assert_close(exact, np.array([log_sum(log_probs, ids) for ids in spelled]))


@few
@given(vocabularies)
def test_nodes_are_the_prefixes_of_the_tokens(token_bytes):
    trie = jax.tree.map(np.asarray, byte_models.make_byte_trie(token_bytes))
    tokens = sorted((data, id) for id, data in enumerate(token_bytes) if data)
    assert trie.token_ids.tolist() == [id for _, id in tokens]
    leaves = {id: leaf for leaf, (_, id) in enumerate(tokens)}
    assert trie.leaf_of_token.tolist() == [leaves.get(id, -1) for id in range(len(token_bytes))]
    names = prefixes(token_bytes)
    assert trie.depths.tolist() == [len(name) for name in names]
    assert trie.parents.tolist() == [names.index(name[:-1]) if name else -1 for name in names]
    for node, name in enumerate(names):
        interval = trie.token_ids[trie.starts[node] : trie.ends[node]].tolist()
        assert sorted(interval) == ids_below(token_bytes, name)
        exact = [token_bytes[id] == name for id in interval]
        assert exact == [True] * trie.num_exact[node] + [False] * (len(interval) - trie.num_exact[node])
        edges = slice(trie.edge_starts[node], trie.edge_starts[node + 1])
        children = [names[child] for child in trie.edge_children[edges]]
        assert children == [longer for longer in names if longer[:-1] == name and longer]
        assert trie.edge_bytes[edges].tolist() == [child[-1] for child in children]
    assert trie.edge_starts[-1] == len(trie.edge_bytes) == len(names) - 1


@few
@given(vocabularies, st.binary(max_size=6) | st.text("ab", max_size=8).map(str.encode))
def test_pieces_of_a_text_are_found_by_steps_and_on_the_host(token_bytes, text):
    trie, names = byte_models.make_byte_trie(token_bytes), prefixes(token_bytes)
    pieces = byte_models.nodes_of_bytes(trie, text, 4)
    assert pieces.shape == (len(text), 4)
    stepped, step = jnp.zeros(8, jnp.int32), jax.jit(byte_models.step_trie)
    for size in range(4):
        expected = [
            names.index(piece) if len(piece) > size and piece in names else -1
            for piece in (text[begin : begin + size + 1] for begin in range(len(text)))
        ]
        assert pieces[:, size].tolist() == expected
        letters = [*text[size:], *[-1] * 8][:8]  # behind the text there is no byte
        stepped = step(trie, stepped, jnp.array(letters, jnp.int32))
        assert stepped.tolist()[: len(text)] == expected


@settings(max_examples=12, deadline=None)
@given(vocabularies, st.lists(log_prob_lists, min_size=3, max_size=3))
def test_masses_of_random_vocabularies(token_bytes, rows):
    assert_right(token_bytes, [row[: len(token_bytes)] for row in rows])


@pytest.mark.parametrize("kind", ["flat", "peaked", "rare", "impossible", "all impossible"])
def test_masses_of_a_larger_vocabulary(kind):
    draws = np.random.default_rng(0)
    token_bytes = [bytes(draws.integers(0, 4, draws.integers(0, 7))) for _ in range(300)]
    logits = {
        "flat": np.zeros(300),
        "peaked": 12 * draws.normal(size=300),
        "rare": np.where(draws.random(300) < 0.01, 0.0, -69.0 + draws.normal(size=300)),
        "impossible": np.where(draws.random(300) < 0.7, -np.inf, 9 * draws.normal(size=300)),
        "all impossible": np.full(300, -np.inf),
    }[kind]
    assert_right(token_bytes, [logits - np.logaddexp.reduce(np.append(logits, -500.0))])


def test_masses_by_hand():
    """The end of a text is no text: it has none of the bytes that its name has."""
    trie = byte_models.make_byte_trie([b"a", b"b", b"ab", None])
    pyramid = byte_models.mass_pyramid(trie, jnp.log(jnp.array([0.1, 0.2, 0.2, 0.5])))
    nodes = [
        int(byte_models.nodes_of_bytes(trie, text, len(text))[0, -1]) for text in (b"a", b"b", b"ab", b"<")
    ]
    masses = jnp.exp(byte_models.node_log_masses(trie, pyramid, jnp.array([0, *nodes])))
    np.testing.assert_allclose(masses, [0.5, 0.3, 0.2, 0.2, 0.0], atol=1e-6)


def test_a_vocabulary_of_one_token():
    assert_right([None, b"ab"], [[-1.0, -0.5]])


def test_a_chain_of_tokens_of_every_length():
    assert_right([LONG[:size] for size in range(1, 129)], [np.linspace(-70, 0, 128)])


def test_a_vocabulary_without_bytes_is_refused():
    for token_bytes in ([], [None, b""]):
        with pytest.raises(UsageError, match="no token of this vocabulary has bytes"):
            byte_models.make_byte_trie(token_bytes)


def test_batches_are_as_their_rows_and_nothing_is_recompiled():
    trie = byte_models.make_byte_trie(SEVERAL)
    draws = np.random.default_rng(1)
    logits = jnp.asarray(draws.normal(size=(2, 3, len(SEVERAL))), jnp.float32)
    nodes = jnp.asarray(draws.integers(-1, len(trie.starts), (2, 3, 5)), jnp.int32)
    pyramids = byte_models.mass_pyramid(trie, logits)
    assert pyramids.shape == (2, 3, 16)
    for masses in (
        byte_models.node_log_masses,
        byte_models.exact_log_masses,
        byte_models.next_byte_log_masses,
    ):
        compiled = jax.jit(masses)
        ours = compiled(trie, pyramids, nodes)
        assert ours.shape[:3] == (2, 3, 5)
        for row in np.ndindex(2, 3):
            alone = masses(trie, byte_models.mass_pyramid(trie, logits[row]), nodes[row])
            np.testing.assert_allclose(ours[row], alone, rtol=0, atol=1e-6)
        compiled(trie, pyramids + 1, nodes)
        assert compiled._cache_size() == 1
    np.testing.assert_array_equal(
        np.asarray(byte_models.node_log_masses(trie, pyramids, nodes))[nodes < 0], -np.inf
    )


def test_steps_of_any_shape_and_of_numbers_that_are_no_byte():
    trie = byte_models.make_byte_trie(SEVERAL)
    names = prefixes(SEVERAL)
    root = jnp.zeros((2, 1), jnp.int32)
    letters = jnp.array([ord("a"), 255, 256, -1, ord("z")])
    expected = [names.index(b"a"), names.index(b"\xff"), -1, -1, -1]
    assert byte_models.step_trie(trie, root, letters[None]).tolist() == [expected, expected]
    uint8 = byte_models.step_trie(trie, root[0], jnp.array([255], jnp.uint8))
    assert uint8.tolist() == [names.index(b"\xff")]


@pytest.mark.parametrize("masses", ["node_log_masses", "exact_log_masses", "next_byte_log_masses"])
def test_gradients_are_shares_of_the_mass_and_finite(masses):
    """The derivative of a node's log-mass by a token's log-prob is the token's share in it."""
    trie, names = byte_models.make_byte_trie(SEVERAL), prefixes(SEVERAL)
    logits = np.random.default_rng(2).normal(size=len(SEVERAL)) * 3
    logits[[2, 5]] = -np.inf, -90.0

    def total(log_probs, nodes):
        values = getattr(byte_models, masses)(trie, byte_models.mass_pyramid(trie, log_probs), nodes)
        return jnp.where(jnp.isfinite(values), values, 0.0).sum()

    nodes = jnp.arange(-1, len(names), dtype=jnp.int32)
    gradient = jax.grad(total)(jnp.asarray(logits, jnp.float32), nodes)
    assert np.isfinite(gradient).all()
    through_softmax = jax.grad(lambda logits: total(jax.nn.log_softmax(logits), nodes))
    assert np.isfinite(through_softmax(jnp.asarray(logits, jnp.float32))).all()
    groups = {
        "node_log_masses": [ids_below(SEVERAL, name) for name in names],
        "exact_log_masses": [[id for id, data in enumerate(SEVERAL) if data == name] for name in names[1:]],
        "next_byte_log_masses": [ids_below(SEVERAL, name) for name in names[1:]],
    }[masses]
    shares = np.zeros(len(SEVERAL))
    for ids in groups:
        if np.isfinite(log_sum(logits, ids)):
            shares[ids] += np.exp(logits[ids] - log_sum(logits, ids))
    np.testing.assert_allclose(gradient, shares, atol=1e-5)
