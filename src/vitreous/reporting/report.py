"""`vitreous.report`: explanations as pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from vitreous.errors import DataError, ShapeError
from vitreous.explaining.trust.records import Trust
from vitreous.methods.explanation import Explanation
from vitreous.models.zoo import LoadedModel
from vitreous.settings.arguments import checked

__all__ = ["report"]


@checked("explanations", "model")
def report(
    explanations: Explanation | Sequence[Explanation] | Mapping[str, Explanation],
    path: str | Path = "report.html",
    *,
    trust: Sequence[Trust] = (),
    model: nn.Module | LoadedModel | None = None,
    concepts: str | Path | None = None,
    cases: str | Path | None = None,
) -> Path:
    """Write explanations as one HTML file that needs no network, to hand to somebody else.

    Its maps are linked: one pointer, zoom and chosen patch; opacity, threshold, colors and scale can be set, and where
    trust was measured, its curves followed step by step. Without scripts it is a page of pictures and tables.

    Args:
        explanations: one, several, or by names of yours, as `explain(method=[…])` gives them. Those of one picture
            share a page.
        path: of the file. Of several pictures it is the index of pages in a folder of the same name, `report/`.
        trust: what `vitreous.trust(model, explanations)` gave.
        model: that was explained. With it a patch that is clicked shows which ones look like it, which it attends to,
            and which matter to the class through it; a model that cuts the picture into regions shows these; and tabs
            show what lies inside it, as `vitreous inside` has it: which patches are alike, principal components,
            artifacts, and what each block says. Nine forward passes and two backward ones a picture, and what it takes
            to measure how the tokens lie.
        concepts: a folder that `vitreous concepts` wrote with the same model: a tab shows them on each picture.
        cases: an index that `vitreous cases` wrote with the same model: a tab shows its most alike pictures.

    Returns:
        the path.

    Raises:
        ShapeError: there are no explanations, or concepts or cases without the model.
        DataError: concepts or cases cannot be read, or are of another model; the path names no `.html`,
            there is a file already that is no page of vitreous, or the disk says no.

    >>> import tempfile, torch, vitreous
    >>> explanation = vitreous.explain(vitreous.load(), torch.rand(1, 3, 128, 128))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     vitreous.report(explanation, Path(folder, "report.html")).name
    'report.html'
    """
    from vitreous.inside.given import NOTHING, Given
    from vitreous.methods.cases import cases_of
    from vitreous.models.zoo import describe
    from vitreous.reporting.pages import write_pages
    from vitreous.reporting.related import beside

    path = Path(path)
    if path.suffix != ".html":
        raise DataError(f"`{path}` does not end in .html. Name the page so.")
    given = Given.at(concepts, cases)
    if model is None and given != NOTHING:
        raise ShapeError("`concepts` and `cases` are shown by the model that was explained. Give it too: model=.")
    if model is not None:
        given.check(describe(model))
    told = cases_of(explanations, trust, beside(model, given) if model is not None else None)
    names = [f"{place:0{len(str(len(told)))}}" for place in range(1, len(told) + 1)]
    return write_pages(zip(names, told, strict=True), path, f"{len(told)} explained pictures")
