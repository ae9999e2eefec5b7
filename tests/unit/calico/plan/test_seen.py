# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What moves between a plan and its carrying out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan import seen
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.view import View


def test_a_nodes_heartbeat_moves_nothing(view: View) -> None:
    node = view.of("Node")[0]
    beat = {**node, "status": {**node["status"], "conditions": [{"type": "Ready"}]}}
    metadata = {**beat["metadata"], "resourceVersion": "999999"}
    objects = {**view.objects, "Node": [{**beat, "metadata": metadata}, *view.of("Node")[1:]]}
    assert seen.seen_of(replace(view, objects=objects)) == seen.seen_of(view)


@pytest.mark.parametrize(
    ("change", "moves"),
    [
        ({"metadata": {"labels": {"zone": "b"}}}, True),
        ({"metadata": {"annotations": {"projectcalico.org/IPv4Address": "10.0.0.1"}}}, True),
        ({"metadata": {"annotations": {"example.com/note": "x"}}}, False),
        ({"status": {"addresses": []}}, True),
        ({"metadata": {"generation": 7}}, False),
    ],
)
def test_what_of_a_node_moves_a_plan(view: View, change: dict[str, dict[str, Any]], moves: bool) -> None:
    node, *others = view.of("Node")
    changed = {**node, **{part: {**node[part], **fields} for part, fields in change.items()}}
    now = seen.seen_of(replace(view, objects={**view.objects, "Node": [changed, *others]}))
    assert seen.moved(seen.seen_of(view), now) == (["changed: Node sim-0001"] if moves else [])
    assert (seen.digest(now) != seen.digest(seen.seen_of(view))) is moves


def test_another_version_of_calico_moves_a_plan(view: View) -> None:
    now = seen.seen_of(replace(view, calico_version="v3.0.0"))
    assert seen.moved(seen.seen_of(view), now) == ["changed: Calico's API"]


def test_of_many_the_first_are_named() -> None:
    then = {f"Node n{number}": "a" for number in range(7)}
    assert seen.moved(then, {"Tier t": "b"}) == [
        "new: Tier t",
        "gone: Node n0, Node n1, Node n2, Node n3, Node n4 and 2 more",
    ]
