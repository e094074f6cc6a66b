"""The logit lens against a model's own norm and head applied by hand, and what has no such end."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

import vitreous
from tests.contract.written import Ordered
from tests.contract.zoo import CASES
from tests.inside.test_similarity import block_input
from tests.reference.vit import layer_norm
from vitreous.errors import ExplainError, NoClassScores, NoGlobalAttention, ObservationError
from vitreous.trace.reading import reading
from vitreous.trace.recorder import record


def slow_end(model: nn.Module, token: Tensor) -> Tensor:
    """The head of a timm ViT on one token, the norm before it from its equation."""
    with torch.no_grad():
        return model.head.weight @ layer_norm(token, model.norm) + model.head.bias  # type: ignore[union-attr, operator]


def test_every_block_and_patch_goes_through_norm_and_head() -> None:
    model, images = CASES["timm_vit_wide"].model(), CASES["timm_vit_wide"].images(2)
    found = vitreous.logit_lens(model, images, 2, batch_size=1)
    assert found.blocks == tuple(f"blocks.{at}" for at in range(len(model.blocks)))
    assert found.maps is not None
    assert found.best is not None
    assert found.target.tolist() == [2, 2]
    for image in range(2):
        for block in range(len(model.blocks)):
            tokens = block_input(model, images[image], block + 1)
            expected = slow_end(model, tokens[0])
            torch.testing.assert_close(found.logits[image, block], expected, rtol=1e-4, atol=1e-4)
            share = (expected[2].exp() / expected.exp().sum()).item()
            assert found.of_target[image, block].item() == pytest.approx(share, rel=1e-3)
            for patch in range(15):
                row, column = divmod(patch, 5)
                alone = slow_end(model, tokens[1 + patch])
                share = (alone[2].exp() / alone.exp().sum()).item()
                assert found.maps[image, block, row, column].item() == pytest.approx(share, rel=1e-3)
                assert found.best[image, block, row, column] == alone.argmax()


@pytest.mark.parametrize(
    "name",
    ["timm_vit_mean", "timm_siglip", "timm_cait", "hf_dinov2_registers_sdpa", "registers_last", "monai_vit"],
)
def test_after_the_last_block_it_is_what_the_model_says(name: str) -> None:
    case = CASES[name]
    model, images = case.model(), case.images(2)
    found = vitreous.logit_lens(model, images, **case.how)
    with reading(case.reading):
        own = record(model, images).logits
    torch.testing.assert_close(found.logits[:, -1], own, rtol=1e-4, atol=1e-5)
    assert torch.equal(found.target, own.argmax(1))
    assert found.maps is not None
    assert found.maps.isfinite().all()


class Skipping(Ordered):
    """Its head reads the first block's class token as well."""

    def forward(self, images: Tensor) -> Tensor:
        kept: list[Tensor] = []
        hook = self.encoder.layers[0].register_forward_hook(lambda _, __, out: kept.append(out[:, 0]))
        try:
            return super().forward(images) + self.head(kept[0])
        finally:
            hook.remove()


class Counting(Ordered):
    """It remembers how many images came in."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images)[: len(images)]


@pytest.mark.parametrize(
    ("model", "kind", "said"),
    [
        (Skipping, ObservationError, "depend on more than what its last block"),
        (Counting, ObservationError, "maps=False"),
        (CASES["timm_swin"].model, NoGlobalAttention, "not between all patches"),
        (CASES["vit_pytorch"].model, ObservationError, "never called itself"),
        (
            lambda: timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=32, depth=2),
            NoClassScores,
            "num_classes=0",
        ),
    ],
)
def test_what_has_no_end_for_every_block_is_refused(
    model: type[nn.Module], kind: type[ExplainError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        vitreous.logit_lens(model().eval(), torch.randn(2, 3, 32, 32))


def test_rows_alone_need_no_larger_batch() -> None:
    model, images = Counting().eval(), torch.randn(2, 3, 32, 32)
    found = vitreous.logit_lens(model, images, maps=False)
    assert found.maps is None
    with torch.no_grad():
        torch.testing.assert_close(found.logits[:, -1], model(images))
