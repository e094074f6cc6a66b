"""What a map is worth
===================

Patches are hidden in the order of the map, and the model is asked again: the most relevant first, and the least
relevant first. The area between the curves is the ABPC.
"""

import matplotlib.pyplot as plt

import vitreous
from vitreous.data.gallery import sample_picture

model = vitreous.load()
maps = vitreous.explain(model, sample_picture("horse"), ["attn_lrp", "center_gaussian"])
(trust,) = vitreous.trust(model, maps)
figure, axes = plt.subplots(1, 2, figsize=(7.5, 3), sharey=True)
for axis, (name, found) in zip(axes, trust.maps.items(), strict=True):
    axis.plot(trust.hidden, found.most_first.values, label="most relevant first")
    axis.plot(trust.hidden, found.least_first.values, label="least relevant first")
    axis.set_title(f"{name}: ABPC {found.abpc:+.2f}, {trust.verdict(name)}", fontsize=8)
    axis.set_xlabel("patches hidden")
axes[0].set_ylabel(trust.of)
axes[0].legend(fontsize=8)
figure.tight_layout()
