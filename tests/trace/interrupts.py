"""Interrupts explanations at lines drawn at random, and prints where something was left behind.

Run as a program: checks of shapes, which tests have on, make each traced run ten times as slow.
"""

from __future__ import annotations

import ast
import dis
import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import _get_current_function_mode_stack

import vitreous
from tests.contract.promises import FEW, fingerprint
from tests.contract.zoo import CASES
from vitreous.interact.patch_removal import prune
from vitreous.methods import make_method
from vitreous.trace import changes

SOURCE = str(Path(vitreous.__file__).parent)
SAMPLES = {"rise": {"masks": 4}, "tis": {"masks": 4}, "occlusion": {"window": 16, "stride": 16, "fill": "mean"}}
NAMES = ["ag_cam", "attcat", "grad_cam", "legrad", "lrp", "occlusion", "rollout", "tis", "transformer_attribution"]
Site = tuple[CodeType, int]


@cache
def _with_lines(filename: str) -> frozenset[int]:
    """The lines of a file that enter and leave `with` blocks."""
    tree = ast.parse(Path(filename).read_text(encoding="utf-8"))
    return frozenset(
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.With)
        for line in range(node.lineno, max(item.context_expr.end_lineno or 0 for item in node.items) + 1)
    )


@cache
def _leaves(code: CodeType) -> frozenset[int]:
    """Offsets where a `with` block has ended and calls its `__exit__`: CPython looks at no signal before that call."""
    return frozenset(
        each.offset
        for each in dis.get_instructions(code)
        if each.opname in ("PUSH_EXC_INFO", "WITH_EXCEPT_START")
        or (each.opname in ("LOAD_CONST", "NOP", "POP_TOP", "SWAP") and each.argval is None)
    )


class Interrupts:
    """Counts the lines of vitreous that run, and raises KeyboardInterrupt at one of them."""

    def __init__(self, at: Site | None = None, turn: int = 0) -> None:
        self.at, self.turn = at, turn
        self.seen = Counter[Site]()

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(SOURCE) or (self.at is not None and code is not self.at[0]):
            return None
        if event == "line" and not (frame.f_lineno in _with_lines(code.co_filename) and frame.f_lasti in _leaves(code)):
            site = (code, frame.f_lineno)
            self.seen[site] += 1
            if site == self.at and self.seen[site] == self.turn:
                raise KeyboardInterrupt
        return self

    def run(self, work: Callable[[], object]) -> bool:
        """Whether the interrupt came through."""
        before = sys.gettrace()
        sys.settrace(self)
        try:
            work()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False


def state(model: nn.Module) -> dict[str, object]:
    return fingerprint(model) | {
        "torch's modes": list(_get_current_function_mode_stack()),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "shared": dict(changes._SHARED),
        "place": changes.Place().inside,
    }


def works(name: str, model: nn.Module, images: Tensor) -> Callable[[], object]:
    if name == "prune":
        return lambda: prune(model, 0.5)(images)
    method = make_method(name, **{**FEW.get(name, {}), **SAMPLES.get(name, {})})
    return lambda: method(model, images)


def left_behind(name: str, interrupts: int) -> list[str]:
    """Where an interrupt of this method left something changed."""
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    next(iter(model.children())).train()
    before, work = state(model), works(name, model, images)
    work()  # what is imported or made once is there
    first = Interrupts()
    assert not first.run(work)
    draw = random.Random(name)
    sites = list(first.seen)
    # every other one where hooks, modes and modules are changed and put back
    near = [site for site in sites if Path(site[0].co_filename).name in ("changes.py", "recorder.py", "edit.py")]
    found: list[str] = []
    came = 0
    for place in range(interrupts):
        site = draw.choice(near if place % 2 else sites)
        came += Interrupts(site, draw.randint(1, first.seen[site])).run(work)
        after = state(model)
        if wrong := [key for key in before if after[key] != before[key]]:
            found.append(f"{name}, {site[0].co_qualname}, line {site[1]}: {wrong}")
            model = CASES["timm_vit"].model()
            next(iter(model.children())).train()
            work = works(name, model, images)
    if came < interrupts / 2:
        found.append(f"{name}: only {came} of {interrupts} interrupts came")
    work()
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(json.dumps({name: left_behind(name, int(sys.argv[1])) for name in (*NAMES, "prune")}))
