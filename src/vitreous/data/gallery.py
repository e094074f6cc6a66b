"""The sample pictures that come with vitreous; README.txt beside them says where each is from, and its licence."""

from __future__ import annotations

from pathlib import Path

from vitreous.errors import UnknownName

__all__ = ["GALLERY", "sample_picture"]

_FOLDER = Path(__file__).parent / "sample"

GALLERY = {
    file.stem: _FOLDER / file
    for file in map(Path, ("chelsea.png", "dog.jpg", "horse.jpg", "motorcycle.jpg", "pizza.jpg", "shuttle.jpg"))
}
"""By name: a cat; a dog and a woman; a horse and its rider; and one thing each, of which `shuttle` is of no class that
the embedded classifier knows."""


def sample_picture(name: str = "chelsea") -> Path:
    """The file of a sample picture, for `vitreous.explain` or any command.

    Raises:
        UnknownName: none of `GALLERY` is called that.

    >>> sample_picture("pizza").name
    'pizza.jpg'
    """
    if name not in GALLERY:
        raise UnknownName("sample picture", name, list(GALLERY))
    return GALLERY[name]
