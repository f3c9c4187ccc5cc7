"""What a model is, is asked of its `ModelKind` by its fields: few places know the kinds by their names."""

import ast
from collections import Counter
from pathlib import Path

from jaxlm import models, training

PACKAGE = Path(__file__).parents[1] / "jaxlm"
NAMES = {"masked_lm", "causal_lm", "seq2seq_lm", "classification", "regression", "body"}
MOST_PLACES, MOST_FILES = 10, 3


def named(source: str) -> list[str]:
    """Returns the kinds that a module names, in strings of their own that are no keys of parameters."""
    tree = ast.parse(source)
    keys = {id(node.slice) for node in ast.walk(tree) if isinstance(node, ast.Subscript)}
    keys |= {id(key) for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys}
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return [one.value for one in constants if one.value in NAMES and id(one) not in keys]


def test_few_places_know_a_kind_by_its_name():
    places = Counter()
    for path in sorted(PACKAGE.rglob("*.py")):
        places[str(path.relative_to(PACKAGE))] += len(named(path.read_text(encoding="utf-8")))
    places = +places
    assert places.total() <= MOST_PLACES and len(places) <= MOST_FILES, dict(places)


def test_what_counts_as_a_place():
    source = '''
"""Of a masked_lm."""
KIND = "masked_lm"
def ask(kind, params):
    return kind == "causal_lm" or kind in ("regression", "no kind") or params["body"]
'''
    assert sorted(named(source)) == ["causal_lm", "masked_lm", "regression"]


def test_every_kind_says_what_it_may_be_asked():
    asked = {
        name: (kind.head, kind.causal, kind.encoder, kind.next_token, kind.fill, kind.question)
        for name, kind in models.KINDS.items()
    }
    assert asked == {
        "masked_lm": ("tokens", False, False, False, True, "fill"),
        "causal_lm": ("tokens", True, False, True, False, "next_token"),
        "seq2seq_lm": ("tokens", False, True, True, False, None),
        "classification": ("sequences", False, False, False, False, None),
        "regression": ("sequences", False, False, False, False, None),
        "joint": ("several", False, False, False, False, None),
        "body": (None, False, False, False, False, None),
    }
    assert {name: one.kind.name for name, one in training.OBJECTIVES.items()} == {
        name: name for name in asked if name not in ("joint", "body")
    }
