"""Maps in an `.npz`: one format for what `Explanation.save` and `vitreous explain` write, and `Explanation.load` reads.

Every map is an array of its own, (rows, h, w), raw. `Explanation.save` writes one, called `heatmap`, a row an image;
`vitreous explain` one for each method, called like it, a row a class explained, NaN where the method gave none. Beside
them lie, where there are any, `logits` (rows, classes) and `target` (rows,); and `about`, a text of JSON:

- `maps`: by the name of an array, what made it: `method` with its settings, `title`, `published`, `signed`, `blocks`,
  `scoreless`, and the `layer` that it read
- `class_names`, one per logit; `link`, what the scores stand for
- `opposed`: per row, whether what speaks against the class is explained; empty for nowhere
- `against`: per row, the index of the class that the one explained is held against; empty for none
- `scores_from`: in words, where the class scores were found, if the model does not return them
- `crops`: per row, the `size` of the whole picture and the `box` of the part that the model saw; empty of tensors
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.errors import DataError, ModelError, UnknownName
from vitreous.files.arrays import Arrays, open_arrays
from vitreous.files.reading import parse_json
from vitreous.files.writing import to_json
from vitreous.methods.method import title_of_method
from vitreous.render.view import Crop
from vitreous.settings.typed import typed_fields
from vitreous.trace.reading import LINKS

if TYPE_CHECKING:
    from vitreous.methods.explanation import Explanation

__all__ = ["About", "Saved", "made_by", "read_archive", "write_archive"]

_TARGET = "target"
_REMEDY = "Give a file that Explanation.save or `vitreous explain` wrote."


@dataclass(frozen=True, repr=False)
class Saved:
    """What made an explanation that was read from a file: it says what it was, and cannot be called.

    Attributes:
        method: with its settings, as it was written.
        title: as people call it.
        published: where.
        signed: its maps have two sides.
        blocks: its maps are of whole blocks.
        scoreless: they are the same for every class.
        layer: that it read; empty for none.
    """

    source: ClassVar[str] = "a file that Explanation.save or `vitreous explain` wrote"
    method: str
    title: str
    published: str
    signed: bool
    blocks: bool
    scoreless: bool = False
    layer: str = ""

    def __repr__(self) -> str:
        return self.method

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse.

        Raises:
            ModelError: always.
        """
        raise ModelError(
            f"`{self.title}` was read from a file, which holds its maps and not itself. "
            "Make it again: vitreous.methods.make_method."
        )


@dataclass(frozen=True)
class About:
    """What is no array."""

    maps: Mapping[str, Saved]
    class_names: tuple[str, ...]
    link: str | None
    opposed: tuple[bool, ...] = ()
    crops: tuple[Crop, ...] = ()
    against: tuple[int, ...] = ()
    scores_from: str = ""


def made_by(method: Any, layer: str = "") -> Saved:
    """What a file says of a method, and of the layer that it read."""
    if isinstance(method, Saved):
        return method
    kinds = [bool(getattr(method, kind, False)) for kind in ("signed", "blocks", "scoreless")]
    return Saved(repr(method), title_of_method(method), method.source, *kinds, layer=layer)


def write_archive(
    path: Path, about: About, maps: Mapping[str, Tensor], logits: Tensor | None, target: Tensor | None
) -> None:
    """Write the `.npz`: the maps under the names that `about` knows them by."""
    given = {"logits": logits, "target": target}
    arrays = {name: _numpy(each) for name, each in {**maps, **given}.items() if each is not None}
    np.savez_compressed(path, **arrays, about=np.array(to_json(asdict(about))))  # type: ignore[arg-type]


def read_archive(path: Path, name: str = "") -> Explanation:
    """One of its maps; rows without one are left out.

    Raises:
        DataError: as `Explanation.load`.
        UnknownName: there is none of that name.
    """
    from vitreous.methods.explanation import Explanation

    with open_arrays(path, _REMEDY) as arrays:
        about = _about(arrays["about"], path)
        name = _chosen(about, path, name)
        heatmap = _tensor(arrays, name, 3)
        logits, target = (_tensor(arrays, each, dims) for each, dims in (("logits", 2), (_TARGET, 1)))
    if heatmap is None or any(each is not None and len(each) != len(heatmap) for each in (logits, target)):
        raise DataError(f"`{path}` has no heat map for each of its images. {_REMEDY}")
    if any(each and len(each) != len(heatmap) for each in (about.opposed, about.crops, about.against)):
        raise DataError(f"`about` in `{path}` does not tell of each of its images. {_REMEDY}")
    if target is not None and (logits is None or _outside(target, logits.shape[1])):
        raise DataError(f"`{path}` has targets that are none of its classes. {_REMEDY}")
    if about.against and (logits is None or not all(0 <= each < logits.shape[1] for each in about.against)):
        raise DataError(f"`{path}` has rivals that are none of its classes. {_REMEDY}")
    made = about.maps[name]
    there = ~heatmap.isnan().flatten(1).all(1)
    rows = there.nonzero()[:, 0].tolist() or [*range(len(there))]
    return Explanation(
        heatmap[rows],
        None if logits is None else logits[rows],
        None if target is None else target[rows],
        made,
        about.class_names,
        layer=made.layer,
        link=about.link,
        opposed=tuple(about.opposed[row] for row in rows) if about.opposed else (),
        crops=tuple(about.crops[row] for row in rows) if about.crops else (),
        against=tuple(about.against[row] for row in rows) if about.against else (),
        scores_from=about.scores_from,
    )


def _chosen(about: About, path: Path, name: str) -> str:
    if not about.maps:
        raise DataError(f"`{path}` has no maps. {_REMEDY}")
    if not name and len(about.maps) > 1:
        named = ", ".join(about.maps)
        raise DataError(f"`{path}` holds the maps of {named}. Say which: load(path, {next(iter(about.maps))!r}).")
    if name and name not in about.maps:
        raise UnknownName(f"map in `{path}`", name, about.maps)
    return name or next(iter(about.maps))


def _about(text: NDArray[Any], path: Path) -> About:
    values = parse_json(str(text), f"`about` in `{path}`", _REMEDY)
    try:
        found = About(**typed_fields(About, dict(values), f"`about` in `{path}`", DataError))
    except (TypeError, ValueError):
        raise DataError(f"`about` in `{path}` is not as it was written. {_REMEDY}") from None
    if found.link not in (None, *LINKS):
        raise DataError(f"`about` in `{path}` has the link {found.link!r}. {_REMEDY}")
    return found


def _tensor(arrays: Arrays, name: str, dims: int) -> Tensor | None:
    """An array of numbers; None where there is none."""
    if name not in arrays:
        return None
    array = arrays[name]
    kinds = "i" if name == _TARGET else "f"
    if array.ndim != dims or array.dtype.kind not in kinds or not array.size:
        raise DataError(f"`{name}` in `{arrays.archive.filename}` is {array.dtype} {array.shape}. {_REMEDY}")
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))


def _outside(target: Tensor, classes: int) -> bool:
    return bool((target < 0).any() or (target >= classes).any())


def _numpy(values: Tensor) -> NDArray[Any]:
    """As numpy can hold it: half precision becomes float32, exactly."""
    values = values.detach().cpu()
    return (values.float() if values.dtype in (torch.bfloat16, torch.float16) else values).numpy()
