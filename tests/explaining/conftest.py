"""Three pictures, and what to do with them."""

from pathlib import Path

import pytest

from tests.explaining.made_up import TWO, Brightness, Refusal
from tests.tiny import noise
from vitreous.explaining.pictures import PictureJob
from vitreous.models.zoo import LoadedModel


@pytest.fixture(autouse=True)
def _fresh_calls() -> None:
    Brightness.calls.clear()
    Refusal.calls.clear()


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "pictures"
    folder.mkdir()
    files = [folder / f"{name}.png" for name in "abc"]
    for seed, file in enumerate(files):
        noise(seed).save(file)
    return files


@pytest.fixture
def job(model: LoadedModel, tmp_path: Path) -> PictureJob:
    return PictureJob(model, TWO, output=tmp_path / "out")
