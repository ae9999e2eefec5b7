# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What decides about hosts is read once, whoever asks and how often."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import ApiError
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.host_view import HostView
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.reach import options_of

from tests.unit.cluster.answers import V3_NATIVE, Answers

DAEMONSETS = "/apis/apps/v1/daemonsets"
KUBE_PROXY = "/api/v1/namespaces/kube-system/configmaps/kube-proxy"
INFORMATION = "/apis/projectcalico.org/v3/clusterinformations/default"
_ENVIRONMENT = [{"name": "FELIX_BPFENABLED", "value": "true"}]
_TEMPLATE = {"spec": {"containers": [{"name": "calico-node", "env": _ENVIRONMENT}]}}
FELIX = {"metadata": {"name": "calico-node"}, "spec": {"template": _TEMPLATE}}
HELD: dict[str, Any] = {
    DAEMONSETS: [{"metadata": {"name": "another"}}, FELIX],
    KUBE_PROXY: {
        "metadata": {"namespace": "kube-system", "name": "kube-proxy"},
        "data": {"config.conf": "mode: nftables"},
    },
    INFORMATION: {"metadata": {"name": "default"}, "spec": {"calicoVersion": "v3.32.1"}},
}


def view_of(answers: Answers) -> HostView:
    return HostView(answers, V3_NATIVE)


def test_how_to_judge_is_read_once_for_all_gates_of_a_run() -> None:
    answers = Answers(HELD)
    view = view_of(answers)
    first, second = options_of(view), options_of(view)
    assert first == second
    assert (first.calico_version, first.native_v3) == ("v3.32.1", True)
    assert (first.environment, first.kube_proxy_mode) == ({"FELIX_BPFENABLED": "true"}, "nftables")
    assert answers.asked == {DAEMONSETS: 1, KUBE_PROXY: 1, INFORMATION: 1}


def test_what_a_plan_has_read_a_gate_does_not_ask_for_again() -> None:
    answers = Answers(HELD)
    view = view_of(answers)
    assert len(view.of("DaemonSet")) == 2
    assert view.environment == {"FELIX_BPFENABLED": "true"}
    assert answers.asked == {DAEMONSETS: 1}


def test_who_may_not_read_them_judges_without() -> None:
    found = options_of(view_of(Answers(HELD, refused=(DAEMONSETS, KUBE_PROXY))))
    assert (found.environment, found.kube_proxy_mode) == ({}, "")


def test_a_cluster_without_them_is_judged_without() -> None:
    found = options_of(view_of(Answers({})))
    assert (found.environment, found.kube_proxy_mode, found.calico_version) == ({}, "", "")


def test_what_must_be_read_and_may_not_be_is_said_where_it_is_asked_for() -> None:
    view = view_of(Answers(HELD, refused=("/api/v1/nodes",)))
    view.begin(["Node"])
    with pytest.raises(ApiError):
        view.of("Node")


def test_each_kind_is_listed_once() -> None:
    answers = Answers(HELD)
    view = view_of(answers)
    for _gate in range(3):
        view.around()
    assert set(answers.asked.values()) == {1}
    assert {"/api/v1/nodes", "/apis/projectcalico.org/v3/hostendpoints"} <= set(answers.asked)
