"""The papers' protocols by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["PRESETS"]


def _mgrw(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The rows of MGRW's table 3, with its settings for a kind of pictures."""
    return {
        "methods": {
            "mgrw": settings,
            "mgrw_fine": {"use": "mgrw", "fine": "same", **settings},
            "raw_attention": {},
            "score_cam": {},
            "relevance_cam": {},
        },
        "metrics": {"segmentation": {}},
        "target": "predicted",
        "whole": True,
        "reference": "mgrw_fine",
    }


PRESETS: dict[str, dict[str, Any]] = {
    "ag_cam": {
        "methods": {
            "ag_cam": {},
            "attention_grad_cam": {},
            "rollout": {},
            "transformer_attribution": {},
        },
        "metrics": {"box_overlap": {}, "perturbation": {"preset": "ag_cam"}},
        "target": "label",
        "whole": True,
        "reference": "ag_cam",
    },
    "chefer": {
        "methods": {
            "transformer_attribution": {"start_layer": 1},
            "rollout": {"start_layer": 1},
            "raw_attention": {},
            "attention_grad_cam": {},
            "lrp": {"rules": "orig"},
            "partial_lrp": {"use": "lrp", "readout": "last_layer", "rules": "orig"},
        },
        "metrics": {"segmentation": {}, "perturbation": {"preset": "chefer"}},
        "target": "predicted",
        "follow": "label",
        "whole": True,
        "reference": "transformer_attribution",
    },
    "mgrw": _mgrw({}),
    "mgrw_medical": _mgrw({"walks": 5000, "length": 20, "coarse_threshold": 0.2, "fine_threshold": 0.1}),
}
"""The papers' protocols, as far as they do not depend on the data and the model.

AG-CAM explains the predicted class for its boxes, where only pictures classified right count: that is the label,
which it explains for its curves. So one heat map serves both. Its authors ran
timm:vit_base_patch16_224.orig_in21k_ft_in1k. MGRW's fine row halves the model's own patches; a plan names a second
model: `[methods.mgrw_fine]` with `use = "mgrw"` and `fine = "torchvision:vit_b_16"`.
"""
