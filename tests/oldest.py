"""Prints the oldest versions that pyproject.toml allows, as constraints for pip."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path


def oldest(pyproject: str) -> list[str]:
    """A pin for every requirement of the package that has a lower bound.

    >>> needed = 'dependencies = ["numpy>=1.26", "pip"]'
    >>> oldest(f'[project]\\n{needed}\\n[project.optional-dependencies]\\nhf = ["transformers>=5"]')
    ['numpy==1.26.*', 'transformers==5.0.*']
    """
    project = tomllib.loads(pyproject)["project"]
    extras = [name for listed in project["optional-dependencies"].values() for name in listed]
    bounds = (re.fullmatch(r"([\w.-]+)>=([\d.]+)", each) for each in [*project["dependencies"], *extras])
    pins = {bound[1]: bound[2] if "." in bound[2] else f"{bound[2]}.0" for bound in bounds if bound}
    return [f"{name}=={version}.*" for name, version in pins.items()]


if __name__ == "__main__":
    print("\n".join(oldest((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))))
