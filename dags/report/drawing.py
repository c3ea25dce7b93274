"""Charts as SVG, drawn by Vega-Lite when the report is written: the page carries pictures, not a chart library.

Colours are the page's variables, so that one picture serves light and dark.  Every chart is drawn twice, for wide and for
narrow pages, because text that shrinks with its picture cannot be read on a phone.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple
from xml.etree import ElementTree

import vl_convert
from markupsafe import Markup

from pipeline.schema import PipelineError

WIDE, FULL, NARROW = 500, 1000, 330  # CSS pixels, axes included: half a page, a page, a phone
SVG = "{http://www.w3.org/2000/svg}"
ELEMENTS = {"svg", "g", "path", "text", "tspan", "rect", "line", "circle", "defs", "clipPath", "title"}
ATTRIBUTES = {
    "clip-path", "d", "dx", "dy", "fill", "fill-opacity", "font-family", "font-size", "font-weight", "height", "id", "opacity",
    "r", "stroke", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "stroke-miterlimit", "stroke-opacity",
    "stroke-width", "text-anchor", "transform", "viewBox", "width", "x", "x1", "x2", "y", "y1", "y2", "cx", "cy",
}  # fmt: skip
CONFIG: dict[str, Any] = {
    "background": None,
    "font": "Arial, Liberation Sans, Helvetica, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--quiet)", "titleColor": "var(--quiet)", "titleFontWeight": "normal", "labelFontSize": 12,
        "titleFontSize": 12, "gridColor": "var(--line)", "domainColor": "var(--line)", "tickColor": "var(--line)",
        "labelLimit": 240,
    },
    "legend": {
        "labelColor": "var(--ink)", "labelFontSize": 12, "title": None, "orient": "top", "symbolType": "square", "offset": 6,
    },
    "text": {"color": "var(--ink)", "fontSize": 12},
}  # fmt: skip

ElementTree.register_namespace("", SVG[1:-1])


class ReportError(PipelineError):
    """A report that cannot be written, though its corpus is whole."""


class Chart(NamedTuple):
    """A picture, what it says in a sentence, and the table of its numbers."""

    title: str
    sentence: str
    wide: Markup
    narrow: Markup
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def drawn(
    specification: Callable[[int], dict[str, Any]],
    *,
    title: str,
    sentence: str,
    columns: tuple[str, ...],
    rows: list[tuple[Any, ...]],
    wide: int = WIDE,
) -> Chart:
    """`specification`: of Vega-Lite, for a width in pixels."""
    name, label = re.sub(r"[^a-z]+", "-", title.lower()), f"{title}. {sentence}"
    at_home, on_a_phone = (picture(specification(width), name=f"{name}-{width}-", label=label) for width in (wide, NARROW))
    return Chart(title, sentence, at_home, on_a_phone, columns, rows)


def picture(specification: dict[str, Any], *, name: str, label: str) -> Markup:
    """The SVG of a specification: known elements and attributes alone, one image to those who hear the page.

    `name`: what its ids begin with, so that two pictures on a page have none in common.
    """
    complete = {"config": CONFIG, "autosize": {"type": "fit-x", "contains": "padding"}, "padding": 2, **specification}
    try:
        text = vl_convert.vegalite_to_svg(complete, allowed_base_urls=[])
    except ValueError as error:
        raise ReportError(f"a chart of the report cannot be drawn: {str(error).splitlines()[0]}") from error
    root = ElementTree.fromstring(text)
    plain(root, name)
    root.attrib |= {"role": "img", "aria-label": label}
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # escaped by ElementTree, all names known


def plain(element: ElementTree.Element, prefix: str) -> None:
    """Takes away all but known names and what is drawn; a mark's description becomes its title, which pointers show."""
    described = element.get("aria-label") if element.get("role") == "graphics-symbol" else None
    mark = element.get("aria-roledescription") not in ("axis", "legend")
    for name, value in list(element.attrib.items()):
        if name not in ATTRIBUTES:
            del element.attrib[name]
        elif name == "id":
            element.attrib[name] = prefix + value
        elif name == "clip-path":
            element.attrib[name] = value.replace("#", f"#{prefix}")
    for child in list(element):
        if child.tag.removeprefix(SVG) not in ELEMENTS or child.get("display") == "none" or child.get("d") == "" or empty(child):
            element.remove(child)
        else:
            plain(child, prefix)
    if described and mark and element.tag != f"{SVG}g":
        title = ElementTree.Element(f"{SVG}title")
        title.text = described
        element.insert(0, title)


def empty(element: ElementTree.Element) -> bool:
    return element.tag == f"{SVG}path" and element.get("class") in ("background", "foreground")
