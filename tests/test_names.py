"""One meaning a name: no two files define a class, a constant or a public function of the same name."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "jaxlm"

# A program and each of its commands have a function of a name that their caller knows.
ENTRY_POINTS = {"main": ("__main__.py", "cli"), "run": ("cli",)}


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yields the statements of a module, those inside its conditions included."""
    for statement in body:
        yield statement
        if isinstance(statement, (ast.If, ast.Try, ast.With)):
            for part in ("body", "orelse", "finalbody"):
                yield from statements(getattr(statement, part, []))
            for handler in getattr(statement, "handlers", []):
                yield from statements(handler.body)


def is_same_elsewhere(name: str, value: ast.expr | None) -> bool:
    """Whether an assignment gives another name of the same thing: a re-export, or a logger."""
    if isinstance(value, ast.Attribute):
        return value.attr == name
    return isinstance(value, ast.Call) and ast.unparse(value.func) == "logging.getLogger"


def assigned(statement: ast.stmt) -> Iterator[str]:
    """Yields the names that an assignment defines, which begin with a capital: constants and type aliases."""
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    else:
        return
    for node in (node for target in targets for node in ast.walk(target)):
        is_plain = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        if is_plain and node.id[0].isupper() and not is_same_elsewhere(node.id, statement.value):
            yield node.id


def defined_names(source: str) -> set[str]:
    """Returns the classes, constants and public functions of a module: overloads once, methods not."""
    names = set()
    for statement in statements(ast.parse(source).body):
        if isinstance(statement, ast.ClassDef):
            names.add(statement.name)
        elif isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names |= set() if statement.name.startswith("_") else {statement.name}
        names.update(assigned(statement))
    return names


def is_entry_point(name: str, path: Path) -> bool:
    return path.relative_to(PACKAGE).parts[0] in ENTRY_POINTS.get(name, ())


def test_no_name_has_two_meanings():
    files = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name in defined_names(path.read_text(encoding="utf-8")):
            if not is_entry_point(name, path):
                files[name].append(str(path.relative_to(PACKAGE)))
    double = {name: paths for name, paths in files.items() if len(paths) > 1}
    assert not double, f"these names are defined twice, give one of the two another name: {double}"


def test_what_counts_as_a_definition():
    source = """
LIMIT, _PRIVATE, lower = 1, 2, 3
KINDS: dict[str, int] = {}
Size = NewType("Size", int)
Batch = data.Batch  # the same thing
Rows = data.Batch  # another name
LOG = logging.getLogger(__name__)
table["KEY"], table.FIELD = 1, 2
class _Hidden:
    INNER = 1
    def method(self): ...
@overload
def read(path: str) -> str: ...
def read(path): ...
def _private():
    def inner(): ...
try:
    class Late: ...
except ImportError:
    def early(): ...
"""
    expected = {"LIMIT", "KINDS", "Size", "Rows", "_Hidden", "read", "Late", "early"}
    assert defined_names(source) == expected
