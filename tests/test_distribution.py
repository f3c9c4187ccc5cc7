"""What is built from this folder: a wheel that trains an experiment anywhere, and a whole source archive."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WORDS = ["the", "cat", "sat", "on", "the", "mat", "and", "then", "the", "dog", "ran", "under", "a", "tree"]
OPTIONS = (
    "--steps 2 --batch-size 8 --row-length 16 --max-length 16 --model.width 16 --depth 1 --num-heads 2 "
    "--eval-every 0 --tokenizer.vocab-size 300"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def test_the_wheel_trains_an_experiment_from_an_empty_folder(built, tmp_path):
    with zipfile.ZipFile(built[0]) as wheel:
        wheel.extractall(tmp_path / "site")
    here = tmp_path / "here"
    here.mkdir()
    lines = (" ".join(WORDS[start:] + WORDS[:start]) for start in range(len(WORDS)))
    (here / "words.txt").write_text(
        "\n".join(f"{number} {line}" for number, line in enumerate(list(lines) * 4))
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "JAXLM_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "jaxlm", "train", "text-masked", "--data", "words.txt", *OPTIONS.split()]
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (here / "runs/text_masked-1/model.safetensors").exists()


def test_the_wheel_holds_the_package_and_the_experiments_without_results(built):
    with zipfile.ZipFile(built[0]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        assert any(name.endswith("licenses/jaxlm/LICENSE") for name in wheel.namelist())
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "jaxlm").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    experiments = {
        f"jaxlm/{path.relative_to(ROOT)}"
        for path in ROOT.glob("experiments/*/*.py")
        if path.parent.name != "benchmarks"
    }
    assert names == package | experiments


def test_the_source_archive_has_all_tests_and_experiments(built):
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for room in ("jaxlm", "tests", "experiments"):
        files = {
            str(path.relative_to(ROOT))
            for path in (ROOT / room).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert files <= names
