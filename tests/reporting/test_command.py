"""The command on a page, run as it stands there, makes the same maps, trust and page again."""

from __future__ import annotations

import json
import re
import shlex
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.tiny import noise
from vitreous.cli.main import app

FACTS = re.compile(r"<pre><code>(vitreous .*?)</code></pre>", re.DOTALL)
VARYING = ("started", "finished", "pictures")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_folder: Path) -> Path:
    """A folder with all that commands name."""
    monkeypatch.chdir(tmp_path)
    Path("model").symlink_to(model_folder)
    Path("names.txt").write_text("a\nb, bee\nthe c\nd", encoding="utf-8")
    noise(1, (40, 30)).save("my cat.png")
    deep = np.random.default_rng(0).integers(0, 4096, (32, 32)).astype(np.uint16)
    Image.fromarray(deep).save("-deep.png")
    return tmp_path


def explained(words: list[str]) -> tuple[dict[str, Any], dict[str, np.ndarray], list[str]]:
    """The manifest, the maps and the commands on the page of a run."""
    done = CliRunner().invoke(app, [*words, "--output", "out"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    told = json.loads(Path("out/manifest.json").read_text(encoding="utf-8"))
    with np.load(next(Path("out").glob("*.npz"))) as arrays:
        maps = dict(arrays)
    page = Path("out/report.html").read_text(encoding="utf-8")
    return told, maps, [unescape(each) for each in FACTS.findall(page)]


NAMED = "'my cat.png' --class-names names.txt --method"
RUNS = {
    "plain": "'my cat.png' --method ag_cam",
    "a sample": "--sample dog --method ag_cam",
    "two classes of named ones": f"{NAMED} ag_cam --target bee --target 3",
    "one against another": f"{NAMED} attn_lrp --target 'the c' --against bee",
    "settings": "'my cat.png' --method mgrw,grad_cam,rollout --set mgrw.walks=20 --set mgrw.length=4 "
    "--set mgrw.fine=same --set grad_cam.layer=blocks.0 --set rollout.start_layer=1",
    "reading": "'my cat.png' --method grad_cam --link sigmoid --call 0 --grid 4,4 --patches 1: --dtype bfloat16 "
    "--target top-2",
    "looks": "'my cat.png' --method ag_cam --alpha 0.3 --common-scale --isolines --batch-size 2",
    "a window": "./-deep.png --method ag_cam --window 12.3456789,4000 --trust-orders 4",
    "best": "'my cat.png' --method best",
}
SLOW = ("settings", "best")


@pytest.mark.parametrize(
    "run", [pytest.param(each, id=name, marks=[pytest.mark.slow] * (name in SLOW)) for name, each in RUNS.items()]
)
@pytest.mark.usefixtures("desk")
def test_every_printed_command_makes_the_same_again(run: str) -> None:
    quick = [] if "--trust-orders" in run else ["--trust-orders", "2"]
    before, maps, commands = explained(["explain", *shlex.split(run), "--model", "model", "--report", *quick])
    (command,) = commands
    Path("out").rename("before")
    after, again, printed = explained(shlex.split(command)[1:])
    assert printed == commands
    assert maps.keys() == again.keys()
    for name, values in maps.items():
        np.testing.assert_array_equal(values, again[name], err_msg=f"{name}: {command}")
    same = [{key: value for key, value in each.items() if key not in VARYING} for each in (before, after)]
    if "best" in run:
        for each in same:
            each.pop("choice")
    assert same[0] == same[1]
    trusts = [each["pictures"][0]["trust"] for each in (before, after)]
    assert trusts[0] == trusts[1]
