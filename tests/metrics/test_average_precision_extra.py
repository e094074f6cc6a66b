"""Average precision says which package it lacks."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

from vitreous.errors import MissingExtra


@pytest.mark.parametrize("package", ["torchmetrics", "pycocotools"])
def test_the_package_that_is_missing_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "vitreous.metrics.average_precision", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"this needs `{package}`.*vitreous\[detect\]"):
        import_module("vitreous.metrics.average_precision")
