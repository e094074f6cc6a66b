"""Right maps from any number of threads on one model, and what they share ends with the last of them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import torch
from torch import nn

import vitreous
from tests.contract.promises import fingerprint
from tests.contract.zoo import CASES
from vitreous.trace.chance import no_chance
from vitreous.trace.changes import changes
from vitreous.trace.edit import change_output, evaluation, stop_gradient
from vitreous.trace.recorder import record


def differing(case: str) -> list[str]:
    """What `tests.trace.threads` prints."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.trace.threads", case]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("case", ["timm_vit", "timm_resnet", "hf_vit_eager"])
def test_every_method_gives_the_same_maps_from_four_threads(case: str) -> None:
    assert differing(case) == []


def test_evaluation_ends_with_the_last_that_wants_it() -> None:
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout(), nn.Dropout().eval()))
    modes = [True, True, True, True, False]
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(evaluation(model))
        second.enter_context(evaluation(model[1]))
        first.close()
        assert [module.training for module in model.modules()] == [True, True, False, False, False]
        first.enter_context(evaluation(model))
        second.close()
        assert not any(module.training for module in model.modules())
        first.close()
    assert [module.training for module in model.modules()] == modes


def test_compiled_parts_run_as_python_until_the_last_is_done() -> None:
    model, images = torch.compile(CASES["timm_vit"].model(), backend="eager"), CASES["timm_vit"].images()
    expected = record(CASES["timm_vit"].model(), images)
    with ExitStack() as first, ExitStack() as second:
        for stack in (first, second):
            stack.enter_context(changes()).run_as_python(model)
        first.close()
        seen = record(model, images)  # a third that comes and goes
        assert torch.equal(seen.logits, expected.logits)
        assert [name.removeprefix("_orig_mod.") for name in seen.names] == list(expected.names)
        runs: list[int] = []
        counted = torch.compile(
            lambda x: runs.append(1) or x + 1, backend=lambda graph, _: _compiled.append(1) or graph
        )
        _compiled: list[int] = []
        counted(torch.ones(2))
        assert not _compiled, "the second still wants it"
    counted(torch.ones(2))
    assert _compiled, "torch compiles again"


def test_changes_act_on_their_own_thread() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    before = fingerprint(model)
    with torch.no_grad():
        expected = model(images)
    found: list[torch.Tensor] = []

    def other() -> None:
        with torch.no_grad():
            found.append(model(images))
        found.append(record(model, images).logits)

    with change_output(model, "blocks.1", torch.zeros_like), stop_gradient(model, ["blocks.0"]):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert not torch.equal(record(model, images).logits, expected)
    assert all(torch.equal(each, expected) for each in found)
    assert len(found) == 2
    assert fingerprint(model) == before


def test_hooks_that_come_and_go_disturb_no_look_at_a_model() -> None:
    model, done = nn.Identity(), threading.Event()

    def other() -> None:
        while not done.is_set():
            with changes() as change:
                for _ in range(500):
                    change.before(model, lambda _: None)

    thread, interval = threading.Thread(target=other), sys.getswitchinterval()
    thread.start()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            with no_chance(model, torch.ones(1)):
                pass
    finally:
        sys.setswitchinterval(interval)
        done.set()
        thread.join()


class Explains(nn.Module):
    """A model that explains another, and itself runs, within its forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.other = CASES["timm_vit"].model(), [CASES["timm_vit"].model()]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        vitreous.explain(self.other[0], images.detach(), "rollout")
        return self.own(images)


@pytest.mark.slow
def test_models_that_explain_others_share_them_between_threads() -> None:
    images = CASES["timm_vit"].images()[:1]
    model = Explains().eval()
    expected = vitreous.explain(model.own, images, "rollout").heatmap
    with ThreadPoolExecutor(3) as pool:
        inside = [pool.submit(vitreous.explain, model, images, "rollout") for _ in range(2)]
        alone = pool.submit(vitreous.explain, model.other[0], images, "rollout")
        assert all(torch.equal(each.result(300).heatmap, expected) for each in (*inside, alone))
