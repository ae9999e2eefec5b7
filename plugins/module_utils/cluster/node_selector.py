# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A label selector in the form that a DaemonSet's node affinity takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from ..calico.bad_input import BadInput

# One requirement, up to a comma outside of parentheses.
_REQUIREMENT = re.compile(r"\s*((?:[^,()]|\([^()]*\))+)\s*(?:,|$)")
_KEY = r"(?P<key>[A-Za-z0-9][A-Za-z0-9_./-]*)"
_FORMS = (
    (re.compile(_KEY + r"\s*(?:==|=)\s*(?P<value>[A-Za-z0-9_.-]*)"), "In"),
    (re.compile(_KEY + r"\s*!=\s*(?P<value>[A-Za-z0-9_.-]*)"), "NotIn"),
    (re.compile(_KEY + r"\s+in\s*\((?P<values>[^()]*)\)"), "In"),
    (re.compile(_KEY + r"\s+notin\s*\((?P<values>[^()]*)\)"), "NotIn"),
    (re.compile(_KEY + r"\s*>\s*(?P<value>[0-9]+)"), "Gt"),
    (re.compile(_KEY + r"\s*<\s*(?P<value>[0-9]+)"), "Lt"),
    (re.compile(_KEY), "Exists"),
    (re.compile(r"!\s*" + _KEY), "DoesNotExist"),
)


def match_expressions(selector: str) -> list[dict[str, Any]]:
    """The requirements of a Kubernetes label selector, none for the empty one, which selects all.

    :raises BadInput: it is no label selector
    """
    found, at = [], 0
    text = selector.strip()
    while at < len(text):
        requirement = _REQUIREMENT.match(text, at)
        if not requirement:
            raise _bad(selector)
        found.append(_expression(requirement[1].strip(), selector))
        at = requirement.end()
    return found


def selects(expressions: Iterable[Mapping[str, Any]], labels: Mapping[str, str]) -> bool:
    """Whether a node with these labels is selected, as the API server does it."""
    return all(_holds(expression, labels.get(expression["key"])) for expression in expressions)


def _holds(expression: Mapping[str, Any], value: Optional[str]) -> bool:
    operator, values = expression["operator"], expression.get("values", ())
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    if operator == "NotIn":
        return value not in values
    if operator == "In":
        return value in values
    try:
        number, limit = int(value or ""), int(values[0])
    except ValueError:
        return False
    return number > limit if operator == "Gt" else number < limit


def _expression(requirement: str, selector: str) -> dict[str, Any]:
    for form, operator in _FORMS:
        match = form.fullmatch(requirement)
        if match:
            said = match.groupdict()
            expression: dict[str, Any] = {"key": said["key"], "operator": operator}
            if "values" in said:
                expression["values"] = [value.strip() for value in said["values"].split(",")]
            elif "value" in said:
                expression["values"] = [said["value"]]
            return expression
    raise _bad(selector)


def _bad(selector: str) -> BadInput:
    return BadInput("node_selector", selector, "must be a Kubernetes label selector")
