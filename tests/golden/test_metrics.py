"""Our metrics against the authors' evaluation code, on its own maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.golden.model import golden_model
from vitreous.masking.components import component_boxes
from vitreous.masking.forward import Masks
from vitreous.metrics.bands import Bands, band_logits, hidden_logits, ranks
from vitreous.metrics.boxes import resize_boxes
from vitreous.metrics.fills import metric_fill
from vitreous.metrics.localization import BoxOverlap
from vitreous.metrics.metric import scaled
from vitreous.metrics.perturbation import PRESETS, bands_of, values_of
from vitreous.metrics.score import Score
from vitreous.metrics.segmentation import Segmentation

SIZE, PIXELS = (224, 224), 224 * 224
HALF = (0.5, 0.5, 0.5)


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name in ("heatmaps", "metrics"):
        with np.load(Path(__file__).with_name(f"{name}.npz")) as file:
            found |= {key: torch.from_numpy(file[key]) for key in file.files if file[key].dtype.kind != "U"}
    found["images"] = (found["images_uint8"].movedim(-1, 1).float() / 255 - 0.5) / 0.5
    found["labels"] = torch.from_numpy(np.unpackbits(found["seg_labels"].numpy())).view(2, *SIZE).bool()
    return found


def boxes(golden: dict[str, Tensor]) -> list[Tensor]:
    pairs = zip(golden["boxes"], golden["sizes_wh"].tolist(), strict=True)
    return [resize_boxes(box[None], (height, width), SIZE) for box, (width, height) in pairs]


def test_boxes_are_cut_as_theirs(golden: dict[str, Tensor]) -> None:
    assert torch.equal(torch.cat(boxes(golden)), golden["boxes224"])


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("column", [0, 1])
def test_localization(golden: dict[str, Tensor], threshold: float, column: int) -> None:
    heatmap = golden["ag_cam"][:, column]
    judge = BoxOverlap(threshold=threshold, misclassified=True)
    values = torch.stack(list(judge(heatmap, boxes(golden), SIZE).values()), 1)
    found = component_boxes(scaled(heatmap, SIZE) > threshold)
    for image in range(2):
        key = f"thr{threshold}_img{image}_t{column}"
        assert sorted(found[image][0].tolist()) == sorted(golden[f"{key}_pred_boxes"].tolist())
        torch.testing.assert_close(values[image], golden[f"{key}_metrics"], rtol=0, atol=1e-6)


SEGMENTED = ("transformer_attribution_start1", "agcam", "rollout_start1", "attn_gradcam")


@pytest.mark.parametrize("name", SEGMENTED)
def test_segmentation(golden: dict[str, Tensor], name: str) -> None:
    expected = golden[f"seg_{name}_per_image"]
    heatmap = golden[f"seg_{name}_map_f32"]
    values = Segmentation()(heatmap, golden["labels"])
    counts = values["confusion"]
    hits = counts.diagonal(dim1=1, dim2=2)
    union = counts.sum(1) + counts.sum(2) - hits
    assert torch.equal(torch.cat([hits.sum(1, keepdim=True), hits, union], 1), expected[:, [0, 2, 3, 4, 5]].long())
    # theirs ranks pixels of one value by the rounding of enlarging; ours has them fall together
    torch.testing.assert_close(values["mean_ap"], expected[:, 6], rtol=0, atol=1e-6)
    torch.testing.assert_close(values["mean_f1"], expected[:, 7], rtol=0, atol=1e-12)

    score = Score(Segmentation())
    for at in range(2):
        score.update(heatmap[at : at + 1], golden["labels"][at : at + 1])
    whole = expected.sum(0)
    reported = score.compute()
    assert reported["pixel_accuracy"].item() == pytest.approx((whole[0] / whole[1]).item(), abs=1e-12)
    assert reported["mean_iou"].item() == pytest.approx(((whole[2:4] / whole[4:6]).mean()).item(), abs=1e-12)


def top(values: Tensor, steps: list[int], largest: bool) -> Tensor:
    """Masks as the authors make them: what `torch.topk` picks, whose order among equal pixels is its own."""
    masks = torch.zeros(len(steps), PIXELS, dtype=torch.bool)
    for mask, step in zip(masks, steps, strict=True):
        mask[values.flatten().topk(step, largest=largest).indices] = True
    return masks.unflatten(1, SIZE)


@pytest.mark.parametrize(("order", "name"), [("morf", "MoRF"), ("lerf", "LeRF")])
def test_masks_are_theirs_but_for_equal_pixels(golden: dict[str, Tensor], order: str, name: str) -> None:
    """And with the pixels that theirs picks, every number of the curve is theirs."""
    cam = golden["abpc_t0_img0_cam224"]
    bands = bands_of(order, PIXELS, 10, 10)
    theirs = top(cam, [high - low for low, high in bands], order == "morf")
    low, high = torch.tensor(bands).T
    ours = Bands(ranks(cam[None])[0], low, high)[:]
    for our, their in zip(ours, theirs, strict=True):
        assert our.sum() == their.sum()
        assert len(cam[our ^ their].unique()) <= 1, "only pixels of one value are chosen differently"

    masks: list[Masks] = [theirs]
    logits = hidden_logits(golden_model(), golden["images"][:1], masks, metric_fill("mean", (), ()))
    curve = values_of(logits, golden["target_class"][:1, 0], "probability")[0]
    torch.testing.assert_close(curve.double(), golden[f"abpc_t0_{name}"][:, 0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("column", [0, 1])
def test_curves_of_ag_cam(golden: dict[str, Tensor], column: int) -> None:
    """From our maps to their areas; equal pixels at the flat borders of the map go in another order."""
    target = golden["target_class"][:, column]
    score = Score(PRESETS["ag_cam"])
    score.update(golden_model(), golden["images"], golden["ag_cam"][:, column], target)
    reported = score.compute()
    expected = {name: golden[f"abpc_t{column}_{name}"].mean(1) for name in ("MoRF", "LeRF")}
    torch.testing.assert_close(reported["morf_curve"], expected["MoRF"], rtol=0, atol=1e-4)
    torch.testing.assert_close(reported["lerf_curve"], expected["LeRF"], rtol=0, atol=1e-4)
    abpc = (expected["LeRF"].sum() - expected["MoRF"].sum()) / 11
    assert reported["abpc"].item() == pytest.approx(abpc.item(), abs=1e-5)


@pytest.mark.parametrize(("order", "sign"), [("morf", "pos"), ("lerf", "neg")])
@pytest.mark.parametrize("name", ["transformer_attribution_start1", "agcam", "rollout_start1"])
def test_perturbation_of_chefer(golden: dict[str, Tensor], name: str, order: str, sign: str) -> None:
    model, images, heatmap = golden_model(), golden["images"], golden[f"seg_{name}_map_f32"]
    target = golden["target_class"][:, 0]
    black = metric_fill("black", HALF, HALF)
    bands = bands_of(order, PIXELS, 10, 9)
    # equal pixels by topk, as above; one map has none where it matters, and takes our own masks
    if name == "transformer_attribution_start1":
        logits = band_logits(model, images, heatmap, bands, black)
    else:
        signed = scaled(heatmap, SIZE) * (1 if order == "morf" else -1)
        masks: list[Masks] = [top(each, [high - low for low, high in bands], True) for each in signed]
        logits = hidden_logits(model, images, masks, black)
    expected = {key: golden[f"pert_{name}_{sign}_{key}"].T for key in ("hits", "prob_diff", "dissim")}
    hits = values_of(logits, target, "accuracy")
    assert torch.equal(hits[:, 1:].double(), expected["hits"])
    probabilities = logits.softmax(2).double()
    largest, second = probabilities.topk(2).values.unbind(2)
    explained = values_of(logits, target, "probability").double()
    torch.testing.assert_close(largest[:, 1:] - largest[:, :1], expected["prob_diff"], rtol=0, atol=1e-5)
    torch.testing.assert_close((explained / second).log()[:, 1:], expected["dissim"], rtol=0, atol=1e-4)
