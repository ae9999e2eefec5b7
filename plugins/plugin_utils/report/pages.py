# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The forms of a report that people read: one HTML file, and Markdown. Both are Jinja2 templates."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from .checks import CHECKS, FAIL, NOT_CHECKED, PASS, WARNING
from .grouping import alike, decider, group_flows, group_nodes, live_alike, ranges
from .packet_picture import picture
from .shown import visible

Json = dict[str, Any]
TEMPLATES = Path(__file__).parent / "templates"
# A page of more rows is no longer read; the rest is counted, and stands in the JSON document.
ROWS = 20_000

WORDS = {PASS: "passed", WARNING: "warning", FAIL: "failed", NOT_CHECKED: "not looked at"}
SIGNS = {PASS: "✓", WARNING: "!", FAIL: "✕", NOT_CHECKED: "\u2013"}
# What Markdown, with GitHub's additions, reads as more than text.
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|&~#@:!{}()$^=])|(?<=www)(\.)", re.IGNORECASE)
_SPACES = re.compile(r"\s+")


def html(document: Json) -> str:
    """The report as one page that requests nothing: same document, same bytes."""
    style, style_hash = _own_part("report.css")
    script, script_hash = _own_part("report.js")
    return _render(
        "report.html.j2",
        document,
        _shown_in_html,
        style=style,
        style_hash=style_hash,
        script=script,
        script_hash=script_hash,
    )


def _own_part(name: str) -> tuple[Markup, str]:
    """A part of the page that is written as it is, and its hash: the page's policy allows no other one."""
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    return Markup(text), base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def markdown(document: Json) -> str:
    """The report for a merge request or a wiki: what fails and would be denied, without long tables."""
    return _render("report.md.j2", document, _shown_in_markdown)


def _render(name: str, document: Json, shown: Callable[[object], object], **more: Any) -> str:
    return _template(name, shown).render(
        report=document,
        groups=group_nodes(document["nodes"]),
        flow_groups=group_flows((document.get("audit") or {}).get("groups") or ()),
        checks=CHECKS,
        words=WORDS,
        signs=SIGNS,
        rows=ROWS,
        alike=alike,
        live_alike=live_alike,
        ranges=ranges,
        decider=decider,
        picture=picture,
        **more,
    )


@cache
def _template(name: str, shown: Callable[[object], object]) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        # Markdown is escaped by its own rules: see _shown_in_markdown.
        autoescape=name.endswith(".html.j2"),
        finalize=shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["thousands"] = lambda number: f"{number:,}".replace(",", "\u202f")
    environment.filters["lines"] = _lines
    return environment.get_template(name)


def _lines(texts: Iterable[str]) -> str:
    """A line each: as an element each, thousands of names would make a browser slow."""
    return "\n".join(text.replace("\n", "\\x0a") for text in texts)


def _shown_in_html(value: object) -> object:
    """Every expression passes here before the template engine escapes it."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _shown_in_markdown(value: object) -> object:
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _MARKDOWN.sub(r"\\\g<0>", _SPACES.sub(" ", visible(value)))
