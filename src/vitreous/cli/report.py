"""What `vitreous explain` says while it works, and at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from vitreous.cli.console import Console
from vitreous.cli.progress import ANEW, bars, counting, stoppable
from vitreous.explaining.choosing import Choice
from vitreous.explaining.pictures import PictureJob, Result, explain_pictures
from vitreous.explaining.trust.records import Trust
from vitreous.inside.given import Given
from vitreous.masking.forward import Progress as Tell
from vitreous.methods import title_of
from vitreous.methods.detail import Detail
from vitreous.trace.answer import rather

__all__ = ["Report"]


def _explained(job: PictureJob, files: Sequence[Path], tell: Tell) -> Iterator[Result]:
    return explain_pictures(replace(job, progress=tell), files)


@dataclass(frozen=True)
class Report:
    """Results to `out`, failures to `err`."""

    out: Console
    err: Console

    def status(self, text: str) -> AbstractContextManager[object]:
        """A spinner while a block runs; nothing where the output is not a terminal."""
        return self.out.status(text)

    def choose(self, job: Callable[[Tell], Choice]) -> Choice:
        """Show how many pictures are measured; then what was chosen, by how much, and what could not be measured."""
        with counting(self.out, "choosing a method: pictures", again=f"the choice is not made; {ANEW}") as tell:
            choice = job(tell)
        for name, reason in choice.unread.items():
            self._line(self.err, f"`{name}` was left out of the choice: {reason}")
        self._line(self.out, str(choice))
        self.out.line()
        return choice

    def tell(self, text: str) -> None:
        """A line."""
        self._line(self.out, text)

    def explain(self, jobs: Mapping[str, PictureJob], files: Sequence[Path], *, demanded: bool) -> bool:
        """Explain pictures, by each model, and show what comes.

        Args:
            jobs: by what the models are called.
            files: the pictures.
            demanded: whether a method that gave no map counts as a failure.

        Returns:
            whether anything failed.
        """
        failed = False
        for label, job in jobs.items():
            if len(jobs) > 1:
                self.tell(f"Model: {label}")
            results = self.follow(partial(_explained, job, files), len(files), job.rival_name)
            failed |= self.finish(results, job, demanded=demanded)
        return failed

    def write(
        self, jobs: Mapping[str, PictureJob], output: Path, *, page: bool, formats: Sequence[str], given: Given
    ) -> None:
        """Write what is made of a run's folder: sheets of several models, the page, files for other programs."""
        from vitreous.reporting.exports import export_pictures
        from vitreous.reporting.models import report_models, sheet_models
        from vitreous.reporting.pictures import report_pictures

        first = next(iter(jobs.values()))
        if len(jobs) > 1:
            with stoppable(), self.status("Writing the sheets …"):
                count = sheet_models(jobs, output)
            self.tell(f"Models side by side: {count} {'sheet' if count == 1 else 'sheets'} in {output}")
        if page:
            with stoppable(), self.status("Writing the report …"):
                written = report_models(jobs, output) if len(jobs) > 1 else report_pictures(first, given)
            self.tell(f"Report: {written}")
        for job in jobs.values() if formats else ():
            with self.status("Writing the exports …"):
                folder = export_pictures(job, formats)
            self.tell(f"Exports: {folder}")

    def follow(self, job: Callable[[Tell], Iterable[Result]], total: int, rival: str = "") -> list[Result]:
        """Show every result as it comes, above a progress bar if there are several, and one for a slow method.

        Args:
            job: given what to tell its progress to, does the work.
            total: how many results will come.
            rival: the class that what is explained is held against; empty for none.
        """
        results: list[Result] = []
        with stoppable(lambda: (len(results), total)), bars(self.out) as progress:
            pictures = progress.add_task("pictures", total=total, visible=total > 1)
            passes = progress.add_task("forward passes", visible=False)

            def tell(done: int, of: int) -> None:
                progress.update(passes, completed=done, total=of, visible=done < of)

            for result in job(tell):
                results.append(result)
                progress.advance(pictures)
                if result.sheet:
                    self._show(result, rival)
        return results

    def finish(self, results: list[Result], job: PictureJob, *, demanded: bool) -> bool:
        """Say what failed and where everything is.

        Args:
            results: of all pictures.
            job: that they came from.
            demanded: whether a method that gave no map counts as a failure.

        Returns:
            whether anything failed.
        """
        reasons = Counter((method, reason) for result in results for method, reason in result.refused.items())
        alike: dict[tuple[str, int], list[str]] = {}
        for (method, reason), count in reasons.items():
            alike.setdefault((reason, count), []).append(method)
        for (reason, count), methods in alike.items():
            of = f" ({count} of {len(results)} pictures)" if len(results) > 1 else ""
            self._line(self.err, f"No map by {', '.join(methods)}{of}: {reason}")
        bad = [result for result in results if result.error]
        for result in bad:
            self._line(self.err, f"Error: {result.error}")
        good = len(results) - len(bad)
        if len(results) > 1:
            self._line(self.out, f"{good} of {len(results)} pictures explained, in {job.output}")
        return bool(bad) or (demanded and bool(reasons))

    def _show(self, result: Result, rival: str) -> None:
        """The most probable classes, and where the sheet is."""
        table = Table(box=None, show_header=False)
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_column(justify="right")
        explained = {target.index for target in result.targets}
        for score in (*result.predicted, *(t for t in result.targets if t not in result.predicted)):
            style = "bold" if score.index in explained else ""
            bar = Bar(1, 0, score.probability or 0, width=24, color="magenta")
            table.add_row(Text(score.name, style), Text(score.shown, style), bar)
        self._line(self.out, str(result.file))
        if result.predicted:
            self.out.print(table)
        names = [rather(target.name, rival) for target in result.targets]
        for method, found in result.details.items():
            for name, detail in zip(names, found, strict=True):
                if detail:
                    self.out.print(self._table(f"{method} of {name}", detail))
        for name, trust in zip(names, result.trust, strict=False):
            if isinstance(trust, Trust):
                self.out.print(self._trust(name, trust))
            else:
                self._line(self.out, f"Trust in the maps of {name}: {trust}")
        self._line(self.out, f"Sheet: {result.sheet}")
        self.out.line()

    @staticmethod
    def _table(title: str, detail: Detail) -> Table:
        """The rows of a detail; of those that can be kept or dropped, the kept."""
        rows = [row for row in detail.table() if row.get("kept", True)]
        table = Table(title=Text(title), box=None, title_justify="left", padding=(0, 2, 0, 0))
        names = [name for name in rows[0] if name != "kept"] if rows else []
        for name in names:
            table.add_column(name, justify="left" if isinstance(rows[0][name], str) else "right")
        for row in rows:
            table.add_row(*(f"{row[name]:.4f}" if isinstance(row[name], float) else str(row[name]) for name in names))
        return table

    @staticmethod
    def _trust(name: str, trust: Trust) -> Table:
        """What the maps of one class are worth."""
        title = f"Trust in the maps of {name}, against {len(trust.random)} random orders of its patches"
        table = Table(title=Text(title), box=None, title_justify="left", padding=(0, 2, 0, 0))
        for heading in ("", "ABPC", "above", "most like", f"for {trust.other}" if trust.other else ""):
            table.add_column(Text(heading))
        changes = {True: "another map", False: "the same map", None: ""}
        for method, each in trust.maps.items():
            like = max(((value, of) for of, value in each.agreement.items() if value is not None), default=None)
            nearest = f"{title_of(like[1])} ({like[0]:.2f})" if like else ""
            row = (
                title_of(method),
                f"{each.abpc:+.3f}",
                f"{each.above} of {len(trust.random)}",
                nearest,
                changes[each.changes],
            )
            table.add_row(*map(Text, row))
        return table

    @staticmethod
    def _line(console: Console, text: str) -> None:
        """Plain text, never wrapped, so that paths can be copied."""
        console.print(Text(text), soft_wrap=True)
