"""Every reader of files from anywhere, each with small whole files that it reads."""

from __future__ import annotations

import asyncio
import functools
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import torch
import typer
from pyarrow import parquet
from starlette.requests import Request
from torch.nn import Identity, Sequential

from tests.data.test_labelled import archive
from tests.data.trees import TREES
from tests.medical.made import body, dicom, volume
from tests.tiny import noise, save_model
from tests.training.test_classify import RECIPE
from tests.training.test_detect import RECIPE as DETECTION
from vitreous.batching.job import run_order
from vitreous.batching.order import Order
from vitreous.batching.plan import settle_plan
from vitreous.batching.shards import find_shard, read_rows, shard_path
from vitreous.benchmarking.describe import join
from vitreous.benchmarking.plan import read_plan
from vitreous.cli.options import output_of, pair_of
from vitreous.data.depth import asked_window
from vitreous.data.finding import find_pictures
from vitreous.data.labelled import load_labelled
from vitreous.data.objects import read_scenes
from vitreous.data.pictures import open_encoded, open_picture
from vitreous.data.readers import open_samples
from vitreous.data.sources.slices import cut, find_files, read_slice
from vitreous.engines.engine import InProcess
from vitreous.errors import DataError
from vitreous.explaining.asked import read_class_names
from vitreous.explaining.explain import explain
from vitreous.explaining.pictures import PictureJob, explain_pictures
from vitreous.explaining.targets import as_target, choose_classes
from vitreous.files.ledger import open_ledger
from vitreous.files.manifest import check_own_file, read_own, write_manifest
from vitreous.inside.case_index import About, open_index, writing
from vitreous.interacting.verification.job import Trial, verify
from vitreous.interacting.verification.pruned import Removal
from vitreous.methods import METHODS
from vitreous.methods.explanation import Explanation
from vitreous.models.checkpoint import read_state
from vitreous.models.detection.card import DetectorCard, load_detector
from vitreous.models.zoo import load
from vitreous.reporting.pictures import report_pictures
from vitreous.reproducing.reproduce import reproduce
from vitreous.serving.asked import Explain, Heads, Hide, mask_of, read
from vitreous.serving.sent import read_form, read_json
from vitreous.statistics.store import Record, Store
from vitreous.trace.edit import find_part
from vitreous.trace.reading import Reading
from vitreous.training import recipe
from vitreous.training.classify import train
from vitreous.training.detection.recipe import read_detection_recipe
from vitreous.training.kept import KeptAnswers

__all__ = ["READERS", "Read"]

Read = Callable[[], object]


def _samples(kind: str, root: Path) -> Read:
    spec = TREES[kind](root)
    return lambda: [entry.open() for entry in open_samples(spec).entries]


def _picture(suffix: str, root: Path) -> Read:
    file = root / f"a{suffix}"
    noise(1).save(file)
    return lambda: open_picture(file)


def _labelled(root: Path) -> Read:
    return _pictures_of(Path(TREES["npz"](root).partition(":")[2]))


def _scenes(root: Path) -> Read:
    TREES["coco"](root)
    return lambda: [scene.objects() for scene in read_scenes(root, "val2017").scenes]


def _model(root: Path) -> Read:
    save_model(root, embed_dim=8, depth=1, num_heads=1)
    return lambda: load(root)


def _checkpoint(root: Path) -> Read:
    torch.save({"state_dict": {"a": torch.zeros(4), "b": torch.ones(2, 3)}, "epoch": 3}, root / "a.pth")
    return lambda: read_state(root / "a.pth")


def _plan(root: Path) -> Read:
    text = 'dataset = "folder:x"\nlimit = 3\nmethods = ["rollout"]\n[metrics.box_overlap]\nmisclassified = true\n'
    (root / "plan.toml").write_text(text)
    return lambda: read_plan(root / "plan.toml", {}, {})


def _recipe(root: Path) -> Read:
    (root / "recipe.toml").write_bytes((Path(recipe.__file__).parent / "recipes" / "taught.toml").read_bytes())
    return lambda: recipe.read_recipe(root / "recipe.toml")


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
    with writing(root / "a.parquet", about) as write:
        rows = {"picture": ["a", "b"], "label": ["cat", None], "shown": [_png(0), _png(1)]}
        write(rows | {"whole": np.eye(2, 4, dtype=np.float16), "patches": np.ones((2, 6, 4), np.float16)})

    def read() -> None:
        index = open_index(root / "a.parquet")
        for chunk in index.chunks():
            index.picture(chunk.first)

    return read


def _training_folder(root: Path) -> Read:
    for part in ("train", "val"):
        for at, kind in enumerate(("cat", "hen")):
            (root / part / kind).mkdir(parents=True)
            noise(at, (6, 4)).save(root / part / kind / "a.png")
    return _pictures_of(root)


def _class_table(root: Path) -> Read:
    archive(root / "set.npz")
    (root / "classes.csv").write_text('label,words\n0,cat\n1,"hen, chicken"\n', encoding="utf-8")
    return _pictures_of(root / "set.npz")


def _pictures_of(place: Path) -> Read:
    return lambda: [
        picture for split in load_labelled(place)[:2] for picture in map(split.__getitem__, range(len(split)))
    ]


def _class_names(root: Path) -> Read:
    (root / "names.txt").write_text("cat\ndog\nÜbung\n", encoding="utf-8")
    return lambda: read_class_names(root / "names.txt")


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
    _job(root)

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


def _detector(root: Path) -> Read:
    statistics = ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    card = DetectorCard("test_resnet", {}, ("box", "disk"), False, 8, 4, (64,), 96, *statistics)
    card.save(root, card.build().state_dict())
    return lambda: load_detector(root, torch.device("cpu"))


def _detection_recipe(root: Path) -> Read:
    (root / "recipe.toml").write_text(DETECTION.to_toml(), encoding="utf-8")
    return lambda: read_detection_recipe(root / "recipe.toml")


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


def _source(kind: str, root: Path) -> Read:
    """Pictures of a batch, wherever they lie."""
    MADE[kind](root / f"set{kind}")

    def read() -> None:
        files = find_files(str(root / f"set{kind}"))
        for part in cut(files.each(), files.root, 2, named=files.named):
            for name, encoded in read_slice(part, files.root):
                if isinstance(encoded, bytes):
                    open_encoded(encoded, name)

    return read


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


def _dicom(root: Path) -> Read:
    path = dicom(root / "a.dcm", body(8), WindowCenter=[40, 50], WindowWidth=[400, 80], PixelPaddingValue=-1000)
    return lambda: open_picture(path)


def _frames(root: Path) -> Read:
    path = dicom(root / "a.dcm", body(8)[None].repeat(3, 0), RescaleSlope=2, RescaleIntercept=-1)
    return lambda: [open_picture(each) for each in find_pictures([path / "1:4"])]


def _nifti(root: Path) -> Read:
    path = volume(root / "a.nii", body(8)[None].repeat(3, 0))
    return lambda: [open_picture(each) for each in find_pictures([path / "axial"])]


def _listed(path: Path) -> None:
    noise(0, (8, 8)).save(path.with_name("a.png"))
    path.write_text(f"a.png\n\n{path.with_name('a.png').absolute()}\n", encoding="utf-8")


def _zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for at in range(3):
            archive.writestr(f"{at}.png", _png(at))


def _tarred(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for at in range(3):
            member = tarfile.TarInfo(f"{at}.png")
            member.size = len(_png(at))
            archive.addfile(member, io.BytesIO(_png(at)))


def _tabled(path: Path) -> None:
    parquet.write_table(pyarrow.table({"image": [{"bytes": _png(at), "path": f"{at}.png"} for at in range(3)]}), path)


def _png(seed: int) -> bytes:
    noise(seed, (8, 8)).save(made := io.BytesIO(), "png")
    return made.getvalue()


MADE: dict[str, Callable[[Path], None]] = {".txt": _listed, ".zip": _zipped, ".tar": _tarred, ".parquet": _tabled}
_FORM = (
    b'--x\r\nContent-Disposition: form-data; name="method"\r\n\r\nag_cam\r\n'
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\nabc\r\n--x--\r\n'
)


def _form(root: Path) -> Read:
    (root / "body").write_bytes(_FORM)
    (root / "kind").write_bytes(b"multipart/form-data; boundary=x")
    return lambda: read_form((root / "body").read_bytes(), (root / "kind").read_bytes().decode("latin-1"))


_REQUESTS: dict[Any, str] = {
    Explain: '{"picture": "a", "methods": ["ag_cam"], "model": 0, "target": 1, "against": null, "trust": false}',
    Hide: '{"result": "a", "rows": 4, "columns": 4, "patches": [0, 3], "which": 0}',
    Heads: '{"result": "a", "block": 0}',
}


def _request(kind: Any, root: Path) -> Read:
    (root / "body").write_text(_REQUESTS[kind])

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": (root / "body").read_bytes(), "more_body": False}

    def ask() -> object:
        request = Request({"type": "http", "headers": []}, receive)
        asked = read(kind, asyncio.run(read_json(request, 2000, 5.0)))
        return mask_of(asked, 4096) if isinstance(asked, Hide) else asked

    return ask


def _grid(text: str) -> object:
    try:
        return pair_of(text, "--grid")
    except typer.BadParameter as error:
        raise DataError(str(error)) from None


_PARTS = Sequential(Sequential(Identity()))
_TEXTS: dict[str, tuple[str, Callable[[str], object]]] = {
    "window": ("0,4095", asked_window),
    "grid": ("14,7", _grid),
    "patches": ("1:17", lambda text: Reading().but(patches=text)),
    "places": ("1,2,5", lambda text: Reading().but(patches=text)),
    "part": ("0.0", lambda text: find_part(_PARTS, text)),
    "target": ("12", lambda text: as_target(text, ("cat", "12 monkeys"))),
    "top": ("top-2", lambda text: choose_classes(text, ("cat", "hen"), torch.zeros(1, 2))),
    "output": ("-1", output_of),
}


def _text(kind: str, root: Path) -> Read:
    whole, parse = _TEXTS[kind]
    (root / "text").write_text(whole)
    return lambda: parse((root / "text").read_bytes().decode("latin-1"))


READERS: dict[str, Callable[[Path], Read]] = {
    **{kind: functools.partial(_samples, kind) for kind in TREES},
    **{f"picture{suffix}": functools.partial(_picture, suffix) for suffix in (".png", ".jpg", ".gif", ".tif", ".webp")},
    "labelled": _labelled,
    "scenes": _scenes,
    "model": _model,
    "checkpoint": _checkpoint,
    "plan": _plan,
    "recipe": _recipe,
    "ledger": _ledger,
    "results": _results,
    "cases": _cases,
    "training folder": _training_folder,
    "class table": _class_table,
    "class names": _class_names,
    "explanation": _explanation,
    "manifest": _manifest,
    "report": _report,
    "training": _training,
    "detector": _detector,
    "detection recipe": _detection_recipe,
    "answers": _answers,
    "figures": _figures,
    "verification": _verification,
    **{f"pictures{suffix}": functools.partial(_source, suffix) for suffix in MADE},
    "batch": _batch,
    "benchmark": _benchmark,
    "dicom": _dicom,
    "frames": _frames,
    "nifti": _nifti,
    "form": _form,
    **{f"request {kind.__name__}": functools.partial(_request, kind) for kind in _REQUESTS},
    **{f"text of {kind}": functools.partial(_text, kind) for kind in _TEXTS},
}
