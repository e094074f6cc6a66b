"""What a method finds in an image beside its map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from PIL.Image import Image

    from vitreous.render.sheet import Panel

__all__ = ["Detail"]


@runtime_checkable
class Detail(Protocol):
    """What a method found in one image beside the map."""

    def table(self) -> Sequence[Mapping[str, Any]]:
        """Rows of plain values, all with the same names."""
        ...

    def panels(self, picture: Image) -> Sequence[Panel]:
        """What to show of it on a sheet."""
        ...

    def to_json(self) -> dict[str, Any]:
        """All of it in plain values, for a manifest."""
        ...
