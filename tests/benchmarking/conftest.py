"""The model that is judged."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def spec(model_folder: Path) -> str:
    return str(model_folder)
