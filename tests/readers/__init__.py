"""Every reader of files from anywhere, each with small whole files that it reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.readers.models import MODELS
from tests.readers.pictures import PICTURES
from tests.readers.read import Read
from tests.readers.runs import RUNS
from tests.readers.texts import TEXTS

__all__ = ["READERS", "Read"]

READERS: dict[str, Callable[[Path], Read]] = {**PICTURES, **MODELS, **RUNS, **TEXTS}
