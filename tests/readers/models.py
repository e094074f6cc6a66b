"""Models, class names, plans and recipes, each with a small whole one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from tests.readers.read import Read
from tests.tiny import save_model
from tests.training.test_detect import RECIPE as DETECTION
from vitreous.benchmarking.plan import read_plan
from vitreous.explaining.asked import read_class_names
from vitreous.models.checkpoint import read_state
from vitreous.models.detection.card import DetectorCard, load_detector
from vitreous.models.zoo import load
from vitreous.training import recipe
from vitreous.training.detection.recipe import read_detection_recipe


def _model(root: Path) -> Read:
    save_model(root, embed_dim=8, depth=1, num_heads=1)
    return lambda: load(root)


def _checkpoint(root: Path) -> Read:
    torch.save({"state_dict": {"a": torch.zeros(4), "b": torch.ones(2, 3)}, "epoch": 3}, root / "a.pth")
    return lambda: read_state(root / "a.pth")


def _plan(root: Path) -> Read:
    text = 'dataset = "folder:x"\nlimit = 3\nmethods = ["rollout"]\n[metrics.box_overlap]\nmisclassified = true\n'
    (root / "plan.toml").write_text(text)
    return lambda: read_plan(root / "plan.toml", {}, {})


def _recipe(root: Path) -> Read:
    (root / "recipe.toml").write_bytes((Path(recipe.__file__).parent / "recipes" / "taught.toml").read_bytes())
    return lambda: recipe.read_recipe(root / "recipe.toml")


def _class_names(root: Path) -> Read:
    (root / "names.txt").write_text("cat\ndog\nÜbung\n", encoding="utf-8")
    return lambda: read_class_names(root / "names.txt")


def _detector(root: Path) -> Read:
    statistics = ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    card = DetectorCard("test_resnet", {}, ("box", "disk"), False, 8, 4, (64,), 96, *statistics)
    card.save(root, card.build().state_dict())
    return lambda: load_detector(root, torch.device("cpu"))


def _detection_recipe(root: Path) -> Read:
    (root / "recipe.toml").write_text(DETECTION.to_toml(), encoding="utf-8")
    return lambda: read_detection_recipe(root / "recipe.toml")


MODELS: dict[str, Callable[[Path], Read]] = {
    "model": _model,
    "checkpoint": _checkpoint,
    "plan": _plan,
    "recipe": _recipe,
    "class names": _class_names,
    "detector": _detector,
    "detection recipe": _detection_recipe,
}
