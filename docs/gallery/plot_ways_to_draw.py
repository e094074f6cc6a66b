"""Ways to draw a map
==================

Colors over the part that the model saw, over the whole picture, lines of equal value in their place, and where the map
is above half of its strongest.
"""

import matplotlib.pyplot as plt

import vitreous
from vitreous.data.gallery import sample_picture

explanation = vitreous.explain(vitreous.load(), sample_picture("motorcycle"), "attn_lrp")
shown = {
    "what the model saw": explanation.overlay(alpha=0.6),
    "the whole picture": explanation.overlay(whole=True),
    "lines": explanation.overlay(isolines=True),
    "above half": explanation.mask(0.5).cpu(),
}
figure, axes = plt.subplots(2, 2, figsize=(7.5, 5.5))
for axis, (name, picture) in zip(axes.flat, shown.items(), strict=True):
    axis.imshow(picture, cmap="gray")
    axis.set_title(name, fontsize=10)
    axis.axis("off")
figure.tight_layout()
