"""Requests as JSON, and what stdin may hold."""

import io

import pytest

from jaxlm.cli._failures import UsageError
from jaxlm.cli._inputs import json_request, stdin_lines


def test_requests():
    names = {"sentence": str, "top_k": int}
    assert json_request("no object", names) is None
    assert json_request(' {"sentence": "a", "top_k": 3}', names) == {"sentence": "a", "top_k": 3}
    with pytest.raises(UsageError, match="'top_k' is a int in a request: got True"):
        json_request('{"top_k": true}', names)


@pytest.mark.parametrize("depth", [1000, 100_000])
@pytest.mark.parametrize("line", ['{"sentence": %s1%s}', '{"sentence": %s1'], ids=["ended", "open"])
def test_deep_requests_are_refused(line, depth):
    line = line.replace("%s", "[" * depth, 1).replace("%s", "]" * depth, 1)
    with pytest.raises(UsageError, match="no JSON object"):
        json_request(line, {"sentence": str})


def test_a_number_of_thousands_of_digits_is_refused():
    with pytest.raises(UsageError, match="thousands of digits"):
        json_request('{"sentence": ' + "9" * 5000 + "}", {"sentence": str})


def test_stdin_that_is_closed_or_no_text(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UsageError, match="stdin is closed"):
        list(stdin_lines())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a\n\n b\n\xff\n"), encoding="utf-8"))
    with pytest.raises(UsageError, match="stdin is not UTF-8"):
        list(stdin_lines())
    monkeypatch.setattr("sys.stdin", io.StringIO("a\n\n b\r\n"))
    assert list(stdin_lines()) == ["a", " b\r"]
