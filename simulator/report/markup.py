"""HTML with automatic escaping: text is escaped unless it is Markup already."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = frozenset({"meta", "input", "br"})


class Markup(str):
    """Finished HTML."""

    __slots__ = ()


def markup(text: str) -> Markup:
    """Any text as HTML; finished HTML as it is."""
    if isinstance(text, Markup):
        return text
    return Markup(escape(text.encode("utf-8", "replace").decode("utf-8")))


def join(parts: Iterable[str]) -> Markup:
    """The parts, one after the other."""
    return Markup("".join(markup(part) for part in parts))


def element(name: str, /, *parts: str, **attributes: str | int | bool) -> Markup:
    """One element. In attribute names a trailing ``_`` is dropped and ``_`` becomes ``-``; True is bare."""
    opening = f"<{name}{''.join(_attribute(*item) for item in attributes.items())}>"
    return Markup(opening if name in _VOID else f"{opening}{join(parts)}</{name}>")


def _attribute(name: str, value: str | int | bool) -> str:
    if value is False:
        return ""
    written = name.rstrip("_").replace("_", "-")
    return f" {written}" if value is True else f' {written}="{markup(str(value))}"'


def table(headings: Iterable[str], rows: Iterable[Markup], *, caption: str, class_: str = "") -> Markup:
    """A table in a box that scrolls sideways; its caption is for screen readers only."""
    head = element("thead", element("tr", *(element("th", one, scope="col") for one in headings)))
    body = element("tbody", *rows)
    named = element("caption", caption, class_="spoken")
    grid = element("table", named, head, body, class_=class_)
    return element("div", grid, class_="scroll", role="region", aria_label=caption, tabindex=0)
