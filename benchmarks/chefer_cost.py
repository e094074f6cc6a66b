"""Transformer attribution: ours on a batch, next to the authors' published generator on the same pictures one by one.

    python benchmarks/chefer_cost.py --authors FOLDER [--architecture vit_tiny_patch16_224] [--batch 8] [--pairs 3]

With --arguments '{"img_size": 64, "patch_size": 8, "depth": 6, "num_heads": 6}', on the shape of the embedded `tiny20`.
FOLDER is a checkout of hila-chefer/Transformer-Explainability; it needs einops. Both run in one process on the same
random weights; in float64 their maps are compared first.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

import timm
import torch
from torch import Tensor, nn

from vitreous.methods.transformer_attribution import TransformerAttribution


def published(folder: Path, model: nn.Module, images: Tensor) -> nn.Module:
    """The authors' own copy of the model, with our weights."""
    sys.path.insert(0, str(folder))
    from baselines.ViT.ViT_LRP import VisionTransformer

    heads, depth = model.blocks[0].attn.num_heads, len(model.blocks)
    (size, _), (patch, _) = model.patch_embed.img_size, model.patch_embed.patch_size
    copy = VisionTransformer(size, patch, embed_dim=model.embed_dim, depth=depth, num_heads=heads, qkv_bias=True)
    copy.load_state_dict(model.state_dict())
    copy.norm.eps = model.norm.eps
    return copy.to(images)


def explain_one_by_one(copy: nn.Module, images: Tensor) -> Tensor:
    from baselines.ViT.ViT_explanation_generator import LRP

    generator = LRP(copy)
    return torch.cat([generator.generate_LRP(image[None], start_layer=0).detach() for image in images])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--authors", type=Path, required=True)
    parser.add_argument("--architecture", default="vit_tiny_patch16_224")
    parser.add_argument("--arguments", type=json.loads, default={}, help="of the architecture, as JSON")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        Tensor.cuda = lambda self: self  # their generator moves to a GPU whether there is one or not

    torch.manual_seed(0)
    model = timm.create_model(options.architecture, **options.arguments).eval()
    nn.init.normal_(model.head.weight, std=0.02)
    images = torch.rand(options.batch, 3, *model.patch_embed.img_size) * 2 - 1
    copy = published(options.authors, model, images)
    ours = TransformerAttribution()
    exact = ours(model.double(), images[:2].double()).heatmap.flatten(1)
    theirs = explain_one_by_one(copy.double(), images[:2].double()).flatten(1)
    print(f"largest difference in float64, relative to the peak: {((exact - theirs).abs().amax() / exact.amax()):.1e}")

    model.float(), copy.float()
    rows: list[tuple[float, float, float]] = []
    for _ in range(options.pairs):
        start = perf_counter()
        with torch.no_grad():
            model(images)
        forward = perf_counter()
        ours(model, images)
        batched = perf_counter()
        explain_one_by_one(copy, images)
        rows.append((forward - start, batched - forward, perf_counter() - batched))
    forward, batched, singly = (median(column) for column in zip(*rows, strict=True))
    ratio = median(row[2] / row[1] for row in rows)
    print(
        f"{options.architecture}, batch {options.batch}, torch {torch.__version__}, {torch.get_num_threads()} threads"
    )
    print(f"forward {forward:.3f} s   ours {batched:.3f} s   authors' {singly:.3f} s   {ratio:.2f} x faster")


if __name__ == "__main__":
    main()
