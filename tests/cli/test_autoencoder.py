"""`vitreous autoencoder`: the file, the table and the manifest are those of the Python face."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import vitreous
from tests.cli.conftest import Run
from tests.inside.test_saelens import SIXTH
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


@pytest.fixture
def trained(run: Run, folder: Path, tmp_path: Path) -> Path:
    """A folder with an autoencoder of the first block, and pictures in `in`."""
    (tmp_path / "in").mkdir()
    for seed in range(4):
        noise(seed).save(tmp_path / "in" / f"{seed}.png")
    sizes = ("--layer", "blocks.0", "--features", 9, "--k", 3, "--steps", 4)
    assert run("autoencoder", "in", "--model", folder, *sizes, "--output", "out").exit_code == 0
    return tmp_path / "out" / "autoencoder.safetensors"


def test_a_file_is_measured_and_not_trained(run: Run, folder: Path, trained: Path) -> None:
    done = run("autoencoder", "in", "--model", folder, "--file", trained, "--output", "measured")
    assert done.exit_code == 0, done.output
    model, own = vitreous.load(str(folder)), vitreous.load_autoencoder(trained)
    manifest = json.loads(Path("measured/manifest.json").read_text())
    files = [str(Path("in", name)) for name in manifest["pictures"]]
    found = vitreous.measure_autoencoder(model, files, own)
    assert manifest["explained"] == pytest.approx(found.fidelity.explained)
    assert manifest["recovered_mean"] == pytest.approx(found.fidelity.recovered_mean)
    told = ("dead", "read", "held_out", "features", "steps", "file")
    assert [manifest[name] for name in told] == [
        found.dead,
        "blocks.0",
        [],
        None,
        None,
        "../out/autoencoder.safetensors",
    ]
    assert f"Explained: {found.fidelity.explained:.1%} of the variance of tokens\n" in done.stdout
    again = vitreous.load_autoencoder("measured/autoencoder.safetensors")
    assert torch.equal(again.encoder, own.encoder)
    assert run("reproduce", "measured").exit_code == 0
    trained.write_bytes(Path("measured/autoencoder.csv").read_bytes())
    made = run("reproduce", "measured", "--output", "other")
    assert made.exit_code == 1
    assert "is not the `file` of the manifest. Put back the file that it was." in made.output


def test_a_folder_of_saelens_is_measured_in_the_block_that_it_names(run: Run, folder: Path, trained: Path) -> None:
    own = vitreous.load_autoencoder(trained)
    place = Path("sae")
    place.mkdir()
    tensors = {"W_enc": own.encoder, "b_enc": own.encoder_bias, "W_dec": own.decoder, "b_dec": own.decoder_bias}
    save_file({name: each.contiguous() for name, each in tensors.items()}, place / "sae_weights.safetensors")
    config = SIXTH | {"d_in": len(own.decoder_bias), "d_sae": 9, "architecture": "topk", "k": 3}
    config["metadata"] = {"hook_name": "blocks.1.hook_resid_pre"}
    (place / "cfg.json").write_text(json.dumps(config))
    done = run("autoencoder", "in", "--model", folder, "--file", place, "--output", "measured")
    assert done.exit_code == 0, done.output
    assert "Layer: `blocks.0`" in done.stdout
    assert run("reproduce", "measured").exit_code == 0
    (place / "cfg.json").write_text(json.dumps(config | {"normalize_activations": "layer_norm"}))
    done = run("autoencoder", "in", "--model", folder, "--file", place, "--output", "refused")
    assert done.exit_code == 1
    assert "`normalize_activations` in `sae/cfg.json` is 'layer_norm'" in done.stderr
    assert not Path("refused/manifest.json").exists()


def test_what_does_not_go_with_a_file_is_refused(run: Run, folder: Path, trained: Path) -> None:
    for words in (("--features", 3), ("--steps", 3)):
        done = run("autoencoder", "in", "--model", folder, "--file", trained, *words, "--output", "refused")
        assert done.exit_code == 2
        assert "--file names one that is trained. Leave one of them out." in done.stderr
    done = run("autoencoder", "in", "--model", folder, "--centered", "yes", "--output", "refused")
    assert done.exit_code == 2
    assert "Give it with --file" in done.stderr
    done = run("autoencoder", "in", "--model", folder, "--k", 0, "--output", "refused")
    assert done.exit_code == 1
    assert "`k`" in done.stderr
    own = vitreous.load_autoencoder(trained)
    replace(own, encoder_bias=own.encoder_bias - 1e6).save("dead.safetensors")
    done = run("autoencoder", "in", "--model", folder, "--file", "dead.safetensors", "--output", "refused")
    assert done.exit_code == 1
    assert "no token of `blocks.0` has any of 9 features" in done.stderr
