"""What a dataclass says of itself, read off its source: a list of many is shown without importing what they run on."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.abc import InspectLoader
from importlib.util import find_spec
from typing import Any

__all__ = ["Told", "told_by"]


@dataclass(frozen=True)
class Told:
    """A class's own words.

    Attributes:
        summary: the first line of its docstring.
        facts: its class variables.
        settings: its fields and their defaults.
    """

    summary: str
    facts: Mapping[str, Any]
    settings: Mapping[str, Any]


def told_by(module: str, name: str) -> Told:
    """What the source of a class says; what its bases say is not read.

    Values are literals, or names of literals, also of other modules.

    >>> told_by("vitreous.methods.rollout", "Rollout").settings
    {'start_layer': 0, 'readout': 'class'}
    """
    tree = _tree(module)
    (body,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    facts, settings = dict[str, Any](), dict[str, Any]()
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            kind = facts if ast.unparse(node.annotation).startswith("ClassVar") else settings
            kind[node.target.id] = _value(node.value, tree)
    return Told((ast.get_docstring(body) or "").partition("\n")[0], facts, settings)


def _tree(module: str) -> ast.Module:
    spec = find_spec(module)
    assert spec is not None
    assert isinstance(spec.loader, InspectLoader)
    return ast.parse(spec.loader.get_source(module) or "")


def _value(node: ast.expr, tree: ast.Module) -> Any:
    """What a default is: a literal, that of a `field`, or what a name stands for."""
    if isinstance(node, ast.Call):
        return next(_value(each.value, tree) for each in node.keywords if each.arg == "default")
    return _named(node.id, tree) if isinstance(node, ast.Name) else ast.literal_eval(node)


def _named(name: str, tree: ast.Module) -> Any:
    """The constant of that name in a module, wherever it comes from."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return _value(node.value, tree)
        if isinstance(node, ast.ImportFrom) and node.module and name in [each.name for each in node.names]:
            return _named(name, _tree(node.module))
    raise LookupError(name)
