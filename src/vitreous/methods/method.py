"""What a method is, and what it says of itself."""

from __future__ import annotations

from typing import ClassVar, Literal, Protocol, runtime_checkable

from torch import nn

from vitreous.masking.forward import Progress
from vitreous.methods.explanation import Explanation
from vitreous.shapes import Images
from vitreous.trace.target import Target

__all__ = [
    "BlockMethod",
    "Family",
    "ListedMethod",
    "Method",
    "ScorelessMethod",
    "SignedMethod",
    "SlowMethod",
    "title_of_method",
]

Family = Literal["class_token", "attention", "dropping", "head", "layer", "pooling", "relevance", "chefer", "pixels"]
"""What a method reads of a model, and so to which models it applies:

- class_token: the class token's row of attention between all tokens;
- attention: attention between all tokens, whichever of them the classifier reads;
- dropping: likewise, with the model run on some of them;
- head: likewise, with the head on every block's tokens;
- layer: the output of a layer that lies on the picture;
- pooling: likewise, under a head of average pooling and one linear map;
- relevance: every operation's backward, by rules that keep gradients where there is no rule;
- chefer: likewise, by rules that every operation must have;
- pixels: the input and the class scores alone.
"""


@runtime_checkable
class Method(Protocol):
    """A frozen dataclass that explains a batch. Its fields are its settings, with the paper's values as defaults."""

    source: ClassVar[str]
    """Where it was published."""

    def __call__(self, model: nn.Module, images: Images, target: Target = ...) -> Explanation:
        """Explain a batch of normalised images."""
        ...


@runtime_checkable
class SlowMethod(Method, Protocol):
    """A method that runs the model hundreds of times, and tells how far it is. `--method all` leaves it out."""

    slow: ClassVar[Literal[True]]

    def __call__(
        self, model: nn.Module, images: Images, target: Target = ..., *, progress: Progress | None = None
    ) -> Explanation:
        """Explain a batch of normalised images."""
        ...


@runtime_checkable
class ScorelessMethod(Method, Protocol):
    """A method whose map is the same for every class: a model without a classifier has one too."""

    scoreless: ClassVar[Literal[True]]


@runtime_checkable
class BlockMethod(Method, Protocol):
    """A method whose map is of whole blocks: metrics enlarge it to the nearest, so that blocks keep their edges."""

    blocks: ClassVar[Literal[True]]


@runtime_checkable
class SignedMethod(Method, Protocol):
    """A method whose map has two sides: what speaks for the class is positive, what speaks against it negative."""

    signed: ClassVar[Literal[True]]


@runtime_checkable
class ListedMethod(Method, Protocol):
    """A method of this package's list, which also says what people call it, and its family."""

    title: ClassVar[str]
    family: ClassVar[Family]


def title_of_method(method: Method) -> str:
    """As people call it; the name of its class where it does not say."""
    return str(getattr(method, "title", type(method).__name__))
