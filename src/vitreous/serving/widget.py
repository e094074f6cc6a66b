"""The widget of a notebook, and what answers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitreous.errors import ExplainError, MissingExtra
from vitreous.inside.given import NOTHING, Given
from vitreous.models.loaded import LoadedModel
from vitreous.render.html import style
from vitreous.render.script import viewer
from vitreous.serving.asked import Explain, Heads, Hide, job_of, mask_of, read
from vitreous.serving.limits import Limits
from vitreous.serving.live import Live, about_methods, explain_live, heads_live, hidden_live, told

try:
    import anywidget
    import traitlets
except ImportError as error:
    raise MissingExtra(error.name or "anywidget", "notebook") from None

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["LiveAnswers", "LiveView"]

_LIMITS = Limits()


@dataclass
class LiveAnswers:
    """Answers the view's questions.

    Attributes:
        subject: the model.
        picture: that is explained.
        file: of the picture, where a command could ask for the same.
        live: what was explained last.
        given: what is shown besides.
    """

    subject: LoadedModel
    picture: Image
    file: Path | None = None
    live: Live | None = None
    given: Given = NOTHING

    def explain(self, asked: Explain) -> dict[str, Any]:
        """Another explanation of the picture, as `told` has it.

        Raises:
            ExplainError: it cannot be explained so.
        """
        job = job_of(self.subject, asked, _LIMITS.methods)
        name = str(self.picture.info.get("file", "picture"))
        self.live = explain_live(job, self.picture, name, self.file, self.live, given=self.given)
        return told(self.live)

    def answer(self, kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the view asks for, or the sentence that says why not."""
        try:
            if kind == "explain":
                return self.explain(read(Explain, {"picture": "", **values}))
            assert self.live
            if kind == "heads":
                return heads_live(self.live, read(Heads, {"result": "", **values}).block)
            asked = read(Hide, {"result": "", **values})
            return hidden_live(self.live, mask_of(asked, _LIMITS.patches), asked.which)
        except ExplainError as error:
            return {"error": error.alone}


class LiveView(anywidget.AnyWidget):
    """The widget."""

    _esm = viewer("widget")
    style = traitlets.Unicode(style()).tag(sync=True)
    about = traitlets.Dict().tag(sync=True)
    asked = traitlets.Dict().tag(sync=True)
    told = traitlets.Dict().tag(sync=True)

    def __init__(self, answers: LiveAnswers, asked: Explain, first: Mapping[str, Any]) -> None:
        about = {"classes": list(answers.subject.class_names), "methods": about_methods()}
        super().__init__(about=about, asked=asdict(asked) | {"methods": list(asked.methods)}, told=first)
        self.on_msg(lambda _, question, __: self._answer(answers, question))

    def _answer(self, answers: LiveAnswers, question: Mapping[str, Any]) -> None:
        found = answers.answer(question["kind"], question["values"])
        self.send({"number": question["number"], "told": found})
