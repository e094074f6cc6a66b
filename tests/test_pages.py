"""Every code block of the pages runs: Python in one namespace per page, commands in this process.

Models that a hub would give are tiny ones of their architecture, from a file.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sybil import Document, Example, Sybil
from sybil.parsers.markdown import CodeBlockParser
from timm import create_model
from typer.main import get_command
from typer.testing import CliRunner

from tests.medical.made import body, dicom, volume
from tests.test_docs import PAGES, ROOT
from tests.tiny import save_pictures
from tests.tiny_hub import save_clip, save_hf_vit, save_timm
from vitreous.cli.main import app
from vitreous.data.gallery import sample_picture

HUB = {
    "timm:vit_base_patch16_224": "timm:vit_base_patch16_224@mine.safetensors",
    "hf:google/vit-base-patch16-224": "hf_folder",
    "hf:openai/clip-vit-base-patch16": "clip_folder",
}
SLOW = {
    f"docs/{name}.md"
    for name in (
        "howto/choose",
        "howto/concepts",
        "howto/hand_on",
        "howto/inside",
        "howto/medical",
        "howto/why_not",
        "index",
        "tutorial",
    )
} | {"README.md"}
"""Pages whose blocks take tens of seconds."""
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
TARGETS = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def local(text: str) -> str:
    """The block with a tiny model in the place of a hub's."""
    for name, tiny in HUB.items():
        text = re.sub(rf"{re.escape(name)}(?![\w@?])", tiny, text)
    return text


def run_python(example: Example) -> None:
    code = "\n" * example.line + local(str(example.parsed))
    exec(compile(code, example.path, "exec"), example.namespace)


def run_commands(example: Example) -> None:
    for line in str(example.parsed).replace("\\\n", " ").splitlines():
        words = shlex.split(local(line), comments=True)
        match words:
            case []:
                pass
            case ["vitreous", *arguments]:
                done = CliRunner().invoke(app, arguments, catch_exceptions=False)
                assert done.exit_code == 0, f"{line}\n{done.output}"
            case ["pip", "install", package]:
                name, _, extra = package.rstrip("]").partition("[")
                assert name in ("vitreous", ".")
                assert not extra or extra in EXTRAS, line
            case ["make", target]:
                assert target in TARGETS, line
            case _:
                pytest.fail(f"nobody knows whether this works: {line}")


def evaluate(page: Path, parsers: Iterable[CodeBlockParser], **namespace: Any) -> int:
    """Run the blocks of a page one after the other; how many there were."""
    document: Document = Sybil(parsers=list(parsers)).parse(page)
    document.namespace.update(namespace)
    return sum(1 for example in document.examples() if example.evaluate() is None)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all the files that pages name."""
    monkeypatch.chdir(tmp_path)
    Image.open(sample_picture("chelsea")).convert("RGB").save("cat.jpg")
    (tmp_path / "pictures").mkdir()
    for name in ("horse", "pizza"):
        shutil.copy(sample_picture(name), tmp_path / "pictures")
    gray = np.random.default_rng(0).integers(0, 4096, (8, 8)).astype(np.uint16)
    Image.fromarray(np.kron(gray, np.ones((8, 8), np.uint16))).save("scan.png")
    dicom(tmp_path / "study" / "film.dcm", body(), WindowCenter=40, WindowWidth=400)
    dicom(tmp_path / "cine.dcm", np.kron(gray, np.ones((3, 8, 8), np.uint16)).reshape(3, 64, 64))
    for at, name in enumerate(("normal", "pneumonia")):
        dicom(tmp_path / "labelled_scans" / name / "1.dcm", np.roll(body(), at), WindowCenter=40, WindowWidth=400)
    volume(tmp_path / "ct.nii.gz", np.stack([np.roll(body(), at) for at in range(64)], -1))
    return tmp_path


def objects() -> dict[str, Any]:
    """What pages call theirs: models and a batch."""
    torch.manual_seed(0)
    small = {"img_size": 64, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}
    vit = create_model("vit_tiny_patch16_224", **small, num_classes=2).eval()
    own = create_model("vit_tiny_patch16_224", depth=1, embed_dim=24, num_heads=2, num_classes=2).eval()
    cnn = create_model("resnet18", num_classes=2).eval()
    return {"model": vit, "my_module": own, "cnn": cnn, "images": torch.randn(2, 3, 64, 64)}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=name, marks=[pytest.mark.slow] if name in SLOW else [])
        for page in PAGES
        for name in [str(page.relative_to(ROOT))]
        if name == "README.md" or name.startswith("docs/")
    ],
)
def test_blocks_run(page: Path, desk: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if "hf:google" in text or "hf_folder" in text:
        save_hf_vit(desk / "hf_folder")
    if "hf:openai" in text:
        save_clip(desk / "clip_folder")
    if "timm:" in text:
        save_timm(desk / "mine.safetensors")
    if "labelled" in text:
        (desk / "labelled").mkdir()
        save_pictures(desk / "labelled")
    given = objects()
    if page.name in ("inside.md", "tutorial.md"):
        given["images"] = torch.randn(2, 3, 224, 224)
    blocks = evaluate(page, [CodeBlockParser("python", run_python), CodeBlockParser("sh", run_commands)], **given)
    assert blocks == len(re.findall(r"^```(?:python|sh)$", text, re.MULTILINE))


def test_commands_that_are_only_shown_are_understood() -> None:
    """Those of `text` blocks, which take a cluster, a data set or days: every command, option and value is one."""
    shown = [
        line.partition("srun ")[2] or line
        for page in PAGES
        for block in re.findall(r"^```text$(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
        if re.match(r"(srun )?vitreous ", line)
    ]
    assert len(shown) >= 10
    for line in shown:
        command: Any = get_command(app)
        _, *words = shlex.split(line, comments=True)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        with command.make_context(line, words):
            pass


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/notebooks/*.ipynb")), ids=lambda page: page.stem)
def test_notebooks_run_and_hold_no_outputs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cells = [cell for cell in json.loads(page.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in cells)
    space: dict[str, Any] = {}
    for cell in cells:
        exec(compile("".join(cell["source"]), str(page), "exec"), space)


@pytest.mark.parametrize("library", ["pytorch_grad_cam", "captum", "torchcam"])
def test_their_side_runs_where_it_is_installed(library: str) -> None:
    pytest.importorskip(library)

    def run_theirs(example: Example) -> None:
        if library in str(example.parsed):
            run_python(example)

    given = objects()
    given["images"].requires_grad_()
    assert evaluate(ROOT / "docs" / "howto" / "migrate.md", [CodeBlockParser("py", run_theirs)], **given)
