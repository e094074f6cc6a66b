"""Scores that do not move explain nothing: no map of masks, no perfect grade, whatever the model ignores."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vitreous
from tests.contract.zoo import CASES
from vitreous.errors import DegenerateMap, ShapeError
from vitreous.masking.moves import moving_values
from vitreous.methods import make_method
from vitreous.methods.rise import draw_shades
from vitreous.metrics.infidelity import Completeness, Infidelity
from vitreous.metrics.metric import Metric
from vitreous.metrics.saco import AverageDrop, SaCo
from vitreous.trace.reading import Reading, reading
from vitreous.trace.target import Classes

IMAGES = CASES["timm_vit"].images()
FEW: dict[str, dict[str, Any]] = {
    "rise": {"masks": 60},
    "occlusion": {"window": 8, "stride": 8, "fill": "mean"},
    "score_cam": {},
    "ablation_cam": {},
    "vit_cx": {},
    "tis": {"masks": 12},
    "mgrw": {"walks": 12, "length": 5, "fill": "mean"},
    "patch_posterior": {"masks": 16, "prior": ""},
}
ON_PROBABILITIES = {
    "rise": "score",
    "occlusion": "score",
    "score_cam": "scale",
    "vit_cx": "score",
    "tis": "score",
    "mgrw": "score",
}


class Changed(nn.Module):
    """A ViT whose class scores go through a function."""

    def __init__(self, change: Any) -> None:
        super().__init__()
        self.vit, self.change = CASES["timm_vit"].model(), change

    def forward(self, images: Tensor) -> Tensor:
        return self.change(self.vit(images))


def still(scores: Tensor) -> Tensor:
    """The same for every picture, though they depend on it: by less than any of their digits."""
    return scores * 1e-12 + torch.tensor([0.3, 62.4, -1.7, 2.0, 5.0, -9.0, 0.1]).to(scores)


def wavering(scores: Tensor) -> Tensor:
    """As if kernels rounded differently from batch to batch."""
    return still(scores) * (1 + torch.finfo(scores.dtype).eps * scores.sign())


def saturated(scores: Tensor) -> Tensor:
    return scores + torch.tensor([0.0, 0.0, 0.0, 0.0, 2e4, 0.0, 0.0]).to(scores)


@pytest.mark.parametrize("method", FEW)
@pytest.mark.parametrize("change", [still, wavering])
@pytest.mark.parametrize(
    "link", [None, *(pytest.param(link, marks=pytest.mark.slow) for link in ("sigmoid", "identity"))]
)
def test_a_model_that_ignores_its_input_has_no_map(method: str, change: Any, link: str | None) -> None:
    with pytest.raises(DegenerateMap, match=r"\. [A-Z].*\.$"):
        vitreous.explain(Changed(change), IMAGES, method, target=1, link=link, **FEW[method])


@pytest.mark.parametrize("method", ON_PROBABILITIES)
def test_a_saturated_probability_is_refused_and_the_logit_named(method: str) -> None:
    model, setting = Changed(saturated).double(), ON_PROBABILITIES[method]
    settings = FEW[method] | {setting: "probability"}
    with pytest.raises(DegenerateMap, match=f'{setting}="logit"'):
        vitreous.explain(model, IMAGES.double(), method, target=4, **settings)
    found = vitreous.explain(model, IMAGES.double(), method, target=4, **settings | {setting: "logit"})
    expected = vitreous.explain(model.vit, IMAGES.double(), method, target=4, **settings | {setting: "logit"})
    torch.testing.assert_close(found.heatmap, expected.heatmap, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("method", FEW)
def test_a_value_is_explained_as_one(method: str) -> None:
    """Two pictures of a regression have two maps, which its offset does not change; nor do two models share one."""

    def explain(offset: float, column: int) -> Tensor:
        model = Changed(lambda scores: scores[:, column : column + 1] + offset).double()
        return vitreous.explain(model, IMAGES.double(), method, link="identity", **FEW[method]).heatmap

    first = explain(0, 0)
    assert not torch.allclose(first[0], first[1])
    if method != "ablation_cam":
        torch.testing.assert_close(explain(62.4, 0), first, rtol=1e-6, atol=1e-9)
    else:  # what is divided by the score
        moved = explain(62.4, 0)
        torch.testing.assert_close(moved / moved.amax((1, 2), keepdim=True), first / first.amax((1, 2), keepdim=True))
    assert not torch.allclose(explain(0, 3), first)


def test_a_sure_picture_does_not_show_the_masks() -> None:
    """What the mean score adds to the paper's map is how often a place was visible by chance."""
    model = Changed(lambda scores: scores / 100 + torch.tensor([0.0, 0.0, 0.0, 0.0, 8.0, 0.0, 0.0])).double()
    coverage = 1 - draw_shades(60, 7, 0.5, (32, 32), 0)[:60].double().mean(0)
    maps = {
        centered: make_method("rise", masks=60, centered=centered)(model, IMAGES.double(), Classes((4,))).heatmap
        for centered in (True, False)
    }

    def likeness(heatmap: Tensor) -> float:
        return torch.corrcoef(torch.stack([heatmap.flatten(), coverage.flatten()]))[0, 1].abs().item()

    assert min(likeness(each) for each in maps[False]) > 0.99
    assert max(likeness(each) for each in maps[True]) < 0.7
    double = make_method("rise", masks=60, score="logit")(model, IMAGES.double(), Classes((4,))).heatmap
    single = make_method("rise", masks=60, score="logit")(model.float(), IMAGES, Classes((4,))).heatmap
    torch.testing.assert_close(single.double(), double, rtol=1e-3, atol=1e-3 * double.abs().max().item())


@pytest.mark.parametrize("judge", [SaCo(groups=4), SaCo(groups=4, scale="logit"), Infidelity(sides=2)])
def test_what_nothing_changes_is_not_graded(judge: Metric) -> None:
    heatmap = torch.rand(2, 4, 4)
    with pytest.raises(DegenerateMap, match="stayed as they were but for rounding"):
        judge(Changed(wavering), IMAGES, heatmap, torch.tensor([1, 1]))
    assert all(
        value.isfinite().all()
        for value in judge(CASES["timm_vit"].model(), IMAGES, heatmap, torch.tensor([1, 1])).values()
    )


def test_what_is_saturated_is_not_graded() -> None:
    with pytest.raises(DegenerateMap, match='scale="logit"'):
        SaCo(groups=4)(Changed(saturated), IMAGES, torch.rand(2, 4, 4), torch.tensor([4, 4]))


def test_rounding_is_no_change_to_distribute_and_no_increase() -> None:
    heatmap, target = torch.rand(2, 4, 4), torch.tensor([1, 1])
    with pytest.raises(ShapeError, match="has nothing to distribute"):
        Completeness()(Changed(wavering), IMAGES, heatmap, target)
    found = AverageDrop(scale="logit")(Changed(wavering), IMAGES, heatmap, target)
    assert found["average_increase"].tolist() == [0, 0]


def test_the_drop_of_a_negative_value_is_a_share_of_its_size() -> None:
    model, heatmap, target = Changed(lambda scores: scores[:, :1] - 90), torch.rand(2, 4, 4), torch.tensor([0, 0])
    with reading(Reading(link="identity")):
        found = AverageDrop()(model, IMAGES, heatmap, target)
    lower = AverageDrop(scale="logit")(model, IMAGES, heatmap, target)
    assert (found["average_drop"] >= 0).all()
    assert torch.equal(found["average_drop"], lower["average_drop"])


def test_rounding_is_that_of_the_model() -> None:
    direction = torch.tensor([[1.0, 0.0]])
    for dtype in (torch.float32, torch.bfloat16):
        step = torch.finfo(dtype).eps
        moved = torch.tensor([[[1.0, 4.0], [1 + 80 * step, 4.0]]], dtype=dtype)
        assert moving_values(moved, direction, "logit", "method").dtype == torch.float64
        with pytest.raises(DegenerateMap):
            moving_values(torch.tensor([[[1.0, 4.0], [1 + 4 * step, 4.0]]], dtype=dtype), direction, "logit", "method")
