"""Pages of the site that are made from the code when it is built, so that they say what it does."""

from __future__ import annotations

import csv
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, get_args

import vitreous
from vitreous.benchmarking.plan import Plan
from vitreous.benchmarking.presets import PRESETS
from vitreous.cli.listing import KINDS, NEEDS
from vitreous.data.gallery import sample_picture
from vitreous.data.readers import DATASETS
from vitreous.errors import ExplainError
from vitreous.methods.method import Family
from vitreous.metrics import METRICS
from vitreous.training.detection.recipe import DetectionRecipe
from vitreous.training.listing import described, settings
from vitreous.training.recipe import Recipe, shipped_recipes

ROOT = Path(__file__).parents[1]
COSTS = ROOT / "results" / "methods_cost_tiny20.csv"
PICTURE = "horse"
FEWER: dict[str, dict[str, Any]] = {
    "rise": {"masks": 600},
    "mgrw": {"walks": 200},
    "integrated_gradients": {"steps": 20},
}
"""Settings of slow methods that make a page's picture quick."""


def write_pages(folder: Path) -> None:
    """All of them, with their pictures; a page that is the same is left as it is, so that it is not built again."""
    for part in ("methods", "parts"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    refused = {name: _draw(name, folder / "methods" / f"{name}.png") for name in vitreous.METHODS}
    for name, text in pages(refused).items():
        file = folder / f"{name}.md"
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def pages(refused: Mapping[str, str]) -> dict[str, str]:
    """By name, their Markdown; given why a method has no picture, empty where it has one."""
    made = {f"methods/{name}": _method_page(name, refused[name]) for name in vitreous.METHODS}
    made |= {
        "methods": _methods_page(refused),
        "metrics": _metrics_page(),
        "plan": _plan_page(),
        "recipes": _recipes_page(),
        "datasets": _datasets_page(),
        "parts/departures": _departures(),
        "parts/command": _commands(),
        "parts/python": _face(),
    }
    return {name: "\n".join(lines) + "\n" for name, lines in made.items()}


def as_markdown(text: str, *, cell: bool = False) -> str:
    """Words of a docstring, in which Markdown finds no markup but code.

    >>> as_markdown("`a_b` is Σ_i |w_i| * 2")
    '`a_b` is Σ\\\\_i \\\\|w\\\\_i\\\\| \\\\* 2'
    """
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()) if cell else text)
    escaped = [part if part.startswith("`") else re.sub(r"([*_|<>\[\]])", r"\\\1", part) for part in parts]
    return "".join(
        escaped if not cell else [part.replace("|", "\\|") if part.startswith("`") else part for part in escaped]
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A Markdown table."""
    yield f"| {' | '.join(head)} |"
    yield "|" + " --- |" * len(head)
    yield from (f"| {' | '.join(row)} |" for row in rows)


def docstring(found: Any) -> Iterator[str]:
    """A docstring as Markdown: paragraphs, what it lists as a table, and its example."""
    text, _, example = (inspect.getdoc(found) or "").partition("\n>>> ")
    for part in re.split(r"\n(?=[A-Z]\w+:\n    )", text):
        section = re.match(r"([A-Z]\w+):\n(?=    )", part)
        if not section:
            yield from (as_markdown(part), "")
            continue
        listed, _, rest = re.sub(r"\n\n(?=\S)", "\0", part[section.end() :], count=1).partition("\0")
        items = re.findall(r"^    ([^:\n]+): (.*(?:\n {8}.*)*)", listed, re.MULTILINE)
        title = "setting" if section[1] == "Attributes" else section[1].lower()
        yield from table((title, ""), [(f"`{name}`", as_markdown(about, cell=True)) for name, about in items])
        yield from ("", as_markdown(rest), "")
    if example:
        yield from ("```pycon", f">>> {example}", "```", "")


def _draw(name: str, file: Path) -> str:
    """The picture of a method's page; why there is none, where it refuses."""
    if file.is_file():
        return ""
    try:
        made = vitreous.explain(vitreous.load(), sample_picture(PICTURE), name, **FEWER.get(name, {}))
    except ExplainError as refusal:
        return str(refusal)
    made.overlay().save(file.with_suffix(".jpg"))
    made.save(file)
    return ""


def _costs() -> dict[str, str]:
    """By method, the time of an explanation over that of a forward pass, as measured."""
    with COSTS.open(encoding="utf-8") as file:
        return {row["method"]: f"{float(row['forwards']):.1f}" for row in csv.DictReader(file) if row["forwards"]}


def _facts(name: str) -> list[str]:
    maker = vitreous.METHODS[name]
    return [f"needs {NEEDS[maker.family]}", *(said for kind, said in KINDS.items() if getattr(maker, kind, False))]


def _methods_page(refused: Mapping[str, str]) -> Iterator[str]:
    costs = _costs()
    yield from ("# Methods", "")
    yield "All that come along, by what they read of a model. *× forward* is the time of an explanation over that of a"
    yield "forward pass of the same batch, as [measured](../../results/README.md) on two CPU cores with the model"
    yield f"`tiny20`; the maps are of the model `default` and the picture `{PICTURE}`."
    yield "[Which one?](../explanations/which_method.md)"
    for family in get_args(Family):
        names = [name for name, maker in vitreous.METHODS.items() if maker.family == family]
        yield from ("", f"## {family.replace('_', ' ').capitalize()}", "", f"They need {NEEDS[family]}.", "")
        rows = [
            (
                "–" if refused[name] else f"![](methods/{name}.jpg)",
                f"[{vitreous.METHODS[name].title}](methods/{name}.md)<br>`{name}`",
                as_markdown((inspect.getdoc(vitreous.METHODS[name]) or "").partition("\n")[0], cell=True),
                costs.get(name, "–"),
            )
            for name in names
        ]
        yield from table(("map", "method", "what it shows", "× forward"), rows)
    yield from ("", "```{toctree}", ":hidden:", "", *(f"methods/{name}" for name in vitreous.METHODS), "```")


def _method_page(name: str, refused: str) -> Iterator[str]:
    maker = vitreous.METHODS[name]
    yield from (f"# {maker.title}", "", f"`{name}` · {as_markdown(maker.source)}", "")
    few = ", ".join(f"{key}={value}" for key, value in FEWER.get(name, {}).items())
    said = f"of the sample picture `{PICTURE}`, by the model `default`" + (f", with {few}" if few else "")
    yield f"The model `default` has none: {as_markdown(refused)}" if refused else f"![Its map {said}]({name}.png)"
    yield from ("", "" if refused else f"Its map {said}.", "", *docstring(maker))
    yield from (f"- {fact}" for fact in _facts(name))
    yield from ("", "```sh", f"vitreous explain cat.jpg --method {name}", "```")


def _metrics_page() -> Iterator[str]:
    yield from ("# Metrics", "", "What judges a map. [How to read them](../explanations/reading.md).")
    for name, maker in METRICS.items():
        yield from ("", f"## `{name}`", "", *docstring(maker), as_markdown(maker.source), "")
        yield from table(
            ("number", "better", "is"),
            [
                (f"`{each}`", what.better, as_markdown(what.meaning, cell=True))
                for each, what in maker.quantities.items()
            ],
        )
        given = [(f"`{each.name}`", f"`{_default(each)}`") for each in fields(maker)]
        yield from ("", *(table(("setting", "default"), given) if given else ()))


def _plan_page() -> Iterator[str]:
    about = described(Plan)
    yield from ("# Settings of a plan", "", "What a TOML file for `vitreous benchmark --plan` may say.", "")
    rows = [
        (f"`{each.name}`", f"`{_default(each)}`", as_markdown(about[each.name], cell=True)) for each in fields(Plan)
    ]
    yield from table(("setting", "default", "what it does"), rows)
    yield from ("", "## Presets", "", "`--preset PAPER` is a paper's protocol; flags and a plan go before it.", "")
    for name, preset in PRESETS.items():
        yield from (f"`{name}`", *(f": `{key}` = `{value}`\n" for key, value in preset.items()))


def _recipes_page() -> Iterator[str]:
    yield from ("# Settings of a recipe", "")
    for title, kind, command in (
        ("Classifiers", Recipe, "vitreous train"),
        ("Detectors", DetectionRecipe, "vitreous detect train"),
    ):
        yield from (
            f"## {title}",
            "",
            f"What a TOML file for `{command}` may say; a name in brackets is its table.",
            "",
        )
        rows = [
            (f"`{each}`", f"`{each.default}`" if each.default else "", as_markdown(each.about, cell=True))
            for each in settings(kind)
        ]
        yield from (*table(("setting", "default", "what it does"), rows), "")
    yield from ("## Those that come along", "")
    yield from table(
        ("recipe", ""),
        [
            (
                f"`{name}`",
                as_markdown(file.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# "), cell=True),
            )
            for name, file in shipped_recipes().items()
        ],
    )


def _datasets_page() -> Iterator[str]:
    yield from (
        "# Layouts of data sets",
        "",
        "`KIND:PATH` or `KIND:PATH:SPLIT`, for `vitreous benchmark`, `interactions`, `concepts`, `autoencoder` and",
    )
    yield "`verify`. Archives are read where they lie; nothing is unpacked."
    for kind, reader in DATASETS.items():
        yield from ("", f"## `{kind}:`", "", *docstring(reader))


def _departures() -> Iterator[str]:
    """What docstrings say of papers and of their authors' code."""
    for maker in vitreous.METHODS.values():
        text = (inspect.getdoc(maker) or "").partition("\n>>> ")[0]
        sentences = re.split(r"(?<=[.:;]) (?=[A-Z`])", " ".join(re.sub(r"(?m)^    (?=\w+: )", ". ", text).split()))
        said = [each for each in sentences if re.search(r"authors' |their code|[Tt]he(ir)? papers?\b", each)]
        if said:
            yield from (maker.title, f": {as_markdown(' '.join(said))}", "")


def _face() -> Iterator[str]:
    """A section for each name of the face, functions first."""
    for name in sorted(vitreous.__all__, key=lambda name: (inspect.isclass(getattr(vitreous, name)), name.lower())):
        kind = "autoclass" if inspect.isclass(getattr(vitreous, name)) else "autofunction"
        if name == "METHODS":
            yield from (f"## `{name}`", "", "[Every method](../made/methods.md) by its name.", "")
        else:
            lines = (f".. {kind}:: vitreous.{name}", *(["   :members:"] if kind == "autoclass" else []))
            yield from (f"## `{name}`", "", "```{eval-rst}", *lines, "```", "")


def _commands() -> Iterator[str]:
    """The help of every command, as the terminal shows it."""
    from typer.main import get_command
    from typer.testing import CliRunner

    from vitreous.cli.main import app

    def names(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        for name, each in command.commands.items():
            yield from names(each, (*words, name)) if hasattr(each, "commands") else [(*words, name)]

    for words in names(get_command(app)):
        said = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "100", "TERM": "dumb"}).stdout
        yield from (f"## `vitreous {' '.join(words)}`", "", "```text", said.strip("\n"), "```", "")


def _default(item: Field[Any]) -> str:
    if item.default is MISSING:
        return "–" if item.default_factory is MISSING else str(item.default_factory())
    return str(item.default)
