"""Many methods, one picture
=========================

One look at the model serves them all. Each map has a scale of its own.
"""

import matplotlib.pyplot as plt

import vitreous
from vitreous.data.gallery import sample_picture

METHODS = ["ag_cam", "transformer_attribution", "attn_lrp", "grad_cam", "rollout", "edges"]

maps = vitreous.explain(vitreous.load(), sample_picture("chelsea"), METHODS)
figure, axes = plt.subplots(2, 3, figsize=(7.5, 5))
for axis, (name, explanation) in zip(axes.flat, maps.items(), strict=True):
    axis.imshow(explanation.overlay())
    axis.set_title(name, fontsize=10)
    axis.axis("off")
figure.tight_layout()
