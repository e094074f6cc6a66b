"""A finer model of tiny20's twenty classes: the pretrained ViT-Ti/16 at 256 × 256, with those rows of its head.

Its 16 × 16 blocks are quarters of tiny20's 8 × 8.

python partner.py vit_tiny_patch16_224.safetensors vit_tiny_20
"""

import sys
import tomllib
from dataclasses import replace
from pathlib import Path

from timm.layers import resample_abs_pos_embed

from vitreous import load
from vitreous.models.card import ModelCard
from vitreous.models.zoo import PACKAGED

weights, output = map(Path, sys.argv[1:])
distill = tomllib.loads((PACKAGED["tiny20"] / "recipe.toml").read_text())["distill"]
whole = load(f"timm:{distill['teacher']}", checkpoint=weights)
state = whole.model.state_dict()
for name in ("head.weight", "head.bias"):
    state[name] = state[name][distill["classes"]]
state["pos_embed"] = resample_abs_pos_embed(state["pos_embed"], [16, 16])
prepared = replace(whole.preprocess, size=(256, 256), resize=(256, 256))
card = ModelCard(distill["teacher"], {"img_size": 256}, load().class_names, prepared, {"rows": distill["classes"]})
card.save(output, state)
