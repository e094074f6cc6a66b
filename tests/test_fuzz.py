"""Every reader, on files that are damaged anywhere: an error of ours or a result; no hang, bounded memory, no write.

`make test` tries some damages of every kind of file, `make test-all` ten thousand in all.
"""

from __future__ import annotations

import contextlib
import functools
import json
import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.trees import TREES
from tests.tiny import noise, save_model
from vitreous.benchmarking.plan import read_plan
from vitreous.data.labelled import load_labelled
from vitreous.data.objects import read_scenes
from vitreous.data.pictures import open_picture
from vitreous.data.readers import open_samples
from vitreous.errors import ExplainError
from vitreous.files.ledger import open_ledger
from vitreous.models.checkpoint import read_state
from vitreous.models.zoo import load
from vitreous.statistics.store import Record, Store
from vitreous.training import recipe

Read = Callable[[], object]
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


def _samples(kind: str, root: Path) -> Read:
    spec = TREES[kind](root)
    return lambda: [entry.open() for entry in open_samples(spec).entries]


def _picture(suffix: str, root: Path) -> Read:
    file = root / f"a{suffix}"
    noise(1).save(file)
    return lambda: open_picture(file)


def _labelled(root: Path) -> Read:
    file = TREES["npz"](root).partition(":")[2]
    return lambda: [
        picture for split in load_labelled(file)[:2] for picture in map(split.__getitem__, range(len(split)))
    ]


def _scenes(root: Path) -> Read:
    TREES["coco"](root)
    return lambda: [scene.objects() for scene in read_scenes(root, "val2017").scenes]


def _model(root: Path) -> Read:
    save_model(root, embed_dim=8, depth=1, num_heads=1)
    return lambda: load(root)


def _checkpoint(root: Path) -> Read:
    torch.save({"state_dict": {"a": torch.zeros(4), "b": torch.ones(2, 3)}, "epoch": 3}, root / "a.pth")
    return lambda: read_state(root / "a.pth")


def _plan(root: Path) -> Read:
    text = 'dataset = "folder:x"\nlimit = 3\nmethods = ["rollout"]\n[metrics.box_overlap]\nmisclassified = true\n'
    (root / "plan.toml").write_text(text)
    return lambda: read_plan(root / "plan.toml", {}, {})


def _recipe(root: Path) -> Read:
    (root / "recipe.toml").write_bytes((Path(recipe.__file__).parent / "recipes" / "taught.toml").read_bytes())
    return lambda: recipe.read_recipe(root / "recipe.toml")


def _ledger(root: Path) -> Read:
    picture = root / "a.png"
    with open_ledger(root, "explain", {"target": "predicted"}, [picture], (".npz",)) as ledger:
        ledger.claim(picture)
        ledger.note(picture, {"file": "a.png"}, written=True)

    def read() -> None:
        with open_ledger(root, "explain", {"target": "predicted"}, [picture], (".npz",)) as ledger:
            ledger.whole(picture)

    return read


def _results(root: Path) -> Read:
    Store(root).add([Record("m", "r", "k", f"{at}", "x", [1.0, 2.0]) for at in range(3)])
    return lambda: Store(root).read()


READERS: dict[str, Callable[[Path], Read]] = {
    **{kind: functools.partial(_samples, kind) for kind in TREES},
    **{f"picture{suffix}": functools.partial(_picture, suffix) for suffix in (".png", ".jpg", ".gif", ".tif", ".webp")},
    "labelled": _labelled,
    "scenes": _scenes,
    "model": _model,
    "checkpoint": _checkpoint,
    "plan": _plan,
    "recipe": _recipe,
    "ledger": _ledger,
    "results": _results,
}
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


def fuzz(name: str, cases: int) -> None:
    with tempfile.TemporaryDirectory() as outside:
        root = Path(outside) / "in" / "here"
        root.mkdir(parents=True)
        read = READERS[name](root)
        whole = {file: file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()}
        files = list(whole)
        read()

        @settings(max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(st.sampled_from(files), EDITS)
        def each(file: Path, edits: list[tuple[float, str, bytes]]) -> None:
            for known, content in whole.items():
                known.write_bytes(content)
            file.write_bytes(damaged(whole[file], edits))
            start = time.monotonic()
            with warnings.catch_warnings(), bounded(), contextlib.suppress(ExplainError):
                warnings.simplefilter("ignore")
                read()
            assert time.monotonic() - start < SECONDS
            assert [path.name for path in Path(outside).iterdir()] == ["in"]
            assert [path.name for path in root.parent.iterdir()] == ["here"]

        each()


@pytest.mark.parametrize("name", READERS)
def test_some_damages(name: str) -> None:
    fuzz(name, 15)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_ten_thousand_damages(name: str) -> None:
    fuzz(name, 1 + 10_000 // len(READERS))
