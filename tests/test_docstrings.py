"""Public functions have docstrings, with `Args:` and `Raises:` where a reader needs them, and one indent."""

import ast
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "jaxlm"

# linen says what it is, the same for every module.
KNOWN_METHODS = {"setup"}
HEAD = re.compile(r"^( *)(Args|Attributes|Example|Raises|References|Returns|Yields):$")


def own_statements(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """Yields the nodes of a function's body without those of the functions in it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))


def raises_directly(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function raises an exception that it makes itself."""
    raised = [node.exc for node in own_statements(function) if isinstance(node, ast.Raise)]
    return any(isinstance(error, ast.Call) and not is_bug(error) for error in raised)


def is_bug(error: ast.Call) -> bool:
    """Whether an error tells of a mistake in the package itself, which no caller is to expect."""
    return isinstance(error.func, ast.Name) and error.func.id in ("AssertionError", "NotImplementedError")


def count_arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    arguments = function.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    several = [arguments.vararg, arguments.kwarg]
    return len([name for name in names if name not in ("self", "cls")]) + sum(map(bool, several))


def is_overload(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(ast.unparse(decorator).endswith("overload") for decorator in function.decorator_list)


def faults_of_function(function: ast.FunctionDef | ast.AsyncFunctionDef, of_class: str) -> Iterator[str]:
    """Yields what a function's docstring lacks; that of its class counts for how an object is made."""
    makes_object = function.name in ("__init__", "__new__", "__post_init__")
    if is_overload(function) or function.name in KNOWN_METHODS:
        return
    if not makes_object and function.name.startswith("_"):
        return
    own = ast.get_docstring(function) or ""
    text = own + "\n" + of_class if makes_object else own
    if not text.strip():
        yield "docstring"
    if raises_directly(function) and "Raises:" not in text:
        yield "Raises:"
    if count_arguments(function) > 2 and not re.search("Args:|Attributes:", text):
        yield "Args:"


def faults(source: str) -> Iterator[str]:
    """Yields what the docstrings of a module lack, as "Class.method: Args:"."""

    def of(body: list[ast.stmt], prefix: str, of_class: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield from of(node.body, f"{prefix}{node.name}.", ast.get_docstring(node) or "")
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for fault in faults_of_function(node, of_class):
                    yield f"{prefix}{node.name}: {fault}"

    yield from of(ast.parse(source).body, "", "")


def wide_sections(source: str) -> Iterator[str]:
    """Yields the sections of docstrings that are not indented by two spaces."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, documented):
            continue
        lines = (ast.get_docstring(node, clean=False) or "").splitlines()
        for line, following in itertools.pairwise(lines):
            head = HEAD.match(line)
            if head and following.strip() and not following.startswith(head[1] + "  " + following.lstrip()):
                yield f"{getattr(node, 'name', 'module')}: {head[2]}"


def listed(find: Callable[[Path], Iterator[str]]) -> list[str]:
    files = sorted(PACKAGE.rglob("*.py"))
    return [f"{file.relative_to(PACKAGE)}: {fault}" for file in files for fault in find(file)]


def test_docstrings_of_public_functions_are_whole():
    assert not listed(lambda file: faults(file.read_text()))


def test_sections_have_one_indent():
    assert not listed(lambda file: wide_sections(file.read_text()))


def test_faults_are_found():
    source = '''
class Open:
    """Opens."""
    def read(self, name, size, end):
        """Reads."""
        raise ValueError("no")
def plain(): pass
def _private(): pass
'''
    assert list(faults(source)) == ["Open.read: Raises:", "Open.read: Args:", "plain: docstring"]
    assert not list(wide_sections('"""One.\n\nArgs:\n  name: two spaces.\n"""'))
    assert list(wide_sections('"""One.\n\nArgs:\n    name: four spaces.\n"""')) == ["module: Args"]
