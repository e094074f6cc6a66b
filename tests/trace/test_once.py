"""What a model is, measured once a call: the same maps to the bit, fewer passes, and anew where anything differs."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

import pytest
import timm
import torch
from torch import Tensor, nn

import vitreous
from vitreous.errors import ExplainError
from vitreous.trace.blocks import find_blocks
from vitreous.trace.layer import find_layer
from vitreous.trace.once import Measured, measuring_once, once
from vitreous.trace.reading import Reading, reading
from vitreous.trace.recorder import tokens_of

QUICK = (
    "ag_cam",
    "transformer_attribution",
    "attn_lrp",
    "grad_cam",
    "rollout",
    "legrad",
    "generic_attention",
    "attcat",
)
MODELS: dict[str, Callable[[], nn.Module]] = {
    "class token": lambda: timm.create_model("test_vit", img_size=64),
    "registers": lambda: timm.create_model("test_vit4", img_size=64),
    "pooled": lambda: timm.create_model("vit_tiny_patch16_224", img_size=64, depth=3, global_pool="avg"),
    "convolutional": lambda: timm.create_model("test_resnet"),
    "windows": lambda: timm.create_model("swin_tiny_patch4_window7_224", img_size=56, depths=(1, 1), num_heads=(2, 2)),
}


SLOW = "registers", "pooled", "convolutional", "windows"


@pytest.fixture(params=[pytest.param(each, marks=[pytest.mark.slow] * (each in SLOW)) for each in MODELS])
def model(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[request.param]().eval()


def pictures(count: int = 3, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def starts(model: nn.Module, work: Callable[[], object]) -> int:
    """How often the model begins to run."""
    begun: list[int] = []
    with model.register_forward_pre_hook(lambda *_: begun.append(1)):
        work()
    return len(begun)


def maps_of(model: nn.Module, images: Tensor, names: tuple[str, ...]) -> dict[str, Tensor | str]:
    found: dict[str, Tensor | str] = {}
    for name in names:
        try:
            found[name] = vitreous.explain(model, images, name).heatmap
        except ExplainError as error:
            found[name] = str(error)
    return found


def test_maps_are_the_same_to_the_bit(model: nn.Module) -> None:
    images = torch.randn(3, 3, 56, 56) if isinstance(model, timm.models.SwinTransformer) else pictures()
    apart = maps_of(model, images, QUICK)
    with measuring_once():
        together = maps_of(model, images, QUICK)
        again = maps_of(model, images.flip(0), QUICK)
    turned = maps_of(model, images.flip(0), QUICK)
    assert any(isinstance(each, Tensor) for each in apart.values())
    for with_it, without in ((together, apart), (again, turned)):
        for name, found in without.items():
            given = with_it[name]
            assert (
                torch.equal(found, given) if isinstance(found, Tensor) and isinstance(given, Tensor) else found == given
            )


def test_a_call_measures_the_tokens_once() -> None:
    model, images = MODELS["class token"]().eval(), pictures()
    alone = starts(model, lambda: tokens_of(model, images))
    methods = ["ag_cam", "attn_lrp", "rollout", "generic_attention", "transformer_attribution"]
    apart = sum(starts(model, lambda name=name: vitreous.explain(model, images, name)) for name in methods)
    together = starts(model, lambda: vitreous.explain(model, images, methods))
    assert alone >= 8
    # rollout and generic attention read one observation, so three others measured the tokens too, and one observed
    assert apart - together >= 3 * alone


def test_many_pictures_are_one_call() -> None:
    model = MODELS["class token"]().eval()
    two, many = (
        starts(model, lambda count=count: vitreous.explain(model, pictures(count), "rollout", batch_size=2))
        for count in (2, 6)
    )
    assert many - two == 2


def test_nothing_is_kept_beyond_the_block() -> None:
    model, images = MODELS["class token"]().eval(), pictures()
    first = starts(model, lambda: vitreous.explain(model, images, "rollout"))
    assert starts(model, lambda: vitreous.explain(model, images, "rollout")) == first


@pytest.mark.parametrize(
    "change",
    [
        lambda model: nn.init.normal_(model.patch_embed.proj.weight),
        lambda model: setattr(model, "norm", nn.Identity()),
        lambda model: model.double(),
        lambda model: model.blocks[0].register_forward_hook(lambda *_: None),
        lambda model: setattr(model.head, "weight", nn.Parameter(torch.ones_like(model.head.weight))),
        lambda model: setattr(model.head.weight, "data", torch.ones_like(model.head.weight)),
        lambda model: setattr(model.blocks[0], "forward", lambda tokens, **_: tokens),
    ],
    ids=["weights", "module", "type", "hook", "parameter", "data", "forward"],
)
def test_a_model_that_changed_is_measured_anew(change: Callable[[nn.Module], object]) -> None:
    model, images, asked = MODELS["class token"]().eval(), pictures(), list[int]()
    with measuring_once():
        for _ in range(2):
            once("it", model, images, lambda: asked.append(1))
        change(model)
        once("it", model, images, lambda: asked.append(1))
    assert len(asked) == 2


@pytest.mark.parametrize(
    "other",
    [pictures()[:, :, :32], pictures().double(), pictures(seed=2)],
    ids=["size", "type", "picture"],
)
def test_another_input_is_measured_anew(other: Tensor) -> None:
    model, asked = MODELS["class token"]().eval(), list[int]()
    with measuring_once():
        for images in (pictures(), pictures(), other):
            once("it", model, images, lambda: asked.append(1), picture=True)
    assert len(asked) == 2


def test_a_picture_that_is_overwritten_is_another() -> None:
    model, images, asked = MODELS["class token"]().eval(), pictures(), list[int]()
    with measuring_once():
        once("it", model, images, lambda: asked.append(1), picture=True)
        images += 1
        once("it", model, images, lambda: asked.append(1), picture=True)
    assert len(asked) == 2


def test_another_reading_is_measured_anew() -> None:
    model, images = MODELS["class token"]().eval(), pictures()
    with measuring_once():
        whole = tokens_of(model, images)
        with reading(Reading(grid=(2, 8), patches=slice(1, None))):
            said = tokens_of(model, images)
        assert tokens_of(model, images) == whole
    assert (said.height, said.width) == (2, 8) != (whole.height, whole.width)


def test_what_fails_is_measured_again() -> None:
    model, images, asked = MODELS["class token"]().eval(), pictures(), list[int]()

    def fail() -> None:
        asked.append(1)
        raise ExplainError("no")

    with measuring_once():
        for _ in range(2):
            with pytest.raises(ExplainError):
                once("it", model, images, fail)
    assert len(asked) == 2


def test_layers_are_found_once_for_a_picture() -> None:
    model, images, passes = MODELS["convolutional"]().eval(), pictures(), list[int]()
    model.register_forward_pre_hook(lambda *_: passes.append(1))
    with measuring_once():
        found = find_layer(model, images)
        taken = len(passes)
        assert find_layer(model, images) == found
        assert len(passes) == taken > 0
        assert find_layer(model, images, "layer1") != found
        assert len(passes) > taken


def test_blocks_are_found_once_for_a_picture() -> None:
    model, images, passes = MODELS["class token"]().eval(), pictures(), list[int]()
    model.register_forward_pre_hook(lambda *_: passes.append(1))
    with measuring_once():
        found = find_blocks(model, images)
        taken = len(passes)
        assert find_blocks(model, images) == found
        assert len(passes) == taken > 0
        assert find_blocks(model, images.flip(0)) == found
        assert len(passes) == taken + 1, "another picture, and the same tokens"


def test_threads_have_their_own() -> None:
    model, images, asked = MODELS["class token"]().eval(), pictures(), list[int]()
    with measuring_once():
        once("it", model, images, lambda: asked.append(1))
        thread = Thread(target=lambda: once("it", model, images, lambda: asked.append(1)))
        thread.start()
        thread.join()
    assert len(asked) == 2


def test_a_later_block_of_the_same_call_goes_on() -> None:
    model, images, asked, measured = MODELS["class token"]().eval(), pictures(), list[int](), Measured()
    for _ in range(2):
        with measuring_once(measured), measuring_once():
            once("it", model, images, lambda: asked.append(1))
    assert len(asked) == 1
