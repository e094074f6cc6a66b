"""Methods that need to know the model: its pixels, and a second model beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests.tiny import noise, save_model
from vitreous import explain, load
from vitreous.explaining import outputs
from vitreous.explaining.method_settings import complete_method
from vitreous.explaining.pictures import PictureJob, explain_pictures
from vitreous.methods import METHODS, make_method
from vitreous.methods.mgrw import MGRW
from vitreous.methods.reduct import Reduct
from vitreous.models.adapted import Adapted
from vitreous.models.loaded import LoadedModel
from vitreous.models.preprocess import Preprocess

FEW = {"walks": 20, "length": 6}


@pytest.fixture(scope="module")
def coarse(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(save_model(tmp_path_factory.mktemp("coarse")))


@pytest.fixture(scope="module")
def fine_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("fine"), patch_size=4)


def test_pixels_are_filled_in_as_the_model_normalizes_them(coarse: LoadedModel) -> None:
    assert complete_method(MGRW(), coarse) == MGRW(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    own = MGRW(mean=(0.1, 0.1, 0.1), std=(1.0, 1.0, 1.0))
    assert complete_method(own, coarse) is own
    rollout = METHODS["rollout"]()
    assert complete_method(rollout, coarse) is rollout
    assert complete_method(MGRW(), replace(coarse, preprocess=None)) == MGRW()


def test_the_second_model_may_come_as_anything(coarse: LoadedModel, fine_folder: Path) -> None:
    loaded, picture = load(fine_folder), noise(3)
    maps = [
        explain(coarse, picture, "mgrw", fine=fine, **FEW).heatmap
        for fine in (str(fine_folder), loaded, replace(loaded, name="by another name"))
    ]
    maps.append(explain(coarse, picture, make_method("mgrw", fine=loaded, **FEW)).heatmap)
    assert maps[0].shape == (1, 8, 8)
    assert all(torch.equal(maps[0], other) for other in maps)


def test_the_second_model_may_be_the_first(coarse: LoadedModel, tmp_path: Path) -> None:
    method = make_method("mgrw", fine="same", **FEW)
    job = PictureJob(coarse, {"mgrw": method}, output=tmp_path / "out")
    picture = tmp_path / "picture.png"
    noise(5).save(picture)
    (result,) = explain_pictures(job, [picture])
    assert result.sheet
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["methods"]["mgrw"]["settings"]["fine"] == "same"
    assert [each["grid"] for each in manifest["pictures"][0]["details"]["mgrw"][0].values()] == [[4, 4], [8, 8]]


def test_a_sheet_shows_blocks_as_blocks(coarse: LoadedModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn: list[bool] = []
    draw = outputs.overlay
    monkeypatch.setattr(
        outputs, "overlay", lambda *given, **words: drawn.append(words["blocks"]) or draw(*given, **words)
    )
    noise(5).save(tmp_path / "a.png")
    methods = {"mgrw": make_method("mgrw", **FEW), "rollout": make_method("rollout")}
    list(explain_pictures(PictureJob(coarse, methods, output=tmp_path / "out"), [tmp_path / "a.png"]))
    assert drawn == [True, False]
    found = explain(coarse, noise(5), "mgrw", **FEW)
    assert found.overlay() == draw(found.pictures[0], found.heatmap[0], blocks=True)


def test_an_adapted_model_sees_the_same_pixels(coarse: LoadedModel, fine_folder: Path) -> None:
    loaded, picture = load(fine_folder), noise(3, (32, 32))
    source = Preprocess((32, 32), (32, 32), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    own = Preprocess((32, 32), (32, 32), mean=(0.4, 0.45, 0.5), std=(0.2, 0.25, 0.3))
    adapted = Adapted(replace(loaded, preprocess=own), replace(coarse, preprocess=source))
    torch.testing.assert_close(adapted(source(picture)[None]), loaded.model(own(picture)[None]), rtol=1e-4, atol=1e-5)
    assert repr(adapted) == loaded.name


def test_another_size_is_resized(coarse: LoadedModel, fine_folder: Path) -> None:
    large = replace(coarse, preprocess=Preprocess((64, 64), (64, 64)))
    adapted = Adapted(load(fine_folder), large)
    even = torch.full((1, 3, 64, 64), 0.3)
    torch.testing.assert_close(adapted(even), adapted.model(even[..., :32, :32]))


def test_details_of_all_batches(coarse: LoadedModel) -> None:
    pictures = [noise(seed) for seed in range(3)]
    together = explain(coarse, pictures, "mgrw", batch_size=2, **FEW)
    assert len(together.details) == 3
    for at, picture in enumerate(pictures):
        alone = explain(coarse, picture, "mgrw", **FEW).details[0]
        found = together.details[at]
        assert isinstance(alone, Reduct)
        assert isinstance(found, Reduct)
        assert found.coarse.walks == alone.coarse.walks
        assert torch.equal(found.coarse.kept, alone.coarse.kept)


def test_progress_reaches_slow_methods_only(coarse: LoadedModel) -> None:
    told: list[tuple[int, int]] = []
    explain(coarse, noise(1), "rollout", progress=lambda *at: told.append(at))
    assert not told
    explain(coarse, noise(1), "rise", masks=10, batch_size=1, progress=lambda *at: told.append(at))
    assert told[-1] == (10, 10)


def test_sheet_and_manifest(coarse: LoadedModel, fine_folder: Path, tmp_path: Path) -> None:
    noise(5).save(tmp_path / "a.png")
    method = make_method("mgrw", fine=str(fine_folder), **FEW)
    job = PictureJob(coarse, {"mgrw": method, "rollout": METHODS["rollout"]()}, output=tmp_path / "out")
    (result,) = explain_pictures(job, [tmp_path / "a.png"])
    assert result.sheet
    with Image.open(result.sheet) as sheet:
        both = sheet.size
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    settings = manifest["methods"]["mgrw"]["settings"]
    known = load(fine_folder)
    wanted = {"model": str(fine_folder), "weights_sha256": known.weights_sha256, "reading": known.reading.to_json()}
    assert settings["fine"] == wanted
    assert settings["mean"] == [0.5, 0.5, 0.5]
    (found,) = manifest["pictures"][0]["details"]["mgrw"]
    assert set(found) == {"coarse", "fine"}
    assert {"row", "column", "importance", "kept"} == set(found["fine"]["blocks"][0])
    (result,) = explain_pictures(replace(job, methods={"rollout": METHODS["rollout"]()}), [tmp_path / "a.png"])
    assert result.sheet
    with Image.open(result.sheet) as sheet:
        assert sheet.size[1] < both[1], "the details have a second row"


def test_a_sheet_of_its_own(coarse: LoadedModel, tmp_path: Path) -> None:
    one = explain(coarse, noise(5), "mgrw", **FEW)
    two = explain(coarse, [noise(5), noise(6)], "mgrw", **FEW)
    assert two.sheet().height > one.sheet().height
    two.save(tmp_path / "two.csv")
    assert (tmp_path / "two.csv").read_text(encoding="utf-8").count("\n1,coarse,") > 0


def test_a_second_model_is_read_in_a_way_of_its_own(coarse: LoadedModel, fine_folder: Path) -> None:
    class Pair(nn.Module):
        """Features before, or behind, the scores of the model."""

        def __init__(self, inner: nn.Module, *, scores_first: bool) -> None:
            super().__init__()
            self.inner, self.scores_first = inner, scores_first

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            scores, features = self.inner(images), images.flatten(1)
            return (scores, features) if self.scores_first else (features, scores)

    fine, picture = load(fine_folder), noise(3)
    expected = explain(coarse, picture, "mgrw", fine=fine, **FEW)
    pairs = (replace(coarse, model=Pair(coarse.model, scores_first=False)).read_as(output=1),)
    own = replace(fine, model=Pair(fine.model, scores_first=True)).read_as(output=0, part="inner")
    for first in (coarse, *pairs):
        found = explain(first, picture, "mgrw", fine=own, **FEW)
        assert torch.equal(found.heatmap, expected.heatmap)
    same_order = Pair(fine.model, scores_first=False)
    adapted = replace(fine, model=same_order).read_as(output=1)
    assert torch.equal(explain(pairs[0], picture, "mgrw", fine=adapted, **FEW).heatmap, expected.heatmap)
