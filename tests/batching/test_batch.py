"""Every picture has one row, whatever stops a run, and rows are those of `explain`."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import vitreous
from tests.batching.conftest import PICTURES, Run, shards
from tests.explaining.made_up import Refusal
from tests.tiny import noise
from vitreous.batching import shards as on_disk
from vitreous.data.pictures import open_picture
from vitreous.errors import DataError, ModelError, ObservationError, ShapeError
from vitreous.methods.explanation import Explanation
from vitreous.metrics.saco import SaCo
from vitreous.models.zoo import LoadedModel

NAMES = ["0.png", "2.png", "4.png", "broken.jpg", "b/1.png", "b/3.png", "b/5.png"]


def test_a_row_a_picture(run: Run, photos: Path, model_folder: Path) -> None:
    told: list[tuple[int, int]] = []
    done = run(photos, progress=lambda *how_far: told.append(how_far))
    rows = list(done.rows())
    assert [row["picture"] for row in rows] == NAMES
    assert told == [(0, 7), (3, 7), (6, 7), (7, 7)]
    assert (done.pictures, done.failed) == (PICTURES, 1)
    for row in rows:
        assert row["sha256"] == hashlib.sha256((photos / row["picture"]).read_bytes()).hexdigest()
    assert (rows[0]["size"].tolist(), rows[0]["box"].tolist()) == ([40, 30], [7, 2, 33, 28])
    bad = rows[3]
    assert "`broken.jpg` is not a picture of a known format" in bad["error"]
    assert bad["ag_cam"] is bad["logits"] is None
    files = [photos / row["picture"] for row in rows[4:6]]
    wanted = vitreous.explain(vitreous.load(model_folder), files, method=["ag_cam", "rollout"])
    for row, at in zip(rows[4:6], range(2), strict=True):
        assert row["error"] is None
        for name, found in wanted.items():
            assert row[name].dtype == np.float32
            torch.testing.assert_close(torch.from_numpy(row[name][0]), found.heatmap[at])
        assert row["targets"].tolist() == [int(wanted["ag_cam"].target[at].argmax())]  # type: ignore[index]


def test_shards_are_the_only_parquet_and_say_their_plan(run: Run, photos: Path, tmp_path: Path) -> None:
    run(photos)
    out = tmp_path / "out"
    assert sorted(path.name for path in out.rglob("*.parquet")) == [f"part-00000{at}.parquet" for at in range(3)]
    plan = json.loads((out / "manifest.json").read_text())["hash"]
    for at, path in enumerate(sorted((out / "shards").iterdir())):
        about = json.loads(pq.read_metadata(path).metadata[b"vitreous"])
        assert (about["plan"], about["number"]) == (plan, at)
    assert len(pq.read_table(out / "shards")) == PICTURES


def test_what_is_done_is_not_done_again(run: Run, photos: Path, tmp_path: Path, monkeypatch: Any) -> None:
    run(photos)
    whole = shards(tmp_path / "out")
    (tmp_path / "out/shards/part-000001.parquet").unlink()
    cut = tmp_path / "out/shards/part-000002.parquet"
    cut.write_bytes(cut.read_bytes()[:-9])
    written: list[int] = []
    monkeypatch.setattr("vitreous.batching.shard.write_shard", _noted(written))
    assert run(photos).failed == 1
    assert written == [1, 2]
    assert shards(tmp_path / "out") == whole


def _noted(written: list[int]) -> Any:
    def write(folder: Path, shard: on_disk.Shard, *rest: Any) -> None:
        written.append(shard.number)
        on_disk.write_shard(folder, shard, *rest)

    return write


def test_shares_make_the_whole(run: Run, photos: Path, tmp_path: Path) -> None:
    run(photos)
    parts = [run(photos, "parts", share=(at, 2)) for at in range(2)]
    assert [list(part.shards) for part in parts] == [[0, 2], [1]]
    assert sum(part.pictures for part in parts) == PICTURES
    assert shards(tmp_path / "parts") == shards(tmp_path / "out")
    with pytest.raises(ShapeError, match="is 2 of 2"):
        run(photos, share=(2, 2))


def test_sheets_and_targets(run: Run, photos: Path) -> None:
    row = next(run(photos, target="top-2", sheets=True).rows())
    assert row["ag_cam"].shape == (2, 4, 4)
    assert row["targets"].shape == (2,)
    assert row["sheet"].startswith(b"\x89PNG")


@dataclass(frozen=True)
class Flat:
    """A method whose maps say nothing."""

    source: ClassVar[str] = "made up"

    def __call__(self, model: Any, images: torch.Tensor, target: Any) -> Explanation:
        logits = model(images).detach()
        return Explanation(torch.ones(len(images), 4, 4), logits, target(logits).argmax(1), self)


def test_metrics_measure_every_map(run: Run, photos: Path, model_folder: Path) -> None:
    few = SaCo(groups=4)
    metrics = {"saco": few, "average_drop": "average_drop"}
    asked = {"metric": metrics, "target": "top-2", "method": {"ag_cam": "ag_cam", "mine": Refusal()}}
    rows = list(run(photos, **asked).rows())
    loaded = vitreous.load(model_folder)
    for row in rows:
        if row["error"]:
            assert row["metrics"] is row["unmeasured"] is None
            continue
        assert row["unmeasured"] == dict.fromkeys(["mine.saco", "mine.average_drop"], "there is none. Look elsewhere.")
        numbers = ["ag_cam.average_drop.average_drop", "ag_cam.average_drop.average_increase", "ag_cam.saco.saco"]
        assert sorted(row["metrics"]) == numbers
        for at, target in enumerate(row["targets"].tolist()):
            found = vitreous.explain(loaded, photos / row["picture"], "ag_cam", target)
            image = loaded.prepared()(open_picture(photos / row["picture"]))[None]
            wanted = few(loaded.model, image, found.heatmap, torch.tensor([target]))["saco"].item()
            assert row["metrics"]["ag_cam.saco.saco"][at] == pytest.approx(wanted, abs=1e-4)
    assert sum(row["error"] is None for row in rows) == PICTURES - 1


def test_what_cannot_be_measured_has_no_number(run: Run, photos: Path) -> None:
    flat = {"method": {"ag_cam": "ag_cam", "flat": Flat()}, "metric": ["saco"]}
    row = next(run(photos, **flat).rows())
    assert [*row["metrics"]] == ["ag_cam.saco.saco"]
    assert "gave a constant map" in row["unmeasured"]["flat.saco"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"metric": "pointing"}, "`pointing` cannot be measured on pictures alone: there is no mask. Leave it out"),
        ({"metric": "saco", "against": "1"}, "metrics follow the score of one class"),
        ({"metric": "saco"}, "`metrics` was None"),
    ],
)
def test_metrics_that_cannot_be(run: Run, photos: Path, more: dict[str, Any], said: str) -> None:
    run(photos)
    with pytest.raises((DataError, ShapeError), match=said):
        run(photos, **more)


def test_a_map_that_a_method_does_not_give(run: Run, photos: Path) -> None:
    row = next(run(photos, method={"ag_cam": "ag_cam", "mine": Refusal()}).rows())
    assert row["mine"] is None
    assert row["ag_cam"].shape == (1, 4, 4)
    assert row["refused"] == {"mine": "there is none. Look elsewhere."}
    with pytest.raises(ObservationError, match="there is none"):
        run(photos, "other", method=Refusal())


def test_a_model_of_yours_and_the_threads_come_back_as_they_were(
    model: LoadedModel, photos: Path, tmp_path: Path
) -> None:
    threads = torch.get_num_threads()
    own = vitreous.batch(
        photos, model.model, "rollout", output=tmp_path / "own", threads=2, preprocess=model.preprocess
    )
    assert torch.get_num_threads() == threads
    assert next(own.rows())["rollout"].shape == (1, 4, 4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"method": "ag_cam"}, "`methods` was"),
        ({"batch_size": 3}, "`batch_size` was 2, and is 3"),
        ({"threads": 2}, "`threads` was 1, and is 2"),
        ({"shard": 4}, "`shard` was 3, and is 4"),
    ],
)
def test_another_plan_needs_another_folder(run: Run, photos: Path, change: dict[str, Any], said: str) -> None:
    run(photos)
    with pytest.raises(DataError, match=said):
        run(photos, **change)


def test_an_output_folder_among_the_pictures_is_none_of_them(run: Run, photos: Path) -> None:
    done = run(photos, "photos/maps")
    assert run(photos, "photos/maps") == done
    assert [row["picture"] for row in done.rows()] == NAMES


def test_other_pictures_need_another_folder(run: Run, photos: Path) -> None:
    run(photos)
    noise(9).save(photos / "new.png")
    with pytest.raises(DataError, match="had 7 files and has 8"):
        run(photos)


def test_pictures_may_move(run: Run, photos: Path, tmp_path: Path) -> None:
    run(photos)
    whole = shards(tmp_path / "out")
    (tmp_path / "out/shards/part-000001.parquet").unlink()
    run(photos.rename(tmp_path / "moved"))
    assert shards(tmp_path / "out") == whole


def test_pictures_at_an_address(run: Run, photos: Path) -> None:
    near = {row["picture"]: row for row in run(photos).rows()}
    store = fsspec.filesystem("memory")
    store.put(f"{photos}/", "/batch/photos/", recursive=True)
    try:
        far = {row["picture"]: row for row in run("memory://batch/photos", "far").rows()}
    finally:
        store.rm("/batch", recursive=True)
    assert far.keys() == near.keys()
    for name, row in far.items():
        assert row["sha256"] == near[name]["sha256"]
        if row["error"] is None:  # by rounding: in batches of others
            np.testing.assert_allclose(row["ag_cam"], near[name]["ag_cam"], rtol=1e-4, atol=1e-6)
    assert [name for name, row in far.items() if row["error"]] == ["broken.jpg"]


def test_the_manifest_tells_of_nobody_s_home(run: Run, photos: Path, tmp_path: Path) -> None:
    done = run(photos)
    manifest = (done.folder / "manifest.json").read_text()
    assert json.loads(manifest)["root"] == "../photos"
    assert str(photos) not in manifest


def test_what_is_not_ours_stays(run: Run, photos: Path, tmp_path: Path) -> None:
    mine = tmp_path / "out/shards/mine.parquet"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(DataError, match="is there already"):
        run(photos)
    mine.unlink()
    run(photos)
    mine.write_text("mine")
    with pytest.raises(DataError, match="is no shard of this run"):
        run(photos)
    assert mine.read_text() == "mine"


def test_pictures_that_are_gone_stop_a_run_which_goes_on(run: Run, photos: Path, tmp_path: Path) -> None:
    run(photos, "whole")
    gone, away = photos / "b/3.png", tmp_path / "away.png"
    with pytest.raises(DataError, match=r"there is no file .*b/3.png`. Bring it back and run again to go on"):
        run(photos, progress=lambda done, of: gone.rename(away) if not done else None)
    assert [*shards(tmp_path / "out")] == ["part-000000.parquet"]
    away.rename(gone)
    run(photos)
    assert shards(tmp_path / "out") == shards(tmp_path / "whole")


def test_a_full_disk_stops_a_run_which_goes_on(run: Run, photos: Path, tmp_path: Path, monkeypatch: Any) -> None:
    run(photos, "whole")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr("vitreous.batching.shards.os.fsync", full)
        with pytest.raises(DataError, match="No space left on device"):
            run(photos)
    assert not shards(tmp_path / "out")
    run(photos)
    assert shards(tmp_path / "out") == shards(tmp_path / "whole")


@dataclass(frozen=True)
class OutOfMemory:
    """A method for which there is never enough."""

    source: ClassVar[str] = "made up"

    def __call__(self, *_: Any) -> Any:
        raise torch.OutOfMemoryError


def test_memory_that_is_short_stops_a_run(run: Run, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"`0.png`: there is not enough memory. Run again"):
        run(photos, method={"ag_cam": "ag_cam", "large": OutOfMemory()})
    assert not shards(tmp_path / "out")
