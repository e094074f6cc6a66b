"""An index finds what a loop over all pictures and patches finds, and nothing else comes in by its door."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F
from pyarrow import parquet

import vitreous
from tests.tiny import noise, save_pictures
from vitreous.errors import DataError, ObservationError, ShapeError, UnknownName
from vitreous.inside import case_index
from vitreous.models.zoo import LoadedModel
from vitreous.trace.features import patch_features

COUNT = 6


@pytest.fixture(scope="module")
def model(model_folder: Path) -> LoadedModel:
    return vitreous.load(str(model_folder))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_pictures(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def index(model: LoadedModel, pictures: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "cases.parquet"
    done: list[tuple[int, int]] = []
    built = vitreous.build_cases(model, pictures, path, batch_size=4, progress=lambda *now: done.append(now))
    assert (built.pictures, built.unread, done) == (COUNT, {}, [(4, COUNT), (COUNT, COUNT)])
    return path


def files(pictures: str) -> dict[str, Path]:
    root = Path(pictures.partition(":")[2])
    return {str(file.relative_to(root)): file for file in root.glob("*/*.png") if file.parent.name != "masks"}


@pytest.mark.parametrize("at_once", [1, case_index._AT_ONCE])
def test_cases_are_those_of_a_loop(
    model: LoadedModel, pictures: str, index: Path, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At one number at a time, every picture of the index is a chunk of its own."""
    monkeypatch.setattr(case_index, "_AT_ONCE", at_once)
    found = vitreous.find_cases(model, noise(77), index, 3)
    layer = found.index.about.layer
    prepared = model.prepared()

    def features(picture: object) -> torch.Tensor:
        return patch_features(model.model, prepared(picture)[None], layer).maps[0].flatten(1).mT  # type: ignore[arg-type]

    own = features(noise(77))
    others = {name: features(vitreous.open_picture(file)) for name, file in files(pictures).items()}
    assert len(others) == COUNT
    whole = {name: F.cosine_similarity(own.mean(0), each.mean(0), 0).item() for name, each in others.items()}
    ranked = sorted(whole, key=lambda name: -whole[name])
    assert [case.name for case in found.whole] == ranked[:3]
    for case in found.whole:
        assert case.cosine == pytest.approx(whole[case.name], abs=2e-3)
        assert case.label == case.name.partition("/")[0]
    for at, patch in enumerate(own):
        alike = {}
        for name, each in others.items():
            cosines = [F.cosine_similarity(patch, other, 0).item() for other in each]
            best = max(range(len(cosines)), key=cosines.__getitem__)
            alike[name] = (cosines[best], divmod(best, 4))
        for case in found.to(*divmod(at, 4)):
            assert case.cosine == pytest.approx(alike[case.name][0], abs=2e-3)
        (first, *_) = found.to(*divmod(at, 4))
        assert first.cosine == pytest.approx(max(alike.values())[0], abs=2e-3)
        assert first.patch == alike[first.name][1]
    with pytest.raises(UnknownName, match="0,0 … 3,3"):
        found.to(4, 0)


def test_a_picture_of_the_index_is_most_alike_to_itself(model: LoadedModel, pictures: str, index: Path) -> None:
    for name, file in files(pictures).items():
        found = vitreous.find_cases(model, file, index, 99)
        assert len(found.whole) == COUNT
        assert found.whole[0].name == name
        assert found.whole[0].cosine == pytest.approx(1, abs=2e-3)
        assert all(found.to(*divmod(at, 4))[0].patch == divmod(at, 4) for at in range(16))
        assert found.picture(found.whole[0]).size == (160, 160)


def test_class_tokens_stand_for_pictures_where_there_are_any(
    model: LoadedModel, pictures: str, tmp_path: Path, pooling_model: LoadedModel
) -> None:
    vitreous.build_cases(model, pictures, tmp_path / "class.parquet", whole="class", limit=2)
    found = vitreous.find_cases(model, noise(77), tmp_path / "class.parquet")
    images = torch.stack([model.prepared()(each) for each in (noise(77), _opened(pictures, found.whole[0].name))])
    extra = patch_features(model.model, images, found.index.about.layer).extra
    assert extra is not None
    assert found.whole[0].cosine == pytest.approx(F.cosine_similarity(*extra[:, 0], 0).item(), abs=2e-3)
    with pytest.raises(ObservationError, match='whole="mean"'):
        vitreous.build_cases(pooling_model, pictures, tmp_path / "none.parquet", whole="class")
    assert not (tmp_path / "none.parquet").exists()


def _opened(pictures: str, name: str) -> object:
    return vitreous.open_picture(files(pictures)[name])


@pytest.fixture(scope="module")
def pooling_model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    from tests.tiny import save_model

    return vitreous.load(str(save_model(tmp_path_factory.mktemp("pooling"), class_token=False, global_pool="avg")))


def test_another_model_and_several_pictures_are_refused(
    model: LoadedModel, pooling_model: LoadedModel, index: Path
) -> None:
    with pytest.raises(DataError, match="has other weights"):
        vitreous.find_cases(pooling_model, noise(1), index)
    with pytest.raises(ShapeError, match="Give one"):
        vitreous.find_cases(model, [noise(1), noise(2)], index)  # type: ignore[arg-type]


def test_what_cannot_be_read_is_told(model: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.png").write_text("not a picture")
    with pytest.raises(DataError, match="none of 1 pictures"):
        vitreous.build_cases(model, tmp_path / "in", tmp_path / "cases.parquet")
    noise(1).save(tmp_path / "in" / "good.png")
    built = vitreous.build_cases(model, tmp_path / "in", tmp_path / "cases.parquet")
    assert (built.pictures, list(built.unread)) == (1, ["bad.png"])


def _changed(index: Path, to: Path, **changes: object) -> Path:
    """The index with other words of itself."""
    table = parquet.read_table(index)
    about = json.loads(table.schema.metadata[b"vitreous.cases"]) | changes
    parquet.write_table(table.replace_schema_metadata({"vitreous.cases": json.dumps(about)}), to)
    return to


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"grid": [8, 2**40]},
        {"grid": [2, 4]},
        {"grid": [-4, -4]},
        {"channels": 31},
        {"channels": "many"},
        {"layer": None},
        {"whole": "max"},
        {"more": 1},
    ],
)
def test_an_index_that_says_other_of_itself_is_none(index: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(DataError, match="is no index"):
        case_index.open_index(_changed(index, tmp_path / "x.parquet", **changes))


def test_features_of_other_channels_are_refused(model: LoadedModel, index: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gives 128"):
        vitreous.find_cases(model, noise(1), _changed(index, tmp_path / "x.parquet", layer="blocks.0.mlp.fc1"))


def test_files_that_are_no_index_are_refused(index: Path, tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("no Parquet")
    (tmp_path / "cut.parquet").write_bytes(index.read_bytes()[:-100])
    parquet.write_table(pa.table({"picture": ["a"]}), tmp_path / "other.parquet")
    table = parquet.read_table(index)
    parquet.write_table(table.slice(0, 0), tmp_path / "empty.parquet")
    for name in ("text", "cut", "other", "empty"):
        with pytest.raises(DataError, match=r"is no index|cannot be read: [^.]+\. Build the index again\.$"):
            case_index.open_index(tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match=r"there is no file `.*missing\.parquet`\. Build an index"):
        case_index.open_index(tmp_path / "missing.parquet")


def test_features_that_are_no_numbers_are_refused(model: LoadedModel, index: Path, tmp_path: Path) -> None:
    table = parquet.read_table(index)
    values = table["whole"].combine_chunks().flatten().to_numpy(zero_copy_only=False).copy()
    values[3] = float("nan")
    kind = table.schema.field("whole").type
    column = pa.FixedSizeListArray.from_arrays(pa.array(values), type=kind)
    parquet.write_table(table.set_column(2, table.schema.field("whole"), column), tmp_path / "nan.parquet")
    with pytest.raises(DataError, match="NaN"):
        vitreous.find_cases(model, noise(1), tmp_path / "nan.parquet")


@pytest.mark.parametrize(("rows", "name"), [(2_000_000, "a"), (40_000, "a" * 4_000)], ids=["rows", "names"])
def test_a_small_file_that_grows_in_memory_is_refused(index: Path, tmp_path: Path, rows: int, name: str) -> None:
    """Parquet says a row that comes again and again only once."""
    about = replace(case_index.open_index(index).about, grid=(1, 1), channels=1)
    path, at_once = tmp_path / "small.parquet", 20_000
    with case_index.writing(path, about, {}) as write:
        for _ in range(rows // at_once):
            numbers = np.zeros(at_once, np.float16)
            texts = {"picture": [name] * at_once, "label": [None] * at_once, "shown": [b""] * at_once}
            write({**texts, "whole": numbers, "patches": numbers})
    assert path.stat().st_size < 1_000_000
    with pytest.raises(DataError, match=r"`.*small.parquet` grows from .* bytes\. Build an index"):
        case_index.open_index(path)
