"""The live view in a notebook: `vitreous.live(model, picture)`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from vitreous.models.loaded import LoadedModel
from vitreous.models.preprocess import Preprocess
from vitreous.settings.arguments import checked

if TYPE_CHECKING:
    from vitreous.explaining.explain import Picture
    from vitreous.serving.widget import LiveView

__all__ = ["live"]


@checked("model", "picture")
def live(
    model: nn.Module | LoadedModel,
    picture: Picture,
    methods: Sequence[str] = ("ag_cam",),
    *,
    trust: bool = False,
    preprocess: Preprocess | None = None,
    class_names: Sequence[str] = (),
    concepts: str | Path | None = None,
    cases: str | Path | None = None,
) -> LiveView:
    """A live view of a picture, for a notebook: another class, another method, patches hidden by click.

    The page of `vitreous.report`, with the model at hand: what it says of the picture with some patches hidden stands
    beside what each map foretold; tabs show what lies inside the model. Runs in Jupyter, VS Code, Colab and marimo.

    Args:
        model: your own module, or what `vitreous.load` gave.
        picture: a path, a PIL image or a uint8 array.
        methods: names, of which any can be chosen in the view.
        trust: whether what the maps are worth is measured each time.
        preprocess: how pictures become the model's input, where it does not say.
        class_names: one per logit, where the model has none.
        concepts: as in `vitreous.report`.
        cases: likewise.

    Returns:
        a widget of anywidget's.

    Raises:
        MissingExtra: anywidget is not installed.
        DataError: concepts or cases cannot be read, or are of another model.
        ExplainError: as `explain`.
    """
    from vitreous.data.pictures import as_picture
    from vitreous.inside.given import Given
    from vitreous.models.zoo import describe
    from vitreous.serving.asked import Explain
    from vitreous.serving.widget import LiveAnswers, LiveView

    file = Path(picture) if isinstance(picture, str | Path) and not (preprocess or class_names) else None
    subject = describe(model, preprocess, tuple(class_names))
    given = Given.at(concepts, cases)
    given.check(subject)
    answers = LiveAnswers(subject, as_picture(picture), file, given=given)
    asked = Explain("", tuple(methods), trust=trust)
    return LiveView(answers, asked, answers.explain(asked))
