"""What a table says, in a sentence for each of its metrics: which methods noise does not reach."""

from __future__ import annotations

from collections.abc import Sequence

from vitreous.metrics.metric import Number
from vitreous.statistics.summary import Cell

__all__ = ["headline", "verdict"]

_HEADLINES = ("iou", "mean_iou", "abpc", "insertion")


def headline(names: Sequence[str]) -> str:
    """Which of a metric's numbers stands for it; its first where it has none of the usual ones.

    >>> headline(["deletion", "insertion"]), headline(["hit"])
    ('insertion', 'hit')
    """
    return next((name for name in _HEADLINES if name in names), names[0] if names else "")


def verdict(cells: Sequence[Cell], noise: Sequence[str], number: Number) -> str:
    """Which methods are apart from those that know nothing of the model, in one number of one metric.

    A method is apart if its interval lies wholly on the better side of every one of theirs: a cautious rule, by which
    methods that differ in pairs may not be told apart. Empty where there is nothing to be apart from.

    Args:
        cells: of that number.
        noise: the rows that know nothing of the model.
        number: what it is, and which way is better.

    >>> def cell(method, low, high):
    ...     return Cell("vit", method, "iou", "iou", (low + high) / 2, low, high, 9)
    >>> iou = Number("↑", "overlap")
    >>> verdict([cell("ag_cam", 0.5, 0.6), cell("cam", 0.2, 0.4), cell("random", 0.1, 0.3)], ["random"], iou)[:60]
    'By iou (overlap; more is better), ag_cam is better than maps'
    """
    sign = 1 if number.better == "↑" else -1
    known = [cell for cell in cells if cell.method not in noise]
    blind = [cell for cell in cells if cell.method in noise]
    if not (known and blind):
        return ""
    bar = max(max(sign * cell.low, sign * cell.high) for cell in blind)
    apart = [cell.method for cell in known if min(sign * cell.low, sign * cell.high) > bar]
    rest = [cell.method for cell in known if cell.method not in apart]
    against = ", ".join(cell.method for cell in blind)
    noise_maps = f"maps that know nothing of the model ({against})"
    gets = "gets" if len(rest) == 1 else "get"
    by = f"By {cells[0].name} ({number.meaning}; {'more' if sign > 0 else 'less'} is better)"
    if not apart:
        return f"{by}, no method is better than {noise_maps}: what {_and(rest)} {gets}, noise may get too."
    first = f"{by}, {_and(apart)} {'is' if len(apart) == 1 else 'are'} better than {noise_maps}."
    return f"{first} What {_and(rest)} {gets}, such a map may get too." if rest else first


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
