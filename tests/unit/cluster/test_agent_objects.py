# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Objects of agents: what is ours in them, and which of them go."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.wishes import DAEMONSET
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.agent_objects import (
    JOB,
    MODE_LABEL,
    Applied,
    find,
    find_namespaces,
    meaning,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.owned_kinds import COLLECTIONS

from tests.unit.builders import Object
from tests.unit.cluster.answers import Answers

OURS = {"app.kubernetes.io/managed-by": "hostfence"}


def part(name: str, mode: str = DAEMONSET, namespace: str = "") -> Object:
    metadata = {"name": name, "uid": f"uid-{name}", "labels": {**OURS, MODE_LABEL: mode}}
    return {"metadata": {**metadata, **({"namespace": namespace} if namespace else {})}}


@pytest.mark.parametrize(
    ("noted", "changed"),
    [
        ({"resourceVersion": "2"}, False),
        ({"managedFields": [{}]}, False),
        ({"annotations": {"deprecated": "1"}}, False),
        ({"labels": {"a": "b"}}, True),
    ],
)
def test_what_the_api_notes_is_no_change_of_ours(noted: dict[str, Any], changed: bool) -> None:
    before: Object = {"kind": "Role", "metadata": {"name": "x"}, "rules": [], "status": {"seen": 1}}
    after: Object = {"kind": "Role", "metadata": {"name": "x", **noted}, "rules": []}
    assert Applied("Role x", before, after).changed is changed
    assert "status" not in meaning(before)


def test_what_was_not_there_is_a_change() -> None:
    assert Applied("Role x", None, {"metadata": {"name": "x"}}).changed


def test_rights_go_first_whatever_the_order_of_the_lists() -> None:
    answers = Answers(
        {
            COLLECTIONS["DaemonSet"]: [part("agent", namespace="agents")],
            COLLECTIONS["ClusterRoleBinding"]: [part("agent")],
            COLLECTIONS["ConfigMap"]: [part("agent", namespace="agents")],
        }
    )
    found = find(answers, [DAEMONSET, JOB])
    assert [one.kind for one in found] == ["ClusterRoleBinding", "DaemonSet", "ConfigMap"]
    assert found[1].path == "/apis/apps/v1/namespaces/agents/daemonsets/agent"


def test_where_nothing_of_a_mode_is_three_lists_are_enough() -> None:
    answers = Answers({})
    assert find(answers, [DAEMONSET]) == []
    assert sum(answers.asked.values()) == 3


def test_daemonsets_that_were_read_already_are_not_read_again() -> None:
    answers = Answers({})
    listed = [
        part("ours", namespace="agents"),
        part("audit", "audit", "agents"),
        {"metadata": {"name": "other"}},
    ]
    assert [one.name for one in find(answers, [DAEMONSET], listed)] == ["ours"]
    assert COLLECTIONS["DaemonSet"] not in answers.asked


def test_who_may_not_list_a_kind_did_not_make_it() -> None:
    refused = (COLLECTIONS["ClusterRoleBinding"],)
    held = {COLLECTIONS["Job"]: [part("job", JOB, "agents")]}
    assert [one.kind for one in find(Answers(held, refused), [JOB])] == ["Job"]


@pytest.mark.parametrize(
    ("held", "refused", "goes"),
    [
        ({}, (), True),
        ({"secrets": [{"metadata": {"name": "theirs"}}]}, (), False),
        ({"pods": [part("agent")]}, (), True),
        # Whether it is empty cannot be told.
        ({}, ("secrets",), False),
    ],
)
def test_a_namespace_goes_once_nothing_else_is_in_it(
    held: dict[str, Any], refused: tuple[str, ...], goes: bool
) -> None:
    inside = "/api/v1/namespaces/agents"
    answers = Answers(
        {
            COLLECTIONS["Namespace"]: [part("agents", "agents")],
            **{f"{inside}/{k}": v for k, v in held.items()},
        },
        tuple(f"{inside}/{kind}" for kind in refused),
    )
    assert bool(find_namespaces(answers)) is goes
