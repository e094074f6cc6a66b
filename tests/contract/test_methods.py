"""Every method on every model: it works and keeps its promises, or it refuses with the right error. Nothing else."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from torch import Tensor, nn

import vitreous
from tests.contract.zoo import CASES, CLASSES, Case
from vitreous import errors
from vitreous.methods import METHODS, make_method
from vitreous.methods.eigen_cam import EigenCAM
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Method, ScorelessMethod, SignedMethod
from vitreous.methods.shared import FromObservation
from vitreous.trace.output import class_scores
from vitreous.trace.target import Classes

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
# small differences of scores, of which half precision keeps few digits, and the choices that hang on them
HALF = {"score_cam": 0.2, "tis": 0.3}
# so few that another map comes out
REFUSED = {torch.bfloat16: DOUBLE_ONLY | {"mgrw", "vit_cx"}, torch.float16: DOUBLE_ONLY}
# the least correlation of a map in half precision with the one in double precision
FLOOR = 0.95
LOOK = (
    "look for a tensor that is made without the model's dtype, sums long enough to need float32 inside, and small "
    "differences of large numbers (those go in CANCELLING or HALF above)"
)
# one patch of a map is all that is positive: in bfloat16 none may be, and that is refused
VANISHING = {"layer_cam"}
# what reads something else than its family does, or a variant than its method does by default
FAMILY = dict.fromkeys(("generic_attention_mean", "raw_attention_mean", "rollout_mean"), "mean") | {
    "attcat": "blocks",
    "bt_token": "stream",
    "patch_posterior_alone": "layer",
}
# one of each kind that differs most; the others are as many checks again, and rarely fail where these hold
NEAR = ("timm_vit", "timm_swin", "hf_vit_eager", "timm_resnet")
PAIRS = [
    pytest.param(case, method, marks=[] if case in NEAR else pytest.mark.thorough, id=f"{case}-{method}")
    for case in CASES
    for method in DEFAULT | VARIANTS
]


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


@pytest.mark.parametrize(("case_name", "method_name"), PAIRS)
def test_works_or_refuses(case_name: str, method_name: str) -> None:
    case, method = CASES[case_name], (DEFAULT | VARIANTS)[method_name]
    model, images = inputs(case_name, precision(method_name))
    before = fingerprint(model)
    if expected := refusal(case, method_name):
        with pytest.raises(getattr(errors, expected), match=r"\. [A-Z].*\.$") as caught:
            vitreous.explain(model, images, method, **case.how)
        assert type(model).__name__ in str(caught.value)
        assert fingerprint(model) == before
        return

    found = together(case_name, images.dtype).get(method_name)
    target, explanation = (None, found) if found else explain(case, method, model, images)
    check_promises(explanation, case, model, images)
    if family(method_name) not in ("chefer", "layer", "pixels", "pooling", "relevance"):
        assert explanation.heatmap.shape[1:] == tuple(side // 8 for side in case.size[1:])
    if case_name in NEAR:
        check_alone(explanation, case, model, images, target)
    assert fingerprint(model) == before


@pytest.mark.slow
@pytest.mark.parametrize(("case_name", "method_name"), [pair for pair in PAIRS if pair.values[0] not in NEAR])
def test_an_image_has_the_map_that_it_has_alone(case_name: str, method_name: str) -> None:
    """On the others."""
    case, method = CASES[case_name], (DEFAULT | VARIANTS)[method_name]
    if not refusal(case, method_name):
        model, images = inputs(case_name, precision(method_name))
        target, explanation = explain(case, method, model, images)
        check_alone(explanation, case, model, images[1:], target)  # one of two shows what the other does to it


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


@pytest.mark.parametrize("method_name", sorted(DEFAULT))
class TestEveryMethod:
    """What does not depend on where the model comes from, on two that differ most: fused timm and eager HF."""

    @pytest.fixture(
        params=[
            ("timm_vit", "timm_swin"),
            pytest.param(("hf_vit_eager", "hf_swin_eager"), marks=pytest.mark.slow),
        ],
        ids=["timm", "hf"],
    )
    def case(self, request: pytest.FixtureRequest, method_name: str) -> Case:
        """A plain ViT; its neighbor for a method that refuses plain ViTs."""
        vit, swin = (CASES[name] for name in request.param)
        return swin if refusal(vit, method_name) else vit

    def check(self, method_name: str, case: Case, model: nn.Module, images: Tensor) -> None:
        """The map is to the bit the one of the model as it comes."""
        target, expected = explained(method_name, case)
        assert torch.equal(explain(case, DEFAULT[method_name], model, images, target)[1].heatmap, expected)

    def test_deterministic(self, method_name: str, case: Case) -> None:
        self.check(method_name, case, case.model(), case.images())

    def test_frozen_parameters(self, method_name: str, case: Case) -> None:
        self.check(method_name, case, case.model().requires_grad_(False), case.images())

    def test_training_mode_comes_back_and_changes_nothing(self, method_name: str, case: Case) -> None:
        model = case.model()
        next(model.children()).train()
        modes = [module.training for module in model.modules()]
        self.check(method_name, case, model, case.images())
        assert [module.training for module in model.modules()] == modes

    @pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
    def test_under_no_grad_and_inference_mode(self, method_name: str, case: Case, context: type) -> None:
        model, images = case.model(), case.images()
        explained(method_name, case)
        with context():
            self.check(method_name, case, model, images.clone())

    def test_gradients_of_the_user_stay(self, method_name: str, case: Case) -> None:
        model, images = case.model(), case.images().requires_grad_()
        logits_of_user = model(images)
        (getattr(logits_of_user, "logits", logits_of_user)).sum().backward()
        before = [None if p.grad is None else p.grad.clone() for p in (*model.parameters(), images)]
        self.check(method_name, case, model, images)
        after = [p.grad for p in (*model.parameters(), images)]
        assert all(a is b if b is None else torch.equal(a, b) for a, b in zip(after, before, strict=True))

    def test_precisions_agree(self, method_name: str, case: Case) -> None:
        model, images = case.model().double(), case.images().double()
        method = DEFAULT[method_name]
        target, explanation = explain(case, method, model, images)
        exact = explanation.heatmap
        for dtype, tolerance in ((torch.float32, 1e-4), (torch.bfloat16, 0.1), (torch.float16, 0.02)):
            if dtype == torch.float32 and method_name in DOUBLE_ONLY:
                assert "float64" in (type(method).__doc__ or ""), "the user is told"
                continue
            low, half = copy.deepcopy(model).to(dtype), images.to(dtype)
            if method_name in REFUSED.get(dtype, ()):
                with pytest.raises(errors.TooFewDigits, match=str(dtype).removeprefix("torch.")):
                    vitreous.explain(low, half, method, target)
                continue
            try:
                heatmap = vitreous.explain(low, half, method, target).heatmap
            except errors.DegenerateMap:
                assert dtype == torch.bfloat16
                assert method_name in VANISHING
                continue
            assert heatmap.dtype == dtype, f"{method_name} on a model in {dtype}: look for a tensor made without dtype="
            if dtype == torch.float16 and method_name == "random":
                continue  # its seed is what bfloat16 leaves of the pixels, which is another after float16
            most = tolerance if dtype == torch.float32 else HALF.get(method_name, tolerance)
            off, told = (heatmap.double() - exact).abs().max() / exact.abs().max(), f"{method_name} in {dtype}: {LOOK}"
            assert off <= most, told
            assert dtype == torch.float32 or correlations(heatmap.double(), exact).min() >= FLOOR, told

    def test_nothing_is_left_after_an_exception(self, method_name: str, case: Case) -> None:
        model, images = case.model(), case.images()
        before = fingerprint(model)
        with pytest.raises(errors.ModelFailed):
            DEFAULT[method_name](model, images[:, :2])
        assert fingerprint(model) == before

    def test_bad_input_is_refused(self, method_name: str, case: Case) -> None:
        model, images = case.model(), case.images()
        for bad, what in ((images * torch.nan, "NaN"), (images[:0], "empty")):
            with pytest.raises(errors.ShapeError, match=what):
                DEFAULT[method_name](model, bad)

    def test_bad_targets_are_refused(self, method_name: str, case: Case) -> None:
        model, images = case.model(), case.images()
        with pytest.raises(errors.UnknownName, match=f"0 … {CLASSES - 1}"):
            DEFAULT[method_name](model, images, Classes((CLASSES,)))
        with pytest.raises(errors.ShapeError, match="1 or 2 classes; got 3"):
            DEFAULT[method_name](model, images, Classes((0, 1, 2)))
