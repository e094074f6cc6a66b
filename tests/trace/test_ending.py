"""A model that ends in probabilities is explained as the one without its last step, or refused."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import vitreous
from tests.contract.written import Wrapped, vit
from vitreous.errors import ModelError, RuleError
from vitreous.trace.ending import Ending, scores_behind
from vitreous.trace.running import run
from vitreous.trace.target import logits_of
from vitreous.trace.telling import telling

METHODS: tuple[str, ...] = (
    "ag_cam",
    "raw_attention",
    "grad_cam",
    "input_x_gradient",
    "lrp",
    "attn_lrp",
    "libra_grad",
    "legrad",
)


@functools.cache
def model() -> nn.Module:
    torch.manual_seed(0)
    made = vit(num_classes=3)
    nn.init.normal_(made.get_parameter("head.weight"))
    return made.eval()


def ending(end: Callable[[Tensor], Any]) -> nn.Module:
    return Wrapped(model(), end).eval()


def images(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def single(scores: Tensor) -> Tensor:
    return scores[:, :1]


ENDS: dict[str, tuple[Callable[[Tensor], Any], Callable[[Tensor], Tensor], dict[str, Any]]] = {
    "softmax": (lambda z: z.softmax(-1), lambda z: z, {}),
    "softmax of a temperature": (lambda z: F.softmax(z / 0.3, dim=1), lambda z: z / 0.3, {}),
    "saturated": (lambda z: (z * 300).softmax(1), lambda z: z * 300, {}),
    "log_softmax": (lambda z: F.log_softmax(z, 1), lambda z: z, {}),
    "a module": (nn.Softmax(dim=1), lambda z: z, {}),
    "under a name": (lambda z: SimpleNamespace(probs=z.softmax(1)), lambda z: z, {}),
    "beside others": (lambda z: (z, torch.softmax(z, 1)), lambda z: z, {"output": 1}),
    "half precision": (lambda z: z.bfloat16().softmax(1).float(), lambda z: z.bfloat16().float(), {}),
    "sigmoid": (lambda z: z[:, :1].sigmoid(), single, {}),
    "squeezed": (lambda z: z[:, 0].sigmoid(), single, {}),
    "squeezed afterwards": (lambda z: torch.sigmoid(z[:, :1]).squeeze(1), single, {}),
    "logsigmoid": (lambda z: F.logsigmoid(z[:, :1]), single, {}),
    "labels": (lambda z: z.sigmoid(), lambda z: z, {"link": "sigmoid"}),
    "percent": (lambda z: z.softmax(1) * 100, lambda z: z, {}),
    "percent in place": (lambda z: z.softmax(1).mul_(100), lambda z: z, {}),
    "percent of one": (lambda z: 100 * z[:, :1].sigmoid(), single, {}),
    "a sigmoid by hand": (lambda z: 1 / (1 + torch.exp(-z[:, :1])), lambda z: z[:, :1], {}),
    "another by hand": (lambda z: z[:, :1].exp() / (z[:, :1].exp() + 1), single, {}),
    "a third by hand": (lambda z: (1 + torch.exp(-z[:, 0])).reciprocal(), single, {}),
    "by its tangent": (lambda z: 0.5 * (torch.tanh(z[:, :1] / 2) + 1), single, {}),
    "against it": (lambda z: 1 - z[:, :1].sigmoid(), lambda z: -z[:, :1], {}),
    "labels by hand": (lambda z: 1 / (1 + torch.exp(-z)), lambda z: z, {"link": "sigmoid"}),
    "a mean of sigmoids": (
        lambda z: torch.stack([z[:, :1].sigmoid()] * 2).mean(0),
        single,
        {},
    ),
    "two heads": (lambda z: torch.cat([z[:, :1].sigmoid(), z[:, 1:].sigmoid()], 1), lambda z: z, {"link": "sigmoid"}),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_last_step_changes_no_map_and_no_probability(name: str) -> None:
    end, scores, how = ENDS[name]
    said = {"link": how["link"]} if "link" in how else {}
    methods = list(METHODS if name in ("softmax", "log_softmax", "sigmoid", "logsigmoid") else METHODS[:1])
    found = vitreous.explain(ending(end), images(), methods, **how)
    expected = vitreous.explain(ending(scores), images(), methods, **said)
    for method in methods:
        torch.testing.assert_close(found[method].heatmap, expected[method].heatmap)
        torch.testing.assert_close(found[method].probabilities, expected[method].probabilities)
        assert found[method].opposed == expected[method].opposed


def test_the_probability_shown_is_the_model_s_own() -> None:
    sure = ending(lambda z: (3 * z).softmax(1))
    torch.testing.assert_close(vitreous.explain(sure, images()).probabilities, sure(images()).detach())
    unsure = ending(lambda z: (z[:, :1] - 10).sigmoid())
    explained = vitreous.explain(unsure, images())
    answer = explained.answer(0)
    assert answer is not None
    assert answer.name == "not class 0"
    assert answer.probability == pytest.approx(1 - unsure(images())[0].item())


def test_masked_passes_are_measured_on_what_the_model_says() -> None:
    settings: dict[str, Any] = {"masks": 30, "fill": "mean", "score": "probability"}
    found, expected = (
        vitreous.explain(ending(end), images(1), "rise", **settings).heatmap
        for end in (lambda z: z.softmax(1), lambda z: z)
    )
    torch.testing.assert_close(found, expected)


def test_a_function_of_the_scores_is_one_of_those_behind() -> None:
    found, expected = (
        vitreous.explain(ending(end), images(), target=lambda logits: logits[:, 0] ** 2)
        for end in (lambda z: z.softmax(1), lambda z: z)
    )
    torch.testing.assert_close(found.heatmap, expected.heatmap)
    torch.testing.assert_close(found.probabilities, expected.probabilities)


def test_values_are_explained_as_they_are_returned() -> None:
    model = ending(lambda z: z[:, :1].sigmoid())
    explained = vitreous.explain(model, images(), "raw_attention", link="identity")
    torch.testing.assert_close(explained.logits, model(images()).detach())


@pytest.mark.parametrize(
    "made",
    [
        lambda z: z.exp() / z.exp().sum(1, keepdim=True),
        lambda z: (z.softmax(1) + (2 * z).softmax(1)) / 2,
        lambda z: torch.cat([1 - z[:, :1].sigmoid(), z[:, :1].sigmoid()], 1),
    ],
)
def test_rows_that_sum_to_one_are_probabilities_whoever_made_them(made: Callable[[Tensor], Tensor]) -> None:
    model = ending(made)
    shares = model(images())
    torch.testing.assert_close(logits_of(run(model, images()), "Model", 2).softmax(1), shares)
    many = torch.randn(4, 21843, generator=torch.Generator().manual_seed(0)).mul(4).softmax(1)
    torch.testing.assert_close(scores_behind(many, "Model").softmax(1), many)


def test_one_probability_of_several_is_read_by_its_odds() -> None:
    model = ending(lambda z: z.softmax(1)[:, 1])
    torch.testing.assert_close(logits_of(run(model, images()), "Model", 2).sigmoid()[:, 0], model(images()))


def test_percentages_by_hand_are_probabilities() -> None:
    model = ending(lambda z: 100 * z.exp() / z.exp().sum(1, keepdim=True))
    torch.testing.assert_close(logits_of(run(model, images()), "Model", 2).softmax(1), model(images()) / 100)


REFUSED: dict[str, tuple[Callable[[Tensor], Tensor], dict[str, Any], str]] = {
    "labels without a word": (torch.sigmoid, {}, r'ends in a sigmoid, and its 3 scores are.*Say link="sigmoid"'),
    "a softmax read as labels": (lambda z: z.softmax(1), {"link": "sigmoid"}, r'ends in a softmax.*Say link="softmax"'),
    "one score": (lambda z: z[:, :1].softmax(1), {}, r"the softmax of a single score, which is 1"),
    "some of them": (lambda z: z.softmax(1)[:, :2], {}, r"returns 2 probabilities of a softmax over others"),
    "stretched": (lambda z: 62 * z[:, :1].sigmoid() + 18, {}, r"makes of a sigmoid, which are no class sc.*identity"),
    "weighted": (lambda z: z.softmax(1) * torch.tensor([1.0, 2, 3]), {}, r"arithmetic makes of a softmax"),
    "twice": (lambda z: z.softmax(1) * 2, {}, r"arithmetic makes of a softmax"),
    "of a distance": (lambda z: torch.exp(-(z**2) / 99), {}, r"arithmetic makes of an exponential"),
    "labels by hand": (lambda z: 1 / (1 + torch.exp(-z)), {}, r'ends in a sigmoid, and its 3.*Say link="sigmoid"'),
    "saturated and made by hand": (
        lambda z: torch.stack([1 - (300 * z[:, 0]).sigmoid(), (300 * z[:, 0]).sigmoid()], 1),
        {},
        r"so near 0 or 1 that no finite score stands behind them\. Let it return the scores",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_probabilities_that_cannot_be_read_are_refused(name: str) -> None:
    end, how, said = REFUSED[name]
    with pytest.raises(ModelError, match=said):
        vitreous.explain(ending(end), images(), "raw_attention", **how)
    if "arithmetic" in said:  # as the message says
        values = vitreous.explain(ending(end), images(), "raw_attention", target=0, link="identity").logits
        torch.testing.assert_close(values, ending(end)(images()).detach())


def test_what_only_looks_like_an_ending_is_none() -> None:
    scores = torch.randn(2, 3)
    with Ending():
        gated, bounded, scale = scores * scores.sigmoid(), 30 * (scores / 30).tanh(), scores * torch.zeros(1).exp()
        linear, squares = F.linear(scores.softmax(1), torch.randn(3, 3)), scores.exp().log() * 2
    for found in (gated, bounded, scale, linear, squares, scores):
        assert scores_behind(found, "Model") is found


def test_the_logarithm_within_a_model_has_no_rule() -> None:
    with pytest.raises(RuleError, match=r"relevance \(2, 3\) reached the logarithm of a softmax"):
        vitreous.explain(ending(lambda z: F.log_softmax(z, 1) * 2), images(), "attn_lrp")


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (lambda x: x.log_softmax(1), "what went into its last softmax"),
        (lambda x: torch.tensor(x.softmax(1).tolist()), "the logarithms of"),
        (lambda x: x, ""),
    ],
)
def test_where_the_scores_were_found_is_told(end: Callable[[Tensor], Any], words: str) -> None:
    with telling() as told:
        for _ in range(2):
            logits_of(run(ending(end), images()), "m", 2)
    assert len(told) == bool(words)
    assert words in "".join(told)
