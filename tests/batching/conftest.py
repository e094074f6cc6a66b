"""A folder of seven pictures, one of them damaged, and a run over it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import vitreous
from tests.tiny import noise

Run = Callable[..., vitreous.Batch]
PICTURES = 7


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    for at in range(PICTURES - 1):
        noise(at).save(folder / ("b" if at % 2 else "") / f"{at}.png")
    (folder / "broken.jpg").write_text("no picture")
    return folder


@pytest.fixture
def run(model_folder: Path, tmp_path: Path) -> Run:
    """Explain a data set in shards of three."""

    def start(dataset: object, output: str = "out", **more: object) -> vitreous.Batch:
        asked: dict[str, object] = {"method": ["ag_cam", "rollout"], "shard": 3, "batch_size": 2, **more}
        return vitreous.batch(str(dataset), model_folder, output=tmp_path / output, **asked)  # type: ignore[arg-type]

    return start


def shards(folder: Path) -> dict[str, bytes]:
    """All files of shards."""
    return {path.name: path.read_bytes() for path in (folder / "shards").iterdir()}
