from __future__ import annotations

import re
from xml.etree import ElementTree

from vitreous.render.charts import Line, line_chart, point_chart


def texts(svg: str) -> set[str]:
    return {"".join(node.itertext()) for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("text")}


def test_lines_and_axes_are_named() -> None:
    lines = {"a<b": Line([0.0, 1.0], [0.2, 0.4], [0.1, 0.3], [0.3, 0.5]), "cost $1": Line([0.0, 1.0], [1.0, 0.0])}
    svg = line_chart({"": lines}, x="share", y="top-1")
    assert {"a<b", "cost $1", "share", "top-1"} <= texts(svg)
    assert svg == line_chart({"": lines}, x="share", y="top-1"), "the same lines give the same file"


def test_more_lines_than_colors_stay_apart() -> None:
    svg = line_chart({"": {f"line {at}": Line([0.0, 1.0], [0.0, float(at)]) for at in range(12)}}, x="x", y="y")
    drawn = re.findall(r'style="fill: none; stroke[^"]*"', svg)
    assert len({each for each in drawn if "dasharray" in each}) == 2


def test_points_are_named() -> None:
    assert {"ag_cam", "x", "y"} <= texts(point_chart({"ag_cam": (0.1, 0.2)}, x="x", y="y"))
