"""What can go wrong, as a tree. Each message is one sentence of fact with the values, then one sentence of what to do.

ExplainError                 every error of ours; the command line prints it without a traceback and exits with 1
├── ObservationError         the model ran, but what a method reads was not there
│   ├── NothingObserved      no attention was seen at all
│   ├── NoTokenGrid          the tokens could not be laid out on a patch grid
│   │   └── Uncovered        the patches of a grid do not share out the picture
│   ├── NoGlobalAttention    attention is windowed, pooled or over channels
│   ├── NoClassToken         the classifier does not read a class token
│   └── TooFewDigits         half precision, of which a method would make another map
├── RuleError                an operation that carries relevance has no rule
├── DegenerateMap            a heat map is constant or not finite
├── ShapeError               a tensor or setting of the wrong shape, type or values
├── UnknownName              a name that is not in a list; close ones are suggested
├── ModelError               a model that cannot be loaded or gives no class scores
│   ├── NoClassScores        what it returns are features, or which of its outputs are the scores cannot be told
│   ├── NotFinite            class scores or features that are NaN or infinite
│   └── ModelFailed          a model raised an error of its own, which is the cause
├── DataError                a picture, folder or data set that cannot be read or written
├── WorkerLost               a process that was to compute has died, or none can be had
└── MissingExtra             an optional dependency is not installed

ExplainWarning               what is done all the same, and may not be what was meant; one line on the command line
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

__all__ = [
    "DataError",
    "DegenerateMap",
    "ExplainError",
    "ExplainWarning",
    "MissingExtra",
    "ModelError",
    "ModelFailed",
    "NoClassScores",
    "NoClassToken",
    "NoGlobalAttention",
    "NoTokenGrid",
    "NotFinite",
    "NothingObserved",
    "ObservationError",
    "RuleError",
    "ShapeError",
    "TooFewDigits",
    "Uncovered",
    "UnknownName",
    "WorkerLost",
    "check_setting",
    "first_sentence",
    "or_why",
    "told",
]

T = TypeVar("T")


class ExplainError(Exception):
    """Every error that vitreous raises on purpose. It comes out of another process as it was."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _as_it_was, (type(self), self.args, self.__dict__)

    @property
    def alone(self) -> str:
        """The message for who gave a single picture."""
        return str(self)


class ExplainWarning(UserWarning):
    """What vitreous does all the same, and what may not have been meant."""


class ObservationError(ExplainError):
    """The model ran, but what a method reads was not there."""


class NothingObserved(ObservationError):
    """No attention was seen while the model ran."""


class NoTokenGrid(ObservationError):
    """The tokens could not be laid out on a patch grid."""


class Uncovered(NoTokenGrid):
    """The patches of a grid do not share out the picture."""


class NoGlobalAttention(ObservationError):
    """Attention does not run between all tokens of the picture."""


class NoClassToken(ObservationError):
    """The classifier does not read a class token."""


class TooFewDigits(ObservationError):
    """The model runs in half precision, of which the method would make another map."""

    def __init__(self, what: str, dtype: object) -> None:
        kind = str(dtype).removeprefix("torch.")
        super().__init__(
            f"{what}, and {kind} keeps too few digits of them: the map would be another than in float64. "
            "Run model and images in float32 or float64: `dtype=` of `vitreous.load`, `--dtype` of "
            "`vitreous benchmark`, without torch.autocast."
        )


class RuleError(ExplainError):
    """An operation that carries relevance has no rule."""


class DegenerateMap(ExplainError):
    """A heat map is constant or not finite, so it explains nothing.

    Attributes:
        image: its place in the batch.
    """

    def __init__(self, fact: str, image: int, remedy: str) -> None:
        self.fact, self.image, self.remedy = fact, image, remedy
        super().__init__(f"{fact} for image {image}. {remedy}")

    @property
    def alone(self) -> str:
        """Likewise: without the image's place in the batch."""
        return f"{self.fact.rstrip(',')}. {self.remedy}"


class ShapeError(ExplainError):
    """A tensor or a setting has the wrong shape, type or values."""


class ModelError(ExplainError):
    """A model cannot be loaded, or gives no class scores."""


class NoClassScores(ModelError):
    """A model returns features, or several things, and none says that it is the class scores."""


class NotFinite(ModelError):
    """A model gave class scores or features that are NaN or infinite."""


class ModelFailed(ModelError):
    """A model raised an error of its own, which is the cause of this one."""


class DataError(ExplainError):
    """A picture, folder or data set cannot be read or written."""


class WorkerLost(ExplainError):
    """A process that was to compute has died, or none can be had."""


class MissingExtra(ExplainError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs `{package}`, which is not installed. Run: pip install 'vitreous[{extra}]'")


_NAME = 200
"""Of a name that is unknown, so much is told."""


class UnknownName(ExplainError):
    """A name is not in the list it must come from.

    Args:
        kind: what is named.
        name: as it was given.
        known: the list.
        shown: how many of it the message names.
        near: what may have been meant; without it, the name in the list that is written most alike.
        remedy: what to do, where that is more than to choose from the list.

    >>> print(UnknownName("method", "agcam", ["ag_cam", "rollout"]))
    no method named "agcam". Did you mean "ag_cam"? Known: ag_cam, rollout.
    """

    def __init__(
        self,
        kind: str,
        name: object,
        known: Iterable[str],
        *,
        shown: int = 12,
        near: Iterable[str] | None = None,
        remedy: str = "",
    ) -> None:
        names = list(known)
        close = get_close_matches(str(name), names, n=1) if near is None else near
        meant = " or ".join(f'"{each}"' for each in close)
        hint = f" Did you mean {meant}?" if meant else ""
        listed = ", ".join(names[:shown]) + (f", … ({len(names)} in all)" if len(names) > shown else "")
        choice = f" Known: {listed}." if names else " None is known."
        named = f"{str(name)[:_NAME]}…" if len(str(name)) > _NAME else name
        super().__init__(f'no {kind} named "{named}".{hint}{choice}{remedy and f" {remedy}"}')


def _as_it_was(kind: type[ExplainError], said: tuple[Any, ...], about: dict[str, Any]) -> ExplainError:
    """An error from its message, which may not be all that its class was made of."""
    error = kind.__new__(kind, *said)
    error.__dict__.update(about)
    return error


def check_setting(name: str, value: object, allowed: Sequence[object]) -> None:
    """Refuse a setting outside its values.

    Raises:
        UnknownName: `value` is not among `allowed`.
    """
    if value not in allowed:
        raise UnknownName(f"value of `{name}`", str(value), map(str, allowed))


def first_sentence(error: BaseException) -> str:
    """What a foreign error says, short enough for a sentence of ours."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0].partition(". ")[0].rstrip(".:")


def told(error: BaseException) -> str:
    """The class of a foreign error, and what it says.

    >>> told(ValueError("too small. Really")), told(AssertionError())
    ('ValueError: too small', 'AssertionError')
    """
    named, said = type(error).__name__, first_sentence(error)
    return named if said == named else f"{named}: {said}"


def or_why(look: Callable[[], T], kinds: tuple[type[ExplainError], ...] = (ExplainError,)) -> T | str:
    """What is found, or why it cannot be, in a sentence, of these kinds of errors."""
    try:
        return look()
    except kinds as error:
        return error.alone
