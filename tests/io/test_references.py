"""Objects that files name: imported from elsewhere, never from the folder of the file that names them."""

import sys

import pytest

from jaxlm.errors import ConfigError
from jaxlm.io import import_reference

RAN = "import pathlib\npathlib.Path(__file__).with_suffix('.ran').touch()\nSIZE = 3\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder on the path with a module, and a model's folder in it that has one as well."""
    (tmp_path / "saved_model").mkdir()
    for path in ("own_parts_of_tests.py", "saved_model/parts_beside.py"):
        (tmp_path / path).write_text(RAN)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_module_elsewhere_is_imported(project):
    reference, folder = "own_parts_of_tests:SIZE", project / "saved_model"
    assert import_reference(reference, int, named_in=folder) == 3
    with pytest.raises(ConfigError, match=r"SIZE.* is a str: got int"):
        import_reference(reference, str, named_in=folder)
    with pytest.raises(ConfigError, match=r"'no_such_module\.part:SIZE' cannot be imported: No module named"):
        import_reference("no_such_module.part:SIZE", int, named_in=folder)


@pytest.mark.parametrize("module", ["saved_model.parts_beside", "parts_beside"])
def test_a_module_in_the_folder_is_not_run(project, module, monkeypatch):
    folder = project / "saved_model"
    monkeypatch.syspath_prepend(folder)
    with pytest.raises(ConfigError, match=r"lies in .*saved_model, whose file names it, and is not run"):
        import_reference(f"{module}:SIZE", int, named_in=folder)
    assert not (folder / "parts_beside.ran").exists()
    assert import_reference(f"{module}:SIZE", int) == 3  # named by whoever calls
    assert import_reference(f"{module}:SIZE", int, named_in=folder) == 3  # imported already
