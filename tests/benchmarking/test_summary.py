"""From values per picture to a table: intervals, paired tests, draws, results on disk."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from tests.tiny import noise
from vitreous.data.samples import Entry, draw
from vitreous.errors import DataError
from vitreous.metrics import METRICS
from vitreous.statistics.store import Key, Record, Store
from vitreous.statistics.summary import Cell, Values, holm, summarize
from vitreous.statistics.tables import Table, write_page, write_tables


def record(picture: int, value: float, *, counted: bool = True) -> Record:
    return Record("m", "r", "pointing", str(picture), "pointing", [value], counted)


def test_intervals_and_paired_tests() -> None:
    """Against the textbook: a mean's standard error, and differences that are paired."""
    pictures = [str(at) for at in range(200)]
    draws = np.random.default_rng(1).normal(0.5, 0.2, 200)
    noise_ = np.random.default_rng(2).normal(0.0, 0.02, 200)
    found = {
        "a": Values.of([record(at, draws[at]) for at in range(200)], pictures),
        "b": Values.of([record(at, draws[at] + 0.02 + noise_[at]) for at in range(200)], pictures),
        "c": Values.of([record(at, draws[at] + noise_[at] - noise_.mean()) for at in range(200)], pictures),
        "d": Values.of([record(at, draws[at], counted=at < 100) for at in range(150)], pictures),
    }
    kept = {row: values for row, values in found.items() if values is not None}
    cells = summarize("m", "pointing", METRICS["pointing"](), kept, reference="a", resamples=2000, seed=0)
    a, b, c, d = cells
    assert a.value == pytest.approx(draws.mean())
    spread = 1.96 * draws.std() / np.sqrt(200)
    assert (a.low, a.high) == pytest.approx((draws.mean() - spread, draws.mean() + spread), abs=0.005)
    assert np.isnan(a.p)
    assert b.difference == pytest.approx(0.02 + noise_.mean())
    assert b.p < 0.01
    assert b.difference_low < b.difference < b.difference_high
    # the methods' own intervals overlap: only the pairs tell
    assert b.low < a.high
    assert c.p > 0.5
    assert (d.pictures, d.value, d.difference) == (100, pytest.approx(draws[:100].mean()), 0)
    assert d.p == 1
    again = summarize("m", "pointing", METRICS["pointing"](), kept, reference="a", resamples=2000, seed=0)
    assert str(again) == str(cells)


def test_resamples_without_a_picture_that_counts_are_no_evidence() -> None:
    """One picture in fifty counts, so a third of the resamples has none: and it proves nothing."""
    pictures = [str(at) for at in range(50)]
    said = [record(at, 0.5, counted=at == 7) for at in range(50)]
    found = {row: values for row in "ab" if (values := Values.of(said, pictures)) is not None}
    _, b = summarize("m", "pointing", METRICS["pointing"](), found, reference="a", resamples=1000, seed=0)
    assert (b.pictures, b.difference, b.p) == (1, 0, 1)
    lower = Values.of([record(at, 0.4, counted=at == 7) for at in range(50)], pictures)
    assert lower is not None
    _, c = summarize(
        "m", "pointing", METRICS["pointing"](), found | {"b": lower}, reference="a", resamples=1000, seed=0
    )
    assert (c.pictures, c.difference, c.p) == (1, pytest.approx(-0.1), 1)


@pytest.mark.parametrize(("count", "least"), [(1, 1.0), (2, 0.5), (5, 1 / 16), (8, 1 / 128)])
def test_few_pictures_prove_little(count: int, least: float) -> None:
    """However far apart: the two-sided sign test of so many pictures that all agree."""
    found = {
        row: Values.of([record(at, value) for at in range(count)], list(map(str, range(count))))
        for row, value in (("a", 0.1), ("b", 0.9))
    }
    kept = {row: values for row, values in found.items() if values is not None}
    _, b = summarize("m", "pointing", METRICS["pointing"](), kept, reference="a", resamples=1000, seed=0)
    assert b.p == least


def test_holm_is_what_its_definition_says() -> None:
    """Hypothesis at rank k is rejected at level a if every p up to rank k is at most a / (m + 1 − k)."""
    chances = np.random.default_rng(0).uniform(0, 0.2, (50, 6))
    for row in chances.tolist():
        corrected, ordered = holm(row), sorted(row)
        for level in (0.01, 0.05, 0.2, 0.5):
            rejected = 0
            while rejected < 6 and ordered[rejected] <= level / (6 - rejected):
                rejected += 1
            assert {row.index(each) for each in ordered[:rejected]} == {
                at for at, each in enumerate(corrected) if each <= level
            }
    assert holm([]) == []


def test_tables_say_what_every_number_is(tmp_path: Path) -> None:
    """Stars are for p values times the number of rows; another column and the reference do not count."""
    cells = [
        Cell("m", row, metric, metric, 0.5, 0.4, 0.6, 9, p=p)
        for metric in ("pointing", "saco")
        for row, p in (("a", float("nan")), ("b", 0.02), ("c", 0.03), ("d", 0.01))
    ]
    measures = {"pointing": METRICS["pointing"](), "saco": METRICS["saco"]()}
    table = Table("title", cells, {}, {}, list("abcd"), "a", ["seed 3"], measures)
    assert [table.chances["m", row, "saco", "saco"] for row in "bcd"] == pytest.approx([0.04, 0.04, 0.03])
    files = [*write_tables(table, tmp_path), write_page(table, [], tmp_path / "summary.html")]
    markdown, tables, latex, page = (file.read_text() for file in files)
    assert markdown.count("0.5000\\* [0.4000, 0.6000]") == 2 * 3
    for text in (markdown, latex, page):
        assert "share of pictures" in text
        assert "coefficient from −1 to 1" in text
        assert "seed 3" in text
    assert "| pointing ↑ |" in markdown
    assert r"& saco $\uparrow$ &" in latex
    assert tables.splitlines()[0].endswith(",p,p_holm")
    four = [Cell("m", f"{at}", "saco", "saco", 0.5, 0.4, 0.6, 9, p=0.02) for at in range(3)]
    assert "*" not in _body(Table("title", four, {}, {}, list("012"), "a"), tmp_path)
    assert "*" in _body(Table("title", four[:2], {}, {}, list("012"), "a"), tmp_path)


def _body(table: Table, folder: Path) -> str:
    return write_tables(table, folder)[0].read_text().partition("##")[2]


def test_a_page_says_first_what_is_missing_and_what_noise_also_gets(tmp_path: Path) -> None:
    measures = {name: METRICS[name]() for name in ("pointing", "saco")}
    shown, missing = measures
    number = next(iter(measures[shown].quantities))
    better = measures[shown].quantities[number].better
    ends = {"good": (0.8, 0.9), "middling": (0.1, 0.5), "noise": (0.2, 0.3)}
    ends = ends if better == "↑" else {row: (1 - high, 1 - low) for row, (low, high) in ends.items()}
    cells = [Cell("vit", row, shown, number, (low + high) / 2, low, high, 9) for row, (low, high) in ends.items()]
    costs = {"seconds": {("vit", row): float("nan") for row in ends}}
    notes = (f"{missing} says nothing of x: no box.",)
    table = Table("title", cells, {}, costs, list(ends), "good", notes, measures, noise=["noise"])
    text = write_page(table, [], tmp_path / "summary.html").read_text()
    assert "good is better than maps that know nothing of the model (noise)." in text
    assert "What middling gets, such a map may get too." in text
    assert text.index(f"There is no number of {missing}. {missing} says nothing of x: no box.") < text.index(
        "Value [95"
    )
    assert "nan" not in text
    assert "know nothing" not in write_page(replace(table, noise=()), [], tmp_path / "other.html").read_text()


def test_nothing_that_counts_is_no_value() -> None:
    assert Values.of([record(0, 1.0, counted=False)], ["0"]) is None
    assert Values.of([Record("m", "r", "pointing", "0", error="no mask")], ["0"]) is None


def test_a_larger_draw_holds_the_smaller() -> None:
    entries = [Entry(f"{at:02}", partial(noise, at)) for at in range(50)]
    few, many = draw(entries, 10, 3), draw(entries, 20, 3)
    assert many[:10] == few, "a run that was stopped has judged a smaller draw"
    everything = draw(entries, 0, 3)
    assert everything[:20] == many
    assert sorted(entry.id for entry in everything) == [entry.id for entry in entries]
    assert draw(entries, 10, 4) != few


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add([record(0, 1.0)])
    store.add([record(1, 0.0)])
    assert [each.picture for each in store.read()[Key("m", "r", "pointing")]] == ["0", "1"]
    max((tmp_path / "results").iterdir()).write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"000001-\d+\.parquet` cannot be read"):
        store.read()


def test_two_runs_at_once_keep_what_both_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, processes = parquet.write_table, iter((7, 8))
    monkeypatch.setattr("os.getpid", lambda: next(processes, 9))

    def meanwhile(*args: Any, **named: Any) -> None:
        monkeypatch.setattr(parquet, "write_table", write)
        Store(tmp_path).add([record(1, 0.0)])
        write(*args, **named)

    monkeypatch.setattr(parquet, "write_table", meanwhile)
    Store(tmp_path).add([record(0, 1.0)])
    assert {each.picture for each in Store(tmp_path).read()[Key("m", "r", "pointing")]} == {"0", "1"}
