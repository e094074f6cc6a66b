"""What a paper on medical imaging says of its explanations, as CLAIM 2024 asks in item 31: made from a manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from vitreous.explaining.targets import is_top
from vitreous.explaining.trust.records import Trust
from vitreous.medical.scan import NOT_FOR_DIAGNOSIS
from vitreous.methods import title_of
from vitreous.trace.answer import rather

__all__ = ["claim_item"]


def claim_item(manifest: Mapping[str, Any]) -> str:
    """A paragraph: which methods made maps of what, by which model, on how many pictures, and how far to trust them.

    It says what was done and measured, and nothing of what is in a picture. CLAIM: Tejani et al., "Checklist for
    Artificial Intelligence in Medical Imaging (CLAIM): 2024 Update", Radiology: Artificial Intelligence 6(4), 2024.

    Args:
        manifest: of `vitreous explain`.
    """
    return " ".join([*_made(manifest), *_validated(manifest), NOT_FOR_DIAGNOSIS])


def _made(manifest: Mapping[str, Any]) -> Iterator[str]:
    pictures, versions = manifest["pictures"], manifest["versions"]
    failed = [each for each in pictures if each["error"]]
    named = [f"{title_of(name)} ({about['source']})" for name, about in manifest["methods"].items()]
    explained = rather(_classes(manifest["target"]), manifest["against"] or "")
    yield (
        f"Attribution maps were made by {'; '.join(named)}, with vitreous {versions['vitreous']} and PyTorch "
        f"{versions['torch']} in {manifest['dtype']}; all settings are in the run's manifest."
    )
    yield f"They explain {explained} in each of {len(pictures) - len(failed)} pictures."
    if failed:
        yield f"{len(failed)} more could not be read or explained, for the reasons in the manifest."
    yield f"The weights of the model have the SHA-256 {manifest['weights_sha256']}."
    windows = {tuple(each["window"]) for each in pictures if each.get("window")}
    if manifest["window"] and windows:
        yield f"Gray values of more than 8 bits were seen through the window {manifest['window']}."
    elif windows:
        yield (
            "Gray values of more than 8 bits were seen through the window that each file gives, or else the range of "
            f"its values: {len(windows)} in all, each in the manifest."
        )


def _classes(target: str | Sequence[str]) -> str:
    """What was explained, in words.

    >>> _classes("predicted"), _classes("top-3"), _classes(["cat", "dog"])
    ('the most probable class', 'the 3 most probable classes', '`cat`, `dog`')
    """
    if target in ("predicted", "top-1"):
        return "the most probable class"
    if is_top(target):
        return f"the {target.removeprefix('top-')} most probable classes"
    return ", ".join(f"`{each}`" for each in ([target] if isinstance(target, str) else target))


def _validated(manifest: Mapping[str, Any]) -> Iterator[str]:
    """How the maps were tested, on the pictures themselves."""
    found = [
        Trust.from_json(each)
        for picture in manifest["pictures"]
        for each in picture.get("trust") or []
        if not isinstance(each, str)
    ]
    if not found:
        yield "The maps were not validated."
        return
    yield (
        "Their faithfulness to the model was measured on each picture: patches were hidden in the order of the map and "
        f"in {len(found[0].random)} random ones."
    )
    for name in manifest["methods"]:
        maps = [(each.maps[name], len(each.random)) for each in found if name in each.maps]
        if maps:
            above = sum(one.above == orders for one, orders in maps)
            middle = f"median ABPC {median(one.abpc for one, _ in maps):+.3f}"
            yield f"{title_of(name)}: {middle}, above all random orders in {above} of {len(maps)} maps."
    yield "This says how well a map tells what the model uses, and not whether the model is right."
