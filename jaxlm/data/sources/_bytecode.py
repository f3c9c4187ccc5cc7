"""The corpus that every machine has: this Python's own standard library, as instruction traces."""

import warnings
from collections import Counter
from collections.abc import Iterator
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType

from jaxlm.data.sources._disassembly import disassemble
from jaxlm.data.sources._library import library_fingerprint, module_name, python_files, stdlib
from jaxlm.data.sources._records import Record

# Part of the corpus' fingerprint: increase it when the same code gives another trace.
TRACE_VERSION = 1


def bytecode_source(
    root: str | Path | None = None, *, left_out: Counter[str] | None = None
) -> Iterator[Record]:
    """Yields the disassembled bytecode of each function of the Python files below a folder.

    The files are compiled and never run. The text of a record is a trace: the function's instructions as
    pretokens (units that a tokenizer divides into tokens one by one) separated by spaces, see `disassemble`.

    Methods, lambdas, comprehensions and nested functions count as functions; module and class bodies do not.

    Args:
      root: the folder. None: this Python's standard library, without its test suites and installed packages.
      left_out: a counter, whose entry "modules" is increased by one for each file that is skipped because
        this Python cannot compile it. None: skipped files are not counted.

    Yields:
      Records in a fixed order, with the id `module:qualified.name@line` (and `#2` at its end for the second
      lambda of a line). `meta["group"]` is the module, so that all functions of a module stay in one split.

    Raises:
      CorpusError: the folder holds no Python file, as for an interpreter that is shipped without the sources
        of its library.

    Example:
      >>> from jaxlm.data import bytecode_source
      >>> record = next(bytecode_source())
      >>> record.meta["module"], record.text.count("[NEXT]") > 0
      ('__future__', True)
    """
    root = stdlib() if root is None else Path(root)
    for path in python_files(root):
        module = module_name(path, root)
        seen: Counter[str] = Counter()
        compiled = _compiled(path)
        if compiled is None and left_out is not None:
            left_out["modules"] += 1
        for code in _functions(compiled):
            where = f"{module}:{code.co_qualname}@{code.co_firstlineno}"
            seen[where] += 1
            again = f"#{seen[where]}" if seen[where] > 1 else ""
            meta = {"group": module, "module": module, "qualname": code.co_qualname}
            yield Record(where + again, disassemble(code), meta)


def bytecode_fingerprint(root: str | Path | None = None) -> str:
    """Returns a digest of the records that `bytecode_source` yields, without compiling anything.

    Args:
      root: the folder of the Python files. None: this Python's standard library, without its test suites and
        installed packages.

    Returns:
      The SHA-256 in hexadecimal of this Python's version, of the version of `bytecode_source`, and of every
      file's name and content.
    """
    return library_fingerprint(f"bytecode {TRACE_VERSION}", root)


def _compiled(path: Path) -> CodeType | None:
    """The code of a module; None for a file that this Python cannot compile."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return compile(path.read_bytes(), path.name, "exec", dont_inherit=True, optimize=0)
        except (SyntaxError, ValueError):
            return None


def _functions(code: CodeType | None) -> Iterator[CodeType]:
    """Every function of a module in the order of the source, outer functions before inner ones."""
    if code is None:
        return
    if code.co_flags & CO_OPTIMIZED:
        yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _functions(constant)
