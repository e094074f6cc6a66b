"""The folder of a trained detector: `model.safetensors`, and a `model.json` that says how to build and feed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNN, MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

from vitreous.errors import ModelError
from vitreous.models.bounded import no_larger_than
from vitreous.models.card import CARD, WEIGHTS, ModelCard, read_card, read_weights, save_folder
from vitreous.models.checkpoint import load_strictly, read_state
from vitreous.models.detection.pyramid import Pyramid
from vitreous.models.nearest import unknown_model
from vitreous.models.registry import build, registry
from vitreous.settings.typed import Count, typed_fields

__all__ = ["DetectorCard", "input_statistics", "load_detector"]

_ANCHOR = 8  # side of an anchor, in strides of its map
_RATIOS = (0.5, 1.0, 2.0)
_BOX_GRID, _MASK_GRID = 7, 14


@dataclass(frozen=True)
class DetectorCard:
    """How to build and feed a Mask R-CNN (He et al., ICCV 2017; torchvision's) on a pyramid.

    Attributes:
        architecture: of the pyramid, a name in timm's registry.
        arguments: keyword arguments for it.
        class_names: of the objects, in order; the detector's label 0 is the background, so the first is 1.
        norm: whether every stage of the pyramid has a LayerNorm of its own.
        width: channels of the feature pyramid network and of the mask head; the box head has four times as many.
        rois: boxes per picture that the heads learn from.
        shorter: pixels that a picture's shorter side is resized to; in training one of these by chance, else the last.
        longer: pixels that its longer side may have then.
        mean: per channel, in [0, 1].
        std: per channel.
        notes: anything worth keeping beside the weights (average precision, recipe, versions).
    """

    architecture: str
    arguments: Mapping[str, Any]
    class_names: tuple[str, ...]
    norm: bool
    width: Count
    rois: Count
    shorter: tuple[Count, ...]
    longer: Count
    mean: tuple[float, ...]
    std: tuple[float, ...]
    notes: Mapping[str, Any] = field(default_factory=dict)

    def build(self, *, drop_path: float = 0.0, backbone: Path | None = None) -> MaskRCNN:
        """The detector with random weights, or with those of a classifier in its pyramid.

        Args:
            drop_path: stochastic depth, the rate of the last block.
            backbone: a checkpoint, or a model folder of `vitreous train`, of a classifier of this architecture.

        Raises:
            UnknownName: there is no such architecture.
            ModelError: it cannot be built with these arguments, is no pyramid, or the classifier is another.
        """
        shorter: Any = self.shorter  # torchvision's annotation forgets that it takes several
        depth = {"drop_path_rate": drop_path} if drop_path else {}
        body: nn.Module = build(self.architecture, self.arguments, num_classes=0, **depth)
        if backbone:
            load_strictly(body, _trunk(body, backbone), backbone, self.architecture)
        pyramid = Pyramid(body, width=self.width, norm=self.norm)
        anchors = [*pyramid.strides, 2 * pyramid.strides[-1]]
        levels = [str(at) for at in range(len(pyramid.levels))]
        classes, hidden = 1 + len(self.class_names), 4 * self.width
        return MaskRCNN(
            pyramid,
            min_size=shorter,
            max_size=self.longer,
            image_mean=list(self.mean),
            image_std=list(self.std),
            rpn_anchor_generator=AnchorGenerator([[_ANCHOR * stride] for stride in anchors], [_RATIOS] * len(anchors)),
            box_roi_pool=MultiScaleRoIAlign(levels, _BOX_GRID, sampling_ratio=2),
            box_head=TwoMLPHead(self.width * _BOX_GRID**2, hidden),
            box_predictor=FastRCNNPredictor(hidden, classes),
            box_batch_size_per_image=self.rois,
            mask_roi_pool=MultiScaleRoIAlign(levels, _MASK_GRID, sampling_ratio=2),
            mask_head=MaskRCNNHeads(self.width, [self.width] * 4, 1),
            mask_predictor=MaskRCNNPredictor(self.width, self.width, classes),
        )

    def save(self, folder: Path, state: Mapping[str, Tensor]) -> None:
        """Write the folder; each file appears whole or not at all."""
        save_folder(folder, asdict(self), state)

    @classmethod
    def read(cls, folder: Path) -> DetectorCard:
        """The card of a detector's folder.

        Raises:
            ModelError: there is no card, or it is of no detector.
        """

        def make(values: dict[str, Any]) -> DetectorCard:
            return cls(**typed_fields(cls, values, f"`{folder / CARD}`", ModelError))

        return read_card(folder, make, "vitreous detect train")


def input_statistics(architecture: str, backbone: Path | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of the pictures that a backbone was trained with: its model folder's, or else the architecture's.

    Raises:
        UnknownName: no such architecture.
    """
    if not registry().is_model(architecture):
        raise unknown_model("architecture", architecture, registry().list_models())
    if backbone and (backbone / CARD).is_file():
        preprocess = ModelCard.read(backbone).preprocess
        return preprocess.mean, preprocess.std
    config = registry().get_pretrained_cfg(architecture)
    return tuple(config.mean), tuple(config.std)


def load_detector(folder: Path, device: torch.device | str = "cpu") -> tuple[MaskRCNN, DetectorCard]:
    """The detector in a folder that `vitreous detect train` wrote, in evaluation mode, with frozen weights.

    Raises:
        ModelError: it is no such folder, or its files do not fit each other.
    """
    card = DetectorCard.read(folder)
    weights = read_weights(folder)
    with no_larger_than(weights, str(folder / CARD)):
        model = card.build()
    load_strictly(model, weights, folder / WEIGHTS, card.architecture)
    return model.eval().requires_grad_(False).to(device), card


def _trunk(body: nn.Module, classifier: Path) -> dict[str, Tensor]:
    """A classifier's weights without its head."""
    is_folder = (classifier / CARD).is_file()
    state = read_weights(classifier) if is_folder else read_state(classifier)
    config: Any = body.pretrained_cfg
    named = config.get("classifier") or ()
    heads = tuple(f"{name}." for name in ((named,) if isinstance(named, str) else named))
    return {name: value for name, value in state.items() if not name.startswith(heads)}
