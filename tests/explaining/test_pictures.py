"""Many pictures: all that can be done is done, whole, and written down."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vitreous
from tests.explaining.made_up import TWO, Brightness, manifest, names, run
from tests.tiny import noise
from vitreous import Explanation
from vitreous.errors import DataError, UnknownName
from vitreous.explaining import outputs
from vitreous.explaining.explain import explain
from vitreous.explaining.pictures import PictureJob, explain_pictures
from vitreous.explaining.targets import choose_classes
from vitreous.methods import METHODS, make_method
from vitreous.methods.method import Method
from vitreous.models.preprocess import Preprocess
from vitreous.models.registry import registry
from vitreous.models.zoo import LoadedModel


def test_every_picture_gets_a_sheet_its_maps_and_an_entry(job: PictureJob, pictures: list[Path]) -> None:
    results = run(job, pictures)
    assert [result.file for result in results] == pictures
    assert names(job.output) == {f"{p.stem}.{kind}" for p in pictures for kind in ("png", "npz")} | {"manifest.json"}
    for result, file in zip(results, pictures, strict=True):
        assert result.sheet == job.output / file.name
        assert not result.refused
        assert not result.error
        assert result.targets == result.predicted[:1]
        assert sum(score.probability for score in result.predicted) == pytest.approx(1)
        with Image.open(result.sheet) as page:
            page.verify()


def test_the_maps_are_those_of_explain(job: PictureJob, pictures: list[Path]) -> None:
    (result,) = run(job, pictures[:1])
    assert result.maps
    with np.load(result.maps) as maps:
        assert set(maps) == {*TWO, "target", "logits", "about"}
        for name, method in TWO.items():
            alone = explain(job.model, pictures[0], method)
            np.testing.assert_allclose(maps[name], alone.heatmap.numpy(), rtol=1e-5, atol=1e-7)
            assert maps["target"] == alone.target.numpy()
            np.testing.assert_allclose(maps["logits"], alone.logits.numpy(), rtol=1e-5)


def test_the_manifest_says_which_layer_was_read(job: PictureJob, pictures: list[Path]) -> None:
    methods = {"hires_cam": METHODS["hires_cam"](), "rollout": METHODS["rollout"]()}
    (result,) = run(replace(job, methods=methods), pictures[:1])
    assert list(result.layers) == ["hires_cam"]
    assert result.layers["hires_cam"].endswith(".norm1")
    (entry,) = manifest(job)["pictures"]  # type: ignore[misc]
    assert entry["layers"] == result.layers


def test_the_manifest_says_what_the_numbers_depend_on(job: PictureJob, pictures: list[Path]) -> None:
    job = replace(job, methods={"rollout": METHODS["rollout"](start_layer=1)})
    (result,) = run(job, pictures[:1])
    written = manifest(job)
    assert written["weights_sha256"] == job.model.weights_sha256
    assert written["preprocess"] == json.loads(json.dumps(job.model.preprocess.to_json()))  # type: ignore[union-attr]
    assert (written["device"], written["dtype"], written["model"]) == ("cpu", "float32", job.model.name)
    assert written["versions"]["torch"] == torch.__version__.partition("+")[0]  # type: ignore[index]
    assert written["methods"]["rollout"]["settings"] == {"start_layer": 1, "readout": "class"}  # type: ignore[index]
    (entry,) = written["pictures"]  # type: ignore[misc]
    assert (job.output / entry["file"]).samefile(pictures[0])
    assert (entry["sheet"], entry["maps"], entry["error"]) == ("a.png", "a.npz", None)
    assert [score["name"] for score in entry["predicted"]] == [score.name for score in result.predicted]


@pytest.mark.parametrize("batch_size", [1, 2])
def test_the_batch_size_changes_nothing(job: PictureJob, pictures: list[Path], batch_size: int) -> None:
    run(replace(job, batch_size=batch_size), pictures)
    for file in pictures:
        with np.load(job.output / f"{file.stem}.npz") as maps:
            alone = explain(job.model, file, "ag_cam")
            np.testing.assert_allclose(maps["ag_cam"], alone.heatmap.numpy(), rtol=1e-4, atol=1e-6)


def test_top_k_gives_a_map_per_target(job: PictureJob, pictures: list[Path]) -> None:
    (result,) = run(replace(job, target="top-3"), pictures[:1])
    assert result.targets == result.predicted[:3]
    with np.load(job.output / "a.npz") as maps:
        assert maps["target"].tolist() == [target.index for target in result.targets]
        for at, target in enumerate(result.targets):
            alone = explain(job.model, pictures[0], "ag_cam", target.index)
            np.testing.assert_allclose(maps["ag_cam"][at], alone.heatmap[0].numpy(), rtol=1e-4, atol=1e-6)


def test_maps_on_disk_are_explanations(job: PictureJob, pictures: list[Path]) -> None:
    methods = {name: make_method(name) for name in ("ag_cam", "attn_lrp")}
    run(replace(job, methods=methods, target="top-2"), pictures[:1])
    picture, path = vitreous.open_picture(pictures[0]), job.output / "a.npz"
    with pytest.raises(DataError, match=r"holds the maps of ag_cam, attn_lrp\. Say which: load\(path, 'ag_cam'\)"):
        Explanation.load(path)
    with pytest.raises(UnknownName, match="attn_lrp"):
        Explanation.load(path, "attn_lpr")
    for name in methods:
        back = Explanation.load(path, name)
        for at in range(2):
            alone = explain(job.model, pictures[0], name, int(back.target[at]))  # type: ignore[index]
            assert str(back.answer(at)) == str(alone.answer())
            assert back.signed == alone.signed == (name == "attn_lrp")
            here, there = back.at_picture_size(at, picture=picture), alone.at_picture_size()
            torch.testing.assert_close(here, there, equal_nan=True, rtol=1e-4, atol=1e-6)


def test_rows_without_a_map_are_no_explanations(job: PictureJob, pictures: list[Path]) -> None:
    run(replace(job, methods={"brightness": Brightness()}, target="top-4"), pictures[:1])
    back = Explanation.load(job.output / "a.npz")
    assert len(back.heatmap) == 3
    assert 3 not in back.target.tolist()  # type: ignore[union-attr]
    assert "Brightness" in repr(back)


def test_a_target_without_a_map_is_nan(job: PictureJob, pictures: list[Path]) -> None:
    (result,) = run(replace(job, methods={"brightness": Brightness()}, target="top-4"), pictures[:1])
    assert "too bright" in result.refused["brightness"]
    with np.load(job.output / "a.npz") as maps:
        missing = np.isnan(maps["brightness"]).all((1, 2))
        assert missing.tolist() == [index == 3 for index in maps["target"].tolist()]


@pytest.mark.parametrize(
    ("target", "chosen"),
    [
        ("predicted", [2]),
        ("top-1", [2]),
        ("top-2", [2, 0]),
        ("dog", [1]),
        ("Tabby Cat", [0]),
        ("1", [1]),
        (("dog", "predicted", "0"), [1, 2, 0]),
    ],
)
def test_targets(model: LoadedModel, target: str | tuple[str, ...], chosen: list[int]) -> None:
    logits = torch.tensor([[2.0, 0.0, 3.0, 1.0]])
    assert choose_classes(target, model.class_names, logits).tolist() == [chosen]


@pytest.mark.parametrize("target", ["top-0", "top-5", "top-x", "cow", "4", "-1", ""])
def test_targets_that_the_model_does_not_have(job: PictureJob, pictures: list[Path], target: str) -> None:
    with pytest.raises(UnknownName, match=r"target|class"):
        run(replace(job, target=target), pictures)


def test_pictures_with_one_stem_do_not_overwrite_each_other(job: PictureJob, tmp_path: Path) -> None:
    files = [tmp_path / folder / name for folder in "xy" for name in ("cat.png", "Cat.jpg", "cat-2.png")]
    for seed, file in enumerate(files):
        file.parent.mkdir(exist_ok=True)
        noise(seed).save(file)
    results = run(job, files)
    outputs = [str(result.maps).casefold() for result in results]
    assert len(set(outputs)) == len(files)
    for result in results:
        assert result.maps
        with np.load(result.maps) as maps:
            alone = explain(job.model, result.file)
            np.testing.assert_allclose(maps["ag_cam"], alone.heatmap.numpy(), rtol=1e-4, atol=1e-6)


def test_what_the_user_put_there_is_left_alone(job: PictureJob, pictures: list[Path]) -> None:
    job = replace(job, output=pictures[0].parent)
    before = pictures[0].read_bytes()
    (result,) = run(job, pictures[:1])
    assert pictures[0].read_bytes() == before
    assert result.sheet == job.output / "a-2.png"


def test_a_second_run_replaces_the_first(job: PictureJob, pictures: list[Path]) -> None:
    run(job, pictures[:1])
    once = names(job.output)
    run(replace(job, target="dog"), pictures[:1])
    assert names(job.output) == once
    with np.load(job.output / "a.npz") as maps:
        assert maps["target"].tolist() == [1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions(job: PictureJob, pictures: list[Path], dtype: torch.dtype) -> None:
    from vitreous.models.zoo import load

    (result,) = run(replace(job, model=load(job.model.name, dtype=dtype)), pictures[:1])
    assert result.sheet
    assert result.maps
    with np.load(result.maps) as maps:
        assert maps["ag_cam"].dtype == (np.float64 if dtype == torch.float64 else np.float32)


def test_the_model_comes_back_as_it_was(job: PictureJob, pictures: list[Path]) -> None:
    job.model.model.train()
    try:
        run(job, pictures[:1])
        assert job.model.model.training
    finally:
        job.model.model.eval()
    assert all(parameter.grad is None for parameter in job.model.model.parameters())


def test_methods_are_records(job: PictureJob) -> None:
    assert all(isinstance(method, Method) for method in job.methods.values())


def test_a_class_held_against_another(job: PictureJob, pictures: list[Path]) -> None:
    (result,) = explain_pictures(replace(job, target="0", against="1"), pictures[:1])
    assert result.sheet
    manifest = json.loads((job.output / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["target"], manifest["against"]) == ("0", "1")
    with pytest.raises(UnknownName, match="no class named"):
        list(explain_pictures(replace(job, target="0", against="nosuch"), pictures[:1]))


def test_regions_of_a_model_that_segments_are_on_the_sheet(
    job: PictureJob, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[str]] = []
    draw = outputs.sheet
    monkeypatch.setattr(
        outputs, "sheet", lambda panels, **rest: drawn.append([p.title for p in panels]) or draw(panels, **rest)
    )
    torch.manual_seed(0)
    salg = registry().create_model("salg_st", embed_dim=8, depths=(1, 1, 1, 1), num_classes=3).eval()
    model = LoadedModel(salg, Preprocess((112, 112), (112, 112)), (), "salg")
    segmenting = replace(job, model=model, methods={"cam": METHODS["cam"]()}, target="predicted")
    assert all(result.sheet for result in run(segmenting, pictures[:2]))
    assert drawn[0] == ["what the model saw", "CAM", *(f"regions of stage {stage}" for stage in (1, 2, 3))]
    run(job, pictures[:1])
    assert not [title for title in drawn[-1] if "regions" in title]


def test_sheets_are_written_while_the_model_works_on_the_next_batch(job: PictureJob, pictures: list[Path]) -> None:
    results = explain_pictures(replace(job, methods={"bright": Brightness()}, batch_size=1), pictures)
    first = next(results)
    assert Brightness.calls == [1, 1], "the second is explained before the first is handed out"
    assert first.sheet
    assert first.sheet.is_file()
    assert [each.file for each in results] == pictures[1:]
