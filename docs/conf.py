"""How the site is built: `make docs`. The sources are the Markdown files of the whole repository, where they lie."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent / "src"), str(DOCS)]

import from_code  # noqa: E402

import vitreous  # noqa: E402

project = "vitreous"
author = "The vitreous authors"
project_copyright = "The vitreous authors, Apache-2.0"
version = release = vitreous.__version__

root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "results/**.md",
    "benchmarks/README.md",
    "tests/golden/README.md",
    "src/vitreous/models/*/README.md",
    "*.md",
]
exclude_patterns = [
    ".*",
    "build",
    "runs",
    "explained",
    "README.md",
    "docs/made/parts",
    "docs/gallery",
    "docs/made/gallery/*.ipynb",
]
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb", "sphinx_copybutton", "sphinx_gallery.gen_gallery"]
suppress_warnings = ["myst.header", "toc.no_title"]  # tables that a run left begin below a title

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]
nb_execution_mode = "cache"
nb_execution_cache_path = str(DOCS.parent / "build" / "notebooks")
nb_execution_raise_on_error = True
nb_execution_timeout = 120

sphinx_gallery_conf = {
    "examples_dirs": "docs/gallery",
    "gallery_dirs": "docs/made/gallery",
    "abort_on_example_error": True,
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
    "min_reported_time": 3600,
    "write_computation_times": False,
}

default_role = "code"  # docstrings write `code` as Markdown does
autodoc_typehints = "none"  # the signature shows them as they are written
autodoc_member_order = "bysource"
napoleon_use_rtype = False
python_display_short_literal_types = True
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "pydata_sphinx_theme"
html_title = "vitreous"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["static/index.html"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options: dict[str, Any] = {
    "logo": {"text": "vitreous"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_nav_level": 1,
    "navigation_with_keys": False,
}


def as_rest(*known: Any) -> None:
    """Docstrings are Markdown: what reStructuredText reads as markup of its own is written out."""
    lines, inside = known[-1], False
    for at, line in enumerate(lines):
        inside = line.startswith(">>>") or (inside and bool(line.strip()))
        if not inside:
            parts = re.split(r"(`[^`]*`)", line)
            lines[at] = "".join(
                part if part.startswith("`") else re.sub(r"([*|]|\w_(?!\w))", _escaped, part) for part in parts
            )


def _escaped(found: re.Match[str]) -> str:
    text = found[0]
    return f"\\{text}" if text in "*|" else f"{text[0]}\\_"


def setup(app: Any) -> None:
    """Make the pages that are made from the code, and read docstrings as what they are."""
    app.connect("builder-inited", lambda app: from_code.write_pages(DOCS / "made"))
    app.connect("autodoc-process-docstring", as_rest, priority=400)  # before napoleon
