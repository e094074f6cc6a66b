"""Every reader, on files that are damaged anywhere: an error of ours or a result; no hang, bounded memory, no write.

What once broke one is tried first (`tests/corpus.py`). `make test` tries some damages of every kind of file, `make
test-all` ten thousand in all; they are the same ones every time, others where `VITREOUS_FUZZ` is set.
"""

from __future__ import annotations

import contextlib
import json
import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.corpus import CORPUS
from tests.quick import quick
from tests.readers import READERS
from vitreous.errors import ExplainError

SECONDS = 10
MEMORY = 2 * 2**30
"""More than the process has already; a file of some kilobytes must not need it."""
ODD = [
    "null",
    "-1",
    "1e308",
    "1e999",
    '"x"',
    "[]",
    "{}",
    "true",
    '"../../x"',
    str(2**70),
    "NaN",
    "[[[[]]]]",
    '"\\u0000"',
]


EDITS = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.sampled_from(["set", "put", "cut", "end", "twice", "odd"]),
        st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=4,
)


def damaged(content: bytes, edits: list[tuple[float, str, bytes]]) -> bytes:
    """A file with some of it written over, put in, cut out, doubled or ended; of JSON, one value made another."""
    for where, how, data in edits:
        at = int(where * len(content))
        size = 1 + data[0]
        match how:
            case "set":
                content = content[:at] + data + content[at + len(data) :]
            case "put":
                content = content[:at] + data + content[at:]
            case "cut":
                content = content[:at] + content[at + size :]
            case "end":
                content = content[:at]
            case "twice":
                content = content[: at + size] + content[at:]
            case _:
                content = odd(content, where, ODD[data[0] % len(ODD)])
    return content


def odd(content: bytes, where: float, value: str) -> bytes:
    """A JSON file with one of its values another."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return content
    places = list(_places(values))
    if not places:
        return content
    holder, key = places[int(where * (len(places) - 1))]
    holder[key] = "\0here\0"
    return json.dumps(values).replace(json.dumps("\0here\0"), value).encode()


def _places(values: object) -> Generator[tuple[object, object]]:
    pairs = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in list(pairs):
        yield values, key
        yield from _places(value)


@contextlib.contextmanager
def bounded() -> Generator[None]:
    """Little more memory than the process has."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextlib.contextmanager
def readable(name: str) -> Generator[tuple[Path, Callable[[], None]]]:
    """A folder of whole files, and a call that reads them: in time, in little memory, nothing written outside."""
    with tempfile.TemporaryDirectory() as outside:
        root = Path(outside) / "in" / "here"
        root.mkdir(parents=True)
        with warnings.catch_warnings(action="ignore"):
            read = READERS[name](root)
            read()
        beside = sorted(path.name for path in Path(outside).iterdir())

        def attempt() -> None:
            start = time.monotonic()
            try:
                with warnings.catch_warnings(), bounded():
                    warnings.simplefilter("ignore")
                    read()
            finally:
                assert time.monotonic() - start < SECONDS
                assert sorted(path.name for path in Path(outside).iterdir()) == beside
                assert [path.name for path in root.parent.iterdir()] == ["here"]

        yield root, attempt


def fuzz(name: str, cases: int) -> None:
    with readable(name) as (root, attempt):
        whole = {file: file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()}
        files = list(whole)

        @settings(
            max_examples=cases,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.sampled_from(files), EDITS)
        def each(file: Path, edits: list[tuple[float, str, bytes]]) -> None:
            for known, content in whole.items():
                known.write_bytes(content)
            file.write_bytes(damaged(whole[file], edits))
            with contextlib.suppress(ExplainError):
                attempt()

        each()


@pytest.mark.parametrize("what", CORPUS)
def test_what_once_broke_a_reader(what: str) -> None:
    kept = CORPUS[what]
    with readable(kept.reader) as (root, attempt):
        (file,) = root.glob(kept.file)
        file.write_bytes(kept.change(file.read_bytes()))
        with pytest.raises(ExplainError):
            attempt()


@pytest.mark.parametrize("name", quick(READERS, {*READERS} - {"verification"}))
def test_some_damages(name: str) -> None:
    fuzz(name, 15)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_ten_thousand_damages(name: str) -> None:
    fuzz(name, 1 + 10_000 // len(READERS))
