"""What a reader of this folder is."""

from __future__ import annotations

from collections.abc import Callable

Read = Callable[[], object]
