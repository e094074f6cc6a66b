"""`vitreous explain`: what is asked for is done, what cannot be done is said, and the exit status tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


def test_the_classes_are_listed_with_their_probabilities(run: Run, folder: Path) -> None:
    done = run("explain", "--model", folder, *FAST)
    rows = [line.split("%")[0].rsplit(None, 1) for line in done.stdout.splitlines() if "%" in line]
    assert {name.strip() for name, _ in rows} == {"tabby, tabby cat", "dog", "hen", "7"}
    shares = [float(share) for _, share in rows]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.3)


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


def test_top_k(run: Run, folder: Path) -> None:
    done = run("explain", "--model", folder, *FAST, "--target", "top-2")
    assert done.exit_code == 0
    with np.load("explained/chelsea.npz") as maps:
        assert maps["ag_cam"].shape == (2, 4, 4)


def test_two_named_classes(run: Run, folder: Path) -> None:
    done = run("explain", "--model", folder, *FAST, "--target", "Tabby", "--target", "2")
    assert done.exit_code == 0
    with np.load("explained/chelsea.npz") as maps:
        assert maps["target"].tolist() == [0, 2]
        assert maps["ag_cam"].shape == (2, 4, 4)
    again = run("reproduce", "explained")
    assert again.exit_code == 0, again.output


def test_models_are_rows_of_one_sheet_and_of_one_page(run: Run, folder: Path, pooling: Path) -> None:
    models = ("--model", folder, "--model", pooling)
    done = run("explain", *models, "--method", "layer_cam,grad_cam", "--target", "hen", "--report", "--trust-orders", 2)
    assert (done.exit_code, "Models side by side: 1 sheet" in done.stdout) == (0, True), done.output
    with Image.open("explained/chelsea.png") as page:
        assert page.width > 900, "a picture and two maps"
        assert page.height > 800, "two rows"
    maps: list[Any] = []
    for place in (folder.name, pooling.name):
        with np.load(Path("explained", place, "chelsea.npz")) as kept:
            assert kept["target"].tolist() == [2]
            maps.append(kept["grad_cam"])
    assert not np.array_equal(*maps)
    page = Path("explained/report.html").read_text()
    assert all(f"{place}: hen" in page for place in (folder.name, pooling.name))
    again = run("explain", *models, "--method", "layer_cam,grad_cam", "--target", "hen", "--trust-orders", 2)
    assert again.exit_code == 0, "its own folder is filled further"
    for words, said in (
        (["--checkpoint", "w.pth"], "weights of one model"),
        (["--method", "best"], "for one model"),
    ):
        done = run("explain", *models, *words, "--output", "other")
        assert done.exit_code == 2
        assert said in done.stderr
    alone = run("explain", "--model", folder, *FAST)
    assert alone.exit_code == 1
    assert "Choose another output folder" in alone.stderr


def test_a_class_by_name_and_another_output(run: Run, folder: Path) -> None:
    done = run("explain", "--model", folder, *FAST, "--target", "Tabby", "--output", "a/b", "--dtype", "float64")
    assert done.exit_code == 0
    with np.load("a/b/chelsea.npz") as maps:
        assert maps["target"].tolist() == [0]
        assert maps["ag_cam"].dtype == np.float64


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


def test_the_output_and_the_kind_of_scores_can_be_named(run: Run, folder: Path) -> None:
    done = run("explain", "--model", folder, *FAST, "--link", "sigmoid")
    assert done.exit_code == 0
    shares = [float(line.split("%")[0].rsplit(None, 1)[1]) for line in done.stdout.splitlines() if "%" in line]
    assert abs(sum(shares) - 100) > 1, "each class has a probability of its own"
    assert json.loads(Path("explained/manifest.json").read_text())["reading"] == {
        "output": None,
        "link": "sigmoid",
        "part": "",
        "call": None,
        "grid": None,
        "patches": None,
    }
    done = run("explain", "--model", folder, *FAST, "--link", "identity", "--target", "1")
    assert done.exit_code == 0
    assert "%" not in done.stdout
    for code, words, said in (
        (2, ("--link", "sigmoids"), 'no link named "sigmoids". Did you mean "sigmoid"?'),
        (2, ("--model-output", "scores"), 'named "scores". Known: (it is one tensor). Leave out'),
        (2, ("--model-output", "1"), 'named "1". Known: (it is one tensor). Leave out'),
        (1, ("--link", "identity"), "gives 4 values and no classes, so none of them is predicted"),
    ):
        done = run("explain", "--model", folder, *FAST, *words)
        assert done.exit_code == code, done.output
        assert said.replace("`default`", f"`{folder}`") in done.stderr.replace("\n", " ")
        assert "Traceback" not in done.output


def test_what_cannot_be_measured_is_said_by_flags(run: Run, folder: Path) -> None:
    heat: list[Any] = []
    for words in ((), ("--grid", "4,4", "--patches", "1:"), ("--part", "blocks", "--call", "0")):
        done = run("explain", "--model", folder, "--method", "raw_attention", *words)
        assert done.exit_code == 0, done.output
        heat.append(np.load("explained/chelsea.npz")["raw_attention"])
    assert np.array_equal(heat[0], heat[1])
    assert np.array_equal(heat[0], heat[2])
    said = json.loads(Path("explained/manifest.json").read_text())["reading"]
    assert (said["part"], said["call"]) == ("blocks", 0)
    for code, words, fact in (
        (
            1,
            ("--grid", "4,5"),
            "a 4×5 grid has 20 cells, but 16 of 17 tokens are patches. Give another grid= (--grid), or",
        ),
        (1, ("--grid", "4,4", "--patches", "0:"), "but 17 of 17 tokens are patches"),
        (1, ("--patches", "all"), "`patches` is 'all'. Give a range of the tokens, FIRST:END"),
        (2, ("--grid", "4x4"), "'4x4' is not two whole numbers."),
        (2, ("--call", "1"), 'no call named "1". Known: 0.'),
        (2, ("--part", "block"), 'no part named "block"'),
        (1, ("--part", "norm"), "`norm` of `VisionTransformer` ran without any attention"),
    ):
        done = run("explain", "--model", folder, "--method", "raw_attention", *words)
        assert done.exit_code == code, done.output
        assert fact in " ".join(done.stderr.replace("│", " ").split())


def test_isolines_are_another_sheet(run: Run, folder: Path) -> None:
    for output, more in (("a", ()), ("b", ("--isolines",))):
        assert run("explain", "--model", folder, *FAST, "--output", output, *more).exit_code == 0
    assert Path("a/chelsea.png").read_bytes() != Path("b/chelsea.png").read_bytes()


def test_names_of_the_classes(run: Run, folder: Path) -> None:
    Path("names.txt").write_text("a\nb\nc\nd\n")
    done = run("explain", "--model", folder, *FAST, "--class-names", "names.txt", "--target", "c")
    assert done.exit_code == 0, done.stderr
    told = json.loads(Path("explained/manifest.json").read_text())
    assert told["class_names"] == ["a", "b", "c", "d"]
    assert [each["name"] for each in told["pictures"][0]["targets"]] == ["c"]
    Path("names.txt").write_text("a\nb\n")
    done = run("explain", "--model", folder, *FAST, "--class-names", "names.txt")
    assert (done.exit_code, done.stderr) == (1, "Error: there are 2 `class_names` for 4 classes. Give one for each.\n")


def test_a_bad_grid_is_said_once_and_fails(run: Run, folder: Path) -> None:
    said = "a 5×5 grid has 25 cells, but 16 of 17 tokens are patches."
    done = run("explain", "--model", folder, "--grid", "5,5")
    assert done.exit_code == 1
    assert done.stderr.count(said) == 1
    assert "No map by ag_cam, transformer_attribution, rollout: " + said in done.stderr
    done = run("explain", "--model", folder, "--grid", "5,5", "--method", "ag_cam,rollout", "--output", "none")
    assert (done.exit_code, done.stderr.count(said)) == (1, 1)
    assert run("explain", "--model", folder, "--grid", "4,4", "--output", "right").exit_code == 0


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


def test_exports_are_files_for_other_programs(run: Run, folder: Path) -> None:
    for at, place in enumerate(("a", "b")):
        Path("in", place).mkdir(parents=True)
        noise(at).save(Path("in", place, "x.png"))
    words = ["explain", "in", "--model", folder, "--method", "ag_cam,grad_cam", "--target", "top-2"]
    done = run(*words, "--export", "svg, coco", "--output", "out")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "Exports: out/exports" in done.stdout
    made = {each.relative_to("out/exports").as_posix() for each in Path("out/exports").rglob("*.*")}
    read = json.loads(Path("out/exports/ag_cam.json").read_text())
    classes = [each["id"] - 1 for each in read["categories"]]
    single = {each for each in made if each.endswith(".svg")}
    assert made - single == {"ag_cam.json", "grad_cam.json", "manifest.json", ".manifest.json.lock"}
    assert len(single) == 8
    assert single <= {f"{at}/x/{m}-{c}.svg" for at in "ab" for m in ("ag_cam", "grad_cam") for c in classes}
    assert [each["file_name"] for each in read["images"]] == ["a/x.png", "b/x.png"]
    assert {each["image_id"] for each in read["annotations"]} == {1, 2}
    done = run(*words, "--export", "csv", "--output", "out")  # its own folder is filled further
    assert done.exit_code == 0
    assert len([*Path("out/exports").rglob("*.csv")]) == 8


def test_a_class_that_one_of_several_models_has_not_is_told_before_any_work(run: Run, folder: Path) -> None:
    done = run("explain", "--model", folder, "--model", "tiny20", "--method", "ag_cam", "--target", "hen")
    assert done.exit_code != 0
    assert 'the model `tiny20` has no class named "hen". Known: goldfish' in done.stderr
    assert not [*Path("explained").iterdir()]


def test_files_of_one_class_against_another_tell_both(run: Run, folder: Path) -> None:
    noise(1).save("x.png")
    own = [f"kind {at}" for at in range(4)]
    Path("names.txt").write_text("\n".join(own))
    words = ["explain", "x.png", "--model", folder, "--method", "ag_cam", "--class-names", "names.txt"]
    done = run(*words, "--target", "kind 1", "--against", "kind 0", "--report", "--export", "svg,csv,coco")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "Trust in the maps of kind 1 rather than kind 0," in " ".join(done.stdout.split()), "over lines"
    made = {each.name for each in Path("explained/exports").rglob("*.*")} - {"manifest.json", ".manifest.json.lock"}
    assert made == {"ag_cam-1-against-0.svg", "ag_cam-1-against-0.csv", "ag_cam-against-0.json"}
    assert "kind 1 rather than kind 0" in Path("explained/exports/x/ag_cam-1-against-0.svg").read_text()
    read = json.loads(Path("explained/exports/ag_cam-against-0.json").read_text())
    assert read["categories"] == [{"id": 2 + len(own), "name": "kind 1 rather than kind 0"}]
    assert "<h1>kind 1 rather than kind 0 · " in Path("explained/report.html").read_text()


def test_what_cannot_be_exported_is_told_before_any_work(run: Run, folder: Path) -> None:
    done = run("explain", "--model", folder, "--export", "tif")
    assert done.exit_code == 2
    assert "tiff" in done.stderr
    Path("mine/exports").mkdir(parents=True)
    Path("mine/exports/x").write_text("mine")
    Path("pages").mkdir()
    Path("pages/report.html").write_text("mine")
    for words in (("--export", "csv", "--output", "mine"), ("--report", "--output", "pages")):
        done = run("explain", "--model", folder, *words)
        assert done.exit_code == 1
        assert "is there already" in done.stderr
        assert "Sheet" not in done.stdout
    assert len([*Path("mine").iterdir()]) == len([*Path("pages").iterdir()]) == 1
