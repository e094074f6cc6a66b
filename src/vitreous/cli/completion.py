"""What a shell completes: names, found without importing what they run on."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["complete_methods", "complete_metrics", "complete_models"]

_SPECS = ("default", "everyday26", "hf:", "open_clip:", "pneumonia", "timm:", "tiny20", "torchvision:")
_REGISTRIES = ("timm", "torchvision")


def complete_methods(incomplete: str) -> list[str]:
    """Of methods with commas between, the last one's name.

    >>> complete_methods("rise,lrp,ag")
    ['rise,lrp,ag_cam']
    """
    from vitreous.methods import METHODS

    return _last_of(incomplete, ["all", "best", *METHODS])


def complete_metrics(incomplete: str) -> list[str]:
    """Likewise of metrics.

    >>> complete_metrics("poin")
    ['pointing']
    """
    from vitreous.metrics import METRICS

    return _last_of(incomplete, [*METRICS, "perturbation:chefer", "perturbation:rise"])


def complete_models(incomplete: str) -> list[str]:
    """A spec, or after `timm:` or `torchvision:` a name; a file or folder is the shell's to complete.

    >>> complete_models("torchvision:vit_b"), complete_models("ti")
    (['torchvision:vit_b_16', 'torchvision:vit_b_32'], ['timm:', 'tiny20'])
    """
    from vitreous.models.names import registered_names

    library, colon, start = incomplete.partition(":")
    if colon and library in _REGISTRIES:
        return [f"{library}:{name}" for name in registered_names(library) if name.startswith(start)]
    return [spec for spec in _SPECS if spec.startswith(incomplete)]


def _last_of(incomplete: str, names: Iterable[str]) -> list[str]:
    before, comma, start = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in names if name.startswith(start)]
