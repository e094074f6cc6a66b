"""The list of settings: every one, with what it does; and what an unknown name may have meant."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from vitreous.cli.main import app
from vitreous.training.detection.recipe import DetectionRecipe
from vitreous.training.listing import near_settings, settings
from vitreous.training.recipe import Recipe


@pytest.mark.parametrize("kind", [Recipe, DetectionRecipe])
def test_every_setting_says_what_it_does(kind: type) -> None:
    listed = list(settings(kind))
    tables = {"arguments", "augment", "optimizer", "distill", "fields"}
    top = {each.name for each in listed if not each.section}
    assert top | tables >= set(kind.__dataclass_fields__)
    assert not [str(each) for each in listed if each.name != "arguments" and len(each.about) < 8]


def test_the_command_lists_them_all() -> None:
    said = CliRunner().invoke(app, ["train", "--settings"], catch_exceptions=False).stdout
    for each in settings(Recipe):
        assert f"{each!s:<24} {each.default or '–':<24} {each.about}" in said.splitlines()


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("learning_rate", ["[optimizer] lr"]),
        ("epoch", ["epochs"]),
        ("lr", ["[optimizer] lr"]),
        ("label_smoothing", ["smoothing"]),
        ("optimiser", ["[optimizer]"]),
        ("hint", ["[distill] hints"]),
        ("nothing_of_the_kind", []),
    ],
)
def test_a_name_is_looked_for_in_all_tables(name: str, near: list[str]) -> None:
    assert near_settings(Recipe, name)[: max(1, len(near))] == near
