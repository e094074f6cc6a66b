"""The wheel, installed with what it says it needs and nothing else, explains; the source distribution is whole."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
ALONE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def closure(names: list[str], found: dict[str, Distribution]) -> dict[str, Distribution]:
    """The installed distributions that these need, extras aside."""
    for name in names:
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in found:
            continue
        try:
            found[key] = distribution(name)
        except PackageNotFoundError:  # of another platform, such as CUDA's
            continue
        needed = map(Requirement, found[key].requires or ())
        closure([each.name for each in needed if not each.marker or each.marker.evaluate({"extra": ""})], found)
    return found


def link(found: Distribution, folder: Path) -> None:
    """Everything of a distribution that can be imported, in a folder."""
    for top in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
        place = folder / top
        if not place.exists():
            place.symlink_to(found.locate_file(top))


@pytest.mark.slow
def test_the_wheel_alone_explains_the_sample(tmp_path: Path) -> None:
    def run(*words: str | Path) -> str:
        done = subprocess.run(
            list(map(str, words)), cwd=tmp_path, env=ALONE, capture_output=True, text=True, check=True
        )
        return done.stdout

    run(sys.executable, "-m", "pip", "wheel", ROOT, "--no-deps", "--no-build-isolation", "--wheel-dir", "dist")
    (wheel,) = (tmp_path / "dist").glob("vitreous-*.whl")
    run(sys.executable, "-m", "venv", "alone")
    python = tmp_path / "alone" / "bin" / "python"
    run(python, "-m", "pip", "install", "--no-deps", wheel)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])").strip())
    (metadata,) = site.glob("vitreous-*.dist-info")
    needed = [each for each in map(Requirement, Distribution.at(metadata).requires or ()) if not each.marker]
    for each in closure([each.name for each in needed], {}).values():
        link(each, site)
    said = run(tmp_path / "alone" / "bin" / "vitreous", "explain", "--output", "explained")
    assert "Sheet: explained/chelsea.png" in said
    assert (tmp_path / "explained" / "chelsea.png").is_file()
    assert str(site) in run(python, "-c", "import vitreous; print(vitreous.__file__)")
    assert "transformers" not in run(
        python, "-c", "import pkgutil; print([each.name for each in pkgutil.iter_modules()])"
    )


@pytest.mark.slow
def test_the_source_distribution_holds_what_its_tests_read(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path]
    subprocess.run(words, cwd=ROOT, capture_output=True, check=True)
    (packed,) = tmp_path.glob("vitreous-*.tar.gz")
    shutil.unpack_archive(packed, tmp_path, filter="data")
    (folder,) = tmp_path.glob("vitreous-*/")
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/benchmarks", "tests/test_docs.py"]
    done = subprocess.run(
        words, cwd=folder, env={**os.environ, "PYTHONPATH": "src"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert {each.name for each in ROOT.glob("*.md")} <= {each.name for each in folder.iterdir()}
