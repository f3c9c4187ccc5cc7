"""Reading token by token through a cache is the full forward, in whatever slots and however it branches."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import errors, models, ops
from tests.models.conftest import INSTRUCTION, dynamic_turns

SCHEMES = {
    "learned": {"position": "learned", "embedding_norm": True},
    "rotary": {"position": "rotary", "norm": "rms", "activation": "geglu", "num_kv_heads": 2},
    "instruction": {"position": INSTRUCTION, "norm_placement": "post"},
    "relative": {"position": models.Relative(buckets=8, distance=6), "num_kv_heads": 2},
    "none": {"position": "none", "head": "linear", "tie_embeddings": False},
    "window": {"position": "rotary", "window": 3, "num_kv_heads": 1},
    "learned window": {"position": "learned", "window": 2},
    "scanned": {"position": "rotary", "window": 4, "scan_layers": True, "num_kv_heads": 2},
    "scanned mixed": {"position": "rotary", "window": 3, "layer_pattern": "fw", "scan_layers": True},
    "mixed": {"shared": "mixed"},
    "parallel": {"shared": "parallel", "position": dynamic_turns(length=12)},
}
TOKENS = np.array([[1, 2, 5, 3, 4, 5, 6, 7], [8, 9, 10, 5, 1, 3, 2, 4]], np.int32)
NUM_SLOTS = 12
# Sums of at most 64 terms of order one, in another order
TOLERANCE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module", params=SCHEMES, ids=list(SCHEMES))
def case(request, small):
    return small(causal=True, **SCHEMES[request.param])


@functools.cache
def compiled(model):
    def read(variables, tokens, *, cache, slots=None, **arrays):
        output = model.apply(variables, models.Inputs(tokens=tokens, **arrays), cache=cache, slots=slots)
        return model.apply(variables, output.hidden, method="logits"), output.cache

    return jax.jit(read)


def places(config, tokens):
    """The positions that the config's scheme reads, of rows that begin at 0."""
    if isinstance(config.position, models.Instruction):
        return np.asarray(ops.instruction_positions(jnp.asarray(tokens), None, config.position.next_id))
    return np.broadcast_to(np.arange(tokens.shape[1], dtype=np.int32), tokens.shape)


def arguments(config, tokens, span, slot_of):
    """What a call needs that reads the tokens of a span, each seeing its own slot and those before it."""
    slot_of = np.asarray(slot_of, np.int32)
    mask = np.zeros((span.stop - span.start, NUM_SLOTS), bool)
    for place in range(span.start, span.stop):
        mask[place - span.start, slot_of[: place + 1]] = True
    return {
        "positions": places(config, tokens)[:, span],
        "slots": np.tile(slot_of[span], (len(tokens), 1)),
        "attention_mask": np.tile(mask, (len(tokens), 1, 1, 1)),
    }


def read_in_parts(case, tokens, slot_of):
    """Logits of every position: the first four tokens at once, the others one by one."""
    cache, parts = models.empty_cache(case.config, len(tokens), NUM_SLOTS), []
    for span in [slice(0, 4), *(slice(place, place + 1) for place in range(4, tokens.shape[1]))]:
        given = arguments(case.config, tokens, span, slot_of)
        logits, cache = compiled(case.model)(case.variables, tokens[:, span], cache=cache, **given)
        parts.append(logits)
    return np.concatenate(parts, axis=1), cache


def test_reading_in_parts_is_the_full_forward(case):
    full = case.logits(case.variables, TOKENS)
    logits, cache = read_in_parts(case, TOKENS, range(8))
    np.testing.assert_allclose(logits, full, **TOLERANCE)
    assert (np.asarray(cache.positions)[:, 8:] == -1).all()


def test_an_empty_cache_needs_no_mask(case):
    """The first four tokens and padding behind them at once, the others one by one."""
    cache, whole = models.empty_cache(case.config, 2, NUM_SLOTS), np.pad(TOKENS[:, :4], ((0, 0), (0, 2)))
    slots = np.tile(np.where(np.arange(6) < 4, np.arange(6), NUM_SLOTS), (2, 1)).astype(np.int32)
    given = {"positions": places(case.config, whole), "slots": slots}
    logits, cache = compiled(case.model)(case.variables, whole, cache=cache, **given)
    parts = [logits[:, :4]]
    for place in range(4, 8):
        span = slice(place, place + 1)
        given = arguments(case.config, TOKENS, span, range(8))
        logits, cache = compiled(case.model)(case.variables, TOKENS[:, span], cache=cache, **given)
        parts.append(logits)
    full = case.logits(case.variables, TOKENS)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), full, **TOLERANCE)


def test_an_empty_cache_is_filled_from_its_first_slot_on(small):
    case = small(causal=True, position="rotary", num_kv_heads=2)
    kept = []
    for slots in ({}, {"slots": np.tile(np.arange(8, dtype=np.int32), (2, 1))}):
        cache = models.empty_cache(case.config, 2, NUM_SLOTS)
        given = {"positions": places(case.config, TOKENS), "cache": cache, **slots}
        kept.append(compiled(case.model)(case.variables, TOKENS, **given)[1])
    jax.tree.map(np.testing.assert_array_equal, *kept)


def test_an_empty_cache_with_too_few_slots_is_refused(small):
    case = small(causal=True, position="rotary")
    positions = jnp.asarray(places(case.config, TOKENS))
    inputs = models.Inputs(tokens=TOKENS, positions=positions)
    with pytest.raises(errors.UsageError, match="got 8 tokens for 7; name their slots"):
        case.model.apply(case.variables, inputs, cache=models.empty_cache(case.config, 2, 7))


@pytest.mark.parametrize("options", [{"require_fused": True}, {"attention_implementation": "cudnn"}], ids=str)
def test_what_is_kept_in_a_cache_is_never_required_to_be_fused(small, options):
    case = small(causal=True)
    model = models.build(dataclasses.replace(case.config, **options), "causal_lm")
    given = {
        "positions": places(case.config, TOKENS[:, :3]),
        "slots": np.tile(np.arange(3, dtype=np.int32), (2, 1)),
    }
    cache = models.empty_cache(case.config, 2, NUM_SLOTS)
    logits, _ = compiled(model)(case.variables, TOKENS[:, :3], cache=cache, **given)
    np.testing.assert_allclose(logits, case.logits(case.variables, TOKENS)[:, :3], **TOLERANCE)
    with pytest.raises(ValueError, match="cannot be fused"):
        model.apply(case.variables, jnp.asarray(TOKENS))


def test_slots_are_only_places(case):
    full = case.logits(case.variables, TOKENS)
    logits, cache = read_in_parts(case, TOKENS, [9, 0, 4, 2, 11, 7, 1, 5])
    np.testing.assert_allclose(logits, full, **TOLERANCE)
    if not isinstance(case.config.position, models.Instruction):
        expected = [1, 6, 3, -1, 2, 7, -1, 5, -1, 0, -1, 4]
        assert np.asarray(cache.positions).tolist() == [expected, expected]


def test_what_is_not_granted_does_not_matter(case):
    """Slots beyond the mask hold the whole of another text; the last new token has no slot."""
    _, used = read_in_parts(case, TOKENS[::-1], range(8))
    given = arguments(case.config, TOKENS, slice(0, 4), [8, 9, 10, 11])
    given["slots"] = np.where(given["slots"] == 11, NUM_SLOTS, given["slots"])
    logits, cache = compiled(case.model)(case.variables, TOKENS[:, :4], cache=used, **given)
    full = case.logits(case.variables, TOKENS)
    np.testing.assert_allclose(logits[:, :3], full[:, :3], **TOLERANCE)
    for kept, before in zip(jax.tree.leaves(cache.layers), jax.tree.leaves(used.layers), strict=True):
        np.testing.assert_array_equal(kept[..., 11, :], before[..., 11, :])


def test_branches_of_a_tree_share_their_stem(case):
    """A stem of two tokens and two branches of three, in one row: each branch reads the stem and itself."""
    stem, branches = TOKENS[:, :2], (TOKENS[:, 2:5], TOKENS[::-1, 2:5])
    texts = [np.concatenate([stem, branch], axis=1) for branch in branches]
    nodes = [(0, 0), (0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (0, 4), (1, 4)]  # (branch, place) by slot
    visible = np.zeros((8, NUM_SLOTS), bool)
    for slot, (branch, place) in enumerate(nodes):
        for other, (theirs, before) in enumerate(nodes):
            visible[slot, other] = before <= place and (before < 2 or theirs == branch)
    tokens = np.stack([texts[branch][:, place] for branch, place in nodes], axis=1)
    positions = np.stack([places(case.config, texts[branch])[:, place] for branch, place in nodes], axis=1)
    cache, parts = models.empty_cache(case.config, 2, NUM_SLOTS), []
    for span in (slice(0, 4), slice(4, 8)):
        logits, cache = compiled(case.model)(
            case.variables,
            tokens[:, span],
            positions=positions[:, span],
            slots=np.tile(np.arange(8, dtype=np.int32)[span], (2, 1)),
            attention_mask=np.tile(visible[span], (2, 1, 1, 1)),
            cache=cache,
        )
        parts.append(logits)
    together = np.concatenate(parts, axis=1)
    for branch, text in enumerate(texts):
        filled = np.concatenate([text, TOKENS[:, 5:]], axis=1)  # a causal model does not see the filler
        alone = case.logits(case.variables, filled)
        own = [slot for slot, (theirs, place) in enumerate(nodes) if place < 2 or theirs == branch]
        np.testing.assert_allclose(together[:, own], alone[:, :5], **TOLERANCE)


def test_probabilities_are_over_slots(small):
    case = small(causal=True, position="rotary")

    def probs(cache, slots, **given):
        inputs = models.Inputs(**given)
        wanted = (models.Site.ATTENTION_PROBS,)
        output = case.model.apply(case.variables, inputs, cache=cache, slots=slots, intermediates=wanted)
        return output.intermediates[models.Site.ATTENTION_PROBS][1]

    given = jax.tree.map(jnp.asarray, {"tokens": TOKENS[:, :1], **COMPLETE})
    found = np.asarray(jax.jit(probs)(models.empty_cache(case.config, 2, 5), **given))
    assert found.shape == (2, 4, 1, 5)
    assert (found[..., 0] == 1).all() and (found[..., 1:] == 0).all()  # empty slots are never read


COMPLETE = {
    "positions": np.zeros((2, 1), np.int32),
    "slots": np.zeros((2, 1), np.int32),
    "attention_mask": np.ones((2, 1, 1, 5), bool),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slots": None}, "got no slots"),
        ({"positions": None, "slots": None}, "got no slots, no positions"),
        ({"segments": np.ones((2, 1), np.int32)}, "got segments too"),
        ({"attention_mask": np.ones((2, 1, 1, 4), bool)}, "the cache's 5 slots: got 4"),
    ],
)
def test_incomplete_calls_are_refused(small, change, message):
    case = small(causal=True, position="rotary")
    cache = models.empty_cache(case.config, 2, 5)
    with pytest.raises(ValueError, match=message):
        call(case, cache, change)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"position": dynamic_turns(length=4), "head_width": 8}, "longer than 4 tokens, .* got 5 slots"),
        ({"position": "rotary", "token_dropout": True, "mask_id": 5}, "token_dropout counts the masks"),
    ],
)
def test_what_depends_on_the_whole_text_is_refused(small, options, message):
    case = small(causal=True, **options)
    with pytest.raises(ValueError, match=message):
        call(case, models.empty_cache(case.config, 2, 5), {})


def test_instruction_positions_have_no_window(small):
    case = small(causal=True, position=INSTRUCTION, window=3)
    cache = models.empty_cache(case.config, 2, 5)
    with pytest.raises(ValueError, match="a window needs offsets"):
        call(case, cache, {"positions": np.zeros((2, 1, 2), np.int32)})


def call(case, cache, change):
    given = {name: array for name, array in {**COMPLETE, **change}.items() if array is not None}
    slots = given.pop("slots", None)
    case.model.apply(
        case.variables,
        models.Inputs(tokens=TOKENS[:, :1], **given),
        cache=cache,
        slots=None if slots is None else jnp.asarray(slots),
    )
