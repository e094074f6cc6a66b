"""Verifications: their numbers are those of the plain functions, picture by picture; they resume and refuse."""

from __future__ import annotations

import csv
import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import save_model
from vitreous.data.readers import open_samples
from vitreous.errors import DataError, ObservationError, ShapeError, UnknownName
from vitreous.interact.indicator import average, interactions
from vitreous.interact.intervene import quality
from vitreous.interact.patch_removal import prune
from vitreous.interact.responsive_fields import responsive_fields
from vitreous.interacting.verification.check import Check
from vitreous.interacting.verification.indicators import Indicators
from vitreous.interacting.verification.job import Trial, Verified, verify
from vitreous.interacting.verification.pruned import Removal
from vitreous.interacting.verification.windowed import Windows
from vitreous.models.zoo import LoadedModel, load
from vitreous.trace.restrict import restricted_logits

KINDS = ("adaptive", "bounding", "field")
CPU = torch.device("cpu")
REMOVAL = Removal((0.25, 0.5), ("input", "mask", "1"))


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(save_model(tmp_path_factory.mktemp("verified")))


def run(check: Check, dataset: str, subject: LoadedModel, output: Path, **changes: object) -> Verified:
    trial = replace(Trial(dataset, subject.name, batch_size=4, resamples=100), **changes)
    return verify(check, trial, output, device=CPU, dtype=torch.float32)


def cells(done: Verified) -> dict[tuple[str, str, str], float]:
    return {(each.metric, each.method, each.name): each.value for each in done.table.cells}


def pictures(dataset: str, subject: LoadedModel) -> tuple[torch.Tensor, list[int]]:
    """All images, and the model's index of their labels: "dog" is its class 1, "hen" 2."""
    samples = open_samples(dataset)
    assert subject.preprocess is not None
    images = torch.stack([subject.preprocess(samples[at].picture) for at in range(len(samples))])
    return images, [(1, 2)[entry.label or 0] for entry in samples.entries]


@pytest.mark.slow
def test_removal_is_pruning(dataset: str, subject: LoadedModel, tmp_path: Path) -> None:
    done = run(REMOVAL, dataset, subject, tmp_path)
    found = cells(done)
    images, labels = pictures(dataset, subject)
    right: dict[tuple[str, float], float] = {}
    for place, after in (("input", 0), ("after block 1", 1)):
        for by in ("lowest", "highest", "received", "class_attention", "entropy"):
            for share, name in ((0.0, "0%"), (0.25, "25%"), (0.5, "50%")):
                with torch.no_grad():
                    hits = prune(subject.model, share, by, after=after)(images).argmax(1) == torch.tensor(labels)
                right[by, share] = found[f"top-1, {place}", by, name]
                assert right[by, share] == pytest.approx(hits.double().mean().item()), (place, by, share)
            steps = [right[by, share] for share in (0.0, 0.25, 0.5)]
            assert found[f"top-1, {place}", by, "area"] == pytest.approx((steps[0] / 2 + steps[1] + steps[2] / 2) / 2)
    for by in ("lowest", "random"):  # a class token cannot tell what is hidden from what is gone
        for name in ("25%", "50%"):
            assert found["top-1, mask", by, name] == found["top-1, input", by, name]
    assert found["speed, input", "lowest", "0%"] == 1
    assert found["speed, after block 1", "lowest", "50%"] > 0
    assert {path.name for path in done.files} >= {"summary.md", "summary.csv", "plot.svg"}
    assert "reconstruction after the abstract of arXiv 2203.05922" in (tmp_path / "summary.md").read_text()
    told = [file for file in done.files if file.suffix != ".svg" and str(Path(subject.name).parent) in file.read_text()]
    assert not told, "folders stand in the manifest alone"
    with (tmp_path / "summary.csv").open() as file:
        assert {row["metric"] for row in csv.DictReader(file)} == {metric for metric, _, _ in found}
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["check"] == {"shares": [0.25, 0.5], "places": ["input", "mask", "1"]}
    assert torch.__version__.startswith(manifest["versions"]["torch"])


@pytest.mark.slow
def test_windows_are_restrictions_picture_by_picture(dataset: str, subject: LoadedModel, tmp_path: Path) -> None:
    check = Windows(radii=(1, 2), adaptive=(0.3, 0.7), bounding=(2.0, 1.2), field=(0.3, 0.7))
    done = run(check, dataset, subject, tmp_path, calibrated=4)
    found = cells(done)
    images, labels = pictures(dataset, subject)
    tokens = interactions(subject.model, images[:1]).tokens

    def told(row: str, size: int) -> tuple[float, float]:
        return found["windows", row, f"size {size}"], found["windows", row, f"density, size {size}"]

    def slow(masks: torch.Tensor) -> tuple[float, float]:
        """Accuracy and density of (pictures, blocks, patches, patches)."""
        hits = [
            int(
                restricted_logits(subject.model, image[None], {at: each[None] for at, each in enumerate(mask)}).argmax()
            )
            for image, mask in zip(images, masks, strict=True)
        ]
        return float(np.mean(np.array(hits) == np.array(labels))), float(masks.double().mean())

    near = torch.tensor([[max(abs(i // 4 - j // 4), abs(i % 4 - j % 4)) <= 1 for j in range(16)] for i in range(16)])
    assert told("fixed", 1) == pytest.approx(slow(near.expand(6, 2, -1, -1)))
    seen = interactions(subject.model, images)
    fields = responsive_fields(seen.strength, tokens, 0.7)
    assert told("field, per image", 2) == pytest.approx(slow(fields))
    drawn = np.random.default_rng(0).permutation(6)[:4]
    averages = average(subject.model, [images[sorted(drawn.tolist())]])
    static = responsive_fields(averages.strength, tokens, 0.3).expand(6, -1, -1, -1)
    assert told("field, static", 1) == pytest.approx(slow(static))
    for kind in KINDS:
        for source in ("per image", "static"):
            for size in (1, 2):
                row = f"{kind}, {source}"
                assert told(f"random as {row}", size)[1] == pytest.approx(told(row, size)[1]), "as many keys"
    compared = {each.method for each in done.table.cells if each.name == "size 1" and not np.isnan(each.difference)}
    assert compared == {f"{kind}, {source}" for kind in KINDS for source in ("per image", "static")}
    assert any(note.startswith("Least radius that holds 80% of the attention") for note in done.table.notes)


def test_indicators_are_judged_by_cutting(dataset: str, subject: LoadedModel, tmp_path: Path) -> None:
    trial = Trial(dataset, subject.name, limit=3, batch_size=1, resamples=100)
    done = verify(Indicators(pairs=20), trial, tmp_path, device=CPU, dtype=torch.float64)
    samples = open_samples(dataset)
    chosen = sorted(np.random.default_rng(0).permutation(6)[:3].tolist())
    model = load(subject.name, dtype=torch.float64)
    assert model.preprocess is not None
    for indicator in ("strength", "certainty", "uncertainty", "impact"):
        slow = [
            quality(
                model.model,
                model.preprocess(samples[at].picture)[None].double(),
                0,
                pairs=20,
                seed=zlib.crc32(f"0 {samples.entries[at].id}".encode()),
            )[indicator].item()
            for at in chosen
        ]
        assert cells(done)["indicators", indicator, "block 0"] == pytest.approx(np.mean(slow))
    with pytest.raises(ObservationError, match="changes no class probability"):
        verify(Indicators((1,), 20), trial, tmp_path / "last", device=CPU, dtype=torch.float64)


@pytest.mark.slow
def test_it_goes_on_where_it_stopped(dataset: str, subject: LoadedModel, tmp_path: Path) -> None:
    whole = run(REMOVAL, dataset, subject, tmp_path / "whole")
    run(REMOVAL, dataset, subject, tmp_path / "parts", limit=3, batch_size=2)
    again = run(REMOVAL, dataset, subject, tmp_path / "parts", batch_size=1)
    for one, other in zip(whole.table.cells, again.table.cells, strict=True):
        assert one == other or one.metric.startswith("speed")
    assert len(list((tmp_path / "parts" / "results").glob("*.parquet"))) == 5
    with pytest.raises(DataError, match="holds results of other settings"):
        run(REMOVAL, dataset, subject, tmp_path / "parts", seed=1)


def test_what_cannot_be_is_refused(dataset: str, subject: LoadedModel, tmp_path: Path) -> None:
    for shares in ((), (0.5, 0.2), (0.0,), (1.0,)):
        with pytest.raises(ShapeError, match="`shares` must rise"):
            Removal(shares)
    with pytest.raises(UnknownName, match='no place of removal named "999'):
        Removal((0.5,), ("9" * 5000,))  # Python reads no number of so many digits
    with pytest.raises(UnknownName, match='no place of removal named "0"'):
        Removal(places=("0",))
    with pytest.raises(UnknownName, match='no number of blocks before removal named "2"'):
        run(Removal(places=("2",)), dataset, subject, tmp_path / "deep")
    with pytest.raises(ShapeError, match="more sizes"):
        Windows(radii=(1,))
    with pytest.raises(UnknownName, match='no indicator named "impact"'):
        Windows("impact")
    with pytest.raises(UnknownName, match=r'no block named "3"\. Known: 1 … 2'):
        run(Indicators((2,)), dataset, subject, tmp_path / "block")
    with pytest.raises(ShapeError, match="`pairs` must be"):
        Indicators(pairs=2)
