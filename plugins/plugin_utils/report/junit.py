# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""JUnit XML, as CI systems read it: one case for each node and check."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from .checks import FAIL, NOT_CHECKED, WARNING
from .shown import visible

Json = dict[str, Any]


def junit(document: Json) -> str:
    """The report as JUnit XML. A warning is not a failure: it stands in the case's output."""
    root = ElementTree.Element("testsuites", name="hostfence")
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for check in document["checks"]:
        suite = ElementTree.SubElement(root, "testsuite", name=check["title"], timestamp=_naive(document))
        counted = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
        for node in document["nodes"]:
            status = node["checks"][check["id"]]
            _case(suite, check, node, status)
            counted["tests"] += 1
            counted["failures"] += status == FAIL
            counted["skipped"] += status == NOT_CHECKED
        for key, number in counted.items():
            suite.set(key, str(number))
            totals[key] += number
    for key, number in totals.items():
        root.set(key, str(number))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _naive(document: Json) -> str:
    """JUnit's schema knows no time zone."""
    return str(document["generated_at"]).removesuffix("Z")


def _case(suite: ElementTree.Element, check: Json, node: Json, status: str) -> None:
    name = visible(node["name"])
    case = ElementTree.SubElement(
        suite, "testcase", classname=f"hostfence.{check['id']}", name=name, time="0"
    )
    if status == NOT_CHECKED:
        ElementTree.SubElement(case, "skipped", message="not looked at in this run")
        return
    if status not in (FAIL, WARNING):
        return
    wanted = "error" if status == FAIL else "warning"
    found = [f for f in node["findings"] if f["check"] == check["id"] and f["severity"] == wanted]
    lines = [visible(f"{f['id']}: {f['message']} - {f['remedy']}") for f in found]
    if status == FAIL:
        first = found[0] if found else {"id": check["id"], "message": check["question"]}
        failure = ElementTree.SubElement(
            case, "failure", message=visible(first["message"]), type=visible(first["id"])
        )
        failure.text = "\n".join(lines)
    else:
        ElementTree.SubElement(case, "system-out").text = "\n".join(lines)
