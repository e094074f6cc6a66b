"""Principal components against the eigenvectors of a covariance summed in loops; colors, and the foreground."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vitreous
from tests.contract.zoo import CASES
from vitreous.errors import DegenerateMap, ShapeError
from vitreous.inside.components import foreground_of, principal
from vitreous.models.zoo import LoadedModel
from vitreous.trace.features import patch_features


def slow_components(rows: list[Tensor], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Projections on the eigenvectors of Σ (f − m)(f − m)ᵀ with the largest eigenvalues, and the shares of these."""
    width = len(rows[0])
    mean = [sum(row[at].item() for row in rows) / len(rows) for at in range(width)]
    covariance = np.zeros((width, width))
    for row in rows:
        for a in range(width):
            for b in range(width):
                covariance[a, b] += (row[a].item() - mean[a]) * (row[b].item() - mean[b])
    values, vectors = np.linalg.eigh(covariance)
    projected = np.zeros((len(rows), count))
    for at in range(count):
        axis = vectors[:, -1 - at]
        axis = axis if axis[abs(axis).argmax()] > 0 else -axis
        for place, row in enumerate(rows):
            projected[place, at] = sum((row[a].item() - mean[a]) * axis[a] for a in range(width))
    return projected, values[::-1][:count] / values.sum()


@pytest.mark.parametrize("of", ["tokens", "keys"])
def test_components_are_the_eigenvectors_of_the_covariance(of: str) -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images(3)
    maps = patch_features(model, images, of=of).maps.double()  # type: ignore[arg-type]
    rows = [maps[image, :, row, column] for image in range(3) for row in range(4) for column in range(4)]
    expected, share = slow_components(rows, 3)
    found = vitreous.components(model, images, of=of, batch_size=2)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.values.reshape(-1, 3), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.share, share, rtol=1e-4)
    assert found.foreground.all()
    assert torch.equal(found.values, vitreous.components(model, images, of=of, batch_size=2).values)  # type: ignore[arg-type]


def test_the_sign_does_not_hang_on_the_order_of_rows() -> None:
    rows = torch.randn(30, 5, dtype=torch.float64)
    _, axes, _ = principal(rows, 3)
    torch.testing.assert_close(principal(rows.flip(0), 3)[1], axes)
    assert (axes.gather(1, axes.abs().argmax(1, keepdim=True)) > 0).all()


def test_colors_fill_their_range_over_all_pictures(model: LoadedModel) -> None:
    found = vitreous.components(model, torch.randn(2, 3, 32, 32))
    colors = found.colors.flatten(0, 2)
    torch.testing.assert_close(colors.amin(0), torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(colors.amax(0), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("sign", [1, -1])
def test_foreground_is_what_the_border_has_less_of(sign: int) -> None:
    first = -torch.ones(1, 4, 5, dtype=torch.float64)
    first[0, 1:3, 1:4] = 2
    first[0, 0, 0] = 1
    expected = first > 0
    assert torch.equal(foreground_of(sign * first), expected)


class Painted(nn.Module):
    """A layer that gives the picture's own patches, and scores that read them."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.head = nn.Conv2d(3, 3, 4, 4, bias=False), nn.Linear(3, 2)
        with torch.no_grad():
            self.patches.weight.copy_(torch.eye(3)[:, :, None, None].expand(3, 3, 4, 4) / 16)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.patches(images).mean((2, 3)))


def test_a_thing_on_a_plain_ground_is_told_apart_and_colored_alone() -> None:
    cells = 0.01 * torch.randn(2, 3, 6, 6)
    cells[:, :, 2:4, 1:5] += torch.tensor([3.0, 3.0, 3.0])[:, None, None] + torch.randn(2, 3, 2, 4)
    images = cells.repeat_interleave(4, 2).repeat_interleave(4, 3)
    thing = torch.zeros(2, 6, 6, dtype=torch.bool)
    thing[:, 2:4, 1:5] = True
    found = vitreous.components(Painted().eval(), images, layer="patches", foreground=True)
    assert torch.equal(found.foreground, thing)
    assert (found.colors[~thing] == 0).all()
    expected, _ = slow_components(list(cells.movedim(1, -1)[thing].double()), 3)
    np.testing.assert_allclose(found.values[thing], expected, atol=1e-5)


def test_what_has_no_components_is_refused() -> None:
    model = Painted().eval()
    with pytest.raises(DegenerateMap, match="the same at every patch"):
        vitreous.components(model, torch.ones(1, 3, 24, 24), layer="patches")
    with pytest.raises(ShapeError, match="too few for 3 components"):
        vitreous.components(model, torch.randn(1, 3, 8, 4), layer="patches")
    with pytest.raises(ShapeError, match="`batch_size`"):
        vitreous.components(model, torch.randn(1, 3, 24, 24), batch_size=0)
