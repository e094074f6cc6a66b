"""Every test and every example in a docstring starts from one seed, and so do its fixtures, whatever their scope."""

import random

import numpy as np
import pytest
import torch


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Before fixtures of a session, a package or a module, which would otherwise go by the test that ran before."""
    _from_one_seed()


@pytest.fixture(autouse=True)
def _seed() -> None:
    _from_one_seed()


def _from_one_seed() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
