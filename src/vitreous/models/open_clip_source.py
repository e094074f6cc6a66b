"""Models of open_clip, which compare pictures with texts; with their preprocessing."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from vitreous.errors import MissingExtra, ModelError, UnknownName, first_sentence
from vitreous.models.checkpoint import load_strictly, read_state
from vitreous.models.loaded import LoadedModel
from vitreous.models.nearest import unknown_model
from vitreous.models.network import hub_is_reachable, is_cached, not_downloaded
from vitreous.models.preprocess import Preprocess
from vitreous.models.prompted import PromptClassifier

__all__ = ["load_open_clip"]


def load_open_clip(name: str, checkpoint: Path | None, texts: Sequence[str]) -> LoadedModel:
    """A model of open_clip as a classifier whose classes are texts.

    Args:
        name: "NAME/TAG" for published weights, as `open_clip.list_pretrained` pairs them; "NAME" with a checkpoint; a
            folder with an open_clip_config.json and weights; or "hf-hub:ID".
        checkpoint: weights to load instead. The activation and the preprocessing are TAG's, or else what open_clip
            trains NAME with by default.
        texts: one per class.

    Raises:
        MissingExtra: open_clip is not installed.
        UnknownName: open_clip has no such model, or no such weights of it.
        ModelError: the weights cannot be downloaded or do not fit, or there are none.
    """
    try:
        import open_clip
    except ImportError:
        raise MissingExtra("open_clip_torch", "clip") from None

    spec = f"open_clip:{name}" + (f"@{checkpoint}" if checkpoint else "")
    identity, settings = _named(name, spec, with_weights=checkpoint is None)
    try:
        with _quiet():
            model: Any = open_clip.create_model(identity, require_pretrained=checkpoint is None, **settings)
            tokens = open_clip.get_tokenizer(identity)(list(texts))
    except Exception as error:  # open_clip raises what its parsers and downloads raise
        raise ModelError(
            f"`{spec}` cannot be loaded: {first_sentence(error)}. "
            "Give NAME/TAG of open_clip.list_pretrained(), or a folder with a config and weights of open_clip."
        ) from None
    if checkpoint:
        load_strictly(model, read_state(checkpoint), checkpoint, f"open_clip:{name}")
    with torch.no_grad():
        features = model.eval().encode_text(tokens)
    classifier = PromptClassifier(model, type(model).encode_image, features)
    return LoadedModel(classifier, _preprocess(model.visual.preprocess_cfg), tuple(texts), spec, prompts=tuple(texts))


def _named(name: str, spec: str, *, with_weights: bool) -> tuple[str, dict[str, Any]]:
    """The model and the settings to create it with, both as open_clip names them."""
    import open_clip

    if Path(name).is_dir():
        return f"local-dir:{name}", {}
    if name.startswith("hf-hub:"):
        _check_reach(spec, name.removeprefix("hf-hub:"))
        return name, {}
    name, _, tag = name.partition("/")
    if name not in (known := open_clip.list_models()):
        raise unknown_model("open_clip model", name, known)
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag and not open_clip.is_pretrained_cfg(name, tag):
        raise UnknownName(f"weights of open_clip's {name}", tag, tags)
    published: dict[str, Any] = open_clip.get_pretrained_cfg(name, tag)
    # open_clip only warns where the weights were trained with the other activation
    settings = {"force_quick_gelu": published.get("quick_gelu", False), "force_preprocess_cfg": published}
    if not with_weights:
        return name, {**settings, "pretrained_text": False}
    if not tag:
        raise ModelError(
            f"`{spec}` names no weights. "
            f'Give "open_clip:{name}@FILE"' + (f', or "open_clip:{name}/{tags[-1]}".' if tags else ".")
        )
    _check_reach(spec, *published.get("hf_hub", "").rsplit("/", 1))
    return name, {**settings, "pretrained": tag}


def _check_reach(spec: str, hub: str, file: str = "") -> None:
    if hub and not is_cached(hub, file) and not hub_is_reachable():
        raise not_downloaded(spec, 'Connect to the network, or give a local file: "open_clip:NAME/TAG@FILE".')


def _preprocess(config: Mapping[str, Any]) -> Preprocess | None:
    """Preprocessing that equals `open_clip.image_transform`, where ours can do the same."""
    size: Any = config["size"]
    height, width = (size, size) if isinstance(size, int) else size
    squash = config["resize_mode"] == "squash"
    if not squash and (config["resize_mode"] != "shortest" or height != width):
        return None
    return Preprocess(
        size=(height, width),
        resize=(height, width),
        keep_ratio=not squash,
        interpolation="bilinear" if config["interpolation"] == "bilinear" else "bicubic",
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


@contextmanager
def _quiet() -> Generator[None]:
    """Without open_clip's log, which goes to the root: what it says there is an error here."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
