# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""JUnit XML, as CI systems read it: one case for each node and check."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape, quoteattr

from .checks import FAIL, NOT_CHECKED, WARNING
from .shown import visible

Json = dict[str, Any]


def junit(document: Json) -> str:
    """The report as JUnit XML. A warning is not a failure: it stands in the case's output."""
    # One string a case: as elements of a tree, 65,000 of them take longer than all else in the report.
    nodes = [(node, f"name={quoteattr(visible(node['name']))}") for node in document["nodes"]]
    lines = ['<?xml version="1.0" encoding="utf-8"?>', f'<testsuites name="hostfence"{_totals(document)}>']
    for check in document["checks"]:
        statuses = [node["checks"][check["id"]] for node, _name in nodes]
        title = f"name={quoteattr(check['title'])} timestamp={quoteattr(_naive(document))}"
        lines.append(f"  <testsuite {title}{_counted(statuses)}>")
        begin = f"    <testcase classname={quoteattr('hostfence.' + check['id'])} "
        for node, name in nodes:
            result = _result(check, node, node["checks"][check["id"]])
            lines.append(f'{begin}{name} time="0"{result}')
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])


def _totals(document: Json) -> str:
    return _counted([status for node in document["nodes"] for status in node["checks"].values()])


def _counted(statuses: list[str]) -> str:
    failed, skipped = statuses.count(FAIL), statuses.count(NOT_CHECKED)
    return f' tests="{len(statuses)}" failures="{failed}" errors="0" skipped="{skipped}"'


def _naive(document: Json) -> str:
    """JUnit's schema knows no time zone."""
    return str(document["generated_at"]).removesuffix("Z")


def _result(check: Json, node: Json, status: str) -> str:
    """What stands in a case, and its end."""
    if status not in (FAIL, WARNING, NOT_CHECKED):
        return " />"
    if status == NOT_CHECKED:
        return '><skipped message="not looked at in this run" /></testcase>'
    wanted = "error" if status == FAIL else "warning"
    found = [f for f in node["findings"] if f["check"] == check["id"] and f["severity"] == wanted]
    text = escape("\n".join(visible(f"{f['id']}: {f['message']} - {f['remedy']}") for f in found))
    if status == WARNING:
        return f"><system-out>{text}</system-out></testcase>"
    first = found[0] if found else {"id": check["id"], "message": check["question"]}
    kind, message = (quoteattr(visible(first[key])) for key in ("id", "message"))
    return f"><failure message={message} type={kind}>{text}</failure></testcase>"
