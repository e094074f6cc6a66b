"""The public face: what it names is what there is, and looking at it costs next to nothing."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import vitreous
from vitreous.methods import METHODS

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


def test_all_is_the_truth() -> None:
    public = {
        name for name, value in vars(vitreous).items() if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(vitreous.__all__)


@pytest.mark.parametrize("name", [name for name in vitreous.__all__ if name != "METHODS"])
def test_public_names_say_what_they_are(name: str) -> None:
    assert inspect.getdoc(getattr(vitreous, name))


def test_import_loads_torch_and_nothing_heavier() -> None:
    code = (
        "import sys, time, json, torch\n"
        "start = time.perf_counter(); import vitreous\n"
        "print(json.dumps([time.perf_counter() - start, sorted({name.split('.')[0] for name in sys.modules})]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    _, loaded = json.loads(done.stdout)
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
    assert maker.source  # type: ignore[attr-defined]
    assert "Needs" in text
    assert "Cost" in text
    assert "=" in text or "·" in text, "no equation"
    assert maker() == maker(), "methods are records"
