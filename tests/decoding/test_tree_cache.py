"""Trees of nodes against forwards of their whole paths, whatever grew, went or moved; bits by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import decoding, models
from tests.decoding.conftest import log_softmax

NUM_ROWS, NUM_SLOTS, LENGTH = 2, 21, 4  # 21 bits are no whole number of bytes
SCHEMES = {
    "learned": {},
    "rotary window": {"position": "rotary", "num_kv_heads": 2, "window": 3, "norm": "rms", "depth": 2},
    "instruction": {"position": models.Instruction(next_id=101)},
    "scanned, relative": {"position": "relative", "scan_layers": True, "depth": 2},
}
# Float32 sums in another order, of logits of order ten
CLOSE = {"rtol": 0, "atol": 1e-4}


@pytest.fixture(scope="module", params=SCHEMES.values(), ids=SCHEMES)
def case(request, writer):
    return writer(**request.param)


class Forest:
    """A tree a row, grown on the device, and beside it what it should hold: the ids of each slot's path."""

    def __init__(self, case, tree, paths):
        self.case, self.tree, self.paths = case, tree, paths

    def grow(self, parents, tokens, slots, **options):
        """Adds nodes, parents before or behind their children; where a slot is S nothing is kept."""
        for paths, *columns in zip(self.paths, parents, tokens, slots, strict=True):
            news = {slot: new for *new, slot in zip(*columns, strict=True) if slot < NUM_SLOTS}
            for slot in news:
                paths.pop(slot, None)

            def path(slot, paths=paths, news=news):
                if slot in news:
                    parent, token = news[slot]
                    return [*path(parent), token]
                return paths.get(slot, [])

            paths |= {slot: path(slot) for slot in news}
        arrays = (jnp.asarray(array, jnp.int32) for array in (parents, tokens, slots))
        self.tree = decoding.extend_tree(self.case.model, self.case.params, self.tree, *arrays, **options)

    def grow_randomly(self, draws, sizes):
        """Each row gets its number of nodes, after old nodes or new ones, in free slots; others fill up."""
        shape = (NUM_ROWS, LENGTH)
        parents, slots = np.full(shape, -1), np.full(shape, NUM_SLOTS)
        tokens = draws.choice([5, 7, 9, 101, 101], shape)
        free = np.array(decoding.free_slots(self.tree, LENGTH))
        for row, size in enumerate(sizes):
            slots[row, :size] = draws.permutation(free[row, :size])
            for column in range(size):
                above = [-1, *self.paths[row], *slots[row, :column].tolist()]
                parents[row, column] = draws.choice(above)
        order = draws.permutation(LENGTH)
        self.grow(*(array[:, order].tolist() for array in (parents, tokens, slots)))

    def compact(self, keep):
        paths, kept = self.paths, np.zeros((NUM_ROWS, NUM_SLOTS), bool)
        for row, slots in enumerate(keep):
            kept[row, slots] = True
        self.tree, moved = decoding.compact_tree(self.tree, jnp.asarray(kept))
        moved = np.asarray(moved)
        self.paths = [
            {moved[row, slot]: path for slot, path in paths[row].items()} for row in range(NUM_ROWS)
        ]
        for row, slots in enumerate(self.paths):
            slots.pop(-1, None)
            wanted = [paths[row][slot] for slot in keep[row]]
            assert all(path in slots.values() for path in wanted)
            # Exactly the kept nodes and their ancestors, in the first slots
            assert all(any(path == longer[: len(path)] for longer in wanted) for path in slots.values())
            assert sorted(slots) == list(range(len(slots)))

    def agrees(self):
        nodes = jnp.broadcast_to(jnp.arange(NUM_SLOTS, dtype=jnp.int32)[None], (NUM_ROWS, NUM_SLOTS))
        log_probs = decoding.tree_log_probs(self.case.model, self.case.params, self.tree, nodes)
        assert isinstance(log_probs, jax.Array) and log_probs.dtype == jnp.float32
        masks = np.asarray(decoding.ancestor_mask(self.tree, nodes))
        for row, paths in enumerate(self.paths):
            depths = np.asarray(self.tree.depths)[row]
            assert {slot for slot in range(NUM_SLOTS) if depths[slot] >= 0} == set(paths)
            for slot, path in paths.items():
                on_path = sorted(np.flatnonzero(masks[row, slot]), key=lambda other: depths[other])
                assert [int(self.tree.tokens[row, other]) for other in on_path] == path
                assert on_path[-1] == slot and depths[slot] == len(path) - 1
                np.testing.assert_allclose(
                    log_probs[row, slot], log_softmax(self.case.logits(path)), **CLOSE, err_msg=str(path)
                )


def planted(case):
    """Trees without nodes."""
    tree = decoding.empty_tree(case.model, NUM_ROWS, NUM_SLOTS)
    return Forest(case, tree, [{} for _ in range(NUM_ROWS)])


@pytest.mark.parametrize("seed", range(3))
def test_a_node_is_its_path(case, seed):
    """Random trees, whose nodes come in any order; some go, the others move; then more come."""
    draws, forest = np.random.default_rng(seed), planted(case)
    for sizes in ((4, 2), (4, 4), (0, 3)):
        forest.grow_randomly(draws, sizes)
    forest.agrees()
    kept = [draws.choice(list(paths), 3, replace=False).tolist() for paths in forest.paths]
    forest.compact(kept)
    forest.agrees()
    forest.grow_randomly(draws, (4, 1))
    forest.agrees()


def test_bits_by_hand(writer):
    """Row 0: 4 5 7 and 4 6 in slots 20, 8, 7 and 0; row 1: 9 alone, the rest not kept."""
    forest, none = planted(writer()), NUM_SLOTS
    forest.grow(
        [[20, -1, 8, 20], [-1, 8, -1, 3]],
        [[5, 4, 7, 6], [9, 5, 5, 5]],
        [[8, 20, 7, 0], [3, none, none, none]],
    )
    bits = np.asarray(forest.tree.ancestors)
    assert bits.shape == (NUM_ROWS, NUM_SLOTS, 3)
    assert bits[0, 20].tolist() == [0, 0, 0b00001000]  # slot 20: bit 4 of the third byte
    assert bits[0, 8].tolist() == [0, 0b10000000, 0b00001000]
    assert bits[0, 7].tolist() == [0b00000001, 0b10000000, 0b00001000]
    assert bits[0, 0].tolist() == [0b10000000, 0, 0b00001000]
    assert bits[1, 3].tolist() == [0b00010000, 0, 0]
    assert not bits[1, [0, 7, 8, 20]].any()
    forest.agrees()


def test_a_slot_that_is_given_to_another_node(case):
    """4 5 and 4 6; then 6 gives way to 7 after 5, and in the same call 7 has a child."""
    forest = planted(case)
    forest.grow([[-1, 0, 0, -1]] * 2, [[4, 5, 6, 1]] * 2, [[0, 1, 2, NUM_SLOTS]] * 2)
    forest.grow([[1, 2, -1, -1]] * 2, [[7, 8, 1, 1]] * 2, [[2, 3, NUM_SLOTS, NUM_SLOTS]] * 2)
    assert forest.paths[0] == {0: [4], 1: [4, 5], 2: [4, 5, 7], 3: [4, 5, 7, 8]}
    forest.agrees()


def test_one_generation_is_enough_where_the_parents_are_read(writer):
    """The same numbers, bit for bit, without following parents among the new nodes."""
    new = ([[2, 2, 1, -1]] * 2, [[7, 8, 9, 3]] * 2, [[3, 4, 5, 6]] * 2)
    trees = []
    for options in ({}, {"generations": 1}):
        forest = planted(writer())
        forest.grow([[-1, 0, 1, -1]] * 2, [[4, 5, 6, 1]] * 2, [[0, 1, 2, NUM_SLOTS]] * 2)
        forest.grow(*new, **options)
        trees.append(forest.tree)
    jax.tree.map(np.testing.assert_array_equal, *trees)


def test_prompts_are_trees(case):
    prompts = [[5, 101, 7, 9, 101], [8]]
    tokens, lengths = np.zeros((NUM_ROWS, 6), np.int32), np.array([5, 1], np.int32)
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt)] = prompt
    read = decoding.tree_of_prompts(
        case.model, case.params, jnp.asarray(tokens), jnp.asarray(lengths), num_slots=NUM_SLOTS
    )
    paths = [{end: prompt[: end + 1] for end in range(len(prompt))} for prompt in prompts]
    forest = Forest(case, read, paths)
    forest.agrees()
    assert decoding.free_slots(read, 2).tolist() == [[5, 6], [1, 2]]
    forest.grow_randomly(np.random.default_rng(0), (4, 2))
    forest.agrees()


def test_a_full_row_has_no_free_slot(writer):
    tree = decoding.empty_tree(writer().model, 1, 3)
    assert decoding.free_slots(tree._replace(depths=jnp.array([[0, -1, 1]])), 3).tolist() == [[1, 3, 3]]


def test_an_encoder_decoders_tree():
    """What each row's decoder writes is a tree behind its first token, over the row's own memory."""
    decoder = models.DecoderConfig(start_id=3)
    config = models.TransformerConfig(
        vocab_size=19, width=16, depth=1, num_heads=2, position="relative", init_std=0.4, decoder=decoder
    )
    model = models.build(config, "seq2seq_lm")
    prompts, lengths = jnp.array([[4, 5, 6], [7, 8, 0]]), jnp.array([3, 2])
    params = jax.jit(model.init)(jax.random.key(0), prompts)["params"]
    tree = decoding.tree_of_prompts(model, params, prompts, lengths, num_slots=6)
    new = [jnp.array([row] * 2) for row in ([0, 0, 1], [9, 2, 5], [1, 2, 4])]  # 3 9 5 and 3 2
    tree = decoding.extend_tree(model, params, tree, *new)
    tree, slots = decoding.compact_tree(tree, jnp.zeros((2, 6), bool).at[:, 4].set(True))
    assert slots[0].tolist() == [0, 1, -1, -1, 2, -1]
    found = decoding.tree_log_probs(model, params, tree, jnp.array([[0, 1, 2]] * 2))

    @jax.jit
    def log_probs(written):
        segments = (jnp.arange(3)[None] < lengths[:, None]).astype(jnp.int32)
        source = models.Inputs(tokens=prompts, segments=segments)
        inputs = models.Inputs(tokens=written, segments=jnp.ones_like(written), encoder=source)
        hidden = model.apply({"params": params}, inputs).hidden
        return jax.nn.log_softmax(model.apply({"params": params}, hidden, method="logits"))

    np.testing.assert_allclose(found, log_probs(jnp.array([[3, 9, 5]] * 2)), **CLOSE)
