from __future__ import annotations

from typing import Any

import pytest

from vitreous.errors import ShapeError, UnknownName
from vitreous.trace.reading import Reading, current_reading, reading


def test_blocks_replace_each_other_and_end() -> None:
    with reading(Reading(output="logits")):
        with reading(Reading(link="identity")):
            assert current_reading() == Reading(link="identity"), "what the outer block said is replaced, not mixed in"
        assert current_reading() == Reading(output="logits")
    assert current_reading() == Reading()


def test_blocks_end_after_an_exception() -> None:
    with pytest.raises(ValueError, match="within"), reading(Reading(output=1)):
        raise ValueError("within")
    assert current_reading() == Reading()


def test_unknown_links_are_named() -> None:
    with pytest.raises(UnknownName, match=r'no link named "sigmoids". Did you mean "sigmoid"\?'):
        Reading(link="sigmoids")


def test_what_is_not_said_stays() -> None:
    how = Reading(output=0, link="sigmoid", call=0)
    assert how.but(link=None, part="v", grid=(2, 3)) == Reading(0, "sigmoid", "v", 0, (2, 3))
    assert Reading().but(**how.said()) == how
    assert Reading(link="sigmoid").but(**Reading(call=0).said()) == Reading(link="sigmoid", call=0)
    for patches, which in (("1:", slice(1, None)), (":-4", slice(-4)), ("0:9:2", slice(0, 9, 2)), ("3, 1", (3, 1))):
        assert how.but(patches=patches).patches == which
        assert how.but(**how.but(patches=patches).to_json()) == how.but(patches=patches), "as the manifest has it"
    assert how.but(patches=[1, 2]).patches == (1, 2)


@pytest.mark.parametrize(
    ("said", "fact"),
    [
        ({"call": -1}, "`call` is -1. Count the passes from 0"),
        ({"grid": (0, 4)}, r"`grid` is \(0, 4\), no \(height, width\)"),
        ({"patches": "all"}, "`patches` is 'all'. Give a range of the tokens, FIRST:END, or"),
        ({"patches": "1:2:3:4"}, "`patches` is '1:2:3:4'"),
        ({"patches": ""}, "`patches` is ''"),
    ],
)
def test_what_cannot_be_is_refused(said: Any, fact: str) -> None:
    with pytest.raises(ShapeError, match=fact):
        Reading().but(**said)
