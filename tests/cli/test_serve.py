"""`vitreous serve` says at once what cannot be, before a model is loaded."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vitreous.cli.main import app


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "stands for every address of this machine"),
        (["--host", "192.0.2.1"], "nothing can listen at 192.0.2.1"),
        (["--model", "a", "--model", "b", "--checkpoint", "w.pth"], "belongs to one model"),
        (["--port", "70000"], "65535"),
    ],
)
def test_what_cannot_be_is_said_at_once(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(app, ["serve", "--port", "0", *arguments])
    assert done.exit_code
    assert words in " ".join(done.output.replace("│", " ").split())


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = CliRunner().invoke(app, ["serve", "--port", str(port), "--model", str(tmp_path)])
    assert done.exit_code == 1
    assert f"nothing can listen at 127.0.0.1, port {port}" in done.output


@pytest.mark.slow
def test_a_browser_of_the_terminal_gets_the_page(model_folder: Path, tmp_path: Path) -> None:
    browser = tmp_path / "browser.py"
    browser.write_text(
        "import pathlib, sys, urllib.request as u\n"
        "pathlib.Path(sys.argv[1]).write_bytes(u.urlopen(sys.argv[2], timeout=60).read())\n"
    )
    page = tmp_path / "page.html"
    command = [sys.executable, "-m", "vitreous", "serve", "--open", "--port", "0", "--model", str(model_folder)]
    env = {**os.environ, "BROWSER": f"{sys.executable} {browser} {page} %s"}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        until = time.monotonic() + 60
        while not page.exists() and time.monotonic() < until:
            time.sleep(0.05)
        server.send_signal(signal.SIGINT)
        said, wrong = server.communicate(timeout=30)
    assert "<title>" in page.read_text(encoding="utf-8")
    assert (server.returncode, wrong) == (130, "Stopped.\n")
    assert said.endswith("in a browser; Ctrl-C stops.\n")


def test_a_model_that_is_none_is_told(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["serve", "--port", "0", "--model", str(tmp_path)])
    assert done.exit_code == 1
    assert "Error: " in done.output
    assert "Traceback" not in done.output
