"""Any classifier by a word: `load("timm:vit_tiny_patch16_224")`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import nn

from vitreous.errors import ModelError, UnknownName
from vitreous.files.reading import read_json
from vitreous.models.bounded import no_larger_than
from vitreous.models.card import CARD, WEIGHTS, ModelCard, read_weights
from vitreous.models.checkpoint import load_strictly
from vitreous.models.device import find_device
from vitreous.models.hf_source import describe_hf, load_hf, load_prompted
from vitreous.models.loaded import LoadedModel as LoadedModel
from vitreous.models.nearest import alike
from vitreous.models.open_clip_source import load_open_clip
from vitreous.models.preprocess import Preprocess
from vitreous.models.registry import registry
from vitreous.models.timm_source import describe_timm, load_timm
from vitreous.models.torchvision_source import load_torchvision
from vitreous.settings.arguments import checked
from vitreous.trace.reading import Said

__all__ = ["PACKAGED", "LoadedModel", "describe", "load"]

PACKAGED = {name: Path(__file__).parent / name for name in ("default", "everyday26", "tiny20", "pneumonia")}
"""The classifiers that come with the package: everyday things, two earlier ones, and chest X-rays."""

_SOURCES = ("timm", "torchvision", "hf", "open_clip")
_HF_CONFIG = "config.json"
_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


@checked()
def load(
    spec: str | Path = "default",
    *,
    checkpoint: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    prompts: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    **how: Unpack[Said],
) -> LoadedModel:
    """Load a classifier to explain: in evaluation mode, with frozen weights.

    Args:
        spec: "default", "everyday26", "tiny20", "pneumonia", "timm:NAME", "torchvision:NAME", "hf:ID",
            "open_clip:NAME/TAG", or a folder that `vitreous train`, transformers or timm wrote. "timm:NAME@FILE" and
            "torchvision:NAME@FILE" take the weights from a file; what its tensors say of classes, channels, patches, a
            square picture's size, widths and depth need not be said, and pictures are prepared as for the pretrained
            NAME. Likewise "open_clip:NAME@FILE" and, where FILE holds published weights, "open_clip:NAME/TAG@FILE".
        checkpoint: the same FILE, given apart.
        device: where to put the model; the CPU if None.
        dtype: of its weights; float32 if None.
        settings: of NAME, where the FILE was trained with others and its tensors do not tell, such as
            {"img_size": (384, 256)}; for timm also "mean" and "std". "timm:NAME?img_size=384&in_chans=1@FILE" says the
            same: values are JSON, or words.
        prompts: for CLIP, SigLIP and their like ("hf:ID", "open_clip:NAME/TAG"), one text per class: what is
            the picture of?
        how: the model is read, where it cannot be told: `output`, `link`, `part`, `call`, `grid` and `patches`, as for
            `vitreous.explain`.

    Raises:
        UnknownName: the spec names a source or a model that does not exist, or there is no such link.
        ShapeError: no such call, grid or patches.
        ModelError: the model cannot be found, downloaded, read or placed.
        MissingExtra: transformers or open_clip is needed and not installed.

    >>> load().class_names[:3]
    ('cat', 'dog', 'bird')
    """
    with torch.inference_mode(False):  # what is made there can never be differentiated
        file = None if checkpoint is None else Path(checkpoint)
        loaded = _load_prompted(spec, file, prompts) if prompts else _load(spec, file, settings or {})
        placed = replace(loaded, model=_placed(loaded.model.eval().requires_grad_(False), device, dtype))
        return placed.read_as(**how)


def describe(
    model: nn.Module | LoadedModel, preprocess: Preprocess | None = None, class_names: Sequence[str] = ()
) -> LoadedModel:
    """What a model of your own says about itself, unchanged; what is given goes before what it says.

    Models of timm know their preprocessing and class names. Models of transformers know their class names, and their
    preprocessing if they were loaded from a folder or from the local cache. Of others nothing is known. The wrappers of
    torch.compile and of data parallelism say what the model within them says.
    """
    given: Any = model
    if not isinstance(given, LoadedModel | nn.Module):
        remedy = (
            f"vitreous.load({given!r})" if isinstance(given, str) else "a module with its weights, or vitreous.load"
        )
        raise ModelError(f"a model is a torch module; got `{type(given).__name__}`. Give {remedy}.")
    if isinstance(model, LoadedModel):
        return _told(model, preprocess, class_names)
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        model = model.module  # its copies run in threads of their own, where nothing is seen of them
    own: Any = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    return _told(replace(_describe(own, type(own).__name__), model=model), preprocess, class_names)


def _told(model: LoadedModel, preprocess: Preprocess | None, class_names: Sequence[str]) -> LoadedModel:
    return replace(
        model, preprocess=preprocess or model.preprocess, class_names=tuple(class_names) or model.class_names
    )


def _describe(model: nn.Module, name: str) -> LoadedModel:
    if isinstance(getattr(model, "pretrained_cfg", None), dict):
        return describe_timm(model, name)
    if hasattr(getattr(model, "config", None), "id2label"):
        return describe_hf(model, name)
    return LoadedModel(model, None, (), name)


def _load_prompted(spec: str | Path, checkpoint: Path | None, prompts: Sequence[str]) -> LoadedModel:
    source, _, name = str(spec).partition(":")
    texts = tuple(prompt.strip() for prompt in prompts)
    if not all(texts):
        raise ModelError(f"a prompt of {prompts!r} is empty. Give texts such as 'a photo of a cat'.")
    if source == "open_clip":
        return load_open_clip(*_with_checkpoint(spec, name, checkpoint), texts)
    if source != "hf" and not Path(spec).is_dir():
        raise ModelError(
            f'`{spec}` takes no prompts. Give "hf:ID", "open_clip:NAME/TAG" or a folder of a model such as CLIP.'
        )
    _check_no_checkpoint(spec, checkpoint)
    return load_prompted(name if source == "hf" else str(spec), texts)


def _load(spec: str | Path, checkpoint: Path | None, settings: Mapping[str, Any]) -> LoadedModel:
    source, colon, name = str(spec).partition(":")
    is_path = isinstance(spec, Path) or not colon or Path(spec).exists()
    if not is_path and source not in _SOURCES:
        raise UnknownName("model source", source, _SOURCES)
    if is_path or source == "hf":
        _check_no_checkpoint(spec, checkpoint)
        _check_settings(spec, checkpoint, settings)
        if isinstance(spec, str) and spec in PACKAGED:
            return _from_card(PACKAGED[spec], spec)
        return _from_path(Path(spec)) if is_path else load_hf(name)
    if source == "open_clip":
        raise ModelError(
            f"the classes of `{spec}` are texts, and there are none. "
            'Give prompts: vitreous explain --prompt "a cat", or load(…, prompts=["a cat"]).'
        )
    name, checkpoint = _with_checkpoint(spec, name, checkpoint)
    name, _, query = name.partition("?")
    settings = {**_parsed(spec, query), **settings}
    _check_settings(spec, checkpoint, settings)
    loaded = (load_timm if source == "timm" else load_torchvision)(name, checkpoint, settings)
    said = "&".join(f"{name}={json.dumps(value)}" for name, value in settings.items())
    return replace(loaded, name=loaded.name.replace(name, f"{name}?{said}", 1)) if said else loaded


def _parsed(spec: str | Path, query: str) -> dict[str, Any]:
    """The settings of "NAME=VALUE&NAME=VALUE"."""
    made: dict[str, Any] = {}
    for setting in filter(None, query.split("&")):
        name, equals, value = setting.partition("=")
        if not equals:
            raise ModelError(f"`{setting}` of `{spec}` has no value. Write NAME=VALUE, with & between several.")
        try:
            made[name] = json.loads(value)
        except (ValueError, RecursionError):
            made[name] = value
    return made


def _check_settings(spec: str | Path, checkpoint: Path | None, settings: Mapping[str, Any]) -> None:
    if settings and checkpoint is None:
        raise ModelError(
            f"`{spec}` is given the settings {dict(settings)}, but no weights that were trained with them. Leave them "
            'out, or give "timm:NAME?SETTING=VALUE@FILE".'
        )


def _check_no_checkpoint(spec: str | Path, checkpoint: Path | None) -> None:
    if checkpoint is not None:
        raise ModelError(
            f"`{spec}` takes no checkpoint. Leave it out, or give timm:, torchvision: or open_clip:NAME with it."
        )


def _with_checkpoint(spec: str | Path, name: str, checkpoint: Path | None) -> tuple[str, Path | None]:
    """NAME and FILE of "NAME@FILE"."""
    if "@" not in name or ":" in name:
        return name, checkpoint
    if checkpoint is not None:
        raise ModelError(f"`{spec}` names a checkpoint, and so does `checkpoint`. Give one.")
    name, _, file = name.partition("@")
    return name, Path(file).expanduser()


def _near(name: str) -> list[str]:
    """The models that are written like a name that no source stands before."""
    if len(Path(name).parts) > 1:
        return []
    near = alike(name, [*PACKAGED]) or [f"timm:{each}" for each in alike(name, registry().list_models())]
    return near[:1] if f"timm:{name}" in near else near[:3]


def _from_path(path: Path) -> LoadedModel:
    path = path.expanduser()
    if not path.exists():
        near = _near(str(path))
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        raise ModelError(
            f'there is no file or folder `{path}`. Give an existing path, "default" or "pneumonia", or name a source: '
            f'"timm:{path}", "torchvision:{path}" or "hf:{path}".{meant}'
        )
    folder = path.parent if path.name == WEIGHTS else path
    if (folder / CARD).is_file():
        return _from_card(folder, str(path))
    if (folder / _HF_CONFIG).is_file():
        return replace(_from_config(folder), name=str(path))
    if path.is_dir():
        raise ModelError(f"`{path}` has neither {CARD} nor {_HF_CONFIG}. Give a folder that holds a saved model.")
    raise ModelError(f'`{path}` holds weights only. Name their architecture: "timm:NAME@{path}".')


def _from_card(folder: Path, name: str) -> LoadedModel:
    card = ModelCard.read(folder)
    weights = read_weights(folder)
    with no_larger_than(weights, str(folder / CARD)):
        model = card.build()
    load_strictly(model, weights, folder / WEIGHTS, card.architecture)
    return LoadedModel(model, card.preprocess, card.class_names, name, folder / WEIGHTS)


def _from_config(folder: Path) -> LoadedModel:
    """A folder with a config.json, which is timm's or transformers'."""
    config = read_json(folder / _HF_CONFIG, "Save the model again.", ModelError)
    if not isinstance(config, dict):
        raise ModelError(f"`{folder / _HF_CONFIG}` is no configuration of a model. Save the model again.")
    return load_timm(f"local-dir:{folder}") if "architecture" in config else load_hf(str(folder))


def _placed(model: nn.Module, device: str | torch.device | None, dtype: torch.dtype | None) -> nn.Module:
    if dtype is not None and dtype not in _DTYPES:
        raise ModelError(f"`dtype` must be float32, float64, bfloat16 or float16; got {dtype}.")
    return model.to(device=None if device is None else find_device(device), dtype=dtype)
