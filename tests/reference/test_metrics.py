"""Each metric again, from its definition with loops over pixels, pairs and steps, one image at a time."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from tests.contract.zoo import CASES
from vitreous.errors import ShapeError
from vitreous.metrics.fills import image_mean, rise_blur
from vitreous.metrics.infidelity import Completeness, Infidelity
from vitreous.metrics.metric import scaled
from vitreous.metrics.perturbation import Perturbation
from vitreous.metrics.road import Road, impute
from vitreous.metrics.saco import AverageDrop, SaCo
from vitreous.metrics.score import Score
from vitreous.metrics.stability import ModelRandomization, SensitivityMax, rank_correlation

SIDE, CLASS = 32, 4


@pytest.fixture
def model() -> nn.Module:
    return CASES["timm_vit"].model().double()


@pytest.fixture
def image() -> Tensor:
    return CASES["timm_vit"].images(1).double()


@pytest.fixture
def heatmap() -> Tensor:
    return torch.rand(1, 4, 4, dtype=torch.float64)


TARGET = torch.tensor([CLASS])


def falling(values: Tensor) -> list[tuple[int, int]]:
    """Pixels (row, column) from the highest value to the lowest; equal ones in reading order."""
    flat = values.flatten().tolist()
    order = sorted(range(len(flat)), key=lambda at: -flat[at])
    return [divmod(at, values.shape[1]) for at in order]


@torch.no_grad()
def probability(model: nn.Module, image: Tensor) -> float:
    logits = model(image)[0].tolist()
    return math.exp(logits[CLASS]) / sum(math.exp(value) for value in logits)


@torch.no_grad()
def logit(model: nn.Module, image: Tensor) -> float:
    return model(image)[0, CLASS].item()


def filled(image: Tensor, pixels: list[tuple[int, int]], filling: Tensor) -> Tensor:
    changed = image.clone()
    for row, column in pixels:
        changed[0, :, row, column] = filling[0, :, row, column]
    return changed


def test_curves(model: nn.Module, image: Tensor, heatmap: Tensor) -> None:
    order = falling(scaled(heatmap, (SIDE, SIDE))[0])
    judge = Perturbation(
        morf="white", lerf="mean", insertion="white", parts=3, last=2, mean=(0.25,) * 3, std=(0.5,) * 3
    )
    curves = judge(model, image, heatmap, TARGET)
    white, zero = torch.full_like(image, (1 - 0.25) / 0.5), torch.zeros_like(image)
    for step in range(3):
        count = len(order) * step // 3
        kinds = {
            "morf": filled(image, order[:count], white),
            "lerf": filled(image, order[len(order) - count :], zero),
            "insertion": filled(image, order[count:], white),
        }
        for name, changed in kinds.items():
            assert curves[name][0, step].item() == pytest.approx(probability(model, changed), abs=1e-12)


def test_areas() -> None:
    curve = torch.tensor([0.8, 0.4, 0.2], dtype=torch.float64)
    means = {"morf": curve, "lerf": curve.flip(0)}
    mean, trapezoid = (Perturbation(parts=4, last=2, area=area).summary(means) for area in ("mean", "trapezoid"))
    assert mean["morf"].item() == pytest.approx(1.4 / 3)
    assert mean["abpc"].item() == pytest.approx(0)
    assert trapezoid["morf"].item() == pytest.approx((0.8 + 0.4) / 2 / 4 + (0.4 + 0.2) / 2 / 4)


def test_saco(model: nn.Module, image: Tensor, heatmap: Tensor) -> None:
    values = scaled(heatmap, (SIDE, SIDE))[0]
    order, groups = falling(values), 6
    mean = torch.stack([channel.mean() for channel in image[0]])[None, :, None, None].expand_as(image)
    salience: list[float] = []
    drop: list[float] = []
    for group in range(groups):
        pixels = order[len(order) * group // groups : len(order) * (group + 1) // groups]
        salience.append(sum(values[row, column].item() for row, column in pixels))
        drop.append(probability(model, image) - probability(model, filled(image, pixels, mean)))
    total = weight = 0.0
    for i, j in itertools.combinations(range(groups), 2):
        difference = salience[i] - salience[j]
        total += difference if drop[i] >= drop[j] else -difference
        weight += abs(difference)
    found = SaCo(groups=groups)(model, image, heatmap, TARGET)["saco"].item()
    assert found == pytest.approx(total / weight, abs=1e-7), "pixels are compared in single precision"
    assert torch.equal(image_mean(image), mean)


def test_average_drop(model: nn.Module, image: Tensor, heatmap: Tensor) -> None:
    before, after = probability(model, image), probability(model, image * scaled(heatmap, (SIDE, SIDE))[:, None])
    values = AverageDrop()(model, image, heatmap, TARGET)
    assert values["average_drop"].item() == pytest.approx(max(0, before - after) / before, abs=1e-9)
    assert values["average_increase"].item() == float(after > before)


@pytest.mark.parametrize("scaling", [True, False])
def test_infidelity(model: nn.Module, image: Tensor, heatmap: Tensor, scaling: bool) -> None:
    said: list[float] = []
    done: list[float] = []
    for side in (1, 2, 3):
        for top, left in itertools.product(range(5 - side), repeat=2):
            patches = list(itertools.product(range(top, top + side), range(left, left + side)))
            said.append(sum(heatmap[0, row, column].item() for row, column in patches))
            pixels = [(8 * r + i, 8 * c + j) for r, c in patches for i in range(8) for j in range(8)]
            done.append(logit(model, image) - logit(model, filled(image, pixels, torch.zeros_like(image))))
    beta = sum(s * d for s, d in zip(said, done, strict=True)) / sum(s * s for s in said) if scaling else 1
    expected = sum((beta * s - d) ** 2 for s, d in zip(said, done, strict=True)) / len(said)
    found = Infidelity(sides=3, scaling=scaling)(model, image, heatmap, TARGET)["infidelity"].item()
    assert found == pytest.approx(expected, rel=1e-9)


def test_a_map_of_pixels_has_too_many_squares(model: nn.Module, image: Tensor) -> None:
    with pytest.raises(ShapeError, match=r"a map of 224×224 has some 501,760 squares"):
        Infidelity()(model, image, torch.rand(1, 224, 224), TARGET)


@pytest.mark.parametrize("fill", ["mean", ""])
def test_completeness(model: nn.Module, image: Tensor, heatmap: Tensor, fill: str) -> None:
    change = logit(model, image) - (logit(model, torch.zeros_like(image)) if fill else 0)
    found = Completeness(fill=fill)(model, image, heatmap, TARGET)["completeness_error"].item()
    assert found == pytest.approx(abs(heatmap.sum().item() - change) / abs(change), rel=1e-9)


def solved(image: Tensor, hidden: Tensor) -> Tensor:
    """ROAD's linear system, an equation per hidden pixel, solved as a whole."""
    pixels = [tuple(at) for at in hidden.nonzero().tolist()]
    number = {pixel: at for at, pixel in enumerate(pixels)}
    matrix, right = torch.zeros(len(pixels), len(pixels)).double(), torch.zeros(len(pixels), len(image)).double()
    for (row, column), at in number.items():
        for down, across in itertools.product((-1, 0, 1), repeat=2):
            there = (row + down, column + across)
            inside = 0 <= there[0] < hidden.shape[0] and 0 <= there[1] < hidden.shape[1]
            if (down, across) == (0, 0) or not inside:
                continue
            weight = 1 / 6 if 0 in (down, across) else 1 / 12
            matrix[at, at] += weight
            if there in number:
                matrix[at, number[there]] -= weight
            else:
                right[at] += weight * image[:, there[0], there[1]].double()
    result = image.clone()
    for (row, column), values in zip(pixels, torch.linalg.solve(matrix, right), strict=True):
        result[:, row, column] = values
    return result


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_imputation(share: float) -> None:
    images, hidden = torch.randn(3, 2, 9, 12).double(), torch.rand(3, 9, 12) < share
    expected = torch.stack([solved(image, mask) for image, mask in zip(images, hidden, strict=True)])
    torch.testing.assert_close(impute(images, hidden, tolerance=1e-12), expected, rtol=0, atol=1e-9)
    singles = [impute(images[at : at + 1], hidden[at : at + 1]) for at in range(3)]
    torch.testing.assert_close(impute(images, hidden), torch.cat(singles), rtol=0, atol=1e-12)


def test_imputation_in_half_precision_is_as_exact_as_the_picture() -> None:
    images, hidden = torch.randn(1, 1, 24, 24).bfloat16(), torch.zeros(1, 24, 24, dtype=torch.bool)
    hidden[:, 2:22, 2:22] = True
    found = impute(images, hidden)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), impute(images.double(), hidden), rtol=0.01, atol=0.01)


def test_road(model: nn.Module, image: Tensor, heatmap: Tensor) -> None:
    order = falling(scaled(heatmap, (SIDE, SIDE))[0])
    scores: dict[str, list[float]] = {"morf": [], "lerf": []}
    for step in (1, 2):
        count = len(order) * step // 3
        for name, pixels in (("morf", order[:count]), ("lerf", order[len(order) - count :])):
            hidden = torch.zeros(SIDE, SIDE, dtype=torch.bool)
            for row, column in pixels:
                hidden[row, column] = True
            scores[name].append(probability(model, solved(image[0], hidden)[None]))
    judge = Road(parts=3, noise=0.0, tolerance=1e-12, scale="probability")
    score = Score(judge)
    score.update(model, image, heatmap, TARGET)
    found = score.compute()
    expected = {name: sum(values) / 2 for name, values in scores.items()}
    assert found["morf"].item() == pytest.approx(expected["morf"], abs=1e-9)
    assert found["road"].item() == pytest.approx(expected["lerf"] - expected["morf"], abs=1e-9)


def test_the_noise_of_road_is_in_pixels(model: nn.Module, image: Tensor) -> None:
    noise = Road(noise=0.01, std=(0.1, 0.2, 0.4))._noise(image)
    assert noise.std((1, 2)).tolist() == pytest.approx([0.1, 0.05, 0.025], rel=0.15)


def test_the_blur_of_rise(image: Tensor) -> None:
    """A 2-d peak smoothed by loops, its borders reflected, then a convolution over zeros."""
    weight = {at: math.exp(-at * at / 50) for at in range(-20, 21)}
    whole = sum(weight.values())

    def mirrored(at: int) -> int:
        at %= 22
        return at if at < 11 else 21 - at

    row = [sum(w for at, w in weight.items() if mirrored(start + at) == 5) / whole for start in range(11)]
    assert sum(row) == pytest.approx(1)
    blurred = rise_blur(image)
    for channel, top, left in ((0, 0, 0), (1, 15, 20), (2, 31, 3)):
        expected = sum(
            row[i] * row[j] * image[0, channel, top + i - 5, left + j - 5].item()
            for i in range(11)
            for j in range(11)
            if 0 <= top + i - 5 < SIDE and 0 <= left + j - 5 < SIDE
        )
        assert blurred[0, channel, top, left].item() == pytest.approx(expected, abs=1e-12)


def test_rank_correlation() -> None:
    one, other = torch.randint(4, (1, 12)).float(), torch.randint(4, (1, 12)).float()

    def mean_ranks(values: list[float]) -> list[float]:
        return [sum(v < x for v in values) + (sum(v == x for v in values) + 1) / 2 for x in values]

    a, b = mean_ranks(one[0].tolist()), mean_ranks(other[0].tolist())
    center = 6.5
    top = sum((x - center) * (y - center) for x, y in zip(a, b, strict=True))
    bottom = math.sqrt(sum((x - center) ** 2 for x in a) * sum((y - center) ** 2 for y in b))
    assert rank_correlation(one, other).item() == pytest.approx(top / bottom)


def first_weights(model: nn.Module, images: Tensor) -> Tensor:
    """A map that depends on the image and on two layers."""
    tokens = model.patch_embed(images) * model.blocks[2].mlp.fc2.weight[0, 0]
    return tokens.detach().sum(2).unflatten(1, (4, 4))


def test_sensitivity_max(model: nn.Module, image: Tensor) -> None:
    judge = SensitivityMax(radius=0.1, samples=3)
    found = judge(first_weights, model, image)["sensitivity_max"].item()
    before = first_weights(model, image).flatten()
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for _ in range(3):
        change = 0.1 * (2 * torch.rand(image.shape[1:], generator=generator) - 1)
        after = first_weights(model, image + change).flatten()
        worst = max(worst, math.dist(after.tolist(), before.tolist()) / math.hypot(*before.tolist()))
    assert found == pytest.approx(worst, rel=1e-6)


def test_randomization_changes_what_the_map_reads_and_nothing_else(model: nn.Module, image: Tensor) -> None:
    def run(*layers: str) -> float:
        values = ModelRandomization(layers=layers)(first_weights, model, image)
        return values["last_correlation"].item()

    assert run("head") == pytest.approx(1)
    assert run("blocks.2.mlp.fc2", "head") == pytest.approx(1), "sizes alone, and a factor has no rank"
    assert abs(run("head", "patch_embed.proj")) < 0.9
    everything = ModelRandomization()(first_weights, model, image)
    assert everything["correlation"].item() > everything["last_correlation"].item()
