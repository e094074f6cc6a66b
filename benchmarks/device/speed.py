"""What explanations cost next to the model's own forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields
from functools import lru_cache, partial
from typing import Any

import timm
import torch
from benchmarks.chefer_cost import explain_one_by_one, published
from benchmarks.device.runner import Row, Setup, in_turn, peak
from tests.contract.promises import FEW
from torch import Tensor, nn

import vitreous
from vitreous.errors import DegenerateMap, ExplainError, TooFewDigits
from vitreous.methods import METHODS, make_method
from vitreous.methods.ag_cam import AGCAM
from vitreous.methods.method import Method
from vitreous.methods.transformer_attribution import TransformerAttribution
from vitreous.models.loaded import LoadedModel

MASKED = ("score_cam", "mgrw", "rise", "patch_posterior")
# fills that need no model's normalization
PLAIN = {"fill": "mean", "baseline": "mean"}
TOY = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2, "num_classes": 7}


@lru_cache(3)  # a precision each
def base(device: torch.device, dtype: torch.dtype, tiny: bool) -> nn.Module:
    """ViT-B/16 with random weights, so large that it reads its input with more digits than bfloat16 rounds off."""
    torch.manual_seed(0)
    model = timm.create_model("vit_base_patch16_224", **(TOY if tiny else {})).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=1.5 * parameter[0].numel() ** -0.5)
    return model.to(device, dtype)


def pictures(count: int, setup: Setup, dtype: torch.dtype) -> Tensor:
    side = 32 if setup.tiny else 224
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, side, side, generator=generator).to(setup.device, dtype)


def plain_pass(model: nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        model(images)


def made(name: str, tiny: bool) -> Method:
    known = {field.name for field in fields(METHODS[name])}
    plain = {key: value for key, value in PLAIN.items() if key in known}
    return make_method(name, **plain, **{key: v for key, v in FEW.get(name, {}).items() if tiny and key not in plain})


def ag_cam(setup: Setup, *, compiled: bool) -> Iterator[Row]:
    """Each at the batch that suits it best."""
    model = base(setup.device, torch.bfloat16, setup.tiny)
    if compiled:
        torch._dynamo.reset()
        model = torch.compile(model, backend="eager" if setup.tiny else "inductor")
    costs: dict[int, tuple[float, float]] = {}
    for size in (2, 4) if setup.tiny else (32, 64, 128, 256):
        images = pictures(size, setup, torch.bfloat16)
        forward, ours = in_turn([partial(plain_pass, model, images), partial(AGCAM(), model, images)], setup)
        costs[size] = forward / size, ours / size
        note = f"{1e3 * forward / size:.3f} ms a picture to {1e3 * ours / size:.3f} ms"
        yield Row(f"AG-CAM / forward, batch {size}", ours / forward, "×", note=note)
    bare, whole = (min(costs, key=lambda size, at=at: costs[size][at]) for at in (0, 1))
    ratio = costs[whole][1] / costs[bare][0]
    yield Row("AG-CAM / forward, each at its best batch", ratio, "×", at_most=1.67, note=f"{whole} to {bare}")


def chefer(setup: Setup) -> Iterator[Row]:
    """In single precision: it refuses less."""
    model = base(setup.device, torch.float32, setup.tiny)
    images, ours = pictures(4 if setup.tiny else 32, setup, torch.float32), TransformerAttribution()
    calls: list[Callable[[], object]] = [
        partial(ours, model, images),
        lambda: [ours(model, image[None]) for image in images],
    ]
    if setup.authors:
        copy = published(setup.authors, model, images)
        calls.append(partial(explain_one_by_one, copy, images))
    batched, singly, *theirs = in_turn(calls, setup, repeats=3)
    yield Row(f"one by one / batch of {len(images)}", singly / batched, "×", note=f"{batched:.3f} s batched")
    for each in theirs:
        yield Row(f"authors' code one by one / ours, batch of {len(images)}", each / batched, "×", at_least=5)


def masked(name: str, setup: Setup) -> Iterator[Row]:
    """The share of a method's time that bare forward passes of as many pictures, in as large batches, would take."""
    dtype = torch.float16 if name == "mgrw" else torch.bfloat16  # bfloat16 is refused
    model, method = base(setup.device, dtype, setup.tiny), made(name, setup.tiny)
    image = pictures(1, setup, dtype)
    counted: list[int] = []
    hook = model.register_forward_pre_hook(lambda _, inputs: counted.append(len(inputs[0])))
    call = partial(explained, model, image, method)
    try:
        call()
    finally:
        hook.remove()
    size: int = getattr(method, "batch_size", 64)
    batch = image.repeat(min(size, sum(counted)), 1, 1, 1)
    whole, bare = in_turn([call, partial(plain_pass, model, batch)], setup, repeats=3)
    share = bare * sum(counted) / len(batch) / whole
    told = f"{sum(counted)} pictures through the model in {whole:.3f} s, batches of {len(batch)}, {dtype}"
    yield Row(f"pure forward passes / {name}", share, "", at_least=0.85, note=told.replace("torch.", ""))


def against_forward(name: str, setup: Setup) -> Iterator[Row]:
    """In the fewest bits that the method takes; one picture where it makes hundreds of passes for one."""
    method = made(name, setup.tiny)
    size = 1 if getattr(METHODS[name], "slow", False) else 2 if setup.tiny else 32
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        model, images = base(setup.device, dtype, setup.tiny), pictures(size, setup, dtype)
        call = partial(explained, model, images, method)
        try:
            call()
        except TooFewDigits:
            continue
        except ExplainError as error:
            yield Row(f"{name} / forward", None, "×", note=f"refused: {error}")
            return
        bare = partial(plain_pass, model, images)
        ours, forward = in_turn([call, bare], setup, repeats=3)
        most, least = peak(call, setup), peak(bare, setup)
        told = f"batch {size}, {str(dtype).removeprefix('torch.')}, {1e3 * ours / size:.2f} ms a picture"
        yield Row(f"{name} / forward", ours / forward, "×", note=told)
        yield Row(f"{name} / forward, peak memory", most / least, "×", note=f"{most:.1f} MiB")
        return
    yield Row(f"{name} / forward", None, "×", note="refused: too few digits in float32")


def explained(model: nn.Module | LoadedModel, images: Tensor, method: Any) -> None:
    with suppress(DegenerateMap):  # after the work is done: it costs the same
        vitreous.explain(model, images, method)
