import os
import subprocess
import sys
from collections import Counter

import pytest

from jaxlm import data

SOURCE = """
import os
def outer(a):
    '''A docstring of the function.'''
    def inner(b):
        return a + b
    return inner, lambda: a, lambda: a
class Shape:
    side = 3
    def area(self):
        return self.side ** 2
raise SystemExit("compiled, never run")
"""


@pytest.fixture
def sources(tmp_path):
    for name in (
        "pkg/__init__.py",
        "pkg/mod.py",
        "solo.py",
        "pkg/test/test_mod.py",
        "site-packages/other.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SOURCE)
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "warns.py").write_text("def f(x):\n    return x is 1, '\\d'\n")
    return tmp_path


def test_functions_of_every_module_in_order(sources):
    records = list(data.bytecode_source(sources))
    names = [
        "outer@3",
        "outer.<locals>.inner@5",
        "outer.<locals>.<lambda>@7",
        "outer.<locals>.<lambda>@7#2",
        "Shape.area@10",
    ]
    assert [record.id for record in records] == [
        *[f"pkg:{name}" for name in names],
        *[f"pkg.mod:{name}" for name in names],
        *[f"solo:{name}" for name in names],
        "warns:f@1",
    ]
    left_out = Counter()
    assert list(data.bytecode_source(sources, left_out=left_out)) == records
    assert left_out == {"modules": 1}
    assert records[5].meta == {"group": "pkg.mod", "module": "pkg.mod", "qualname": "outer"}
    assert records[0].text == records[5].text
    assert "BINARY_OP **" in records[4].text


def test_the_fingerprint_is_of_names_and_contents(sources):
    before = data.bytecode_fingerprint(sources)
    assert before == data.bytecode_fingerprint(sources)
    (sources / "site-packages" / "other.py").write_text("changed = 1")
    assert before == data.bytecode_fingerprint(sources)
    (sources / "solo.py").write_text(SOURCE + "\nchanged = 1")
    changed = data.bytecode_fingerprint(sources)
    (sources / "solo.py").rename(sources / "duo.py")
    assert len({before, changed, data.bytecode_fingerprint(sources)}) == 3


def test_a_folder_without_sources_is_one_line(tmp_path):
    with pytest.raises(data.CorpusError, match=r"no Python source in .* give paths of your own"):
        next(data.bytecode_source(tmp_path))


def test_the_standard_library_is_a_million_tokens_without_tests_or_packages(library):
    texts = {record.text for record in library}
    assert sum(text.count(" ") + 1 for text in texts) > 1_000_000
    assert len({record.id for record in library}) == len(library) > 10_000
    modules = {record.meta["module"] for record in library}
    assert {"json.decoder", "argparse", "asyncio.base_events"} <= modules
    assert not any(
        {"test", "tests", "site-packages", "idlelib"} & set(module.split(".")) for module in modules
    )


def test_the_order_of_hashes_changes_nothing():
    program = (
        "import hashlib, itertools; from jaxlm import data\n"
        "records = itertools.islice(data.bytecode_source(), 2000)\n"
        "print(hashlib.sha256(repr([record.text for record in records]).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
