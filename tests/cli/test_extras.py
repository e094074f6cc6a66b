"""Where nothing but the required packages is installed, every command that needs an extra says which, in a sentence."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.tiny import noise

pytestmark = pytest.mark.slow
PROJECT = Path(__file__).parents[2] / "pyproject.toml"
IMPORTED = {  # where a package is imported by another name
    "grad-cam": "pytorch_grad_cam",
    "myst-nb": "myst_nb",
    "open_clip_torch": "open_clip",
    "pydata-sphinx-theme": "pydata_sphinx_theme",
    "sphinx-copybutton": "sphinx_copybutton",
    "sphinx-gallery": "sphinx_gallery",
}
RUNS = """
import contextlib, io, json, os, sys, traceback

commands, absent = json.loads(sys.argv[1]), json.loads(sys.argv[2])
from vitreous.cli.main import app

said = []
for present, words in commands:
    kept = {name: sys.modules.get(name) for name in absent if name not in present}
    sys.modules.update(dict.fromkeys(kept))
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            code = app(words, prog_name="vitreous")
        except SystemExit as end:
            code = end.code
        except BaseException:
            traceback.print_exc()
            code = None
    said.append([code, " ".join(out.getvalue().split())])
    for name in kept:
        del sys.modules[name]
print(json.dumps(said))
"""
COMMANDS: dict[str, tuple[str, str, str]] = {  # the package and the extra that are named; what is there all the same
    "explain photo.png --output plain": ("", "", ""),
    "batch photo.png --output many": ("pyarrow", "batch", ""),
    "cases pictures/val --output cases.parquet": ("pyarrow", "batch", ""),
    "batch memory://photos --output far": ("fsspec", "batch", "pyarrow"),
    "batch photo.png --engine ray --output ray": ("ray", "cluster", "pyarrow fsspec"),
    "benchmark folder:pictures/val --method rollout --metric perturbation --output judged": (
        "pyarrow",
        "benchmark",
        "",
    ),
    "verify removal folder:pictures/val --output removed": ("matplotlib", "charts", "pyarrow"),
    "explain photo.png --model open_clip:ViT-B-16/openai --prompt cat --prompt dog --output clip": (
        "open_clip_torch",
        "clip",
        "",
    ),
    "explain photo.png --model hf:google/vit --output hub": ("transformers", "hf", ""),
    "explain slice.dcm --output dicom": ("pydicom", "medical", ""),
    "explain volume.nii.gz --output nifti": ("nibabel", "medical", ""),
    "evaluate pictures --split val --model pneumonia": ("torchmetrics", "metrics", ""),
    "detect train swin_st_1x --data coco --output detector": ("pycocotools", "detect", ""),
    "detect train swin_st_1x --data coco --output no-masks": ("pycocotools", "detect", "torchmetrics"),
    "detect train swin_st_1x --data coco --output no-metrics": ("torchmetrics", "detect", "pycocotools"),
    "detect evaluate --model detector --data coco --output found.json": ("pycocotools", "detect", ""),
    "detect evaluate --model detector --data coco": ("torchmetrics", "detect", "pycocotools"),
    "train finetune --start default --data pictures --epochs 1 --tensorboard --output board": (
        "tensorboard",
        "train",
        "",
    ),
    "serve --port 0": ("starlette", "web", ""),
    "serve --port 0 --host 127.0.0.1": ("uvicorn", "web", "starlette"),
}


def packages() -> set[str]:
    """What `import` calls the packages that only extras ask for."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    named = [need for extra, needs in project["optional-dependencies"].items() if extra != "dev" for need in needs]
    names = {re.split(r"[\[>=]", need)[0] for need in named} - {"vitreous"}
    return {IMPORTED.get(name, name) for name in names}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int | None, str]]:
    """By command, how it ended and what it said, in one process that has no extra."""
    place = tmp_path_factory.mktemp("bare")
    for split in ("train", "val"):
        for name in ("normal", "pneumonia"):
            (place / "pictures" / split / name).mkdir(parents=True)
            for at in range(2):
                noise(at).save(place / "pictures" / split / name / f"{at}.png")
    noise(0).save(place / "photo.png")
    (place / "slice.dcm").write_bytes(bytes(128) + b"DICM" + bytes(64))
    (place / "volume.nii.gz").write_bytes(b"\x1f\x8b" + bytes(64))
    (place / "coco" / "annotations").mkdir(parents=True)
    for split in ("train", "val"):
        (place / "coco" / "annotations" / f"instances_{split}.json").write_text("{}")
    commands = [(present.split(), words.split()) for words, (*_, present) in COMMANDS.items()]
    done = subprocess.run(
        [sys.executable, "-c", RUNS, json.dumps(commands), json.dumps(sorted(packages()))],
        capture_output=True,
        text=True,
        cwd=place,
        env={**os.environ, "COLUMNS": "400"},
        check=True,
    )
    return dict(zip(COMMANDS, json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("words", COMMANDS)
def test_a_missing_extra_is_named(words: str, said: dict[str, tuple[int | None, str]]) -> None:
    package, extra, _ = COMMANDS[words]
    code, text = said[words]
    assert "Traceback" not in text
    if not extra:
        assert code == 0, text
        return
    assert code == 1, text
    assert text == f"Error: this needs `{package}`, which is not installed. Run: pip install 'vitreous[{extra}]'"
