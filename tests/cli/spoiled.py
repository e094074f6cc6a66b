"""Manifests that somebody changed, and what `vitreous reproduce` must say of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import Result

from tests.cli.conftest import Run
from vitreous.files.manifest import MANIFEST

__all__ = ["change", "check_refused"]


def change(place: str | Path, change: Callable[[dict[str, Any]], object]) -> None:
    """What a file says, or the manifest of a folder."""
    file = Path(place, MANIFEST) if Path(place).is_dir() else Path(place)
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))


def check_refused(run: Run, place: str | Path) -> Result:
    """In a sentence, and nothing is written."""
    made = run("reproduce", place)
    assert made.exit_code in (1, 2), made.output
    assert "Error: " in made.output
    assert isinstance(made.exception, SystemExit)
    assert not Path("reproduced").exists()
    return made
