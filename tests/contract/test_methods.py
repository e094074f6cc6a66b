"""Every method on every model: it works and keeps its promises, or it refuses with the right error. Nothing else."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import vitreous
from tests.contract.promises import (
    DEFAULT,
    DOUBLE_ONLY,
    VARIANTS,
    check_alone,
    check_promises,
    correlations,
    explain,
    explained,
    family,
    fingerprint,
    inputs,
    precision,
    refusal,
    together,
)
from tests.contract.zoo import CASES, CLASSES, Case
from tests.quick import KINDS, quick, quick_pairs
from vitreous import errors
from vitreous.trace.target import Classes

# small differences of scores, of which half precision keeps few digits, and the choices that hang on them
HALF = {"score_cam": 0.2, "tis": 0.3}
# so few that another map comes out
REFUSED = {torch.bfloat16: DOUBLE_ONLY | {"mgrw", "vit_cx"}, torch.float16: DOUBLE_ONLY}
# the least correlation of a map in half precision with the one in double precision
FLOOR = 0.95
LOOK = (
    "look for a tensor that is made without the model's dtype, sums long enough to need float32 inside, and small "
    "differences of large numbers (those go in HALF above, or CANCELLING in promises.py)"
)
# one patch of a map is all that is positive: in bfloat16 none may be, and that is refused
VANISHING = {"layer_cam"}
# the kinds that differ most: where these hold, others rarely fail
NEAR = ("timm_vit", "timm_swin", "hf_vit_eager", "timm_resnet")
# every method on a model of every kind, and every model with a few methods; all with all is slow
PAIRS = [
    pytest.param(*pair.values, marks=pair.marks or ([] if pair.values[0] in NEAR else pytest.mark.thorough), id=pair.id)
    for pair in quick_pairs(CASES, DEFAULT | VARIANTS, KINDS)
]


def test_every_kind_of_model_has_a_row() -> None:
    """A kind is what `Case` says of a model, but for its making, size and use."""

    def said(case: Case) -> Case:
        return replace(case, build=Case, size=(), classes=0, how={})

    have = {said(CASES[name]) for name in KINDS}
    left = [name for name, case in CASES.items() if said(case) not in have]
    assert not left, "name one of each kind in KINDS, tests/quick.py"


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


@pytest.fixture(
    params=[
        ("timm_vit", "timm_swin"),
        pytest.param(("hf_vit_eager", "hf_swin_eager"), marks=pytest.mark.slow),
    ],
    ids=["timm", "hf"],
)
def case(request: pytest.FixtureRequest, method_name: str) -> Case:
    """A plain ViT, fused or eager, which differ most; its neighbor for a method that refuses plain ViTs."""
    vit, swin = (CASES[name] for name in request.param)
    return swin if refusal(vit, method_name) else vit


@pytest.mark.parametrize("method_name", sorted(DEFAULT))
def test_precisions_agree(method_name: str, case: Case) -> None:
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


@pytest.mark.parametrize("method_name", quick(sorted(DEFAULT)))
class TestEveryMethod:
    """What does not depend on where the model comes from."""

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
