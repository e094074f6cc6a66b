"""Classifiers of Hugging Face transformers, and its models of pictures and texts; preprocessing and class names."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vitreous.errors import ExplainWarning, MissingExtra, ModelError, ModelFailed, first_sentence
from vitreous.models.hf_processor import bordered_preprocess, quiet, read_preprocess
from vitreous.models.loaded import LoadedModel, numbered
from vitreous.models.network import hub_is_reachable, not_downloaded
from vitreous.models.preprocess import Preprocess
from vitreous.models.prompted import PromptClassifier
from vitreous.trace.reading import Reading
from vitreous.trace.running import run
from vitreous.trace.settled import evaluating

__all__ = ["describe_hf", "load_hf", "load_prompted"]

_LINKS = {"multi_label_classification": "sigmoid", "regression": "identity"}
"""What a `problem_type` makes of the scores; classification of one label is what their number says."""
_DENSE = ("DepthEstimation", "InstanceSegmentation", "ObjectDetection", "SemanticSegmentation", "UniversalSegmentation")
"""Tasks whose class scores lie at queries or places: `output=` says which are explained."""
_SMALL = 128
"""Pixels of a picture's side that shows how many scores a detector gives."""


def load_hf(name: str) -> LoadedModel:
    """An image classifier from a folder that `save_pretrained` wrote, or by its id on the hub.

    Where its configuration says so, a detector or a model of segmentation or depth: `output=` says which of its scores
    are explained, such as "logits,3".

    Raises:
        MissingExtra: transformers is not installed.
        ModelError: it cannot be downloaded, is none of these, or has no trained head.
    """
    task = _task(name)
    model, local = _pretrained(f"AutoModelFor{task}", name, "an image classifier")
    weights = Path(name, "model.safetensors")
    if task == "ObjectDetection":
        names, how = _of_queries(model)
    else:
        names, how = _class_names(model), _reading(model)
    preprocess = _preprocess(model, name, local)
    if preprocess is None and task != "ImageClassification":
        preprocess = bordered_preprocess(name, local)
    return LoadedModel(model, preprocess, names, f"hf:{name}", weights if weights.is_file() else None, how)


def _task(name: str) -> str:
    """What a stored model is for, as its configuration names its class: one of `_DENSE`, or else classification."""
    try:
        from transformers import AutoConfig
    except ImportError:
        raise MissingExtra("transformers", "hf") from None

    local = Path(name).is_dir() or not hub_is_reachable()
    try:
        with quiet():
            config = AutoConfig.from_pretrained(name, local_files_only=local, trust_remote_code=False)
    except Exception:  # loading the model meets it again, and says what to do
        return "ImageClassification"
    task = next(iter(config.architectures or ()), "").rpartition("For")[2]
    return task if task in _DENSE else "ImageClassification"


def _of_queries(model: Any) -> tuple[tuple[str, ...], Reading]:
    """The class names and the reading of a detector: one score more than classes is that of no object.

    Detectors that have no such score say of each class alone whether it is there.
    """
    names, how = _class_names(model), _reading(model)
    with evaluating(model), torch.no_grad():
        scores = run(model, torch.zeros(1, 3, _SMALL, _SMALL)).logits.shape[-1]
    return ((*names, "no object"), how) if scores == len(names) + 1 else (names, how.but(link="sigmoid"))


def load_prompted(name: str, texts: Sequence[str]) -> LoadedModel:
    """CLIP, SigLIP or another model of pictures and texts, as a classifier whose classes are texts.

    Raises:
        MissingExtra: transformers is not installed.
        ModelError: it cannot be downloaded, or does not compare pictures with texts.
    """
    model, local = _pretrained("AutoModel", name, "a model of pictures and texts such as CLIP")
    if not hasattr(model, "get_text_features") or not hasattr(model, "logit_scale"):
        raise ModelError(
            f"`hf:{name}` is a `{type(model).__name__}`, which does not compare pictures with texts. "
            "Give CLIP or SigLIP, or leave the prompts out."
        )
    classifier = PromptClassifier(model, _image_features, _text_features(model, name, texts, local))
    preprocess = _fitting(read_preprocess(name, local), classifier, model.config, name)
    return LoadedModel(classifier, preprocess, tuple(texts), f"hf:{name}", prompts=tuple(texts))


def _image_features(model: Any, images: Tensor) -> Tensor:
    return model.get_image_features(pixel_values=images).pooler_output


@torch.no_grad()
def _text_features(model: Any, name: str, texts: Sequence[str], local: bool) -> Tensor:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=local, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the tokenizer of `hf:{name}` cannot be loaded: {first_sentence(error)}. Save it beside the model."
        ) from None
    length = model.config.text_config.max_position_embeddings
    # SigLIP reads the last position, padded or not: it was trained on full length
    padding = "max_length" if model.config.model_type.startswith("siglip") else True
    tokens = tokenizer(list(texts), padding=padding, truncation=True, max_length=length, return_tensors="pt")
    known = {key: tokens[key] for key in ("input_ids", "attention_mask") if key in tokens}
    return model.eval().get_text_features(**known).pooler_output


def _pretrained(auto: str, name: str, wanted: str) -> tuple[Any, bool]:
    """A model by one of transformers' Auto classes, and whether only local files were looked at."""
    try:
        import transformers
    except ImportError:
        raise MissingExtra("transformers", "hf") from None

    here = Path(name).is_dir()
    local = here or not hub_is_reachable()
    try:
        with quiet():
            model, report = getattr(transformers, auto).from_pretrained(
                name, dtype=torch.float32, output_loading_info=True, local_files_only=local, trust_remote_code=False
            )
    except Exception as error:  # transformers raises OSError, ValueError, and what its parsers raise
        if local and not here and isinstance(error, OSError):
            instead = 'Connect to the network, or give a folder that save_pretrained wrote: "hf:FOLDER".'
            raise not_downloaded(f"hf:{name}", instead) from None
        raise ModelError(
            f"`hf:{name}` cannot be loaded: {first_sentence(error)}. Give {wanted} of transformers."
        ) from None
    if untrained := sorted(report["missing_keys"]):
        stored = next(iter(model.config.architectures or ()), type(model).__name__)
        other = "" if stored == type(model).__name__ else f", or in Python explain its transformers.{stored} by output="
        other = ", or texts by --prompt (prompts= in Python)" if "text_config" in model.config.to_dict() else other
        raise ModelError(
            f"`hf:{name}` has no trained values for {', '.join(untrained[:3])}. Give {wanted} that was trained{other}."
        )
    return model, local


def describe_hf(model: Any, name: str) -> LoadedModel:
    """What a model of transformers says about itself; its preprocessing where it was loaded from is looked up."""
    source = getattr(model.config, "_name_or_path", "")
    preprocess = _preprocess(model, source, local=True) if source else None
    return LoadedModel(model, preprocess, _class_names(model), name, reading=_reading(model))


def _preprocess(model: Any, source: str, local: bool) -> Preprocess | None:
    """What is stored beside a model of color pictures: ours makes no other."""
    if getattr(model.config, "num_channels", 3) != 3:
        return None
    return _fitting(read_preprocess(source, local), model, model.config, source)


def _fitting(preprocess: Preprocess | None, model: nn.Module, config: Any, source: str) -> Preprocess | None:
    """The preprocessing, of a size that the model takes.

    Where it takes no other than its own, as one that does not interpolate its positions, its size goes before the
    stored one, and a warning says so. Transformers' own pipeline fails there.
    """
    side: Any = getattr(config, "image_size", None) or getattr(
        getattr(config, "vision_config", None), "image_size", None
    )
    own = (side, side) if isinstance(side, int) else tuple(side or ())
    if not preprocess or len(own) != 2 or preprocess.size == own:
        return preprocess
    if _takes(model, preprocess.size) or not _takes(model, own):
        return preprocess
    height, width = preprocess.size
    warnings.warn(
        f"`{source}` prepares pictures of {height}×{width}, which its model does not take: they are prepared as "
        f"{own[0]}×{own[1]}, its own size. Correct its preprocessor_config.json.",
        ExplainWarning,
        stacklevel=2,
    )
    resize = (round(preprocess.resize[0] * own[0] / height), round(preprocess.resize[1] * own[1] / width))
    return replace(preprocess, size=own, resize=resize)


def _takes(model: nn.Module, size: tuple[int, int]) -> bool:
    """Whether a model runs on pictures of a size."""
    try:
        with evaluating(model), torch.no_grad():
            run(model, torch.zeros(1, 3, *size).to(next(model.parameters())))
    except ModelFailed:
        return False
    return True


def _reading(model: Any) -> Reading:
    return Reading(link=_LINKS.get(getattr(model.config, "problem_type", None) or ""))


def _class_names(model: Any) -> tuple[str, ...]:
    labels: dict[int, str] = model.config.id2label
    if all(label == f"LABEL_{index}" for index, label in labels.items()):
        return numbered(len(labels), "value" if _reading(model).link == "identity" else "class")
    return tuple(labels[index] for index in sorted(labels))
