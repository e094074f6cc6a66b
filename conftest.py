"""Every test and every example in a docstring starts from one seed, and so do its fixtures, whatever their scope."""

import pytest
import torch


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Before fixtures of a session, a package or a module, which would otherwise go by the test that ran before."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
