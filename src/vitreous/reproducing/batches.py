"""A folder of shards, made again shard by shard from its own list of pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous.batching.job import complete_order, do_again
from vitreous.batching.plan import ShardPlan, read_plan
from vitreous.batching.shards import find_shard, read_rows, shard_path
from vitreous.data.pictures import read_pixels
from vitreous.data.sources.places import is_address
from vitreous.data.sources.slices import find_files
from vitreous.engines.choose import make_engine
from vitreous.errors import DataError
from vitreous.files.ledger import full_path
from vitreous.metrics import METRICS, make_metric
from vitreous.metrics.metric import Metric
from vitreous.reproducing.asked import REMEDY, Asked
from vitreous.reproducing.compare import Compared, compare_arrays
from vitreous.reproducing.pictures import picture_job
from vitreous.settings.typed import typed

__all__ = ["batch"]

_ALONE = 8
"""So many shards are done sooner in this process than several have started."""
_PRECISIONS = {str(each): each for each in (torch.bfloat16, torch.float16)}


def batch(asked: Asked) -> Iterator[Compared]:
    """The rows of every shard: maps, class scores, targets, and all else that stands in them."""
    values = asked.values
    plan = read_plan(asked.folder, _root(asked))
    _check_whole(plan)
    metrics = {name: _metric(asked, name, about["settings"]) for name, about in dict(values["metrics"] or {}).items()}
    order = complete_order(
        picture_job(asked, asked.load(values)),
        metrics,
        asked.device,
        threads=values["threads"],
        shard=values["shard"],
        sheets=values["sheets"],
    )
    workers = 1 if plan.shards <= _ALONE else None
    engine = make_engine("local", "", workers, order.threads, gpu=asked.device.type == "cuda")
    compared = {
        made.number: _compare_shard(shard_path(asked.folder, made.number), shard_path(asked.output, made.number))
        for made in do_again(order, plan, asked.output, engine)
    }
    yield from (compared[number] for number in sorted(compared))


def _root(asked: Asked) -> str:
    """What the pictures lie below: now, or by the manifest, unless that is an address."""
    told = typed(str, asked.values["root"])
    if asked.data:
        return find_files(asked.dataset(told)).root
    if is_address(told):
        raise DataError(
            f"the pictures of `{asked.path}` lie at {told}, and a file names no address to open. Say --dataset {told} "
            "if you trust it."
        )
    return full_path(asked.folder / told)


def _check_whole(plan: ShardPlan) -> None:
    """Refuse a run that has not ended, and pictures at addresses that only a list names."""
    count = done = 0
    for number, part in plan.tasks():
        if named := next(filter(is_address, part.names), None):
            raise DataError(
                f"`{plan.folder}` has pictures at addresses, such as {named}, and a file names none to open. Run "
                "`vitreous batch` with the same list into a new folder, and compare the two."
            )
        count += 1
        done += find_shard(plan.folder, number, plan.hash) is not None
    if count != plan.shards:
        raise DataError(f"`{plan.folder}` lists {count:,} shards, and its manifest {plan.shards:,}. {REMEDY}")
    if done < count:
        raise DataError(
            f"`{plan.folder}` has {done:,} of its {count:,} shards. Run its `vitreous batch` again, which does the "
            "others, and then this."
        )


def _metric(asked: Asked, name: str, settings: Mapping[str, Any]) -> Metric:
    given = dict(settings)
    if given.get("precision"):
        given["precision"] = _PRECISIONS[given["precision"]]
    return make_metric(name if name in METRICS else asked.check_own(name), **given)


def _compare_shard(old: Path, new: Path) -> Compared:
    """The rows of two files, a picture each.

    Raises:
        DataError: a picture is not what it was.
    """
    before, after = [*read_rows(old)], [*read_rows(new)]
    if len(before) != len(after):
        return Compared(old.name, math.inf, f"it had {len(before)} rows, and has {len(after)}", rows=len(after))
    pairs = [*zip(before, after, strict=True)]
    if others := [row["picture"] for row, again in pairs if row["sha256"] != again["sha256"]]:
        raise DataError(
            f"{len(others)} of {len(pairs)} pictures of `{old}` are not what they were, such as `{others[0]}`. Put "
            "those back."
        )
    apart = [_apart(row, again) for row, again in pairs]
    alike, most = apart.count(0), max(apart, default=0.0)
    worst = f"`{before[apart.index(most)]['picture']}` differs" if most else ""
    share = f" by {most:.2g} of the largest value" if math.isfinite(most) else " in words or sizes"
    reason = f"{alike} of {len(pairs)} rows are the same to the bit, and {worst}{share}"
    return Compared(old.name, most, reason, len(pairs), alike)


def _apart(old: Any, new: Any) -> float:
    """How far two rows lie apart, or two values of rows."""
    if isinstance(old, dict) and isinstance(new, dict):
        if old.keys() != new.keys():
            return math.inf
        return max((_apart(value, new[name]) for name, value in old.items()), default=0.0)
    if isinstance(old, np.ndarray) and isinstance(new, np.ndarray):
        return compare_arrays(old, new)
    if isinstance(old, list) and isinstance(new, list):
        return compare_arrays(np.asarray(old), np.asarray(new))
    if isinstance(old, bytes) and isinstance(new, bytes) and old != new:
        return compare_arrays(read_pixels(old, "a sheet that was there"), read_pixels(new, "a sheet made again"))
    return 0.0 if old == new else math.inf
