"""What a method's maps show, and what they do not, in words for someone who meets it for the first time."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from vitreous.methods.baseline import Baseline
from vitreous.methods.input_x_gradient import InputXGradient
from vitreous.methods.integrated_gradients import IntegratedGradients

__all__ = ["shows"]

_MIXED = "By the deeper layers a patch's token holds more of the picture than that patch alone."
_RULES = (
    "It hands the score back from operation to operation by fixed rules. That these share it out as the model would is "
    "the method's assumption."
)
_READS: Mapping[str, str] = {
    "class_token": f"It is read off the class token's attention. {_MIXED}",
    "attention": f"It is read off the attention between patches. {_MIXED}",
    "dropping": "It runs the model on some of the tokens. Patches that matter only together may look unimportant.",
    "head": f"It asks the classifier's head about the tokens between the blocks. {_MIXED}",
    "layer": "It is read off one layer's features, and is as coarse as that layer.",
    "pooling": "It is read off the last features under an average, and is as coarse as these.",
    "relevance": _RULES,
    "chefer": _RULES,
    "pixels": "It changes the picture and asks the model again. Such pictures are unlike those that the model learned "
    "from, and parts that matter only together may look unimportant.",
}
_SLOPE = "It reads slopes of the score. A slope says what a small change would do, not what the score stands on."
_NOTHING = "It knows nothing of the model. Other maps should be better than it."
_SAME = "It is the same for every class: where the model looks, not what speaks for a class."
_TWO = "It has two sides: what speaks for what is explained is positive, what speaks against it negative."
_ONE = "It has one side: what speaks against the class is not told from what does not matter."


def shows(method: Any) -> Iterator[str]:
    """A sentence each: what it is, what it sees, whether it has two sides and depends on the class."""
    yield (inspect.getdoc(type(method)) or type(method).__name__).partition("\n\n")[0].replace("\n", " ")
    if isinstance(method, Baseline):
        yield _NOTHING
        return
    family = getattr(method, "family", "")
    if isinstance(method, InputXGradient | IntegratedGradients):
        yield _SLOPE
    elif family in _READS:
        yield _READS[family]
    if getattr(method, "scoreless", False):
        yield _SAME
    else:
        yield _TWO if getattr(method, "signed", False) else _ONE
