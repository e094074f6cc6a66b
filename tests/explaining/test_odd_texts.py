"""Numbers in texts: of thousands of digits, with two signs, or written high, they are names, and nobody has those."""

from __future__ import annotations

import pytest
import torch
import typer

from vitreous.cli.options import output_of, pair_of
from vitreous.data.depth import asked_window
from vitreous.errors import DataError, UnknownName
from vitreous.explaining.targets import as_target, choose_classes, is_top

ODD = ["9" * 5000, "--3", "²", "-"]


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_what_is_no_number_is_a_name(text: str) -> None:
    with pytest.raises(UnknownName):
        as_target(text, ("cat", "hen"))
    with pytest.raises(UnknownName):
        choose_classes(f"top-{text}", ("cat", "hen"), torch.zeros(1, 2))
    assert not is_top(f"top-{text}")
    assert output_of(text) == text
    with pytest.raises(typer.BadParameter):
        pair_of(f"{text},1", "--grid")


@pytest.mark.parametrize("window", ["-inf,3", "nan,3", f"0,{'9' * 5000}", (float("-inf"), 3)])
def test_a_window_has_two_ends(window: object) -> None:
    with pytest.raises(DataError, match="is no window"):
        asked_window(window)
