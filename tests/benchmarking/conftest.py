"""The model that is judged."""

from pathlib import Path

import pytest


@pytest.fixture
def few_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pictures on a page, not four, where what it shows is not what is tested."""
    monkeypatch.setattr("vitreous.benchmarking.examples._SHOWN", 1)


@pytest.fixture(scope="session")
def spec(model_folder: Path) -> str:
    return str(model_folder)
