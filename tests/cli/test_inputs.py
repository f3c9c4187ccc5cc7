"""Requests as JSON."""

import pytest

from jaxlm.cli._failures import UsageError
from jaxlm.cli._inputs import json_request


def test_requests():
    names = {"sentence": str, "top_k": int}
    assert json_request("no object", names) is None
    assert json_request(' {"sentence": "a", "top_k": 3}', names) == {"sentence": "a", "top_k": 3}
    with pytest.raises(UsageError, match="'top_k' is a int in a request: got True"):
        json_request('{"top_k": true}', names)
