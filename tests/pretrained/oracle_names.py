"""Which names of a config.json transformers knows, read from its source: its classes, and what reads them."""

import ast
import functools
import importlib
import inspect
from typing import Any

import transformers
from transformers import masking_utils, modeling_rope_utils
from transformers.generation import GenerationConfig

# Text models whose files are called otherwise than their type.
MODULES = {"gemma3_text": "gemma3"}
READERS = ("getattr", "hasattr", "setattr")
POPPERS = ("get", "pop")
# What takes names out of a file; methods that read or write files take others.
CONSTRUCTORS = ("__init__", "__post_init__", "convert_rope_params_to_dict", "standardize_rope_params")


def config_class(family: str) -> type:
    """Returns the class of a family's config."""
    return transformers.models.auto.configuration_auto.CONFIG_MAPPING[family]


@functools.cache
def known_names(family: str) -> frozenset[str]:
    """Returns the names that mean something to transformers in the config.json of a family."""
    module = MODULES.get(family, family)
    modeling = importlib.import_module(f"transformers.models.{module}.modeling_{module}")
    read = set().union(*(names_read(source) for source in (modeling, modeling_rope_utils, masking_utils)))
    generation = GenerationConfig._get_default_generation_params().keys()
    names = names_of_class(config_class(family)) | read | generation
    return frozenset(name for name in names if not name.startswith("__") and not _is_of_code(family, name))


def names_of_class(kind: type) -> set[str]:
    """Returns fields, properties, aliases and what the constructors of a class and its bases take beside."""
    names = set(kind.attribute_map)
    for base in inspect.getmro(kind)[:-1]:
        if not base.__module__.startswith("transformers"):
            continue
        names |= {*vars(base).get("__annotations__", ()), *vars(base)}
        for node in _calls_of_constructors(base):
            if _takes(node, POPPERS, "kwargs"):
                names.add(node.args[0].value)
            elif _reads(node, "self"):
                names.add(node.args[1].value)
    return names


def names_read(module: Any) -> set[str]:
    """Returns what a module reads by name of anything that is called a config."""
    names = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Attribute) and _is_called(node.value, "config"):
            names.add(node.attr)
        elif isinstance(node, ast.Call) and _reads(node, "config"):
            names.add(node.args[1].value)
    return names


def _calls_of_constructors(kind: type) -> list[ast.Call]:
    tree = ast.parse(inspect.getsource(kind).lstrip())
    methods = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in CONSTRUCTORS
    ]
    return [node for method in methods for node in ast.walk(method) if isinstance(node, ast.Call)]


def _takes(node: ast.Call, methods: tuple[str, ...], owner: str) -> bool:
    function = node.func
    return (
        isinstance(function, ast.Attribute)
        and function.attr in methods
        and _is_called(function.value, owner)
        and bool(node.args)
        and isinstance(node.args[0], ast.Constant)
    )


def _reads(node: ast.Call, *owners: str) -> bool:
    return (
        isinstance(node.func, ast.Name)
        and node.func.id in READERS
        and len(node.args) > 1
        and isinstance(node.args[1], ast.Constant)
        and any(_is_called(node.args[0], owner) for owner in owners)
    )


def _is_called(node: ast.AST, name: str) -> bool:
    called = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return called == name or called.endswith(f"_{name}")


def _is_of_code(family: str, name: str) -> bool:
    """Whether a name is a method's."""
    found = inspect.getattr_static(config_class(family), name, None)
    return callable(found) or isinstance(found, classmethod | staticmethod)
