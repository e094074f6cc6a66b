"""The public face: what it names is what there is, and looking at it costs next to nothing."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest

import vitreous
from vitreous.methods import METHODS
from vitreous.methods.method import Family

ROOT = Path(__file__).parents[1]
HEAVY = (
    "timm",
    "torchvision",
    "transformers",
    "pandas",
    "matplotlib",
    "scipy",
    "typer",
    "rich",
    "tensorboard",
    "ray",
    "pyarrow",
    "h5py",
)


def named_for_checkers() -> set[str]:
    """What the face's `if TYPE_CHECKING` says there is."""
    tree = ast.parse(Path(vitreous.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    return {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}


def test_all_is_the_truth() -> None:
    everything = [(name, getattr(vitreous, name)) for name in dir(vitreous)]
    public = {
        name
        for name, value in everything
        if not name.startswith("_") and not inspect.ismodule(value) and name not in ("TYPE_CHECKING", "import_module")
    }
    assert public == set(vitreous.__all__) == named_for_checkers() | {"ExplainError"}
    with pytest.raises(AttributeError, match="has no attribute 'explian'"):
        vitreous.explian  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("name", [name for name in vitreous.__all__ if name != "METHODS"])
def test_public_names_say_what_they_are(name: str) -> None:
    assert inspect.getdoc(getattr(vitreous, name))


def test_import_loads_nothing_and_the_face_torch_alone() -> None:
    code = (
        "import sys, json, vitreous\n"
        "before = len(sys.modules)\n"
        "[getattr(vitreous, name) for name in vitreous.__all__]\n"
        "print(json.dumps([before, sorted({name.split('.')[0] for name in sys.modules})]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, loaded = json.loads(done.stdout)
    assert before < 150  # Python's own
    assert "torch" in loaded
    assert not set(HEAVY) & set(loaded)


def test_version_is_said_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["dynamic"] == ["version"]
    assert f"[{vitreous.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"version: {vitreous.__version__}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", METHODS)
def test_every_method_states_its_source_equation_needs_and_cost(name: str) -> None:
    maker = METHODS[name]
    text = inspect.getdoc(maker) or ""
    for said in ("source", "title"):
        assert getattr(maker, said, ""), f"`{name}` must say its {said}: `{said}: ClassVar[str] = …`"
    assert getattr(maker, "family", "") in get_args(Family), f"`{name}` must say its family, as in methods/method.py"
    assert "Needs" in text
    assert "Cost" in text
    assert "=" in text or "·" in text, "no equation"
    assert maker() == maker(), "methods are records"
