# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Felix goes by besides Calico's objects."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import ApiError
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.felix_surroundings import (
    DAEMONSETS,
    kube_proxy,
    settings,
)

from tests.unit.cluster.answers import Answers, named

KUBE_PROXY = "/api/v1/namespaces/kube-system/configmaps/kube-proxy"
ENVIRONMENT = [{"name": "FELIX_BPFENABLED", "value": "true"}, {"name": "PASSWORD", "value": "secret"}]
CONTAINERS = [{"name": "calico-node", "env": ENVIRONMENT}, {"name": "other", "env": ENVIRONMENT}]
FELIX = named("calico-node", spec={"template": {"spec": {"containers": CONTAINERS}}})


def test_of_the_daemonset_nothing_but_felixs_variables_is_kept() -> None:
    [found] = settings(Answers({DAEMONSETS: [FELIX]}))
    assert (found["kind"], found["apiVersion"]) == ("DaemonSet", "apps/v1")
    assert found["spec"]["template"]["spec"]["containers"] == [
        {"name": "calico-node", "env": [{"name": "FELIX_BPFENABLED", "value": "true"}]}
    ]


def test_kube_proxys_configuration_is_an_object_of_its_kind() -> None:
    [found] = kube_proxy(Answers({KUBE_PROXY: named("kube-proxy", data={"config.conf": "mode: ipvs"})}))
    assert (found["kind"], found["apiVersion"], found["data"]) == (
        "ConfigMap",
        "v1",
        {"config.conf": "mode: ipvs"},
    )


@pytest.mark.parametrize("refused", [(), (DAEMONSETS, KUBE_PROXY)])
def test_what_is_not_there_or_may_not_be_read_is_none(refused: tuple[str, ...]) -> None:
    answers = Answers({}, refused)
    assert (settings(answers), kube_proxy(answers)) == ([], [])


def test_an_api_that_cannot_answer_is_no_cluster_without_kube_proxy() -> None:
    class Broken(Answers):
        def _answer(self, path: str) -> None:
            raise ApiError(500, "InternalError", "no storage", "GET", path)

    with pytest.raises(ApiError, match="no storage"):
        kube_proxy(Broken({}))
