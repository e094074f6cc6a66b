from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.programs import check_programs


@dataclass
class Marked:
    """As much of a test as is looked at."""

    config: pytest.Config
    programs: tuple[str, ...]

    def iter_markers(self, name: str) -> list[pytest.Mark]:
        return [getattr(pytest.mark, name)(*self.programs).mark]


@pytest.mark.parametrize(("everything", "outcome"), [(False, pytest.skip.Exception), (True, pytest.fail.Exception)])
def test_a_program_that_is_missing_is_named(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch, everything: bool, outcome: type[BaseException]
) -> None:
    monkeypatch.setattr(pytestconfig.option, "all", everything)
    with pytest.raises(outcome, match="there is no no-such-browser or nor-this-one"):
        check_programs(Marked(pytestconfig, ("no-such-browser", "nor-this-one")))  # type: ignore[arg-type]


def test_one_program_of_several_is_enough(pytestconfig: pytest.Config) -> None:
    check_programs(Marked(pytestconfig, ("no-such-browser", "sh")))  # type: ignore[arg-type]
