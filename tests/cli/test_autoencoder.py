"""`vitreous autoencoder`: the file, the table and the manifest are those of the Python face."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

import vitreous
from tests.cli.conftest import Run
from tests.tiny import noise
from vitreous.inside.fidelity import rows_of


def test_the_file_and_the_numbers_of_the_python_face(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for seed in range(6):
        noise(seed).save(tmp_path / "in" / f"{seed}.png")
    (tmp_path / "in" / "none.png").write_text("no picture")
    sizes = ("--features", 9, "--k", 3, "--steps", 4, "--seed", 2)
    done = run("autoencoder", "in", "--model", folder, *sizes, "--output", "out")
    assert done.exit_code == 1  # one picture cannot be read
    assert "none.png" in done.stderr
    manifest = json.loads(Path("out/manifest.json").read_text())
    names = manifest["pictures"]
    files = [str(Path("in", name)) for name in names]
    made = vitreous.train_autoencoder(vitreous.load(str(folder)), files, features=9, k=3, steps=4, seed=2)
    again = vitreous.load_autoencoder("out/autoencoder.safetensors")
    torch.testing.assert_close(again.encoder, made.autoencoder.encoder)
    assert (again.k, again.layer) == (3, made.autoencoder.layer)
    assert (manifest["job"], manifest["dead"]) == ("autoencoder", made.dead)
    assert manifest["explained"] == pytest.approx(made.fidelity.explained)
    assert manifest["recovered_zero"] == pytest.approx(made.fidelity.recovered_zero)
    assert manifest["held_out"] == [names[at] for at in made.held_out]
    much = again.encode(rows_of(made.features)).double()
    with Path("out/autoencoder.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 9 - made.dead
    assert [float(row["share"]) for row in rows] == sorted((float(row["share"]) for row in rows), reverse=True)
    for row in rows:
        own = much[:, int(row["feature"])]
        assert float(row["tokens"]) == pytest.approx((own > 0).double().mean().item())
        assert float(row["much"]) == pytest.approx(own[own > 0].mean().item(), rel=1e-5)
        assert float(row["share"]) == pytest.approx((own.square().sum() / much.square().sum()).item(), rel=1e-5)
        assert f"Feature {row['feature']}" in Path("out/autoencoder.html").read_text()
    assert f"Explained: {made.fidelity.explained:.1%} of the variance" in done.stdout
    assert "none.png" in Path("out/autoencoder.html").read_text()
    assert run("autoencoder", "in", "--model", folder, "--features", 2, "--output", "out").exit_code == 1
