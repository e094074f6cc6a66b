"""`vitreous explain`: what is asked for is done, what cannot be done is said, and the exit status tells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Run
from tests.tiny import BAD, noise

FAST = ("--method", "ag_cam")


def test_without_a_picture_the_sample_is_explained(run: Run, folder: Path) -> None:
    done = run("explain", "--model", folder, *FAST)
    assert done.exit_code == 0
    assert "Sheet: explained/chelsea.png" in done.stdout
    written = {path.name for path in Path("explained").iterdir()} - {".lock"}
    assert written == {"chelsea.png", "chelsea.npz", "manifest.json"}


def test_another_sample_is_explained_by_name(run: Run, folder: Path) -> None:
    done = run("explain", "--sample", "horse", "--model", folder, *FAST)
    assert done.exit_code == 0
    assert "Sheet: explained/horse.png" in done.stdout
    assert run("explain", "cat.jpg", "--sample", "horse").exit_code == 2
    assert "Known: chelsea, dog, horse" in run("explain", "--sample", "elk").stderr


def test_files_folders_and_patterns(run: Run, folder: Path) -> None:
    for at, name in enumerate(("one.png", "holiday/two.jpg", "holiday/deep/three.png", "scans/four.png")):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        noise(at).save(name)
    done = run("explain", "one.png", "holiday", "scans/*.png", "one.png", "--model", folder, *FAST)
    assert done.exit_code == 0
    assert "4 of 4 pictures explained, in explained" in done.stdout
    written = {path.relative_to("explained").as_posix() for path in Path("explained").rglob("*.npz")}
    assert written == {"one.npz", "holiday/two.npz", "holiday/deep/three.npz", "scans/four.npz"}


def test_bad_pictures_are_listed_and_the_good_ones_done(run: Run, folder: Path) -> None:
    Path("drawer").mkdir()
    noise(1).save("drawer/good.png")
    said = ["there is no file `missing.png`"]
    for name, (make, words) in BAD.items():
        make(Path("drawer") / name)
        said += [words] if name != "folder.png" else []
    done = run("explain", "drawer", "missing.png", "--model", folder, *FAST)
    assert done.exit_code == 1
    assert "1 of 7 pictures explained" in done.stdout
    assert Path("explained/drawer/good.png").is_file()
    assert all(words in done.stderr for words in said), done.stderr
    assert "Traceback" not in done.output
    errors = [entry["error"] for entry in json.loads(Path("explained/manifest.json").read_text())["pictures"]]
    assert errors.count(None) == 1


@pytest.mark.parametrize("words", [["missing.png"], ["*.png"], ["."]])
def test_nothing_to_explain_is_said_at_once(run: Run, words: list[str]) -> None:
    done = run("explain", *words, "--model", "never-loaded")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1
    assert not Path("explained").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--method", "agcam"], 'no method named "agcam". Did you mean "ag_cam"?'),
        (["--method", "ag_cam,rolout"], 'no method named "rolout". Did you mean "rollout"?'),
        (["--method", ","], "names no method"),
        (["--set", "readout"], "has no '='"),
        (["--set", "rolout.readout=mean"], 'no row of --set named "rolout"'),
        (["--method", "ag_cam", "--set", "readout=mean"], 'no setting of `ag_cam` named "readout"'),
        (["--method", "rollout", "--set", "start_layer=9"], 'no value of `start_layer` named "9"'),
        (["--target", "cow"], 'no class named "cow"'),
        (["--target", "top-0"], 'no target named "top-0"'),
        (["--target", "top-5"], "top-1 … top-4"),
        (["--model", "tim:vit"], "tim"),
        (["--model", "timm:vit_tinny_patch16_224"], "vit_tiny_patch16_224"),
        (["--batch-size", "0"], "--batch-size"),
        (["--alpha", "2"], "--alpha"),
        (["--dtype", "int8"], "--dtype"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_usage_errors(run: Run, folder: Path, words: list[str], said: str) -> None:
    model = [] if "--model" in words else ["--model", folder]
    done = run("explain", *model, *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "nowhere"], "there is no file or folder `nowhere`"),
        (["--model", "timm:vit_tiny_patch16_224", "--checkpoint", "nowhere.pth"], "nowhere.pth"),
        (["--device", "abacus"], 'device "abacus" cannot be used'),
        (["--output", "file/out"], "`file/out` cannot be written: Not a directory"),
    ],
)
def test_other_errors_are_one_line(run: Run, folder: Path, words: list[str], said: str) -> None:
    Path("file").touch()
    model = [] if "--model" in words else ["--model", folder]
    done = run("explain", *model, *words)
    assert done.exit_code == 1
    assert said in done.stderr
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1


def test_isolines_are_another_sheet(run: Run, folder: Path) -> None:
    for output, more in (("a", ()), ("b", ("--isolines",))):
        assert run("explain", "--model", folder, *FAST, "--output", output, *more).exit_code == 0
    assert Path("a/chelsea.png").read_bytes() != Path("b/chelsea.png").read_bytes()


def test_warnings_are_a_line_and_in_the_manifest(run: Run, folder: Path) -> None:
    Image.fromarray(np.arange(0, 4096, 4, dtype=np.uint16).reshape(32, 32)).save("deep.png")
    noise(1).save("plain.png")
    for again in range(2):  # the second time, the first one's sheet is kept
        done = run("explain", "deep.png", "--model", folder, *FAST)
        assert done.exit_code == 0, again
        assert done.stderr.startswith("Warning: `deep.png` has 16-bit gray values of at most 4092")
        assert len(done.stderr.splitlines()) == 1
    (entry,) = json.loads(Path("explained/manifest.json").read_text())["pictures"]
    assert entry["warning"] == done.stderr.removeprefix("Warning: ").strip().replace("`deep", "`../deep")
    assert entry["window"] == [0, 65535]
    done = run("explain", "deep.png", "--model", folder, *FAST, "--report", "--trust-orders", "2", "--output", "read")
    assert len(done.stderr.splitlines()) == 1, "the page reads the picture once more"
    done = run("explain", "plain.png", "deep.png", "--window", "0,4095", "--model", folder, *FAST)
    assert done.exit_code == 0
    unused = (
        "`plain.png` has no gray values of more than 8 bits, so the window 0,4095 does not apply: it is read as it is."
    )
    assert done.stderr.startswith(f"Warning: {unused}")
    assert len(done.stderr.splitlines()) == 1
    plain, deep = json.loads(Path("explained/manifest.json").read_text())["pictures"]
    assert plain["warning"].startswith(unused.replace("`plain", "`../plain"))
    assert (deep["warning"], deep["window"]) == ("", [0, 4095])
