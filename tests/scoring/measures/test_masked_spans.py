"""Masked copies: what they hold is known before any of them is made."""

import numpy as np
import pytest

from jaxlm.scoring.engine import _queries
from jaxlm.scoring.measures import _masked_spans, _masked_texts


@pytest.mark.parametrize("room", [60, 5])
def test_what_copies_hold_is_known_without_making_them(room, monkeypatch):
    tokens = np.array([7, 3, 5, 11, 4, 6, 8, 3, 5, 2] * 5, np.int32)
    ends = np.array([1], np.int32), np.array([2, 13], np.int32)
    text = _masked_texts.MaskedText(tokens, np.ones(len(tokens), bool), *ends)
    copies = _masked_spans.mask_each_token(text, mask_id=12, room=room)
    other = _queries.Query(np.array([20, 4]), np.array([1]), np.array([4]))
    both = _masked_spans.JoinedQueries([copies, [other]])
    made = [_queries.extent(list(one)) for one in (copies, both)]
    assert made == [(min(room, 50) + 3, 13), (min(room, 50) + 3, 20)]

    looked, make = [], _masked_spans.MaskedSpans.__getitem__

    def counted(self, index):
        looked.append(index)
        return make(self, index)

    monkeypatch.setattr(_masked_spans.MaskedSpans, "__getitem__", counted)
    assert [_queries.extent(one) for one in (copies, both)] == made
    # Types are checked in tests, of which each check looks at one.
    assert len(looked) < 10 < len(copies)
