# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Somebody else's text in every field of a report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

NAMES = (
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "{{ lookup('pipe', 'id') }}",
    "]]><!--&amp;&#60;",
    "[text](javascript:alert(1)) | `code` *bold* ~~gone~~ @somebody #1",
    "line one\nline two\r\n::error::fake",
    "bell\x07 escape\x1b[31m nul\x00 del\x7f",
    "right\u202eto left \u200bhidden \ufeff",
    "half a pair \ud800, none \uffff",
    '\\back\\slash "quote" 100%',
    "https://evil.example/ www.evil.example",
    "ünïcödé 节点 🧱",
    "x" * 300,
)
# What a schema says is one of a few words is no text of others.
_FIXED = {
    *("schema", "status", "severity", "verdict", "direction", "check", "state", "gate", "action"),
    *("at", "begin", "end", "generated_at", "backend"),
}


def fields(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a report that comes from elsewhere: its place and what it is."""
    for key, member, inner in _members(value, place):
        if isinstance(member, str):
            if key not in _FIXED and not place.startswith("checks"):
                yield inner, member
        else:
            yield from fields(member, inner)


def replaced(value: Any, name: str, place: str = "") -> Any:
    """The report with this name after each such text."""
    if isinstance(value, dict):
        return {key: _new(key, member, name, f"{place}.{key}".lstrip(".")) for key, member in value.items()}
    return [_new("", member, name, place) for member in value]


def _new(key: str, member: Any, name: str, place: str) -> Any:
    if isinstance(member, (dict, list)):
        return replaced(member, name, place)
    fixed = key in _FIXED or place.startswith(("checks", "nodes.checks"))
    return f"{member}{name}" if isinstance(member, str) and not fixed else member


def _members(value: Any, place: str) -> Iterator[tuple[str, Any, str]]:
    if isinstance(value, dict):
        for key, member in value.items():
            yield key, member, f"{place}.{key}".lstrip(".")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield "", member, f"{place}[{index}]"
