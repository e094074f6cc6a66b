from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vitreous.data.labelled import load_labelled
from vitreous.errors import DataError, UnknownName


def fashion_mnist(root: Path, train: int = 3, test: int = 2) -> Path:
    """The set's four files as torchvision unpacks them: picture i is i gray, its class i."""
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", train), ("t10k", test)):
        pictures = np.arange(count, dtype=np.uint8).repeat(28 * 28)
        head = np.array([0x803, count, 28, 28], ">u4").tobytes()
        (raw / f"{part}-images-idx3-ubyte").write_bytes(head + pictures.tobytes())
        labels = np.arange(count, dtype=np.uint8).tobytes()
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(np.array([0x801, count], ">u4").tobytes() + labels)
    return root


def test_a_set_is_read_in_its_two_parts(tmp_path: Path) -> None:
    train, val, fingerprint = load_labelled(f"torchvision:FashionMNIST:{fashion_mnist(tmp_path)}")
    assert (len(train), len(val)) == (3, 2)
    assert train.class_names[:2] == val.class_names[:2] == ("T-shirt/top", "Trouser")
    picture, label = train[2]
    assert (picture.mode, picture.size, picture.getpixel((5, 5)), label) == ("RGB", (28, 28), (2, 2, 2), 2)
    other = fashion_mnist(tmp_path / "other", test=1)
    assert fingerprint != load_labelled(f"torchvision:FashionMNIST:{other}")[2]


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"`FashionMNIST` cannot be read from .*: Dataset not found"):
        load_labelled(f"torchvision:FashionMNIST:{tmp_path}")
    with pytest.raises(DataError, match="`DTD` cannot be read from"):
        load_labelled(f"torchvision:DTD:{tmp_path}")
    with pytest.raises(UnknownName, match="FashionMNIST"):
        load_labelled(f"torchvision:FashionMINST:{tmp_path}")


def test_a_set_without_a_class_per_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "MovingMNIST").mkdir()
    np.save(tmp_path / "MovingMNIST" / "mnist_test_seq.npy", np.zeros((20, 2, 64, 64), np.uint8))
    with pytest.raises(DataError, match="no set of pictures with a class each"):
        load_labelled(f"torchvision:MovingMNIST:{tmp_path}")
