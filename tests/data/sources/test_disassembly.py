"""Against traces worked out by hand; versions of Python differ in opcodes, not in the form of a trace."""

import dis
import re

import pytest

from jaxlm import data


def function(source, name="f"):
    scope = {}
    exec(source, scope)
    return scope[name].__code__


def instructions(source, name="f"):
    return [one.split(" ") for one in data.disassemble(function(source, name)).split(" [NEXT] ")]


def operands(constant):
    """How a constant looks in a trace; the code is put together here, since compilers fold constants."""
    code = function("def f():\n    pass").replace(co_consts=(None, constant))
    load = bytes([dis.opmap["LOAD_CONST"], 1, dis.opmap["RETURN_VALUE"], 0])
    trace = data.disassemble(code.replace(co_code=load))
    return trace.removeprefix("LOAD_CONST ").removesuffix(" [NEXT] RETURN_VALUE")


CONSTANTS = [
    (None, "None"),
    (True, "True"),
    (..., "Ellipsis"),
    (-12, "-12"),
    (1.5, "1.5"),
    (1 + 2j, "(1+2j)"),
    (10**4000, hex(10**4000)[:24]),
    ("", '"'),
    ("Content-Type: text\n", '" Content - Type : text'),
    ("a [MASK] b", '" a [ MASK ] b'),
    ("[NEXT]", '" [ NEXT ]'),
    ("----- é", '" ----- \\ xe9'),
    ("\ud800", '" \\ ud800'),
    ("x" * 60, '" ' + " ".join(["x" * 24, "x" * 24, "x" * 12])),
    ("w " * 17, '" ' + "w " * 16 + "..."),
    (b"PK\x03\xff", 'b" PK \\ xff'),
    ((1, "a", ("b",)), '( 1 " a ( " b ) )'),
    (frozenset({"b", "a"}), '{ " a " b }'),
    (tuple(range(40)), "( " + " ".join(map(str, range(16))) + " ... )"),
    (function("def named(): pass", "named"), "code named"),
]


@pytest.mark.parametrize(("constant", "expected"), CONSTANTS, ids=[expected for _, expected in CONSTANTS])
def test_constants(constant, expected):
    assert operands(constant) == expected


def test_names_calls_and_operators():
    trace = instructions("def f(self, key='x'):\n    return len(self.rows[key]) + other.limit")
    assert ["LOAD_GLOBAL", "len"] in trace
    assert ["LOAD_ATTR", "rows"] in trace
    assert ["BINARY_OP", "+"] in trace
    assert trace[-1] == ["RETURN_VALUE"]


@pytest.mark.parametrize("comparison", ["<", "<=", "==", "!=", ">"])
def test_comparisons_are_their_signs(comparison):
    trace = instructions(f"def f(a, b):\n    if a {comparison} b:\n        return c\n    return d")
    assert ["COMPARE_OP", comparison] in trace


def test_names_of_keyword_arguments_are_read():
    assert '( " key " reverse )' in data.disassemble(
        function("def f(x):\n    return sorted(x, key=g, reverse=h)")
    )


def test_a_jump_counts_instructions_signed():
    trace = instructions("def f(rows):\n    for row in rows:\n        use(row)\n    return rows")
    heads = [one[0] for one in trace]
    loop = heads.index("FOR_ITER")
    back = next(index for index, head in enumerate(heads) if head.startswith("JUMP_BACKWARD"))
    assert int(trace[back][1]) == loop - back < 0
    assert loop + int(trace[loop][1]) in (back + 1, back + 2)
    assert "RETURN_VALUE" in heads[loop + int(trace[loop][1]) :]


def test_every_jump_of_real_code_lands_inside(library):
    for record in library:
        trace = [one.split(" ") for one in record.text.split(" [NEXT] ")]
        for index, (head, *rest) in enumerate(trace):
            if "JUMP" in head or head in ("FOR_ITER", "SEND"):
                assert 0 <= index + int(rest[0]) < len(trace), (record.id, index, head)


def test_no_pretoken_but_next_is_a_special_and_none_is_empty(library):
    for record in library:
        pretokens = record.text.split(" ")
        assert all(pretokens), record.id
        brackets = {one for one in pretokens if re.fullmatch(r"\[[A-Z]+\]", one)}
        assert brackets <= {"[NEXT]"}
        assert pretokens[0] != "[NEXT]" != pretokens[-1]
        assert "<unknown>" not in pretokens


@pytest.mark.parametrize("noise", ["RESUME", "CACHE", "EXTENDED_ARG", "NOP"])
def test_noise_is_left_out_and_jumps_across_it_still_land(noise):
    body = "\n".join(f"        a{number} = use(a{number}, {number}, 'x')" for number in range(80))
    source = f"def f(rows):\n    while rows:\n{body}\n    return rows"
    names = {one.opname for one in dis.get_instructions(function(source), show_caches=True)}
    assert {"RESUME", "EXTENDED_ARG"} <= names
    trace = instructions(source)
    assert noise not in {one[0] for one in trace}
    jumps = [(index, int(one[1])) for index, one in enumerate(trace) if one[0].startswith("JUMP_BACKWARD")]
    jumps += [(index, int(one[1])) for index, one in enumerate(trace) if "BACKWARD_IF" in one[0]]
    assert jumps and all(index + delta < 6 for index, delta in jumps)
