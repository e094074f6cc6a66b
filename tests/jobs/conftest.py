"""One tiny model for all tests of the loops, three pictures, and six to judge methods on."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.jobs.benchmarks import PICTURES
from tests.jobs.made_up import TWO, Brightness, Refusal
from tests.tiny import noise, save_model
from vitreous.jobs.pictures import Order
from vitreous.models.zoo import LoadedModel, load


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(save_model(tmp_path_factory.mktemp("model")))


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
def order(model: LoadedModel, tmp_path: Path) -> Order:
    return Order(model, TWO, output=tmp_path / "out")


@pytest.fixture(scope="session")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_model(tmp_path_factory.mktemp("benchmarked")))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Six pictures of two of the model's classes, each with a box, half of them with a mask."""
    root = tmp_path_factory.mktemp("pictures")
    rows = ["file,x0,y0,x1,y1"]
    for at in range(PICTURES):
        name = f"{('dog', 'hen')[at % 2]}/{at}.png"
        (root / name).parent.mkdir(exist_ok=True)
        noise(at).save(root / name)
        rows.append(f"{name},{4 + at},3,{20 + at},25")
        if at < 3:
            (root / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
            mask = np.zeros((30, 40), np.uint8)
            mask[5:20, 8 : 20 + at] = 255
            Image.fromarray(mask).save(root / "masks" / name)
    (root / "boxes.csv").write_text("\n".join(rows))
    return f"folder:{root}"
