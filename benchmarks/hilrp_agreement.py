"""Relevance on hierarchical transformers next to hilrp's, on the same random weights: pixels and every stage.

    pip install --target PEER --no-deps --ignore-requires-python hilrp==0.2.0 lxt==2.1 zennit==1.0.0 \
        transformers==4.57.1 huggingface_hub==0.36.2 tokenizers==0.22.2
    PYTHONPATH=PEER python benchmarks/hilrp_agreement.py [--models swin_tiny_patch4_window7_224 …] [--gammas 0 0.25]

Prints, per model, how far the two maps correlate and what share of the class score each map adds up to. All is in
float64, so that rules differ and not rounding; without biases a right map adds up to the score. hilrp changes classes
for the rest of a process: each model has one of its own, and ours runs first. lxt needs a transformers older than 5.
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vitreous.relevance.composites import ATTN_LRP, LIBRA_GRAD, with_gamma
from vitreous.relevance.propagate import propagate
from vitreous.relevance.rule import Composite, autograd_rule
from vitreous.trace.recorder import record

BIAS = 0.1
"""Standard deviation of biases, where a model has some."""


@dataclass(frozen=True)
class Case:
    """A model and what hilrp does otherwise on it than our rules.

    Attributes:
        size: of the pictures, in pixels.
        stages: dotted names of the modules after which relevance is compared.
        plain: operations that carry relevance and that hilrp leaves to autograd.
        arguments: of timm's function.
    """

    size: int
    stages: tuple[str, ...]
    plain: tuple[Any, ...] = ()
    arguments: dict[str, Any] = field(default_factory=dict)


def stages(first: str, others: str, count: int) -> tuple[str, ...]:
    return first, *(f"{others}.{at}" for at in range(count))


GATE = (F.sigmoid, torch.sigmoid, Tensor.sigmoid, torch.mul, Tensor.mul, Tensor.__mul__)
CASES = {
    "swin_tiny_patch4_window7_224": Case(112, stages("patch_embed", "layers", 4), arguments={"img_size": 112}),
    "pvt_v2_b0": Case(64, stages("patch_embed", "stages", 4)),
    "maxvit_rmlp_pico_rw_256": Case(256, stages("stem", "stages", 4), plain=(F.gelu, *GATE)),
    "mobilevitv2_050": Case(64, stages("stem", "stages", 5)),
}


@dataclass(frozen=True)
class Relevance:
    """The relevance of one class score: its class, its value, and relevance at the pixels and after every stage."""

    target: int
    score: float
    parts: tuple[Tensor, ...]

    @property
    def conserved(self) -> float:
        return self.parts[0].sum().item() / self.score

    def correlations(self, other: Relevance) -> list[float]:
        """Pearson's, unit by unit: at the pixels, then stage by stage."""
        pairs = zip(self.parts, other.parts, strict=True)
        return [torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].item() for a, b in pairs]


def prepared(name: str, bias: float) -> tuple[nn.Module, Tensor]:
    """Random weights with statistics of batch norms from the pictures themselves; the first picture of them."""
    torch.manual_seed(0)
    case = CASES[name]
    model = timm.create_model(name, num_classes=10, **case.arguments)
    images = F.interpolate(torch.randn(4, 3, 7, 7), size=(case.size, case.size), mode="bicubic")
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the average of all passes
    with torch.no_grad():
        model.train()(images)
    for key, parameter in model.named_parameters():
        if key.endswith("bias"):
            nn.init.normal_(parameter, std=bias)
    if not bias:
        for norm in norms:
            norm.running_mean.zero_()
    return model.double().eval(), images[:1].double()


def folded(model: nn.Module) -> nn.Module:
    """A copy whose batch norms are part of the convolutions before them, where hilrp folds them too."""
    model = copy.deepcopy(model)
    for module in model.modules():
        conv, norm = getattr(module, "conv", None), getattr(module, "bn", None)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            module.conv = fuse_conv_bn_eval(conv, norm)
            norm.reset_running_stats()
            norm.eps = 0.0
            nn.init.ones_(norm.weight)
            nn.init.zeros_(norm.bias)
    return model


def ours(model: nn.Module, image: Tensor, layers: tuple[str, ...], composite: Composite) -> Relevance:
    with propagate(model, composite):
        seen = record(model, image, inputs=[""], outputs=layers, gradients=True)
    target = int(seen.logits.argmax())
    reached = (seen.inputs[""], *(seen.outputs[layer] for layer in layers))
    slopes = torch.autograd.grad(seen.logits[0, target], reached)
    first, *rest = ((x * slope).detach() for x, slope in zip(reached, slopes, strict=True))
    return Relevance(target, seen.logits[0, target].item(), (first.sum(1), *rest))


def theirs(model: nn.Module, image: Tensor, layers: tuple[str, ...], **settings: Any) -> Relevance:
    import hilrp

    kept: list[Tensor] = []

    def keep(_: nn.Module, __: Any, out: Tensor) -> None:
        out.retain_grad()
        kept.append(out)

    hooks = [model.get_submodule(layer).register_forward_hook(keep) for layer in layers]
    with warnings.catch_warnings(action="ignore"):
        found = hilrp.attribute(model, image, **settings)
    for hook in hooks:
        hook.remove()
    return Relevance(found["target"], found["logit"], (found["pixel_map"], *((x * x.grad).detach() for x in kept)))


def out_of_place(model: nn.Module) -> nn.Module | None:
    """A copy whose activations keep their input; None where all do."""
    model = copy.deepcopy(model)
    inside = [module for module in model.modules() if getattr(module, "inplace", False)]
    for module in inside:
        module.inplace = False
    return model if inside else None


def compared(name: str, bias: float, gammas: list[float]) -> list[str]:
    """Rows of the table for one model."""
    rows: list[str] = []
    case, (model, image) = CASES[name], prepared(name, bias)
    alike = {**LIBRA_GRAD, **dict.fromkeys(case.plain, autograd_rule)}
    sides = [("libra_grad", model, LIBRA_GRAD), ("attn_lrp", model, ATTN_LRP)]
    if case.plain or any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        sides.append(("as hilrp", folded(model), alike))
    mine = {
        (label, gamma): ours(side, image, case.stages, with_gamma(composite, gamma, gamma))
        for gamma in gammas
        for label, side, composite in sides
    }
    kinds: list[tuple[str, nn.Module | None, dict[str, Any]]] = [
        ("as it is", model, {}),
        ("out of place", out_of_place(model), {}),
        ("attnlrp", model if "swin" in name else None, {"attn_mode": "attnlrp"}),
    ]
    for gamma in gammas:
        for kind, side, settings in kinds:
            if side is None:
                continue
            other = theirs(side, image, case.stages, gamma=gamma, **settings)
            for label, *_ in sides:
                own = mine[label, gamma]
                if own.target != other.target or abs(own.score - other.score) > 1e-6 * abs(own.score):
                    raise SystemExit(f"{name}: the two explain different scores, {own.score} and {other.score}.")
                pixels, *rest = own.correlations(other)
                rows.append(
                    f"| {name} | {bias:g} | {gamma:g} | {kind} | {other.conserved:.3f} | {label} | "
                    f"{own.conserved:.3f} | {pixels:.5f} | {min(rest):.5f} |"
                )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--biases", nargs="+", type=float, default=[0.0, BIAS])
    parser.add_argument("--gammas", nargs="+", type=float, default=[0.0, 0.25])
    options = parser.parse_args()
    try:
        import hilrp.swin_lxt  # noqa: F401
    except ImportError as missing:
        raise SystemExit(
            f"The other side is missing: {missing}. See the head of this file for how to install it."
        ) from None
    print(
        "| model | biases | γ | hilrp | its Σ / score | ours | our Σ / score | r at the pixels | lowest r at a stage |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        for name in options.models:
            for bias in options.biases:
                print(*pool.submit(compared, name, bias, options.gammas).result(), sep="\n", flush=True)


if __name__ == "__main__":
    main()
