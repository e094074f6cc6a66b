from __future__ import annotations

import pytest

from vitreous.errors import UnknownName
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
