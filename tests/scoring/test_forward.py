"""How the asked places of a batch are divided into tiles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm.scoring._forward import ids_at_once, over_counted_tiles


@pytest.mark.parametrize("tiles", [[8, 2], [16, 4], [64, 16], [5], [3, 3]])
@pytest.mark.parametrize("num", [23, 4])
def test_every_asked_place_is_answered_whatever_the_tiles(tiles, num):
    places = jnp.arange(num, dtype=jnp.int32)
    run = jax.jit(lambda count: over_counted_tiles(lambda a, b: 10 * a + b, places, places + 1, count, tiles))
    for count in range(num + 1):
        found = np.asarray(run(jnp.int32(count)))
        np.testing.assert_array_equal(found[:count], 11 * np.arange(count) + 1)
        assert found.shape == (num,)


def test_few_places_take_small_tiles():
    taken = []

    def one_tile(places, targets):
        jax.debug.callback(lambda: taken.append(len(places)))
        return places + targets

    places = jnp.zeros(64, jnp.int32)
    for count, wanted in ((0, []), (3, [4]), (11, [4, 4, 4]), (13, [16]), (20, [16, 4]), (64, [16] * 4)):
        taken.clear()
        over_counted_tiles(one_tile, places, places, jnp.int32(count), [16, 4])
        jax.effects_barrier()
        assert taken == wanted


def test_no_part_has_more_logits_than_a_tile():
    for places, tile, vocab_size in ((1024, 128, 50_257), (512, 64, 30_522), (16, 16, 33), (128, 16, 7)):
        ids = ids_at_once(places, tile, vocab_size)
        assert ids >= 1
        assert places * ids <= max(tile * vocab_size, places)
