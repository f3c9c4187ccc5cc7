"""Files that were damaged: bytes, and of JSON values, changed at random, the same for the same seed."""

import copy
import json
import random

# What a number, a text or a list may turn into.
ODD = (
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    2**64,
    -(2**63),
    10**30,
    1e308,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "²",
    "a" * 300,
    "\ud800",
    "\x00",
    "../../x",
    [],
    {},
    [[]],
    ["x"],
    [None],
    {"a": 1},
    {"__float__": "Infinity"},
)
MOST_WAYS = 4


def mutated(content: bytes, rng: random.Random, *, is_json: bool) -> bytes:
    """Returns the content with one to four changes.

    Args:
        content: of a file that is whole.
        rng: decides.
        is_json: whether values are changed, too.
    """
    if is_json and rng.random() < 0.6:
        return _values_changed(content, rng)
    for _ in range(rng.randint(1, MOST_WAYS)):
        content = rng.choice((_flipped, _without, _repeated, _inserted, _cut, _digits))(content, rng)
    return content


def _place(content: bytes, rng: random.Random) -> int:
    return rng.randrange(len(content) + 1)


def _flipped(content: bytes, rng: random.Random) -> bytes:
    if not content:
        return content
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]


def _without(content: bytes, rng: random.Random) -> bytes:
    place = _place(content, rng)
    return content[:place] + content[place + rng.choice((1, 4, 60)) :]


def _repeated(content: bytes, rng: random.Random) -> bytes:
    place = _place(content, rng)
    return content[:place] + content[place : place + rng.choice((1, 8, 90))] * 2 + content[place:]


def _inserted(content: bytes, rng: random.Random) -> bytes:
    place = _place(content, rng)
    more = rng.choice(
        (b"\0", b"\xff\xfe", b"[" * 1000, b"9" * 5000, b'"', b"\r", b"{", b",,", rng.randbytes(5))
    )
    return content[:place] + more + content[place:]


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: _place(content, rng)]


def _digits(content: bytes, rng: random.Random) -> bytes:
    """A run of digits behind a digit: another number."""
    places = [place for place, byte in enumerate(content) if 48 <= byte < 58]
    if not places:
        return content
    place = rng.choice(places)
    return content[:place] + rng.choice((b"", b"-", b"9" * 12, b"1" * 5000)) + content[place + 1 :]


def _values_changed(content: bytes, rng: random.Random) -> bytes:
    """One to three values of a JSON text replaced, left out, or known by another name."""
    lines = content.splitlines() or [content]
    which = rng.randrange(len(lines)) if _is_json(lines[0]) and len(lines) > 1 else None
    try:
        value = json.loads(content if which is None else lines[which])
    except ValueError:
        return _flipped(content, rng)
    for _ in range(rng.randint(1, 3)):
        value = _changed(value, rng)
    text = json.dumps(value).encode("utf-8", "surrogatepass")
    if which is None:
        return text
    lines[which] = text
    return b"\n".join(lines) + b"\n"


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _changed(value: object, rng: random.Random) -> object:
    """The value with one of its inner ones changed, mostly a deep one."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        return copy.deepcopy(rng.choice(ODD))
    key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
    draw = rng.random()
    if draw < 0.12:
        del value[key]
    elif draw < 0.2 and isinstance(value, dict):
        value[f"{key}x"] = value.pop(key)
    elif draw < 0.25 and isinstance(value, list):
        value.insert(key, copy.deepcopy(value[key]))
    else:
        value[key] = _changed(value[key], rng)
    return value
