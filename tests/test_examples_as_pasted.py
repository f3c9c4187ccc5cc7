"""Every example of a docstring imports what it uses, so that it runs where it is pasted.

pytest runs the examples with nothing but what they import: tests/conftest.py empties their namespaces.
"""

import ast
import builtins
import doctest
import inspect
import symtable
from collections.abc import Iterator
from pathlib import Path

from jaxlm import ops

PACKAGE = Path(__file__).parents[1] / "jaxlm"
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def is_bound(symbol: symtable.Symbol) -> bool:
    return symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()


def free_names(source: str) -> set[str]:
    """Returns the names that a program reads and does not bind itself, without built-in ones."""
    top = symtable.symtable(source, "example", "exec")
    symbols = top.get_symbols()
    bound = {symbol.get_name() for symbol in symbols if is_bound(symbol)}
    read, waiting = set(), [top]
    while waiting:
        table = waiting.pop()
        waiting.extend(table.get_children())
        read_here = (symbol for symbol in table.get_symbols() if symbol.is_referenced())
        read |= {symbol.get_name() for symbol in read_here if table is top or symbol.is_global()}
    return read - bound - set(dir(builtins))


def incomplete_examples(source: str) -> Iterator[str]:
    """Yields what the examples of a module do not import, as "function: names"."""
    for node in ast.walk(ast.parse(source)):
        text = ast.get_docstring(node, clean=False) if isinstance(node, DOCUMENTED) else None
        if text and ">>>" in text:
            examples = doctest.DocTestParser().get_examples(text)
            program = "".join(line.source for line in examples if not line.options.get(doctest.SKIP))
            names = free_names(program)
            if names:
                yield f"{getattr(node, 'name', 'module')}: {', '.join(sorted(names))}"


def test_examples_import_what_they_use():
    files = sorted(PACKAGE.rglob("*.py"))
    faults = ((file, fault) for file in files for fault in incomplete_examples(file.read_text()))
    left = [f"{file.relative_to(PACKAGE)}: {fault}" for file, fault in faults]
    assert not left, "\n".join(left)


def test_a_missing_import_is_found():
    source = '"""One.\n\n>>> import jax\n>>> [jnp.ones(one) for one in (1, jax)]\n"""'
    assert list(incomplete_examples(source)) == ["module: jnp"]


def test_pytest_runs_an_example_with_what_it_imports_alone(pytestconfig):
    plugins = pytestconfig.pluginmanager.get_plugins()
    (conftest,) = (plugin for plugin in plugins if hasattr(plugin, "empty_namespace"))
    (example,) = doctest.DocTestFinder(recurse=False).find(ops.bucket, module=inspect.getmodule(ops.bucket))
    assert "bucket" in example.globs
    conftest.empty_namespace(example)
    assert set(example.globs) == {"__name__"}
