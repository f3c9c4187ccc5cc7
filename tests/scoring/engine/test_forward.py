"""How much of the vocabulary is looked at a time."""

from jaxlm.scoring.engine._forward import ids_at_once


def test_no_part_has_more_logits_than_a_tile():
    for places, tile, vocab_size in ((1024, 128, 50_257), (512, 64, 30_522), (16, 16, 33), (128, 16, 7)):
        ids = ids_at_once(places, tile, vocab_size)
        assert ids >= 1
        assert places * ids <= max(tile * vocab_size, places)
