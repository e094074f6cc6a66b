"""Files and folders on disks that say no."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from vitreous.errors import DataError
from vitreous.files import check_writable
from vitreous.models.card import save_folder
from vitreous.training.checkpoint import save_checkpoint
from vitreous.training.recipe import Recipe

resource = pytest.importorskip("resource")


@contextmanager
def full_disk(room: int) -> Generator[None]:
    """No file grows beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_was_saved_outlives_a_full_disk(tmp_path: Path) -> None:
    recipe, weights = Recipe("vit_tiny_patch16_224", 16, 4), {"weight": torch.zeros(5000)}
    save_checkpoint(tmp_path, weights, recipe, epoch=1)
    save_folder(tmp_path, {"old": True}, weights)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with full_disk(10_000):
        with pytest.raises(DataError, match=r"checkpoint\.pt` cannot be written: .*make room"):
            save_checkpoint(tmp_path, weights, recipe, epoch=2)
        with pytest.raises(DataError, match=r"model\.safetensors` cannot be written: File too large.*make room"):
            save_folder(tmp_path, {"old": False}, weights)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder")
    assert not list((tmp_path / "new" / "folder").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(
        DataError, match=r"file/folder` cannot be written: Not a directory\. Choose another output folder"
    ):
        check_writable(tmp_path / "file" / "folder")
