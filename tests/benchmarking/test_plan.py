"""What a plan may say, and what it may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vitreous.benchmarking.plan import BASELINES, Plan, make_methods, plan_metric, read_plan, use_own
from vitreous.benchmarking.presets import PRESETS
from vitreous.errors import DataError, ShapeError, UnknownName


def test_a_plan_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(
        'dataset = "npz:a.npz"\nmodels = ["default"]\nmethods = ["ag_cam"]\nlimit = 9\n'
        '[metrics.rise]\nuse = "perturbation"\npreset = "rise"\nparts = 8\nlast = 8\n'
    )
    made = read_plan(path, {"limit": 4}, {})
    assert made == Plan(
        "npz:a.npz",
        methods={"ag_cam": {}},
        metrics={"rise": {"use": "perturbation", "preset": "rise", "parts": 8, "last": 8}},
        limit=4,
    )
    measure = plan_metric("rise", made.metrics["rise"])
    assert (measure.insertion, measure.parts) == ("rise_blur", 8)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dataset = 3", "`dataset` of .* is 3. Give a text"),
        ("limit = true\ndataset = 'x'", "`limit` of .* is True. Give a whole number"),
        ("models = 'default'", "Give a list of texts"),
        ("methods = {ag_cam = 3}", "Give names, or a section each"),
        ("method = ['ag_cam']", 'no setting in plan.toml named "method". Did you mean "methods"'),
        ("seed = 1", "does not set `dataset`"),
        ("dataset = 'x'", r"sets no `methods`"),
        ("dataset = 'x'\nmethods = ['ag_cam']\nmetrics = []", "names no metrics"),
        ("=", "is not TOML"),
    ],
)
def test_a_wrong_plan_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "plan.toml").write_text(text)
    with pytest.raises((DataError, UnknownName), match=said):
        read_plan(tmp_path / "plan.toml", {}, {})
    with pytest.raises(DataError, match="there is no plan at"):
        read_plan(tmp_path / "none.toml", {}, {})


def test_names_in_a_plan_are_checked() -> None:
    base: dict[str, Any] = {"methods": {"ag_cam": {}}, "metrics": {"pointing": {}}}
    with pytest.raises(UnknownName, match='value of `target` named "lable"'):
        Plan("x", **base, target="lable")
    with pytest.raises(UnknownName, match='reference method named "rollout"'):
        Plan("x", **base, reference="rollout")
    with pytest.raises(ShapeError, match="`batch_size` must be at least 1"):
        Plan("x", **base, batch_size=0)
    for name, settings, said in (
        ("pointin", {}, 'no metric named "pointin"'),
        ("pointing", {"size": 3}, 'no setting of `pointing` named "size"'),
        ("saco", {"preset": "rise"}, r"\(it has none\)"),
        ("perturbation", {"preset": "ris"}, 'Did you mean "rise"'),
        ("saco", {"precision": "bfloat8"}, 'Did you mean "bfloat16"'),
    ):
        with pytest.raises(UnknownName, match=said):
            plan_metric(name, settings)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_can_be_made(name: str) -> None:
    made = Plan("x", **PRESETS[name])
    assert made.whole
    assert made.reference in made.methods
    for metric, settings in made.metrics.items():
        plan_metric(metric, settings)
    assert set(make_methods(made)) >= set(BASELINES)


@pytest.mark.parametrize("section", ["methods", "metrics"])
@pytest.mark.parametrize("key", ["use", "name"])
def test_a_plan_runs_no_code(tmp_path: Path, section: str, key: str) -> None:
    path, ran = tmp_path / "plan.toml", tmp_path / "ran"
    sections = {"methods": "[methods.ag_cam]", "metrics": "[metrics.pointing]"}
    sections[section] += f'\n{key} = "subprocess:Popen"\nargs = ["touch", "{ran}"]'
    path.write_text('dataset = "folder:x"\n' + "\n".join(sections.values()))

    def make() -> None:
        made = read_plan(path, {}, {})
        make_methods(made)
        plan_metric("pointing", made.metrics["pointing"])

    with pytest.raises((DataError, UnknownName), match=r"names no code to run|no setting of `\w+` named"):
        make()
    assert not ran.exists()


def test_nor_does_the_name_of_a_row(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text('dataset = "folder:x"\nmethods = ["subprocess:Popen"]\nmetrics = ["pointing"]')
    with pytest.raises(DataError, match=r"--use subprocess:Popen=subprocess:Popen on the command line if you trust"):
        read_plan(tmp_path / "plan.toml", {}, {})


def test_nor_does_its_data_set(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text('dataset = "os.path:exists:x"\nmethods = ["ag_cam"]\nmetrics = ["pointing"]')
    with pytest.raises(DataError, match=r"is read by 'os.path:exists:x', and a file names no code to run"):
        read_plan(path, {}, {})


def test_own_classes_come_from_the_command_line() -> None:
    plan = Plan("x", methods={"mine": {}, "ag_cam": {}}, metrics={"pointing": {}})
    used = use_own(
        plan,
        {"mine": "vitreous.methods.rollout:Rollout", "point": "vitreous.metrics.localization:Pointing"},
    )
    assert str(make_methods(used)["mine"]).startswith("Rollout(")
    assert list(used.metrics) == ["pointing", "point"]
    assert type(plan_metric("point", used.metrics["point"])).__name__ == "Pointing"


@pytest.mark.parametrize(
    "name", ["subprocess:Popen", "subprocess:run", "builtins:dict", "nowhere:X", ":", "a:", "a:.b"]
)
def test_an_own_class_is_a_method_or_a_metric(name: str) -> None:
    plan = Plan("x", methods={"ag_cam": {}}, metrics={"pointing": {}})
    with pytest.raises(UnknownName, match="no method or metric named"):
        use_own(plan, {"row": name})
    with pytest.raises(UnknownName, match="no method named"):
        make_methods(Plan("x", methods={"row": {"use": name}}, metrics={"pointing": {}}))
    with pytest.raises(UnknownName, match="no metric named"):
        plan_metric("row", {"use": name})
