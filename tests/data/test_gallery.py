"""The sample pictures: each can be opened, and says where it is from."""

from __future__ import annotations

import pytest

from vitreous.data.gallery import GALLERY, sample_picture
from vitreous.data.pictures import open_picture
from vitreous.errors import UnknownName


@pytest.mark.parametrize("name", GALLERY)
def test_each_opens_and_has_a_line_on_its_licence(name: str) -> None:
    file = sample_picture(name)
    assert min(open_picture(file).size) >= 300
    said = (file.parent / "README.txt").read_text(encoding="utf-8")
    assert [line for line in said.splitlines() if line.startswith(f"{file.name} ")]


def test_nothing_lies_beside_them() -> None:
    folder = sample_picture().parent
    assert {file.name for file in folder.iterdir()} == {file.name for file in GALLERY.values()} | {"README.txt"}


def test_another_name_is_refused() -> None:
    with pytest.raises(UnknownName, match=r'"pizzza". Did you mean "pizza"'):
        sample_picture("pizzza")
