"""Models of timm's registry, with their preprocessing and class names."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vitreous.errors import ModelError, UnknownName, first_sentence
from vitreous.models.bounded import no_larger_than
from vitreous.models.checkpoint import load_strictly, misfit, read_state
from vitreous.models.loaded import LoadedModel, numbered
from vitreous.models.nearest import unknown_model
from vitreous.models.network import hub_is_reachable, is_cached, not_downloaded
from vitreous.models.preprocess import Preprocess
from vitreous.models.registry import build, registry
from vitreous.models.shaped import settings_of, timm_settings, within

__all__ = ["describe_timm", "load_timm", "preprocess_from"]

_LISTED = 12
"""Settings that a message names."""
# what timm's converters of foreign checkpoints raise when they do not know the format
_UNCONVERTED = (RuntimeError, LookupError, ValueError, TypeError, AttributeError, AssertionError)


def load_timm(name: str, checkpoint: Path | None = None, settings: Mapping[str, Any] | None = None) -> LoadedModel:
    """A model of timm, pretrained or with the weights of a checkpoint.

    Args:
        name: as `timm.create_model` takes it: "vit_tiny_patch16_224", with a tag after a dot where one is wanted, or
            "local-dir:FOLDER" and "hf-hub:ID".
        checkpoint: weights to load instead; what its tensors say of classes, channels, patches, a square picture,
            widths and depth need not be said.
        settings: what `timm.create_model` should take for these weights; `mean` and `std` of what pictures are
            normalized by as well.

    Raises:
        UnknownName: timm has no such model.
        ModelError: the weights cannot be downloaded or do not fit.
    """
    _check_name(name)
    model = _pretrained(name) if checkpoint is None else _from_checkpoint(name, checkpoint, settings or {})
    return describe_timm(model, f"timm:{name}" + (f"@{checkpoint}" if checkpoint else ""), checkpoint)


def describe_timm(model: nn.Module, name: str, weights_file: Path | None = None) -> LoadedModel:
    """What a model made by timm says about itself."""
    from timm.data.config import resolve_model_data_config

    size: tuple[int, int] | None = getattr(getattr(model, "patch_embed", None), "img_size", None)
    config = resolve_model_data_config(model, {"input_size": (3, *size)} if size else None)
    stem = (layer.in_channels for layer in model.modules() if isinstance(layer, nn.Conv2d))
    channels = getattr(model, "in_chans", next(stem, 3))
    preprocess = _of_channels(preprocess_from(config), channels)
    return LoadedModel(model, preprocess, _class_names(model), name, weights_file)


def preprocess_from(config: Mapping[str, Any]) -> Preprocess:
    """Preprocessing that equals `timm.data.create_transform(**config)`."""
    height, width = config["input_size"][1:]
    return Preprocess(
        size=(height, width),
        resize=(math.floor(height / config["crop_pct"]), math.floor(width / config["crop_pct"])),
        keep_ratio=config["crop_mode"] != "squash",
        interpolation=config["interpolation"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        border=config["crop_mode"] == "border",
    )


def _of_channels(preprocess: Preprocess, channels: int) -> Preprocess | None:
    """For so many channels, where what colors are normalized by says it: for gray, if it is the same for all."""
    if channels == 3 and len(preprocess.mean) == 3:
        return preprocess
    edges = {*zip(preprocess.mean, preprocess.std, strict=True)}
    if channels != 1 or len(edges) > 1:
        return None
    return replace(preprocess, mean=preprocess.mean[:1], std=preprocess.std[:1])


def _check_name(name: str) -> None:
    if ":" in name:  # a folder, or a model of the hub
        return
    architecture, _, tag = name.partition(".")
    timm = registry()
    if not timm.is_model(architecture):
        raise unknown_model("timm model", name, timm.list_models())
    if tag and name not in (tags := timm.list_models(f"{architecture}.*", pretrained=True)):
        raise UnknownName("timm model", name, [architecture, *tags])


def _pretrained(name: str) -> nn.Module:
    instead = f'Connect to the network, or give a local file: "timm:{name}@weights.safetensors".'
    if not _is_at_hand(name) and not hub_is_reachable():
        raise not_downloaded(f"timm:{name}", instead)
    try:
        return registry().create_model(name, pretrained=True)
    except OSError:
        raise not_downloaded(f"timm:{name}", instead) from None
    except Exception as error:  # of a folder that is none, anything
        raise ModelError(
            f"`timm:{name}` cannot be loaded: {first_sentence(error)}. "
            f'Choose one of timm.list_models(pretrained=True), or give your own weights: "timm:NAME@FILE".'
        ) from None


def _is_at_hand(name: str) -> bool:
    """Whether loading needs no network, as far as can be told."""
    import timm

    source, _, identity = name.rpartition(":")
    config = None if source else timm.get_pretrained_cfg(name)
    hub = identity.partition("@")[0] if source == "hf-hub" else config and config.hf_hub_id
    return not hub or is_cached(hub, config and config.hf_hub_filename)


def _from_checkpoint(name: str, checkpoint: Path, settings: Mapping[str, Any]) -> nn.Module:
    pixels = {key: settings[key] for key in ("mean", "std") if key in settings}
    given = {key: value for key, value in settings.items() if key not in pixels}
    overlay = {key: tuple(value) if isinstance(value, list | tuple) else (value,) for key, value in pixels.items()}
    usual = build(name, {})
    state = within(read_state(checkpoint), usual.state_dict().keys(), checkpoint)
    found = timm_settings(usual, state, checkpoint, given, f"timm:{name}")
    with no_larger_than(state, str(checkpoint)) if {"depth", "embed_dim"} & found.keys() else nullcontext():
        model = build(name, {**found, **given}, **({"pretrained_cfg_overlay": overlay} if overlay else {}))
    load_strictly(model, _converted(model, state), checkpoint, f"timm:{name}", _remedy(f"timm:{name}", model))
    return model


def _remedy(spec: str, model: nn.Module) -> str:
    known = settings_of(model)
    name, value, own = ("img_size", "[384,256]", (384, 256)) if "img_size" in known else ("NAME", "VALUE", "VALUE")
    return (
        f'Give the settings that it was trained with, such as "{spec}?{name}={value}@FILE" (in Python '
        f'settings={{"{name}": {own}}}), or another architecture. Among its settings are '
        f"{', '.join(known[:_LISTED])}."
    )


def _converted(model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict in timm's names, where timm can read the original authors'."""
    wanted = model.state_dict()
    # timm would interpolate what has another size; those weights are not the ones that were trained
    resized = any(key in wanted and wanted[key].numel() != value.numel() for key, value in state.items())
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if resized or convert is None or not misfit(wanted, state):
        return state
    try:
        converted = convert(dict(state), model)
    except _UNCONVERTED:
        return state
    return state if misfit(wanted, converted) else converted


def _class_names(model: Any) -> tuple[str, ...]:
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    config: dict[str, Any] = model.pretrained_cfg
    count: int = model.num_classes
    if count == 0:
        return numbered(getattr(model, "head_hidden_size", model.num_features), "feature")
    labels = config.get("label_names")
    if labels and len(labels) == count:
        described = config.get("label_descriptions") or {}
        return tuple(described.get(label, label) for label in labels)
    subset = infer_imagenet_subset(model)
    return tuple(ImageNetInfo(subset).label_descriptions()) if subset else numbered(count)
