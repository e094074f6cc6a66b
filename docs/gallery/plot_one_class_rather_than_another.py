"""One class rather than another
=============================

What speaks for "cat" may speak for all animals. What tells it from "dog" is the difference of their scores.
"""

import matplotlib.pyplot as plt

import vitreous
from vitreous.data.gallery import sample_picture

model, picture = vitreous.load(), sample_picture("chelsea")
shown = {
    "cat": vitreous.explain(model, picture, "attn_lrp", target="cat"),
    "dog": vitreous.explain(model, picture, "attn_lrp", target="dog"),
    "cat rather than dog": vitreous.explain(model, picture, "attn_lrp", target="cat", against="dog"),
}
figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.8))
for axis, (name, explanation) in zip(axes, shown.items(), strict=True):
    axis.imshow(explanation.overlay())
    axis.set_title(name, fontsize=10)
    axis.axis("off")
figure.tight_layout()
