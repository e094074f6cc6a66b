"""What runs leave in their folders and go on from."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.data.test_labelled import archive
from tests.readers.pictures import png
from tests.readers.read import Read
from tests.tiny import noise, save_model
from tests.training.test_classify import RECIPE
from vitreous.batching.job import run_order
from vitreous.batching.order import Order
from vitreous.batching.plan import settle_plan
from vitreous.batching.shards import find_shard, read_rows, shard_path
from vitreous.benchmarking.describe import join
from vitreous.data.labelled import load_labelled
from vitreous.data.sources.slices import read_slice
from vitreous.engines.engine import InProcess
from vitreous.explaining.explain import explain
from vitreous.explaining.pictures import PictureJob, explain_pictures
from vitreous.files.ledger import open_ledger
from vitreous.files.manifest import check_own_file, read_own, write_manifest
from vitreous.inside.case_index import About, open_index, writing
from vitreous.interacting.verification.job import Trial, verify
from vitreous.interacting.verification.pruned import Removal
from vitreous.methods import METHODS
from vitreous.methods.explanation import Explanation
from vitreous.models.zoo import load
from vitreous.reporting.exports import export_pictures
from vitreous.reporting.pictures import report_pictures
from vitreous.reproducing.reproduce import reproduce
from vitreous.statistics.store import Record, Store
from vitreous.training import recipe
from vitreous.training.classify import train
from vitreous.training.kept import KeptAnswers


def _ledger(root: Path) -> Read:
    picture = root / "a.png"
    with open_ledger(root, "explain", {"target": "predicted"}, [picture], (".npz",)) as ledger:
        ledger.claim(picture)
        ledger.note(picture, {"file": "a.png"}, written=True)

    def read() -> None:
        with open_ledger(root, "explain", {"target": "predicted"}, [picture], (".npz",)) as ledger:
            ledger.whole(picture)

    return read


def _results(root: Path) -> Read:
    Store(root).add([Record("m", "r", "k", f"{at}", "x", [1.0, 2.0]) for at in range(3)])
    return lambda: Store(root).read()


def _cases(root: Path) -> Read:
    about = About(1, "m", "", "layer", "mean", (2, 3), 4)
    with writing(root / "a.parquet", about, {}) as write:
        rows = {"picture": ["a", "b"], "label": ["cat", None], "shown": [png(0), png(1)]}
        write(rows | {"whole": np.eye(2, 4, dtype=np.float16), "patches": np.ones((2, 6, 4), np.float16)})

    def read() -> None:
        index = open_index(root / "a.parquet")
        for chunk in index.chunks():
            index.picture(chunk.first)

    return read


def _explanation(root: Path) -> Read:
    model = load(save_model(root.parent.parent / "model", embed_dim=8, depth=1, num_heads=1))
    explain(model, noise(1), "rollout").save(root / "a.npz")
    return lambda: Explanation.load(root / "a.npz")


def _job(root: Path) -> PictureJob:
    model = load(save_model(root.parent.parent / "model", embed_dim=8, depth=1, num_heads=1))
    noise(1, (8, 8)).save(root / "a.png")
    job = PictureJob(model, {"rollout": METHODS["rollout"]()}, output=root / "out")
    list(explain_pictures(job, [root / "a.png"]))
    return job


def _manifest(root: Path) -> Read:
    export_pictures(_job(root), ["csv", "coco"])
    return _again(root)


def _shards(root: Path) -> Read:
    _batch(root)
    return _again(root)


def _again(root: Path) -> Read:
    """What lies in `out`, made again."""

    def read() -> None:
        out = root / "again"
        try:
            reproduce(root / "out", out)
        finally:
            for file in sorted(out.rglob("*"), reverse=True):
                file.rmdir() if file.is_dir() else file.unlink()

    return read


def _report(root: Path) -> Read:
    job = _job(root)
    return lambda: report_pictures(job)


def _training(root: Path) -> Read:
    data, brief = load_labelled(archive(root.parent.parent / "set.npz")), replace(RECIPE, epochs=1, batch_size=2)
    list(train(brief, data, root))
    (root / "last" / "model.safetensors").unlink()
    return lambda: list(train(recipe.read_recipe(root / "recipe.toml"), data, root, resume=True))


def _answers(root: Path) -> Read:
    def kept() -> KeptAnswers:
        return KeptAnswers(root / "answers.bin", (1, 4, 3), "a teacher")

    answers, index = kept(), torch.arange(4)
    answers.put(0, index, torch.ones(4, 3))
    answers.save()
    del answers  # the file is mapped
    return lambda: [known := kept().known(0, index), kept().get(0, index[known]) if known.any() else None]


def _figures(root: Path) -> Read:
    (root / "evaluation.json").write_text('{"job": "evaluate", "scores": {"top1": {"value": 0.5}}}')
    return lambda: check_own_file(root / "evaluation.json", "evaluate")


def _batch(root: Path) -> Read:
    """A run over many pictures, taken up again by its manifest and its list of shards."""
    for at in range(3):
        noise(at, (8, 8)).save(root / f"{at}.png")
        os.utime(root / f"{at}.png", (0, 0))
    model = load(save_model(root.parent.parent / "model", embed_dim=8, depth=1, num_heads=1))
    order = Order(PictureJob(model, {"rollout": METHODS["rollout"]()}, output=root / "out"), shard=2)
    run_order(order, str(root / "*.png"), root / "out", InProcess())

    def read() -> None:
        for picture in root.glob("*.png"):  # as old as they were
            os.utime(picture, (0, 0))
        plan = settle_plan(order, str(root / "*.png"), root / "out")
        for number, part in plan.tasks():
            if find_shard(plan.folder, number, plan.hash):
                list(read_rows(shard_path(plan.folder, number)))
            list(read_slice(part, plan.root))

    return read


def _benchmark(root: Path) -> Read:
    """What a benchmark knows of those before it."""
    row = {"source": "a paper", "settings": {"mean": 1}}
    said: dict[str, Any] = {
        "plan": {"dataset": "x", "target": "label", "follow": "", "labels": "", "whole": False, "window": None},
        "dtype": "float32",
        "dataset": {"fingerprint": "f", "pictures": 2, "files": "s"},
        "models": {"m": {"weights_sha256": "w", "refused": {"lrp": "no rule."}, "unread": {}}},
        "methods": {"rollout": row},
        "metrics": {"pointing": row},
    }
    write_manifest(root, {"job": "benchmark", "files": [], **said})
    return lambda: join(read_own(root, "benchmark"), said, root)


def _verification(root: Path) -> Read:
    """A verification that goes on from what it found."""
    model, data = root.parent.parent / "model", root.parent.parent / "set"
    save_model(model, embed_dim=8, depth=2, num_heads=1)
    for at, kind in enumerate(("cat", "dog")):
        (data / kind).mkdir(parents=True)
        noise(at, (8, 8)).save(data / kind / "a.png")
    trial = Trial(f"folder:{data}", str(model), labels="position", calibrated=1, resamples=100)
    return lambda: verify(Removal((0.5,), ("mask",)), trial, root, device=torch.device("cpu"), dtype=torch.float32)


RUNS: dict[str, Callable[[Path], Read]] = {
    "ledger": _ledger,
    "results": _results,
    "cases": _cases,
    "explanation": _explanation,
    "manifest": _manifest,
    "report": _report,
    "training": _training,
    "answers": _answers,
    "figures": _figures,
    "verification": _verification,
    "batch": _batch,
    "shards": _shards,
    "benchmark": _benchmark,
}
