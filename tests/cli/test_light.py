"""What needs no model needs no torch: help, version, lists, completion, and what is said of wrong options."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields

import pytest

from tests.cli.conftest import Run
from vitreous.methods import METHODS
from vitreous.methods.method import ListedMethod
from vitreous.settings.source import told_by

RUNS = """
import contextlib, io, json, os, sys
from vitreous.cli.main import app

def run(*words, **environment):
    os.environ.update(environment)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            app(words, prog_name="vitreous")
        except SystemExit as exit:
            said[" ".join(words) or environment["_TYPER_COMPLETE_ARGS"]] = exit.code, out.getvalue()
    for name in environment:
        del os.environ[name]

said = {}
for words in json.loads(sys.argv[1]):
    run(*words.split())
for words in json.loads(sys.argv[2]):
    run(_VITREOUS_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=f"vitreous {words}")
print(json.dumps([said, sorted(sys.modules)]))
"""
PLAIN = ["--version", "--help", "explain --help", "methods", "models", "explain --alpha 7", "benchmark --nope", "nope"]
COMPLETED = {
    "expl": "explain",
    "explain --meth": "--method",
    "explain --method rise,ag": "rise,ag_cam",
    "benchmark --metric poin": "pointing",
    "explain --model tin": "tiny20",
    "explain --model timm:vit_tiny_patch16_38": "timm:vit_tiny_patch16_384",
}
HEAVY = {"PIL", "jaxtyping", "jinja2", "numpy", "timm", "torch", "torchvision"}


def test_what_needs_no_model_imports_no_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUNS, json.dumps(PLAIN), json.dumps(list(COMPLETED))],
        capture_output=True,
        text=True,
        check=True,
    )
    said, modules = json.loads(done.stdout)
    assert not HEAVY & set(modules)
    assert len(modules) < 700  # torch alone brings a thousand
    assert {words: said[words][0] for words in PLAIN} == dict.fromkeys(PLAIN[:5], 0) | dict.fromkeys(PLAIN[5:], 2)
    assert "--alpha" in said["explain --alpha 7"][1]
    assert "ag_cam" in said["methods"][1]
    for words, full in COMPLETED.items():
        assert f'"{full}"' in said[f"vitreous {words}"][1].replace("\\", ""), words


@pytest.mark.parametrize("name", METHODS)
def test_the_list_says_of_a_method_what_its_class_does(name: str) -> None:
    maker = METHODS[name]
    told = told_by(*METHODS.home(name))
    assert isinstance(maker(), ListedMethod)
    assert told.summary == (maker.__doc__ or "").partition("\n")[0]
    assert {key: getattr(maker, key) for key in told.facts} == told.facts
    assert [getattr(maker, key, False) for key in ("signed", "slow", "scoreless", "blocks")] == [
        told.facts.get(key, False) for key in ("signed", "slow", "scoreless", "blocks")
    ]
    assert {each.name: each.default for each in fields(maker)} == told.settings  # type: ignore[arg-type]


def test_lists_import_what_is_asked_for_alone() -> None:
    code = "import sys, vitreous; vitreous.METHODS['rollout']; print('vitreous.methods.rise' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert len(METHODS) == len(dict(METHODS)) > 30
    assert "agcam" not in METHODS


def squeezed(text: str) -> str:
    """Without frames and line breaks."""
    return re.sub(r"[\s│]", "", text)


@pytest.mark.parametrize(
    "command",
    ["explain", "benchmark", "inside", "concepts", "autoencoder", "cases", "interactions", "evaluate", "reproduce"],
)
def test_defaults_are_whole_at_80_columns(run: Run, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    narrow = run(command, "--help").stdout
    monkeypatch.setenv("COLUMNS", "300")
    wide = run(command, "--help").stdout
    defaults = re.findall(r"\[default: [^\]]+\]", wide)
    assert defaults
    assert narrow.count("…") == wide.count("…")
    for default in defaults:
        assert squeezed(default) in squeezed(narrow)


def test_quiet_says_errors_alone(run: Run, folder: str) -> None:
    done = run("explain", "-q", "--model", folder, "--method", "ag_cam")
    assert (done.exit_code, done.output) == (0, "")
    done = run("--quiet", "explain", "--model", folder, "--method", "ag_cam", "nowhere.jpg")
    assert done.stdout == ""
    assert "nowhere.jpg" in done.stderr
    assert "rollout" in run("methods", "-q").stdout


def test_verbose_says_how_long_it_took(run: Run, folder: str) -> None:
    done = run("explain", "--model", folder, "--method", "ag_cam", "-v")
    assert done.exit_code == 0
    assert re.search(r"Took \d+\.\d s\.\n$", done.stderr)
