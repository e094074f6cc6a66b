"""Vision Transformers as people write them at home: each is explained rightly, or refused in true words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import vitreous
from vitreous.errors import NoTokenGrid, ObservationError

Tokens = Callable[["HomeMade", Tensor], Tensor]


class HomeMade(nn.Module):
    """What makes tokens of pictures, three blocks and a mean."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.patches, self.head = nn.Conv2d(3, 32, 8, 8), nn.Linear(32, 3)
        self.blocks = nn.ModuleList(timm.models.vision_transformer.Block(32, 2) for _ in range(3))
        self.tokens = tokens

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.tokens(self, images)
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens.mean(1))

    def row(self, images: Tensor) -> Tensor:
        return self.patches(images).flatten(2).mT


def pictures(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def _strongest(model: HomeMade, images: Tensor) -> Tensor:
    row = model.row(images)
    order = row.norm(dim=-1).topk(8, 1).indices
    return row.gather(1, order[..., None].expand(-1, -1, 32))


def _two_sizes(model: HomeMade, images: Tensor) -> Tensor:
    return torch.cat([model.row(images), model.row(F.interpolate(images, (16, 16), mode="bilinear"))], 1)


def _polar(model: HomeMade, images: Tensor) -> Tensor:
    angle, radius = torch.linspace(-3.14, 3.14, 32), torch.linspace(0.05, 1, 32)[:, None]
    at = torch.stack([radius * angle.cos(), radius * angle.sin()], -1).expand(len(images), -1, -1, -1)
    return model.row(F.grid_sample(images, at, align_corners=False))


def _zoomed(model: HomeMade, images: Tensor) -> Tensor:
    zoom = torch.eye(2, 3) * 0.7 * (1 + images.mean() / 100)
    at = F.affine_grid(zoom.expand(len(images), -1, -1), list(images.shape), align_corners=False)
    return model.row(F.grid_sample(images, at, align_corners=False))


def _dilated(model: HomeMade, images: Tensor) -> Tensor:
    cells = images.unflatten(2, (8, 4)).unflatten(4, (8, 4))
    return model.row(cells.permute(0, 1, 3, 2, 5, 4).flatten(4, 5).flatten(2, 3))


NO_PLACE: dict[str, Tokens] = {
    "the strongest half": _strongest,
    "every other patch": lambda model, images: model.row(images)[:, ::2],
    "two sizes": _two_sizes,
    "each twice": lambda model, images: torch.cat([model.row(images)] * 2, 1),
    "one grid for each color": lambda model, images: torch.cat(
        [model.row(images * color.view(3, 1, 1)) for color in torch.eye(3)], 1
    ),
    "polar": _polar,
    "zoomed by the picture": _zoomed,
    "dilated": _dilated,
    "frequencies": lambda model, images: model.row(torch.fft.fft2(images).real / 8),
}


@pytest.mark.parametrize("kind", NO_PLACE)
def test_tokens_without_a_place_are_refused(kind: str) -> None:
    model = HomeMade(NO_PLACE[kind]).eval()
    for method in ("attcat", "legrad"):
        with pytest.raises(NoTokenGrid):
            vitreous.explain(model, pictures(), method, target=0)
    if kind in ("the strongest half", "each twice"):  # the embedding lies on the picture all the same
        assert vitreous.explain(model, pictures(), "grad_cam", target=0).layer == "patches"
    else:
        with pytest.raises(NoTokenGrid):
            vitreous.explain(model, pictures(), "grad_cam", target=0)


class Apart(nn.Module):
    """Runs the images of a batch one by one, or lets their tokens attend to each other."""

    def __init__(self, *, joined: bool) -> None:
        super().__init__()
        self.model, self.joined = HomeMade(HomeMade.row), joined

    def forward(self, images: Tensor) -> Tensor:
        if not self.joined:
            return torch.cat([self.model(image[None]) for image in images])
        tokens = self.model.row(images).flatten(0, 1)[None]
        for block in self.model.blocks:
            tokens = block(tokens)
        return self.model.head(tokens.unflatten(1, (len(images), -1)).mean(2)[0])


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("method", ["generic_attention", "grad_cam", "eigen_cam", "attcat"])
def test_images_that_are_run_apart_or_together(method: str, *, joined: bool) -> None:
    model = Apart(joined=joined).eval()
    how: dict[str, Any] = {"readout": "mean"} if method == "generic_attention" else {}
    with pytest.raises(ObservationError, match=r"batch_size=1|among the same 16 throughout"):
        vitreous.explain(model, pictures(), method, target=0, **how)
    alone = vitreous.explain(model, pictures(), method, target=0, batch_size=1, **how)
    expected = vitreous.explain(model.model, pictures(), method, target=0, batch_size=1, **how)
    torch.testing.assert_close(alone.heatmap, expected.heatmap)


def test_channels_last_is_the_same_model() -> None:
    def nhwc(model: HomeMade, images: Tensor) -> Tensor:
        last = images.permute(0, 2, 3, 1).contiguous()
        return model.patches(last.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).flatten(1, 2)

    for method in ("attcat", "legrad", "grad_cam"):
        found, expected = (
            vitreous.explain(HomeMade(tokens).eval(), pictures(), method, target=0) for tokens in (nhwc, HomeMade.row)
        )
        torch.testing.assert_close(found.heatmap, expected.heatmap, rtol=1e-4, atol=1e-6)
