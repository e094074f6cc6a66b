"""Run commands in this process, on a tiny model, in an empty folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner, Result

from tests.tiny import save_model
from vitreous.cli.main import app
from vitreous.errors import NoClassToken
from vitreous.methods import METHODS

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="session")
def folder(model_folder: Path) -> Path:
    return model_folder


@pytest.fixture(scope="session")
def pooling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without a class token."""
    return save_model(tmp_path_factory.mktemp("pooling"), class_token=False, global_pool="avg")


@dataclass(frozen=True)
class Refusal:
    """A method that applies to no model."""

    source: ClassVar[str] = "made up"

    def __call__(self, *_: Any) -> Any:
        raise NoClassToken("not on a Monday. Come back tomorrow.")


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a method that refuses."""
    monkeypatch.setitem(METHODS, "refusal", Refusal)
    return "refusal"
