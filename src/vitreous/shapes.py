"""Names for the tensors that travel between the rooms. Axes are named, so a test run can check them."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = [
    "MOST_CLASSES",
    "ClassRow",
    "FeatureMaps",
    "Heatmap",
    "Images",
    "Logits",
    "PatchMask",
    "PixelMap",
    "PixelMask",
    "Scores",
    "TargetClass",
    "TokenMask",
    "Weights",
]

MOST_CLASSES = 100_000
"""A label beyond is a mistake: each class costs a name, and a row of a classifier."""
Images = Float[Tensor, "batch channels height width"]
"""Normalised model input."""
Logits = Float[Tensor, "batch classes"]
"""Class scores before softmax."""
Scores = Float[Tensor, "*batch queries keys"]
"""Attention scores: scaled, biased, masked, before softmax. Any attention's; a global one's batch is (batch, heads)."""
Weights = Float[Tensor, "batch heads queries keys"]
"""Attention weights: what multiplies the values."""
ClassRow = Float[Tensor, "batch heads tokens"]
"""The class token's row of scores, weights or gradients."""
Heatmap = Float[Tensor, "batch h w"]
"""One number per patch, raw."""
FeatureMaps = Float[Tensor, "batch channels h w"]
"""What a layer gave, or its gradient: one map per channel."""
TargetClass = Int[Tensor, " batch"]
"""The class explained, per image."""
PatchMask = Bool[Tensor, "*masks h w"]
"""True where a patch is hidden."""
PixelMap = Float[Tensor, "height width"]
"""One number per pixel of a picture."""
PixelMask = Bool[Tensor, "height width"]
"""True for some of a picture's pixels."""
TokenMask = Bool[Tensor, " tokens"]
"""True for the tokens that a reader uses."""
