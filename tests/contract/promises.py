"""What is asked of every method on every model, and what is explained for it."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

import vitreous
from tests.contract.zoo import CASES, Case
from vitreous import errors
from vitreous.methods import METHODS, make_method
from vitreous.methods.eigen_cam import EigenCAM
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Method, ScorelessMethod, SignedMethod
from vitreous.methods.shared import FromObservation
from vitreous.trace.output import class_scores

# fewer samples than a user would take, for methods that run the model many times
FEW: dict[str, dict[str, object]] = {
    "integrated_gradients": {"steps": 3, "baseline": "mean"},
    "bt_head": {"steps": 3},
    "mgrw": {"walks": 20, "length": 6, "fill": "mean"},
    "occlusion": {"window": 16, "stride": 8, "fill": "mean", "score": "logit"},
    "patch_posterior": {"masks": 16},
    "rise": {"masks": 24},
    "tis": {"masks": 32},
    "bt_token": {"steps": 3},
    "tam": {"steps": 3},
}
DEFAULT: dict[str, Method] = {name: make_method(name, **FEW.get(name, {})) for name in METHODS}
VARIANTS: dict[str, Method] = {
    f"{name}_mean": make_method(name, readout="mean") for name in ("generic_attention", "raw_attention", "rollout")
} | {"patch_posterior_alone": make_method("patch_posterior", masks=16, prior="")}
# divisions by sums near zero: only double precision gives numbers to compare, as with the authors' code
DOUBLE_ONLY = {"lrp", "relevance_cam", "transformer_attribution"}
# sums that nearly cancel: small drops of scores, a norm's channels weighted nearly alike, gradients of a whole network;
# that a batch is its pictures is then a matter of rounding in single precision, which `test_precisions_agree` bounds
CANCELLING = {
    "ablation_cam",
    "attn_lrp",
    "cp_lrp",
    "decompx",
    "input_x_gradient",
    "integrated_gradients",
    "libra_grad",
    "occlusion",
    "score_cam",
    "vit_cx",
}
# what reads something else than its family does, or a variant than its method does by default
FAMILY = dict.fromkeys(("generic_attention_mean", "raw_attention_mean", "rollout_mean"), "mean") | {
    "attcat": "blocks",
    "bt_token": "stream",
    "patch_posterior_alone": "layer",
}


@functools.cache
def inputs(case_name: str, dtype: torch.dtype) -> tuple[nn.Module, Tensor]:
    """One model for all methods, which must leave it as it was."""
    case = CASES[case_name]
    return case.model().to(dtype), case.images().to(dtype)


def precision(method: str) -> torch.dtype:
    return torch.float64 if method in DOUBLE_ONLY | CANCELLING else torch.float32


@functools.cache
def together(case_name: str, dtype: torch.dtype) -> dict[str, Explanation]:
    """Of the methods that can share what they observe, on as few passes; none where a map of theirs is constant."""
    case, (model, images) = CASES[case_name], inputs(case_name, dtype)
    sharing = {
        name: method
        for name, method in (DEFAULT | VARIANTS).items()
        if isinstance(method, FromObservation) and precision(name) == dtype and not refusal(case, name)
    }
    before = fingerprint(model)
    try:
        return vitreous.explain(model, images, sharing, **case.how) if sharing else {}
    except errors.DegenerateMap:
        return {}
    finally:
        assert fingerprint(model) == before


def family(method: str) -> str:
    read = FAMILY.get(method) or getattr(METHODS[method], "family", "")
    assert read, f"`{method}` must say what it reads of a model: `family: ClassVar[Family]`, see methods/method.py"
    return read


def refusal(case: Case, method: str) -> str | None:
    if not case.has_classifier and not isinstance((DEFAULT | VARIANTS)[method], ScorelessMethod):
        return "NoClassScores"
    read = family(method)
    if read in ("chefer", "relevance"):  # every operation in the zoo has a rule
        return None
    return case.refusal if read == "class_token" else getattr(case, read)


def explain(
    case: Case, method: Method, model: nn.Module, images: Tensor, target: int | None = None
) -> tuple[int | None, Explanation]:
    """Of a class whose map is not all zero: a ReLU may leave nothing for some classes of a random model."""
    for chosen in (target,) if target is not None else (None, *range(case.classes)):
        try:
            return chosen, vitreous.explain(model, images, method, chosen, **case.how)
        except errors.DegenerateMap:
            continue
    raise AssertionError("no class of this model has a map")


@functools.cache
def explained(method_name: str, case: Case) -> tuple[int | None, Tensor]:
    """What is explained, and the map, in single precision: many promises are about this one."""
    target, explanation = explain(case, DEFAULT[method_name], case.model(), case.images())
    return target, explanation.heatmap


def fingerprint(model: nn.Module) -> dict[str, object]:
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules())
    return {
        "hooks": hooks,
        "modes": [m.training for m in model.modules()],
        "grads": [p.grad for p in model.parameters()],
        "requires": [p.requires_grad for p in model.parameters()],
        "values": [p.detach().clone().sum().item() for p in model.parameters()],
        "attributes": [sorted(vars(m)) for m in model.modules()],
    }


def correlations(first: Tensor, second: Tensor) -> Tensor:
    """Of each image's two maps."""
    return torch.stack(
        [torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(first.flatten(1), second.flatten(1), strict=True)]
    )


def check_alone(explanation: Explanation, case: Case, model: nn.Module, images: Tensor, target: int | None) -> None:
    """These, the last of the batch, one by one."""
    alone = torch.cat(
        [vitreous.explain(model, image, explanation.method, target, **case.how).heatmap for image in images]
    )
    most = 2e-6 * alone.abs().max().item()
    torch.testing.assert_close(explanation.heatmap[-len(images) :], alone, rtol=1e-4, atol=most)


def check_promises(explanation: Explanation, case: Case, model: nn.Module, images: Tensor) -> None:
    assert len(explanation.heatmap) == len(images)
    assert explanation.heatmap.isfinite().all()
    assert not explanation.heatmap.requires_grad
    # what is negative of a principal component speaks against no class
    assert isinstance(explanation.method, SignedMethod | EigenCAM) or (explanation.heatmap >= 0).all()
    assert (explanation.heatmap.flatten(1).amax(1) > explanation.heatmap.flatten(1).amin(1)).all()
    if not case.has_classifier:
        assert explanation.logits is None
        return
    with torch.no_grad():
        logits = class_scores(model(images), case.reading.output, "", len(images))
    torch.testing.assert_close(explanation.logits, logits, rtol=1e-5, atol=1e-5)
