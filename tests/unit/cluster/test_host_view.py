# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What decides about hosts is read once, whoever asks and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Optional

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import ApiError, Cluster
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.flavour import (
    PLURALS,
    Flavour,
    FlavourKind,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.host_view import HostView
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.reach import options_of

from tests.unit.builders import Object

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


class Answers(Cluster):
    """Stands for the API: answers what it holds, and counts what it is asked."""

    def __init__(self, held: Optional[dict[str, Any]] = None, refused: tuple[str, ...] = ()) -> None:
        self.held = HELD if held is None else held
        self.refused = refused
        self.asked: Counter[str] = Counter()

    def _answer(self, path: str) -> Any:
        self.asked[path] += 1
        if path in self.refused:
            raise ApiError(403, "Forbidden", "this user may not", "GET", path)
        return self.held.get(path)

    def list(self, path: str, **_selectors: str) -> Iterator[Object]:
        return iter(self._answer(path) or ())

    def get(self, path: str) -> Object:
        found: Optional[Object] = self._answer(path)
        if found is None:
            raise ApiError(404, "NotFound", "there is none", "GET", path)
        return found


def view_of(answers: Answers) -> HostView:
    served = Flavour(FlavourKind.V3_NATIVE, "projectcalico.org", "v3", frozenset(PLURALS))
    return HostView(answers, served)


def test_how_to_judge_is_read_once_for_all_gates_of_a_run() -> None:
    answers = Answers()
    view = view_of(answers)
    first, second = options_of(view), options_of(view)
    assert first == second
    assert (first.calico_version, first.native_v3) == ("v3.32.1", True)
    assert (first.environment, first.kube_proxy_mode) == ({"FELIX_BPFENABLED": "true"}, "nftables")
    assert answers.asked == {DAEMONSETS: 1, KUBE_PROXY: 1, INFORMATION: 1}


def test_what_a_plan_has_read_a_gate_does_not_ask_for_again() -> None:
    answers = Answers()
    view = view_of(answers)
    assert len(view.of("DaemonSet")) == 2
    assert view.environment == {"FELIX_BPFENABLED": "true"}
    assert answers.asked == {DAEMONSETS: 1}


def test_who_may_not_read_them_judges_without() -> None:
    found = options_of(view_of(Answers(refused=(DAEMONSETS, KUBE_PROXY))))
    assert (found.environment, found.kube_proxy_mode) == ({}, "")


def test_a_cluster_without_them_is_judged_without() -> None:
    found = options_of(view_of(Answers(held={})))
    assert (found.environment, found.kube_proxy_mode, found.calico_version) == ({}, "", "")


def test_what_must_be_read_and_may_not_be_is_said_where_it_is_asked_for() -> None:
    view = view_of(Answers(refused=("/api/v1/nodes",)))
    view.begin(["Node"])
    with pytest.raises(ApiError):
        view.of("Node")


def test_each_kind_is_listed_once() -> None:
    answers = Answers()
    view = view_of(answers)
    for _gate in range(3):
        view.around()
    assert set(answers.asked.values()) == {1}
    assert {"/api/v1/nodes", "/apis/projectcalico.org/v3/hostendpoints"} <= set(answers.asked)
