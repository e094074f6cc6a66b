from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

import vitreous
from tests.contract.libraries import TINY
from tests.contract.zoo import CASES, CLASSES
from tests.tiny import save_model
from vitreous.errors import DataError, DegenerateMap, ModelError, ShapeError, UnknownName
from vitreous.explaining.explain import explain
from vitreous.explaining.targets import as_target
from vitreous.methods import METHODS
from vitreous.methods.explanation import Explanation
from vitreous.metrics.perturbation import Perturbation
from vitreous.models.preprocess import Preprocess
from vitreous.models.zoo import LoadedModel
from vitreous.trace.target import Classes

NAMES = ("tench", "goldfish, Carassius auratus", "great white shark, white shark", "hen", "cock", "kite", "owl")


@pytest.fixture
def subject() -> LoadedModel:
    preprocess = Preprocess((32, 32), (32, 32))
    return LoadedModel(CASES["timm_vit"].model(), preprocess, NAMES, "test")


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{at}.png" for at in range(5)]
    for at, path in enumerate(paths):
        Image.fromarray(rng.integers(0, 255, (40 + at, 50, 3), dtype=np.uint8)).save(path)
    return paths


def test_chunks_are_the_whole(subject: LoadedModel) -> None:
    images = torch.randn(5, 3, 32, 32)
    whole = explain(subject, images, batch_size=5)
    for size in (1, 2, 3):
        parts = explain(subject, images, batch_size=size)
        torch.testing.assert_close(parts.heatmap, whole.heatmap, rtol=1e-4, atol=1e-6)
        assert torch.equal(parts.target, whole.target)


def test_paths_pictures_and_arrays_are_the_same_pictures(subject: LoadedModel, pictures: list[Path]) -> None:
    forms = [
        pictures[:2],
        [str(path) for path in pictures[:2]],
        [Image.open(path) for path in pictures[:2]],
        [np.asarray(Image.open(path)) for path in pictures[:2]],
    ]
    maps = [explain(subject, form).heatmap for form in forms]
    assert all(torch.equal(maps[0], other) for other in maps[1:])
    assert torch.equal(explain(subject, pictures[0]).heatmap, explain(subject, [pictures[0]]).heatmap)
    assert subject.preprocess is not None
    tensor = subject.preprocess(Image.open(pictures[0]))
    assert torch.equal(explain(subject, tensor).heatmap, explain(subject, pictures[0]).heatmap)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (3, [3, 3]),
        ("hen", [3, 3]),
        ("HEN", [3, 3]),
        ("carassius auratus", [1, 1]),
        ("white shark", [2, 2]),
        ("3", [3, 3]),
        (["hen", 0], [3, 0]),
        (torch.tensor([4, 5]), [4, 5]),
    ],
)
def test_targets(subject: LoadedModel, target: object, expected: list[int]) -> None:
    explanation = explain(subject, torch.randn(2, 3, 32, 32), "rollout", target)  # type: ignore[arg-type]
    assert explanation.target.tolist() == expected


def test_one_target_per_image_survives_chunks(subject: LoadedModel) -> None:
    images = torch.randn(5, 3, 32, 32)
    explanation = explain(subject, images, "rollout", [0, 1, 2, 3, 4], batch_size=2)
    assert explanation.target.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ShapeError, match="1 or 5 classes; got 4"):
        explain(subject, images, "rollout", [0, 1, 2, 3], batch_size=2)


def test_several_classes_of_one_image_are_a_row_each(subject: LoadedModel) -> None:
    image = torch.randn(1, 3, 32, 32)
    both = explain(subject, image, target=[4, 2], against=1)
    assert both.target is not None
    assert both.target.tolist() == [4, 2]
    for at, target in enumerate([4, 2]):
        alone = explain(subject, image, target=target, against=1)
        torch.testing.assert_close(both.heatmap[at], alone.heatmap[0], rtol=1e-4, atol=1e-6)
    with pytest.raises(ShapeError, match="1 or 3 classes; got 2"):
        explain(subject, image.repeat(3, 1, 1, 1), target=[4, 2])


def test_top_classes_are_a_row_each(subject: LoadedModel) -> None:
    images = torch.randn(3, 3, 32, 32)
    explanation = explain(subject, images, target="top-2", batch_size=2)
    with torch.no_grad():
        top = subject.model(images).topk(2).indices
    assert torch.equal(explanation.target, top.flatten())
    second = explain(subject, images, target=top[:, 1])
    torch.testing.assert_close(explanation.heatmap[1::2], second.heatmap, rtol=1e-4, atol=1e-6)
    with pytest.raises(UnknownName, match="top-1 … top-7"):
        explain(subject, images, target="top-8")


def test_a_margin_is_the_difference_of_two_classes(subject: LoadedModel) -> None:
    images = torch.randn(3, 3, 32, 32)
    why = explain(subject, images, target=["hen", "cock", "kite"], against="owl", batch_size=2)
    assert why.target.tolist() == [3, 4, 5]
    direction = torch.zeros(3, CLASSES)
    direction[range(3), [3, 4, 5]], direction[:, 6] = 1, -1
    same = explain(subject, images, target=lambda logits: (logits * direction).sum(1))
    torch.testing.assert_close(why.heatmap, same.heatmap, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(why.heatmap, explain(subject, images, target=["hen", "cock", "kite"]).heatmap)
    with pytest.raises(ShapeError, match="image 1 has the same class on both sides"):
        explain(subject, images, target=["hen", "cock", "kite"], against="cock")


def test_a_function_of_the_logits_is_a_target(subject: LoadedModel) -> None:
    images = torch.randn(2, 3, 32, 32)
    for context in (torch.enable_grad, torch.inference_mode):
        with context():
            by_function = explain(subject, images.clone(), target=lambda logits: logits[:, 2])
        assert torch.equal(by_function.heatmap, explain(subject, images, target=2).heatmap)
    for wrong in (lambda logits: logits, lambda logits: logits[:, 0].detach()):
        with pytest.raises(ShapeError, match="Return one number per image"):
            explain(subject, images, target=wrong)


def test_the_predicted_class_is_the_default(subject: LoadedModel) -> None:
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(explain(subject, images).target, subject.model(images).argmax(1))


def test_methods_by_name_record_and_path(subject: LoadedModel) -> None:
    images = torch.randn(1, 3, 32, 32)
    by_name = explain(subject, images, "rollout", start_layer=1)
    by_record = explain(subject, images, METHODS["rollout"](start_layer=1))
    by_path = explain(subject, images, "vitreous.methods.rollout:Rollout", start_layer=1)
    assert by_name.method == by_record.method == by_path.method
    assert torch.equal(by_name.heatmap, by_record.heatmap)


def test_a_module_of_ones_own(subject: LoadedModel) -> None:
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(explain(subject.model, images).heatmap, explain(subject, images).heatmap)
    assert explain(nn.Sequential(subject.model), images).class_names == ()


def test_the_picture_and_the_map_have_the_same_corners(subject: LoadedModel, pictures: list[Path]) -> None:
    explanation = explain(subject, pictures[0])
    (view,) = explanation.pictures
    assert view.size == (40, 40)  # of 50 × 40, the centre
    assert explanation.overlay().size == view.size


def test_saves_what_it_says(subject: LoadedModel, pictures: list[Path], tmp_path: Path) -> None:
    explanation = explain(subject, pictures)
    explanation.save(tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as file:
        assert np.array_equal(file["heatmap"], explanation.heatmap.numpy())
        assert np.array_equal(file["target"], explanation.target.numpy())
        assert np.array_equal(file["logits"], explanation.logits.numpy())
    explanation.save(tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as sheet:
        assert sheet.width > 1000
    assert explanation._repr_mimebundle_()["image/png"].startswith(b"\x89PNG")
    with pytest.raises(DataError, match="cannot be written"):
        explanation.save(tmp_path / "out.nonsense")
    with pytest.raises(DataError, match="cannot be written"):
        explanation.save(tmp_path / "no" / "folder" / "out.npz")
    assert sorted(path.name for path in tmp_path.glob("*out*")) == ["out.npz", "out.png"]


def test_from_tensors_there_is_a_sheet_but_no_overlay(subject: LoadedModel, tmp_path: Path) -> None:
    explanation = explain(subject, torch.randn(2, 3, 32, 32))
    explanation.save(tmp_path / "maps.png")
    with pytest.raises(ShapeError, match="made from tensors"):
        explanation.overlay()


def test_repr_is_one_line(subject: LoadedModel) -> None:
    explanation = explain(subject, torch.randn(2, 3, 32, 32), target="hen")
    assert repr(explanation) == "Explanation(2 × 4×4 by AGCAM(scale=1.0) of hen, hen)"


@pytest.mark.parametrize(
    ("images", "error", "text"),
    [
        (torch.randn(32, 32), ShapeError, r"must be \(batch, channels, height, width\); got \(32, 32\)"),
        (torch.randn(1, 3, 32, 32).double(), ShapeError, "are torch.float64 on cpu, but the model is torch.float32"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), ShapeError, "got torch.uint8"),
        ([], ShapeError, "Give at least one picture"),
        (torch.randn(0, 3, 32, 32), ShapeError, "is empty"),
        (np.zeros((8, 8, 3)), DataError, "must be uint8"),
        (np.zeros((8, 8, 5), dtype=np.uint8), DataError, "must be uint8"),
        (3, DataError, "got int for a picture"),
        ("nowhere.png", DataError, "there is no file `nowhere.png`"),
    ],
)
def test_bad_images(subject: LoadedModel, images: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        explain(subject, images)  # type: ignore[arg-type]


def test_a_batch_holds_at_least_one_image(subject: LoadedModel) -> None:
    with pytest.raises(ShapeError, match="`batch_size` of `explain` is 0"):
        explain(subject, torch.randn(1, 3, 32, 32), batch_size=0)


def test_bad_names(subject: LoadedModel) -> None:
    images = torch.randn(1, 3, 32, 32)
    with pytest.raises(UnknownName, match=r'no class named "hem"\. Did you mean "hen"'):
        explain(subject, images, target="hem")
    with pytest.raises(UnknownName, match="0 … 6"):
        explain(subject, images, target=CLASSES)
    with pytest.raises(UnknownName, match=r'no method named "nosuch\.module:Thing"'):
        explain(subject, images, "nosuch.module:Thing")


def test_pictures_need_a_preprocessing(subject: LoadedModel, pictures: list[Path]) -> None:
    with pytest.raises(ModelError, match="`Sequential` does not say how its pictures are prepared"):
        explain(nn.Sequential(subject.model), pictures[0])


def test_a_constant_map_is_refused_with_its_place_in_the_batch(subject: LoadedModel) -> None:
    flat, bumpy = torch.zeros(1, 2, 2), torch.arange(4.0).view(1, 2, 2)
    with pytest.raises(DegenerateMap, match=r"`AGCAM` gave a constant map \(0 everywhere\).* for image 1\. Choose"):
        Explanation(torch.cat([bumpy, flat]), torch.zeros(2, 7), torch.zeros(2).long(), METHODS["ag_cam"]())
    with pytest.raises(DegenerateMap, match="NaN or infinite values for image 0"):
        Explanation(bumpy / 0, torch.zeros(1, 7), torch.zeros(1).long(), METHODS["ag_cam"]())

    class FlatAtThree:
        source = "test"

        def __call__(self, model: nn.Module, images: torch.Tensor, target: object = None) -> Explanation:
            maps = torch.stack([bumpy[0] * 0 if image.sum() == 0 else bumpy[0] for image in images])
            return Explanation(maps, torch.zeros(len(images), 7), torch.zeros(len(images)).long(), METHODS["ag_cam"]())

    images = torch.randn(5, 3, 32, 32)
    images[3] = 0
    with pytest.raises(DegenerateMap, match="for image 3"):
        explain(subject, images, FlatAtThree(), batch_size=2)


def test_target_objects() -> None:
    assert as_target([1, 2], NAMES) == Classes((1, 2))


def test_bfloat16_saves(tmp_path: Path) -> None:
    model = CASES["timm_vit"].model().bfloat16()
    explanation = vitreous.explain(model, torch.randn(1, 3, 32, 32).bfloat16())
    assert explanation.heatmap.dtype == torch.bfloat16
    explanation.save(tmp_path / "out.npz")
    explanation.save(tmp_path / "out.png")


def test_the_probability_of_a_single_class_is_its_sigmoid() -> None:
    """A binary classifier with one logit: the softmax of that would be 1, whatever is hidden from it."""
    model = timm.create_model("vit_tiny_patch16_224", **{**TINY, "num_classes": 1}).eval()
    nn.init.normal_(model.head.weight)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        model.head.bias -= model(images).mean()  # one score on either side of zero
    occluded = vitreous.explain(model, images, "occlusion", window=8, stride=8, fill="mean")
    torch.testing.assert_close(occluded.probabilities, model(images).sigmoid().detach())
    hidden = images.clone()
    hidden[:, :, :8, :8] = 0
    drop = model(images).sigmoid() - model(hidden).sigmoid()
    side = model(images).sign()  # a negative score says that it is not the class, and that is explained
    assert side.unique().tolist() == [-1, 1]
    torch.testing.assert_close(occluded.heatmap[:, 0, 0], (side * drop)[:, 0].detach())
    assert occluded.opposed == tuple((side[:, 0] < 0).tolist())
    assert vitreous.explain(model, images, "mgrw", walks=10, length=4, fill="mean").details
    with pytest.raises(ShapeError, match="a single class has no accuracy"):
        Perturbation(scale="accuracy")(model, images, occluded.heatmap, torch.zeros(2, dtype=torch.long))


def test_inference_mode_from_start_to_end(tmp_path: Path) -> None:
    folder, images = save_model(tmp_path), torch.randn(1, 3, 32, 32).double()
    expected = vitreous.explain(vitreous.load(folder, dtype=torch.float64), images)
    with torch.inference_mode():
        found = vitreous.explain(vitreous.load(folder, dtype=torch.float64), images.clone())
    assert torch.equal(found.heatmap, expected.heatmap)
