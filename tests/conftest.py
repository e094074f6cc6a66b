"""Shared by all tests: shape annotations are checked, and one thread per worker is enough for tiny models."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

from tests.programs import check_programs
from tests.shape_checks import check_shapes

os.environ["HF_HUB_OFFLINE"] = "1"
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is deaf to it, as are its children
check_shapes("vitreous")
torch.set_num_threads(1)
settings.register_profile("vitreous", deadline=None, max_examples=30, derandomize="VITREOUS_FUZZ" not in os.environ)
settings.load_profile("vitreous")

from tests.tiny import save_model, save_pictures  # noqa: E402 - after the import hook
from vitreous.models.zoo import LoadedModel, load  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="a test whose program is not installed fails: see `needs`")


def pytest_runtest_setup(item: pytest.Item) -> None:
    check_programs(item)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random ViT, saved."""
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def model(model_folder: Path) -> LoadedModel:
    return load(model_folder)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A few labelled pictures with boxes and masks, as a command takes them."""
    return save_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with playwright.sync_playwright() as run:
        opened = run.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()
