# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.node_selector import match_expressions


@pytest.mark.parametrize(
    ("selector", "expressions"),
    [
        ("", []),
        ("  ", []),
        ("kubernetes.io/os!=windows", [("kubernetes.io/os", "NotIn", ["windows"])]),
        ("a=b", [("a", "In", ["b"])]),
        ("a == b", [("a", "In", ["b"])]),
        ("a=", [("a", "In", [""])]),
        ("a", [("a", "Exists", None)]),
        ("!a", [("a", "DoesNotExist", None)]),
        ("! example.org/a", [("example.org/a", "DoesNotExist", None)]),
        ("zone in (x, y),!a", [("zone", "In", ["x", "y"]), ("a", "DoesNotExist", None)]),
        ("zone notin (x),a=b", [("zone", "NotIn", ["x"]), ("a", "In", ["b"])]),
        ("cores>4,cores<64", [("cores", "Gt", ["4"]), ("cores", "Lt", ["64"])]),
        ("inside", [("inside", "Exists", None)]),
    ],
)
def test_every_form_of_a_requirement(selector, expressions):
    expected = [
        {"key": key, "operator": operator, **({} if values is None else {"values": values})}
        for key, operator, values in expressions
    ]
    assert match_expressions(selector) == expected


@pytest.mark.parametrize("selector", ["a in x", "a=b c", "(a)", "a in (b", "=b", "a,,b", "a>x", "a,"])
def test_anything_else_is_refused(selector):
    if selector == "a,":
        # The API takes a comma at the end, too.
        assert match_expressions(selector) == [{"key": "a", "operator": "Exists"}]
        return
    with pytest.raises(BadInput, match="must be a Kubernetes label selector"):
        match_expressions(selector)
