"""Explains by all methods on one model from several threads, and prints which maps differ.

Run as a program, beside which nothing else needs Python's lock.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

from tests.contract.promises import DEFAULT, VARIANTS, fingerprint
from tests.contract.zoo import CASES
from vitreous.errors import ExplainError
from vitreous.trace import changes

METHODS = DEFAULT | VARIANTS
THREADS = 4


def outcome(name: str, model: nn.Module, images: Tensor) -> Tensor | str:
    try:
        return METHODS[name](model, images).heatmap
    except ExplainError as error:
        return f"{type(error).__name__}: {error}"


def same(one: Tensor | str, other: Tensor | str) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        if one != other:
            print(f"{one}\n{other}", file=sys.stderr)
        return one.partition(":")[0] == other.partition(":")[0]  # where it happened may be another place
    if isinstance(one, str) or isinstance(other, str):
        return False
    return torch.equal(one, other)


def differing(case: str, names: list[str]) -> list[str]:
    """Methods whose map is not what it is when nothing else runs, and what was left behind."""
    model, images = CASES[case].model(), CASES[case].images()
    expected = {name: outcome(name, model, images) for name in names}
    assert sum(isinstance(each, Tensor) for each in expected.values()) > len(names) // 4
    next(iter(model.children())).train()
    before = fingerprint(model)

    def explain(thread: int) -> list[str]:
        start = thread * len(names) // THREADS  # so that different methods meet, and each meets itself
        turned = [*names[start:], *names[:start]]
        return [name for name in turned if not same(outcome(name, model, images), expected[name])]

    with ThreadPoolExecutor(THREADS) as pool:
        found = {name for each in pool.map(explain, range(THREADS)) for name in each}
    after = fingerprint(model)
    return [*sorted(found), *(key for key in before if after[key] != before[key]), *map(str, changes._SHARED)]


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.setswitchinterval(1e-5)
    print(json.dumps(differing(sys.argv[1], list(METHODS))))
