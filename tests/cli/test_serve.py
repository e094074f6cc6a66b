"""`vitreous serve` says at once what cannot be, before a model is loaded."""

from __future__ import annotations

import socket
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
