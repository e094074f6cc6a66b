"""What the sheet of a picture shows of what a model makes of its patches, and the numbers behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vitreous.inside.artifact_effects import ArtifactEffects
from vitreous.inside.artifacts import Artifacts
from vitreous.inside.cases import Cases
from vitreous.inside.components import Components
from vitreous.inside.heads import Heads
from vitreous.inside.kinship import Kinship
from vitreous.inside.lens import Lens
from vitreous.inside.similarity import Similarity
from vitreous.render.blocks import frame_patches
from vitreous.render.interactions import draw_patches, draw_query
from vitreous.render.numbers import block_name, patch_name
from vitreous.render.patch_colors import draw_colors
from vitreous.render.patch_crop import crop_patch
from vitreous.render.sheet import PANEL, Panel, blank
from vitreous.trace.answer import answer

if TYPE_CHECKING:
    from jaxtyping import Float
    from PIL.Image import Image
    from torch import Tensor

__all__ = ["CASES", "Found", "panels_of"]

CASES = 3
"""How many pictures, and how many patches, are shown that are most alike."""


@dataclass(frozen=True)
class Found:
    """The numbers of a picture; of what the model has not, why.

    Attributes:
        alike: how alike its patches are.
        colors: their principal components.
        patch: (row, column) of the patch that others are compared with.
        odd: norms of their tokens.
        heads: how far and how evenly heads attend.
        kin: how alike blocks are.
        lens: what the end says after each block.
        spoiled: what artifacts do to the last attention and the class score; of a model without artifacts here, None.
        cases: what is most alike in an index; None where none was given.
    """

    alike: Similarity
    colors: Components
    patch: tuple[int, int]
    odd: Artifacts | str
    heads: Heads | str
    kin: Kinship | str
    lens: Lens | str
    spoiled: ArtifactEffects | str | None = None
    cases: Cases | None = None

    @property
    def lacking(self) -> tuple[str, ...]:
        """Why there are no norms, heads, kinship, lens or effects of artifacts; each reason once."""
        parts = (self.odd, self.heads, self.kin, self.lens, self.spoiled)
        return tuple(dict.fromkeys(each for each in parts if isinstance(each, str)))

    def arrays(self) -> Mapping[str, Any]:
        """For the `.npz`: patches row by row; only what the model has."""
        told: dict[str, Any] = {
            "grid": np.array(self.alike.grid),
            "patch": np.array(self.patch),
            "similarity": _plain(self.alike.values),
            "components": self.colors.values[0].numpy(),
            "share": self.colors.share.numpy(),
            "foreground": self.colors.foreground[0].numpy(),
        }
        if isinstance(self.odd, Artifacts):
            told |= {"norms": self.odd.norms[0].cpu().numpy(), "outliers": self.odd.outliers[0].cpu().numpy()}
        if isinstance(self.heads, Heads):
            names = ("distance", "entropy", "to_extra")
            told |= {name: _plain(getattr(self.heads, name)[0]) for name in names}
        if isinstance(self.kin, Kinship):
            told |= {"cka": _plain(self.kin.values)}
        if isinstance(self.lens, Lens) and self.lens.maps is not None and self.lens.best is not None:
            told |= {"lens": _plain(self.lens.probabilities[0]), "lens_maps": _plain(self.lens.maps[0])}
            told |= {"lens_best": self.lens.best[0].cpu().numpy(), "target": int(self.lens.target[0])}
        if isinstance(self.spoiled, ArtifactEffects):
            told |= {"attention": _plain(self.spoiled.maps[0]), "hidden": self.spoiled.hidden[0].cpu().numpy()}
            told |= {"attention_without": _plain(self.spoiled.maps_without[0])}
            told |= {
                "moved": self.spoiled.moved[0].item(),
                "moved_by_chance": _plain(self.spoiled.moved_by_chance[:, 0]),
            }
        if self.cases:
            told |= {"cases": np.array([case.name for case in self.cases.whole])}
            told |= {"cases_cosine": np.array([case.cosine for case in self.cases.whole])}
            names = np.array(self.cases.index.names)
            told |= {"patch_cases": names[self.cases.rows.numpy()], "patch_cosine": _plain(self.cases.cosines)}
            told |= {"patch_places": self.cases.places.numpy()}
        return told


def panels_of(found: Found, view: Image, marked: Image, names: Sequence[str], link: str | None) -> list[Panel]:
    """The panels of a sheet.

    Args:
        found: the numbers.
        view: the part of the picture that the model saw, RGB.
        marked: the whole picture, that part marked in it.
        names: of the model's classes.
        link: what its scores stand for.
    """
    (row, column), colors = found.patch, found.colors
    alike, nothing = _plain(found.alike.to(row, column)), np.zeros(found.alike.grid, dtype=bool)
    others = np.delete(alike, row * alike.shape[1] + column)
    scale = f"bright: a cosine of {others.max():.2f}; dark: 0 or less"
    held = " + ".join(f"{share:.0%}" for share in colors.share.tolist())
    return [
        Panel("what the model saw", marked),
        Panel("principal components", draw_colors(colors.colors[0].numpy(), view.size), f"{held} of the variance"),
        Panel(f"alike to patch {patch_name(row, column)}", draw_query(view, alike, found.patch, nothing), scale),
        *_of_cases(found),
        *_of_heads(found.heads),
        *_of_kin(found.kin),
        *_of_norms(found.odd, view),
        *_of_spoiled(found.spoiled, view),
        *_of_lens(found.lens, view, names, link),
    ]


def _of_cases(found: Found) -> list[Panel]:
    cases = found.cases
    if cases is None:
        return []
    (row, column), (height, width) = found.patch, found.alike.grid
    rows, columns, _ = cases.cosines.shape  # of another layer perhaps
    grid = cases.index.about.grid
    wholes = [(f"alike picture {at}", case, cases.picture(case)) for at, case in enumerate(cases.whole, 1)]
    patches = [
        (
            f"alike to patch {patch_name(row, column)}, in picture {at}",
            case,
            crop_patch(cases.picture(case), grid, case.patch, PANEL),
        )
        for at, case in enumerate(cases.to(row * rows // height, column * columns // width), 1)
        if case.patch
    ]
    return [
        Panel(title, picture, " · ".join(filter(None, (case.label, case.name))), note=f"a cosine of {case.cosine:.2f}")
        for title, case, picture in (*wholes, *patches)
    ]


def _of_heads(heads: Heads | str) -> list[Panel]:
    if isinstance(heads, str):
        return [Panel("no heads", None, heads)]
    shown = {"how far heads look": (heads.distance, "patches"), "how evenly": (heads.entropy, "nats of entropy")}
    return [
        Panel(
            title,
            draw_patches(blank(), _plain(values[0]), alpha=1),
            f"bright: {values[0].max():.3g} {unit}",
            note="rows: attentions; columns: heads",
        )
        for title, (values, unit) in shown.items()
    ]


def _of_kin(kin: Kinship | str) -> list[Panel]:
    if isinstance(kin, str):
        return [Panel("no kinship of blocks", None, kin)]
    two = kin.others != kin.blocks
    return [
        Panel(
            "how alike blocks are",
            draw_patches(blank(), _plain(kin.values), alpha=1, most=1.0),
            f"linear CKA of {kin.rows} patches; bright: 1",
            note="rows: its blocks; columns: the other's" if two else "a row and a column for each block",
        )
    ]


def _of_norms(odd: Artifacts | str, view: Image) -> list[Panel]:
    if isinstance(odd, str):
        return [Panel("no norms of tokens", None, odd)]
    medians = odd.medians[0].tolist()
    norms, outliers = _plain(odd.norms[0]), odd.outliers[0].cpu().numpy()
    return [
        Panel(
            f"norms after {block_name(at)}",
            draw_patches(view, each),
            f"median {medians[at]:.3g}, highest {each.max():.3g}",
            note=f"{int(outliers[at].sum())} of {each.size} patches over {odd.times:g} x the median",
        )
        for at, each in enumerate(norms)
    ]


def _of_spoiled(spoiled: ArtifactEffects | str | None, view: Image) -> list[Panel]:
    """The last attention with the artifacts framed, and without them, each on its own scale."""
    if not isinstance(spoiled, ArtifactEffects):
        return []
    hidden, moved = spoiled.hidden[0].cpu().numpy(), spoiled.moved[0].item()
    most = spoiled.moved_by_chance[:, 0].abs().max().item()
    before, after = (_plain(maps[0]) for maps in (spoiled.maps, spoiled.maps_without))
    return [
        Panel(
            "last attention, artifacts framed",
            frame_patches(draw_patches(view, before), hidden),
            f"{spoiled.mass[0]:.0%} of it on {hidden.sum()} of {hidden.size} patches",
        ),
        Panel(
            "without them",
            draw_patches(view, np.where(hidden, 0, after)),
            f"elsewhere correlated by {spoiled.likeness[0]:.2f}",
            note=f"class score {moved:+.2g}; random patches: ±{most:.2g}",
        ),
    ]


def _of_lens(lens: Lens | str, view: Image, names: Sequence[str], link: str | None) -> list[Panel]:
    if isinstance(lens, str) or lens.maps is None:
        return [Panel("no logit lens", None, lens if isinstance(lens, str) else "")]
    target, maps = int(lens.target[0]), _plain(lens.maps[0])
    return [
        Panel(
            f"if {block_name(at)} were the last",
            draw_patches(view, each - each.min()) if link == "identity" else draw_patches(view, each, most=1.0),
            str(answer(target, lens.logits[0, at], names, link)),
            note=f"each patch alone: {each.min():.2g} to {each.max():.2g}",
        )
        for at, each in enumerate(maps)
    ]


def _plain(values: Float[Tensor, ...]) -> Any:
    return values.float().cpu().numpy()
