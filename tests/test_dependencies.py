"""What jaxlm imports is declared, and what is declared is imported."""

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Distributions whose modules have another name.
MODULES = {"orbax-checkpoint": "orbax", "huggingface-hub": "huggingface_hub", "lm-eval": "lm_eval"}
# What is used where a user has it, and asked for by name where he has not.
OPTIONAL = {"torch", "huggingface_hub"}


def modules(requirements):
    names = (re.match(r"[\w.-]+", requirement)[0] for requirement in requirements)
    return {MODULES.get(name, name) for name in names}


def imported():
    """Top-level names of other distributions that any file of the package imports."""
    names = set()
    for path in (ROOT / "jaxlm").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module)
    return {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"jaxlm"}


def test_each_dependency_is_declared_and_used():
    extras = PROJECT["optional-dependencies"]
    needed = modules(PROJECT["dependencies"])
    assert needed <= imported()
    assert imported() <= needed | modules(extras["ray"] + extras["lm-eval"]) | OPTIONAL


def test_each_dependency_names_its_lowest_version():
    assert all(re.fullmatch(r"[\w.-]+>=[\d.]+", requirement) for requirement in PROJECT["dependencies"])
