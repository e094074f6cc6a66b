"""What is explained: a direction in the space of logits, per image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vitreous.errors import ExplainError, NotFinite, ShapeError, UnknownName, told
from vitreous.shapes import Logits
from vitreous.trace.changes import changes
from vitreous.trace.ending import Ending, scores_behind
from vitreous.trace.output import class_scores
from vitreous.trace.reading import current_reading, link_of

__all__ = [
    "Classes",
    "Margin",
    "Predicted",
    "Scalar",
    "Scale",
    "Target",
    "finite",
    "logits_of",
    "probabilities",
    "value_of",
]

Scale = Literal["logit", "probability"]
"""What a perturbation is measured on: class scores, or the `probabilities` that they stand for."""

Target = Callable[[Logits], Logits]
"""From logits to the direction explained: the value is ⟨direction, logits⟩, so one class is a one-hot row."""


@dataclass(frozen=True)
class Predicted:
    """The class with the largest logit, per image; of a single, binary score the side that it is on.

    >>> Predicted()(torch.tensor([[0.5], [-2.0]]))
    tensor([[ 1.],
            [-1.]])
    """

    def __call__(self, logits: Logits) -> Logits:
        """One-hot rows at each image's largest logit; -1 where a binary score says that it is not its class.

        Raises:
            ShapeError: they are several values of a regression, and none of them is the answer.
        """
        classes, link = logits.shape[1], link_of(logits.shape[1])
        if link == "identity" and classes > 1:
            raise ShapeError(
                f"the model gives {classes} values and no classes, so none of them is predicted. "
                f"Name the one to explain: target=0 … {classes - 1}."
            )
        direction = F.one_hot(logits.argmax(1), classes).to(logits)
        return direction.where(logits >= 0, -1) if classes == 1 and link != "identity" else direction


@dataclass(frozen=True)
class Classes:
    """Given classes: one index for every image of the batch, or one for all of them.

    >>> Classes((2,))(torch.zeros(2, 3))
    tensor([[0., 0., 1.],
            [0., 0., 1.]])
    """

    index: Sequence[int]

    def __post_init__(self) -> None:
        """Refuse what are no indices.

        Raises:
            ShapeError: so it is.
        """
        given: Any = self.index
        if not (isinstance(given, list | tuple | range) and all(isinstance(each, Integral) for each in given)):
            raise ShapeError(f"the classes are {given!r:.80}. Give a tuple of their indices, (3,).")

    def __call__(self, logits: Logits) -> Logits:
        """One-hot rows at the given indices.

        Raises:
            UnknownName: an index is outside the model's classes.
            ShapeError: as many indices as images are needed.
        """
        batch, classes = logits.shape
        for index in self.index:
            if not 0 <= index < classes:
                raise UnknownName("class", str(index), [f"0 … {classes - 1}"])
        index = torch.tensor(self.per_image(batch), device=logits.device)
        return F.one_hot(index, classes).to(logits)

    def per_image(self, images: int) -> Sequence[int]:
        """One index for each of so many images.

        Raises:
            ShapeError: as many indices as images are needed.
        """
        if len(self.index) not in (1, images):
            raise ShapeError(f"`target` must name 1 or {images} classes; got {len(self.index)}. Give one per image.")
        return self.index if len(self.index) == images else [*self.index] * images


@dataclass(frozen=True)
class Margin:
    """Why one class rather than another: the difference of their logits.

    >>> Margin(Classes((2,)), Classes((0,)))(torch.zeros(1, 3))
    tensor([[-1.,  0.,  1.]])
    """

    of: Target
    against: Target

    def __post_init__(self) -> None:
        """Refuse what are no targets.

        Raises:
            ShapeError: so it is.
        """
        sides: tuple[Any, ...] = (self.of, self.against)
        for side in sides:
            if not callable(side):
                raise ShapeError(f"a side of the margin is {side!r:.80}. Give targets, Classes((3,)) or Predicted().")

    def __call__(self, logits: Logits) -> Logits:
        """1 at the one class, -1 at the other.

        Raises:
            ShapeError: they are the same for an image, or a side gives no direction.
        """
        sides: list[Any] = [side(logits) for side in (self.of, self.against)]
        for found in sides:
            if not isinstance(found, Tensor) or found.shape != logits.shape:
                raise ShapeError(
                    f"a side of the margin gives {found!r:.80}. Give targets, Classes((3,)) or Predicted()."
                )
        direction = sides[0] - sides[1]
        if (same := ~direction.any(1)).any():
            raise ShapeError(
                f"image {int(same.nonzero()[0, 0])} has the same class on both sides of the margin. "
                "Name another class to hold it against, or the one to explain, where it was the predicted one."
            )
        return direction


@dataclass(frozen=True)
class Scalar:
    """Any number that a differentiable function makes of an image's logits, explained to first order: by its gradient.

    >>> Scalar(lambda logits: logits[:, 0] ** 2)(torch.tensor([[3.0, 1.0]]))
    tensor([[6., 0.]])
    """

    function: Callable[[Logits], Tensor]

    def __call__(self, logits: Logits) -> Logits:
        """Its gradient at these logits.

        Raises:
            ShapeError: it fails, or does not give one number per image that depends on the logits.
        """
        with torch.inference_mode(False), torch.enable_grad():
            free = logits.detach().clone().requires_grad_()
            values = _called(self.function, free)
            if not isinstance(values, Tensor):
                raise ShapeError(
                    f"the target function gave a `{type(values).__name__}`. Return a tensor of one number per image, "
                    "(batch,), computed from the logits by torch."
                )
            if values.shape != logits.shape[:1] or not values.requires_grad:
                raise ShapeError(
                    f"the target function gave {tuple(values.shape)} for logits {tuple(logits.shape)}. "
                    "Return one number per image, (batch,), computed from the logits by torch."
                )
            (direction,) = torch.autograd.grad(values.sum(), free)
        return direction


def _called(function: Callable[[Logits], Tensor], logits: Logits) -> Any:
    """What a function of the user's makes of logits."""
    try:
        return function(logits)
    except (ExplainError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # it is not ours
        raise ShapeError(
            f"the target function failed on logits {tuple(logits.shape)}: {told(error)}. It is given (batch, classes), "
            "and returns one number per image, (batch,)."
        ) from error


def probabilities(logits: Float[Tensor, "*batch classes"]) -> Float[Tensor, "*batch classes"]:
    """What the scores stand for, as `link_of` says: softmax over the classes, sigmoid of each, or themselves.

    Raises:
        ShapeError: of one score, whose softmax is always 1.

    >>> probabilities(torch.tensor([[0.0]]))
    tensor([[0.5000]])
    """
    match link_of(logits.shape[-1]):
        case "identity":
            return logits
        case "sigmoid":
            return logits.sigmoid()
        case _ if logits.shape[-1] > 1:
            return logits.softmax(-1)
        case _:
            raise ShapeError(
                'the softmax of a single score is always 1. Read it by link="sigmoid", or a value by link="identity".'
            )


def value_of(
    logits: Float[Tensor, "batch masks classes"], direction: Logits, scale: Scale
) -> Float[Tensor, "batch masks"]:
    """The explained value of each image's masked versions: ⟨direction, logits⟩, or ⟨direction, probabilities⟩.

    >>> value_of(torch.tensor([[[1.0, 1.0], [3.0, 2.0]]]), torch.tensor([[1.0, 0.0]]), "logit")
    tensor([[1., 3.]])
    """
    values = probabilities(logits) if scale == "probability" else logits
    return (values * direction[:, None]).sum(-1)


def logits_of(output: Any, model: str, images: int) -> Logits:
    """The class scores in what a model returned for so many images, read as the block says; see `class_scores`.

    Raises:
        NoClassScores, UnknownName, ModelError: likewise.
        NotFinite: some are NaN or infinite.
    """
    with changes() as change:
        change.enter(Ending())  # a function of the output may move it
        found = class_scores(output, current_reading().output, model, images)
    return finite(scores_behind(found, model), model)


def finite(logits: Logits, model: str) -> Logits:
    """The same class scores, if all are finite: of others every explanation would be wrong.

    Raises:
        NotFinite: some are not.
    """
    bad = ~logits.detach().isfinite().all(1)
    if bad.any():
        raise NotFinite(
            f"`{model}` gave NaN or infinite class scores for {int(bad.sum())} of {len(bad)} images. Check that its "
            "weights are finite, and run it in float32 or float64."
        )
    return logits
