"""The page that visitors open."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse

from vitreous.data.gallery import GALLERY
from vitreous.data.pictures import SUFFIXES, open_picture
from vitreous.models.labels import labels_of
from vitreous.models.loaded import LoadedModel
from vitreous.render.html import policy, render
from vitreous.render.picture_page import small
from vitreous.render.script import viewer
from vitreous.serving.live import about_methods

__all__ = ["Page", "Said", "error_page", "start_page"]

_FIRST = ("ag_cam", "attn_lrp", "grad_cam")
"""Ticked at the start: quick, of three families."""


class Page(HTMLResponse):
    """HTML in which halves of letters are written out, as in files: names of classes may hold some, no UTF-8."""

    def render(self, content: Any) -> bytes:
        """What is sent."""
        return content.encode("utf-8", "backslashreplace")


class Said(JSONResponse):
    """JSON, likewise."""

    def render(self, content: Any) -> bytes:
        """What is sent."""
        return json.dumps(content).encode("ascii")


def start_page(models: Sequence[LoadedModel]) -> tuple[str, dict[str, str]]:
    """The page, and the headers that it is sent with.

    Args:
        models: that visitors choose from.
    """
    script, methods = viewer("serve"), about_methods()
    samples = [{"name": name, "picture": small(open_picture(file))} for name, file in GALLERY.items()]
    names = labels_of([each.name for each in models])
    told = [{"name": name, "classes": each.class_names} for name, each in zip(names, models, strict=True)]
    html = render(
        "serve.html",
        title="vitreous",
        script=script,
        served=True,
        models=names,
        methods=methods,
        first=_FIRST,
        samples=samples,
        suffixes=SUFFIXES,
        data={"models": told},
    )
    return html, {"Content-Security-Policy": f"{policy(script, served=True)}; frame-ancestors 'none'"}


def error_page(error: str) -> str:
    """For a browser that runs no scripts."""
    return render("serve_error.html", title="No map", error=error)
