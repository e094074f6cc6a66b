"""Trust in maps: what is asked of the model, what is said of it, and when nothing can be said."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

import vitreous
from tests.contract.zoo import CASES
from vitreous import Explanation, Trust, TrustSettings
from vitreous.errors import DataError, DegenerateMap, NoClassScores, ShapeError
from vitreous.trace.answer import answer

FEW = TrustSettings(orders=2, steps=3)


@dataclass(frozen=True)
class Given:
    """A method whose map is given."""

    source: ClassVar[str] = "made up"
    values: tuple[tuple[float, ...], ...]
    follows: bool = False

    def __call__(self, model: nn.Module, images: Tensor, target: object = ...) -> Explanation:
        logits = model(images).detach()
        classes = target(logits).argmax(1)  # type: ignore[operator]
        heatmap = torch.tensor(self.values).expand(len(images), -1, -1)
        if self.follows:
            heatmap = heatmap + classes[:, None, None] * torch.tensor([[0.0, 9.0], [0.0, 0.0]])
        return Explanation(heatmap, logits, classes, self)


def quadrants() -> nn.Module:
    """A model that gives the mean of each quadrant of a picture as a score."""
    module = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 4, bias=False))
    module[2].weight.data = torch.eye(4).repeat(1, 3)
    return module.eval()


IMAGES = torch.rand(2, 3, 28, 28, generator=torch.Generator().manual_seed(0)) + 0.5


def test_the_right_map_is_above_all_random_orders_and_its_reverse_below() -> None:
    right, wrong = Given(((9.0, 1.0), (2.0, 3.0))), Given(((-9.0, -1.0), (-2.0, -3.0)))
    found = vitreous.explain(quadrants(), IMAGES, {"right": right, "wrong": wrong}, target=0)
    for each in vitreous.trust(quadrants(), found):
        assert each.grid == (14, 14)
        assert len(each.random) == 12
        assert each.random[::2] == tuple(-value for value in each.random[1::2])
        assert each.verdict("right") == "above 12 of 12 random orders"
        assert each.verdict("wrong") == "above 0 of 12 random orders"
        assert each.maps["right"].abpc == pytest.approx(-each.maps["wrong"].abpc, rel=0.05)  # but for equal values
        assert each.maps["right"].agreement == {"wrong": pytest.approx(-1)}
        assert each.of == "probability of class 0"
        assert (each.hidden[0], each.hidden[-1]) == (0, 196)


def test_the_ends_of_all_curves_are_the_picture_and_nothing() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    found = vitreous.explain(model, images, ["ag_cam", "rollout"], target=2)
    with torch.no_grad():
        whole, empty = (model(each).softmax(1)[:, 2] for each in (images, torch.zeros_like(images)))
    for at, each in enumerate(vitreous.trust(model, found, settings=FEW)):
        for mapped in each.maps.values():
            for curve in (mapped.most_first, mapped.least_first):
                assert curve.values[0] == pytest.approx(whole[at].item(), rel=1e-4)
                assert curve.values[-1] == pytest.approx(empty[at].item(), rel=1e-4)
                assert curve.said[0] == str(answer(int(found["ag_cam"].logits[at].argmax()), *_said(found, at)))
            assert mapped.abpc == pytest.approx(mapped.least_first.area - mapped.most_first.area)
            assert sorted(mapped.order) == list(range(16))


def _said(found: dict[str, Explanation], at: int) -> tuple[Tensor, tuple[str, ...], None]:
    assert found["ag_cam"].logits is not None
    return found["ag_cam"].logits[at], found["ag_cam"].class_names, None


def test_classes_are_called_as_they_were_in_the_explanation() -> None:
    own = ("owl", "newt", "elk", "bee", "hen", "cod", "asp")
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()[:1]
    found = vitreous.explain(model, images, class_names=own)
    (measured,) = vitreous.trust(model, found, settings=FEW)
    assert measured.of == f"probability of {found.class_name(int(found.target[0]))}"
    assert measured.other in own
    assert len(repr(measured)) < 100, "not all of its curves"


def test_the_defaults_cost_what_they_say() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()[:1]
    found = vitreous.explain(model, images, ["grad_cam", "rollout"])
    asked: list[tuple[int, int]] = []
    vitreous.trust(model, found, progress=lambda done, of: asked.append((done, of)))
    assert asked[-1] == (2 + 6 * 10 + 2 * 10,) * 2


def test_whether_a_map_changes_with_the_class() -> None:
    model = quadrants()
    methods = {"same": Given(((9.0, 1.0), (2.0, 3.0))), "other": Given(((9.0, 1.0), (2.0, 3.0)), follows=True)}
    found = vitreous.explain(model, IMAGES, methods, target=0)
    (first, _) = vitreous.trust(model, found, settings=FEW)
    assert first.other.startswith("class ")
    assert first.other != "class 0"
    assert (first.maps["same"].changes, first.maps["other"].changes) == (False, True)
    assert first.maps["same"].with_other == pytest.approx(1)
    assert first.maps["other"].with_other is not None
    assert first.maps["other"].with_other < 1


def test_slow_methods_are_not_asked_for_another_class() -> None:
    model = quadrants()
    found = vitreous.explain(model, IMAGES, "rise", target=0, masks=20, grid=4, score="logit")
    (one, _) = vitreous.trust(model, found, settings=FEW)
    (mapped,) = one.maps.values()
    assert (mapped.with_other, mapped.changes) == (None, None)


def test_a_margin_is_followed_as_a_margin() -> None:
    model = quadrants()
    found = vitreous.explain(model, IMAGES, "occlusion", target=0, against=1, fill="mean", window=7, stride=7)
    (one, _) = vitreous.trust(model, found, settings=FEW)
    shares = model(IMAGES).softmax(1)[0]
    assert one.of == "probability of class 0 minus that of class 1"
    assert one.maps["Occlusion"].most_first.values[0] == pytest.approx((shares[0] - shares[1]).item(), rel=1e-5)
    assert one.other == ""


def test_a_function_of_the_scores_is_followed_itself() -> None:
    model = quadrants()
    found = vitreous.explain(model, IMAGES, "grad_cam", target=lambda logits: logits[:, 0] ** 2, layer="0")
    (one, _) = vitreous.trust(model, found, settings=FEW)
    (mapped,) = one.maps.values()
    assert mapped.most_first.values[0] == pytest.approx(model(IMAGES)[0, 0].item() ** 2, rel=1e-5)
    assert one.of == "what was asked for"


@pytest.mark.parametrize("sign", [1, -1])
def test_the_side_of_a_binary_score_is_followed(sign: int) -> None:
    model = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 1)).eval()
    model[2].weight.data.fill_(sign * 0.1)
    model[2].bias.data.zero_()
    found = vitreous.explain(model, IMAGES, "occlusion", fill="mean", window=7, stride=7)
    (one, _) = vitreous.trust(model, found, settings=FEW)
    share = model(IMAGES)[0].sigmoid().item()
    (mapped,) = one.maps.values()
    assert mapped.most_first.values[0] == pytest.approx(share if sign > 0 else 1 - share, rel=1e-5)
    assert one.of == ("probability of class 0" if sign > 0 else "probability of not class 0")
    assert mapped.most_first.said[0] == f"{'' if sign > 0 else 'not '}class 0 · {max(share, 1 - share):.1%}"


def test_where_no_probability_moves_the_score_is_followed() -> None:
    model = quadrants()
    model[2].bias = nn.Parameter(torch.tensor([1000.0, 0.0, 0.0, 0.0]))
    found = vitreous.explain(model, IMAGES, "occlusion", target=0, fill="mean", window=7, stride=7, score="logit")
    (one, _) = vitreous.trust(model, found, settings=FEW)
    assert one.of == "score of class 0"
    assert one.maps["Occlusion"].most_first.values[-1] == 1000


def test_it_goes_to_json_and_back() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()[:1]
    (one,) = vitreous.trust(model, vitreous.explain(model, images, ["ag_cam", "rollout"]), settings=FEW)
    values = json.loads(json.dumps(one.to_json()))
    assert Trust.from_json(values) == one
    for broken in (None, [], values | {"grid": [4]}, values | {"more": 1}, {**values, "maps": {"ag_cam": {}}}):
        with pytest.raises(DataError, match="Measure it again"):
            Trust.from_json(broken)


def test_what_has_no_trust(tmp_path: Path) -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    found = vitreous.explain(model, images)
    found.save(tmp_path / "a.npz")
    with pytest.raises(ShapeError, match=r"keeps no input .* vitreous\.explain\(model, picture, method\), and"):
        vitreous.trust(model, Explanation.load(tmp_path / "a.npz"))
    other = vitreous.explain(model, images, "rollout", target=3)
    with pytest.raises(ShapeError, match="not of the same inputs and classes"):
        vitreous.trust(model, {"ag_cam": found, "rollout": other})
    with pytest.raises(ShapeError, match="Give at least one"):
        vitreous.trust(model, {})
    with pytest.raises(NoClassScores, match="Trust needs class scores"):
        vitreous.trust(model, replace(found, logits=None, target=None))
    with pytest.raises(ShapeError, match=r"3 random orders are no pairs of an order and its reverse\. Give an even"):
        TrustSettings(orders=3)
    blind = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    nn.init.zeros_(blind[0].weight)
    seen = replace(found, logits=blind(images).detach(), target=torch.zeros(len(images), dtype=torch.long))
    with pytest.raises(DegenerateMap, match="`trust` hid parts of the picture, and the class scores stayed"):
        vitreous.trust(blind, seen)
