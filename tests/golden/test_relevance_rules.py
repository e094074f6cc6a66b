"""Our relevance rules against single layers of the authors' code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vitreous.relevance.rule import Operation, Share
from vitreous.relevance.rules import divide, linear_z_plus, matmul_z, residual, z_box, z_plus

Golden = dict[str, Tensor]


@pytest.fixture(scope="module")
def golden() -> Golden:
    with np.load(Path(__file__).with_name("relevance_rules.npz")) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def close(got: Tensor | None, expected: Tensor) -> None:
    assert got is not None
    assert (got - expected).abs().max() <= 1e-12 * expected.abs().max()


def test_division(golden: Golden) -> None:
    close(divide(golden["safe_divide_a"], golden["safe_divide_b"]), golden["safe_divide_out"])


@pytest.mark.parametrize("rule", [z_plus, linear_z_plus])
def test_linear(golden: Golden, rule: Share) -> None:
    x, weight, bias = (golden[f"ours_linear_{name}"] for name in "xwb")
    step = Operation((x, weight, bias), F.linear(x, weight, bias), F.linear)
    close(rule(step, golden["ours_linear_Rout"])[0], golden["ours_linear_Rin"])


def test_linear_where_single_precision_cancels() -> None:
    x, weight = torch.tensor([[1.0, 1.0, 1.0]]), torch.tensor([[-1.0, 1e-6, -2.0]])
    relevance = torch.tensor([[3.0]])
    (got, _, _) = linear_z_plus(Operation((x, weight, None), F.linear(x, weight), F.linear), relevance)
    torch.testing.assert_close(got, torch.tensor([[0.0, 3 / 1.001, 0.0]]))


@pytest.mark.parametrize("name", ["qk", "av"])
def test_products_of_activations(golden: Golden, name: str) -> None:
    left, right = golden[f"ours_{name}_x0"], golden[f"ours_{name}_x1"]
    right = right.mT if name == "qk" else right
    step = Operation((left, right), left @ right, torch.matmul)
    shares = matmul_z(step, golden[f"ours_{name}_Rout"])
    expected = golden[f"ours_{name}_R1"]
    close(shares[0], golden[f"ours_{name}_R0"] / 2)  # the authors' callers halve
    close(shares[1], (expected.mT if name == "qk" else expected) / 2)


def test_sum_with_the_clone_that_follows_it(golden: Golden) -> None:
    a, b, relevance = (golden[f"ours_add_{name}"] for name in ("a", "b", "Rout"))
    total = a + b
    before_clone = relevance / (total / (total + 1e-9))  # so that the clone's own factor gives the golden Rout
    shares = residual(Operation((a, b), total, torch.add), before_clone)
    close(shares[0], golden["ours_add_Ra"])
    close(shares[1], golden["ours_add_Rb"])


def test_a_batch_is_its_images(golden: Golden) -> None:
    a, b, relevance = (golden[f"ours_add_{name}"] for name in ("a", "b", "Rout"))
    a2, b2, r2 = torch.cat([a, b]), torch.cat([b, -a]), torch.cat([relevance, relevance.flip(1)])
    whole = residual(Operation((a2, b2), a2 + b2, torch.add), r2)
    for at in range(2):
        one = residual(
            Operation((a2[at : at + 1], b2[at : at + 1]), (a2 + b2)[at : at + 1], torch.add), r2[at : at + 1]
        )
        close(one[0], whole[0][at : at + 1])


def test_first_convolution(golden: Golden) -> None:
    image, weight = golden["ours_conv_x"], golden["ours_conv_w"]

    def run(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(x, kernel, bias, stride=weight.shape[-1])

    step = Operation((image, weight, None), run(image, weight, None), run)
    close(z_box(step, golden["ours_conv_Rout"])[0], golden["ours_conv_Rin"])
