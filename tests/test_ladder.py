"""The walls of the house: who may import whom, read off the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "vitreous"
FLOORS = (
    {"errors", "shapes"},
    {"files", "settings", "trace", "render", "engines"},
    {"relevance", "masking", "medical"},
    {"methods", "metrics", "models", "data"},
    {"backbones", "interact", "statistics"},
    {"explaining", "training"},
    {"benchmarking", "evaluation", "inside"},
    {"interacting"},
    {"reporting", "batching"},
    {"serving", "reproducing"},
    {"cli"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# a third party, and the only rooms that may import it
THIRD_PARTIES = {
    "timm": {"models", "training"},
    "transformers": {"models"},
    "open_clip": {"models"},
    "torchvision": {"models", "training", "data", "masking"},
    "PIL": {"data", "render"},
    "matplotlib": {"render"},
    "jinja2": {"render"},
    "starlette": {"serving"},
    "uvicorn": {"serving"},
    "anywidget": {"serving"},
    "typer": {"cli"},
    "rich": {"cli"},
    "tensorboard": {"training"},
    "torchmetrics": {"metrics"},
    "pycocotools": {"data"},
    "h5py": {"data"},
    "pyarrow": {"statistics", "data", "batching", "inside"},
    "fsspec": {"data"},
    "ray": {"engines"},
    "filelock": {"files"},
    "pydicom": {"medical"},
    "highdicom": {"medical"},
    "nibabel": {"medical"},
}
FILES = sorted(SOURCE.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """What a file imports at run time: type-checking blocks do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    here = room(path)
    for name in imports(path):
        top, *rest = name.split(".")
        if top == "vitreous" and here not in ("__init__", "__main__") and rest:
            there = rest[0]
            assert there in FLOOR, f"{here} imports vitreous.{there}, which has no floor"
            assert here == there or FLOOR[there] < FLOOR[here], f"{here} may not import {there}"
        if top in THIRD_PARTIES:
            assert here in THIRD_PARTIES[top], f"{here} may not import {top}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_are_short_and_documented(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    assert ast.get_docstring(ast.parse(text)), "a file says what it is for"


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.name != "__init__.py"], ids=lambda p: str(p.relative_to(SOURCE))
)
def test_all_names_what_is_public_and_it_is_documented(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    listed: list[str] = []
    public: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            listed = ast.literal_eval(node.value)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            public.add(node.name)
            if [ast.unparse(each) for each in node.decorator_list] == ["overload"]:
                continue
            assert ast.get_docstring(node), f"{node.name} has no docstring"
    if path.name == "__main__.py":
        return
    assert public <= set(listed), f"public and not in __all__: {public - set(listed)}"
