"""How the image processors of transformers prepare pictures, as a `Preprocess`."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from vitreous.errors import ExplainWarning
from vitreous.models.preprocess import Preprocess
from vitreous.models.timm_source import preprocess_from

__all__ = ["bordered_preprocess", "quiet", "read_preprocess"]

_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}


def read_preprocess(source: str, local: bool) -> Preprocess | None:
    """The preprocessing that is stored beside a model, if ours can do the same."""
    if (processor := _processor(source, local)) is None:
        return None
    if hasattr(processor, "data_config"):  # timm's models within transformers
        return preprocess_from(processor.data_config)
    preprocess = _translated(processor.to_dict())
    return preprocess if preprocess and _agree(preprocess, processor) else None


def bordered_preprocess(source: str, local: bool) -> Preprocess | None:
    """Of a processor that keeps every picture's shape, one size: with a border, so that nothing is cut off."""
    processor = _processor(source, local)
    values: dict[str, Any] = processor.to_dict() if hasattr(processor, "to_dict") else {}
    edge = (values.get("size") or {}).get("shortest_edge")
    made = (
        _translated(values | {"crop_size": {"height": edge, "width": edge}, "do_center_crop": True}) if edge else None
    )
    if made is None:
        return None
    warnings.warn(
        f"`{source}` takes pictures of any shape, their shorter side {edge} pixels: they are prepared as "
        f"{edge}×{edge}, with a border, so that they lie in one batch. Give preprocess= for another size.",
        ExplainWarning,
        stacklevel=2,
    )
    return replace(made, border=True)


def _processor(source: str, local: bool) -> Any:
    from transformers import AutoImageProcessor

    try:
        with quiet():
            return AutoImageProcessor.from_pretrained(source, local_files_only=local, trust_remote_code=False)
    except (OSError, ValueError):
        return None


def _translated(values: dict[str, Any]) -> Preprocess | None:
    """The settings of an image processor as ours, where they say enough."""
    size: dict[str, int] = values.get("size") or {}
    crop: dict[str, int] | None = values.get("crop_size") if values.get("do_center_crop") else None
    edge = size.get("shortest_edge")
    if edge and "crop_pct" in values:  # ConvNeXt's rule
        crop = {"height": edge, "width": edge}
        size, edge = (crop, None) if edge >= 384 else (size, int(edge / values["crop_pct"]))
    resample = _RESAMPLE.get(values.get("resample", -1))
    enough = crop if edge else {"height", "width"} <= set(size)
    if not enough or resample is None or not values.get("do_resize"):
        return None
    resize = (edge, edge) if edge else (size["height"], size["width"])
    mean, std = (values["image_mean"], values["image_std"]) if values.get("do_normalize") else ([0.0] * 3, [1.0] * 3)
    unit = 255 * values["rescale_factor"] if values.get("do_rescale") else 255  # our pixels are 0 … 1
    return Preprocess(
        size=(crop["height"], crop["width"]) if crop else resize,
        resize=resize,
        keep_ratio=bool(edge),
        interpolation=resample,
        mean=tuple(value / unit for value in mean),
        std=tuple(value / unit for value in std),
        floor=True,
    )


def _agree(preprocess: Preprocess, processor: Any) -> bool:
    """Whether ours and theirs make the same of a color ramp: some processors do more than their settings say."""
    from torchvision.transforms.functional import to_pil_image

    x, y = torch.meshgrid(torch.linspace(0, 1, 90), torch.linspace(0, 1, 70), indexing="xy")
    picture = to_pil_image(torch.stack([x, y, torch.full_like(x, 0.8)]))
    ours, theirs = preprocess(picture), processor(picture, return_tensors="pt")["pixel_values"][0]
    if ours.shape != theirs.shape:
        return False
    difference = (ours - theirs).abs() * torch.tensor(preprocess.std)[:, None, None]
    return bool(difference.max() < 3 / 255)


@contextmanager
def quiet() -> Generator[None]:
    """Without the progress bars and load reports of transformers."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
