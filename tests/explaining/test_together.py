"""Several methods at once: the same maps as one by one, on fewer forward passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import vitreous
from tests.contract.zoo import CASES
from tests.quick import quick
from tests.tiny import noise, save_model
from vitreous.errors import DegenerateMap, ExplainError, NoClassToken, ShapeError, UnknownName
from vitreous.explaining.picture_job import PictureJob
from vitreous.explaining.pictures import explain_pictures
from vitreous.methods import METHODS, make_method
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Method
from vitreous.methods.rollout import Rollout
from vitreous.methods.shared import FromObservation, explain_each
from vitreous.trace.recorder import tokens_of
from vitreous.trace.target import Classes

OBSERVATIONS = {
    name: made.observation for name, maker in METHODS.items() if isinstance(made := maker(), FromObservation)
}


def sharing(name: str) -> list[str]:
    """The methods that read what this one reads."""
    return [other for other, observation in OBSERVATIONS.items() if observation == OBSERVATIONS[name]]


ATTENTION, LAYER, BASELINES = (sharing(name) for name in ("rollout", "grad_cam", "random"))
ALONE = ["ag_cam", "attcat", "input_x_gradient"]


def passes(model: nn.Module, work: Callable[[], object]) -> int:
    """How often the model runs."""
    runs: list[int] = []
    with model.register_forward_pre_hook(lambda *_: runs.append(1)):
        work()
    return len(runs)


def test_these_share() -> None:
    assert {"attention_grad_cam", "generic_attention", "raw_attention", "rollout"} <= set(ATTENTION)
    assert {"eigen_cam", "grad_cam_plus_plus", "hires_cam", "layer_cam"} <= set(LAYER)
    assert {"center_gaussian", "edges"} <= set(BASELINES)


@pytest.mark.parametrize("case", quick(["timm_vit", "hf_vit_eager", "timm_swin", "timm_siglip"], ["timm_vit"]))
def test_the_maps_are_those_of_each_alone(case: str) -> None:
    model, images = CASES[case].model(), CASES[case].images(3)
    methods = {name: make_method(name) for name in [*LAYER, *ALONE, *ATTENTION[::-1], *BASELINES]}
    found = explain_each(methods, model, images, Classes((3,)))
    assert list(found) == list(methods)
    for name, method in methods.items():
        each, alone = found[name], _outcome(method, model, images)
        assert type(each) is type(alone)
        if isinstance(each, Explanation) and isinstance(alone, Explanation):
            assert torch.equal(each.heatmap, alone.heatmap), name
            assert torch.equal(each.logits, alone.logits)
            assert (each.layer, each.method) == (alone.layer, alone.method)
        else:
            assert str(each) == str(alone)


def _outcome(method: Method, model: nn.Module, images: Tensor) -> Explanation | ExplainError:
    try:
        return method(model, images, Classes((3,)))
    except ExplainError as error:
        return error


def test_explain_gives_them_by_name() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images(3)
    names = ["rollout", "ag_cam", "grad_cam"]
    found = vitreous.explain(model, images, names, 3, batch_size=2)
    assert list(found) == names
    for name in names:
        alone = vitreous.explain(model, images, name, 3, batch_size=2)
        assert torch.equal(found[name].heatmap, alone.heatmap)
        assert found[name].layer == alone.layer


@pytest.mark.parametrize("names", {tuple(sharing(name)): None for name in OBSERVATIONS}, ids=lambda names: names[0])
def test_what_is_read_in_common_is_observed_once(names: tuple[str, ...]) -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    alone = {name: passes(model, lambda name=name: vitreous.explain(model, images, name, 3)) for name in names}
    assert len(set(alone.values())) == 1, "each reads the same"
    assert passes(model, lambda: vitreous.explain(model, images, names, 3)) == alone[names[0]]


def test_what_each_reads_in_its_own_way_is_run_besides() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()

    def runs(names: Sequence[str]) -> int:
        ended: list[int] = []
        methods = {name: make_method(name, **({"steps": 3} if name.startswith("bt_") else {})) for name in names}
        with model.register_forward_hook(lambda *_: ended.append(1)):  # where tokens lie, no run to the end tells
            vitreous.explain(model, images, methods, 3)
        return len(ended)

    shared = ["rollout", "raw_attention", "generic_attention", "attention_grad_cam"]
    alone = {"ag_cam": 2, "legrad": 2, "bt_head": 4, "bt_token": 5}
    assert {name: runs([name]) for name in [*shared, *alone]} == dict.fromkeys(shared, 1) | alone
    assert runs([*shared, *alone]) == 1 + sum(alone.values())


def test_layers_share_where_they_are_the_same_layer() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    early = {name: make_method(name, layer="blocks.0") for name in ("grad_cam", "hires_cam")}
    late = {"late": make_method("grad_cam")}
    one, two = (
        passes(model, lambda each=each: vitreous.explain(model, images, each, 3)) for each in (late, early | late)
    )
    tokens = passes(model, lambda: tokens_of(model, images))  # where they lie is measured once a call
    assert two == 2 * one - tokens
    found = vitreous.explain(model, images, early | late, 3)
    assert [each.layer for each in found.values()] == ["blocks.0", "blocks.0", "blocks.2.norm1"]


def test_one_that_refuses_stops_the_call_but_not_the_others() -> None:
    model, images = CASES["timm_siglip"].model(), CASES["timm_siglip"].images()
    with pytest.raises(NoClassToken):
        vitreous.explain(model, images, ["grad_cam", "rollout"])
    mean = {"class": Rollout(), "mean": Rollout(readout="mean")}
    found = explain_each(mean, model, images, Classes((3,)))
    assert isinstance(found["class"], NoClassToken)
    assert torch.equal(found["mean"].heatmap, Rollout(readout="mean")(model, images).heatmap)
    with pytest.raises(ShapeError, match="`method` is empty"):
        vitreous.explain(model, images, [])
    with pytest.raises(UnknownName, match='no method named "grad_can"'):
        vitreous.explain(model, images, ["grad_can"])


def test_a_map_that_degenerates_is_told_with_its_place_among_all() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images(3)
    model.head.weight.data[3] = 0
    targets = [1, 1, 3]
    with pytest.raises(DegenerateMap, match="for image 2"):
        vitreous.explain(model, images, ["hires_cam", "rollout"], targets, batch_size=1)


def test_pictures_with_several_methods_run_the_model_less_often(tmp_path: Path) -> None:
    model = vitreous.load(str(save_model(tmp_path / "model")))
    files = [tmp_path / "one.png", tmp_path / "two.png"]
    for seed, file in enumerate(files):
        noise(seed).save(file)

    def runs(names: list[str]) -> int:
        methods = {name: make_method(name) for name in names}
        job = PictureJob(model, methods, target="top-2", output=tmp_path / "-".join(names))
        return passes(model.model, lambda: [each.error for each in explain_pictures(job, files)])

    one_of_attention, one_of_layer = runs(ATTENTION[:1]), runs(LAYER[:1])
    assert runs(ATTENTION) == one_of_attention
    # the class scores come first, and where the tokens lie is measured once
    first = 1 + passes(model.model, lambda: tokens_of(model.model, torch.rand(2, 3, *model.prepared().size)))
    assert runs([*ATTENTION, *LAYER]) == one_of_attention + one_of_layer - first
