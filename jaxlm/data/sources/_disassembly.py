"""A function's bytecode as an instruction trace: opcode, operands, [NEXT] between instructions.

The pretokens are text without spaces: names unchanged, integers in decimal, jumps as a signed number of
instructions, strings as an opening quote and their words. Instructions that every function has and that no
model needs to learn are left out (inline caches, RESUME, and marks for the interpreter's compiler).
"""

import dis
import re
from collections.abc import Iterable, Iterator
from types import CodeType
from typing import Any

NEXT = "[NEXT]"
NOISE = frozenset({"CACHE", "EXTENDED_ARG", "NOP", "PRECALL", "RESUME", "NOT_TAKEN"})
MAX_PIECES = 16
MAX_PIECE = 24

_JUMPS = frozenset(dis.hasjrel) | frozenset(dis.hasjabs)
_CONSTANTS = frozenset(dis.hasconst)
_NAMES = frozenset(dis.hasname) | frozenset(dis.haslocal) | frozenset(dis.hasfree)
_PIECE = re.compile(r"\w+|([!-/:-@\[-`{-~])\1*")


def disassemble(code: CodeType) -> str:
    """Returns the instructions of one code object as text, without the code objects nested in it.

    Args:
      code: a code object, from `compile` or a function's `__code__`. It is read, never run.

    Returns:
      The trace: opcodes and operands as pretokens (units that a tokenizer divides into tokens one by one)
      separated by spaces, with `[NEXT]` between instructions and not after the last one. A literal `[NEXT]`
      or `[MASK]` in a string of the program is split into three pretokens, so that it is never mistaken for
      the special token.

    Example:
      >>> from jaxlm.data import disassemble
      >>> print(disassemble((lambda text: text).__code__))
      LOAD_FAST text [NEXT] RETURN_VALUE
    """
    instructions = list(dis.get_instructions(code))
    indices, shown = {}, []
    for instruction in instructions:
        indices[instruction.offset] = len(shown)
        if instruction.opname not in NOISE:
            shown.append(instruction)
    lines = (
        " ".join([instruction.opname, *_operands(instruction, index, indices, code)])
        for index, instruction in enumerate(shown)
    )
    return f" {NEXT} ".join(lines)


def _operands(
    instruction: dis.Instruction, index: int, indices: dict[int, int], code: CodeType
) -> Iterable[str]:
    opcode, value = instruction.opcode, instruction.argval
    if instruction.arg is None:
        return ()
    if opcode in _JUMPS:
        return (str(indices[value] - index),)
    if opcode in _CONSTANTS:
        # `dis` does not look up the names of keyword arguments, though they are constants too.
        return _constant(code.co_consts[instruction.arg])
    if opcode in dis.hascompare:
        return (str(value),)
    if opcode in _NAMES:
        # `from . import name` imports a module without a name.
        return value if isinstance(value, tuple) else (str(value) or ".",)
    shown = instruction.argrepr
    return (shown if shown and not any(letter.isspace() for letter in shown) else str(instruction.arg),)


def _constant(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield from _string('"', value)
        case bytes():
            yield from _string('b"', value.decode("latin-1"))
        case tuple() | frozenset():
            # A frozenset's order changes with the interpreter's hash seed.
            parts = [" ".join(_constant(part)) for part in value]
            ordered = parts if isinstance(value, tuple) else sorted(parts)
            opening, closing = "()" if isinstance(value, tuple) else "{}"
            yield opening
            yield from " ".join(ordered[:MAX_PIECES]).split()
            yield from (["..."] if len(ordered) > MAX_PIECES else [])
            yield closing
        case CodeType():
            yield from ("code", value.co_name)
        case int() if abs(value) >= 10**MAX_PIECE:
            yield hex(value)[:MAX_PIECE]
        case _:
            yield "Ellipsis" if value is ... else "".join(repr(value).split())


def _string(opening: str, text: str) -> Iterator[str]:
    """Words and runs of one punctuation mark, in ASCII, at most MAX_PIECES of at most MAX_PIECE letters."""
    yield opening
    head = text[: MAX_PIECES * MAX_PIECE]
    visible = head.encode("ascii", "backslashreplace").decode("ascii")
    pieces = [
        piece[start : start + MAX_PIECE]
        for piece in (match.group() for match in _PIECE.finditer(visible))
        for start in range(0, len(piece), MAX_PIECE)
    ]
    yield from pieces[:MAX_PIECES]
    if len(pieces) > MAX_PIECES or len(text) > len(head):
        yield "..."
