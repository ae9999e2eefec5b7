# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan that is saved, read back and compared."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan import document
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.builder import make_plan
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.view import View
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.wishes import Wishes

from tests.unit.calico.plan.planned import HEPS


def test_a_document_says_what_moved(view: View) -> None:
    wishes = Wishes(host_endpoints=HEPS)
    plan = make_plan(view, wishes)
    saved = document.read_document(json.loads(json.dumps(document.to_document(plan, {"a": {"b": 1}}))), "f")
    assert document.difference(saved, plan, {"a": {"b": 1}}) == []
    assert document.difference(saved, plan, {"a": {"b": 2}}) == ["asked for otherwise than in the plan: a.b"]
    nodes = [*view.of("Node")]
    nodes[0] = {**nodes[0], "metadata": {**nodes[0]["metadata"], "labels": {"zone": "b"}}}
    other = make_plan(replace(view, objects={**view.objects, "Node": nodes[:2]}), wishes)
    [changed, gone] = document.difference(saved, other, {"a": {"b": 1}})[:2]
    assert (changed, gone) == (
        "the cluster has moved: changed: Node sim-0001",
        "the cluster has moved: gone: Node sim-0003",
    )


@pytest.mark.parametrize("broken", [None, {}, {"schema": "hostfence.plan/2"}, {"schema": "hostfence.plan/1"}])
def test_what_is_no_plan_is_refused(broken: object) -> None:
    with pytest.raises(BadInput):
        document.read_document(broken, "file")


def test_a_file_that_was_changed_by_hand_is_refused(view: View) -> None:
    made = document.to_document(make_plan(view, Wishes(host_endpoints=HEPS)), {})
    made["seen"] = {**made["seen"], "Node sim-0001": "0"}
    with pytest.raises(BadInput) as refused:
        document.read_document(made, "file")
    assert refused.value.field == "digest"


def test_other_writes_for_the_same_cluster_and_wishes_are_refused(view: View) -> None:
    plan = make_plan(view, Wishes(host_endpoints=HEPS))
    made = document.to_document(plan, {})
    made["steps"][0]["writes"] = made["steps"][0]["writes"][1:]
    (why,) = document.difference(document.read_document(made, "file"), plan, {})
    assert "lead to other writes" in why


def test_what_the_api_server_notes_in_an_object_is_not_shown() -> None:
    obj = {"kind": "Tier", "metadata": {"name": "t", "uid": "u", "resourceVersion": "1"}, "status": {"a": 1}}
    assert document.shown(obj) == {"kind": "Tier", "metadata": {"name": "t"}}
    assert document.shown(None) is None
