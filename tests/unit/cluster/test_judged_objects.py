# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What flow_verdict and policy_lint judge: given objects, files, or the live cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.felix.daemon_set import (
    KIND as DAEMON_SET,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import judged_objects
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.judged_objects import (
    SOURCE_OPTIONS,
    gather,
    objects_of,
)

from tests.unit.builders import V3, Object, felix_configuration, host_endpoint, node, policy
from tests.unit.cluster.answers import CALICO, V3_NATIVE, Answers, named

KUBE_PROXY = "/api/v1/namespaces/kube-system/configmaps/kube-proxy"
CONFIG_MAP = {
    "metadata": {"name": "kube-proxy", "namespace": "kube-system"},
    "data": {"config.conf": "mode: ipvs"},
}
PODS = ("/api/v1/pods", "/api/v1/namespaces", "/api/v1/serviceaccounts")


def params(**given: Any) -> dict[str, Any]:
    return {**{name: option.get("default") for name, option in SOURCE_OPTIONS.items()}, **given}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Answers:
    answers = Answers(
        {
            f"{CALICO}/hostendpoints": [host_endpoint("h", node="n", api=V3)],
            f"{CALICO}/clusterinformations/default": named("default", spec={"calicoVersion": "v3.31.0"}),
            "/api/v1/nodes": [node("n", "10.0.0.1")],
            KUBE_PROXY: CONFIG_MAP,
        }
    )
    monkeypatch.setattr(Cluster, "of_options", lambda _params: answers)
    monkeypatch.setattr(judged_objects, "require", lambda _cluster: V3_NATIVE)
    return answers


def kinds(objects: list[Object]) -> set[str]:
    return {str(o["kind"]) for o in objects}


def test_given_objects_are_all_there_is() -> None:
    found = gather(params(resources=[node("n", "10.0.0.1"), CONFIG_MAP | {"kind": "ConfigMap"}]))
    assert (found.origin, found.live, found.options.complete) == ("resources", False, False)
    assert found.options.kube_proxy_mode == "ipvs"


def test_what_is_said_wins_over_what_is_found() -> None:
    given = params(resources=[CONFIG_MAP | {"kind": "ConfigMap"}], kube_proxy_mode="nftables")
    found = gather({**given, "felix_environment": {"FELIX_BPFENABLED": True}, "calico_version": "v3.29.1"})
    assert found.options.kube_proxy_mode == "nftables"
    assert found.options.environment == {"FELIX_BPFENABLED": "True"}
    assert found.options.calico_version == "v3.29.1"


def test_files_hold_objects_or_lists_of_them(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("[{kind: Tier, metadata: {name: a}}, {kind: Tier, metadata: {name: b}}]")
    (tmp_path / "b.yaml").write_text("{kind: Node, metadata: {name: n}}")
    assert [o["metadata"]["name"] for o in objects_of(str(tmp_path))] == ["a", "b", "n"]
    (tmp_path / "c.yaml").write_text("- text")
    with pytest.raises(BadInput, match=r"c\.yaml"):
        objects_of(str(tmp_path))


def test_of_a_live_cluster_every_list_is_read_once(cluster: Answers) -> None:
    found = gather(params())
    assert (found.live, found.origin) == (True, cluster.host)
    assert (found.options.calico_version, found.options.kube_proxy_mode) == ("v3.31.0", "ipvs")
    assert {"HostEndpoint", "Node", "ConfigMap"} <= kinds(found.objects)
    assert all(o.get("apiVersion") for o in found.objects)
    # Of EndpointSlices those of the API and those of Typha are asked for.
    assert {path for path, count in cluster.asked.items() if count > 1} == set()


def test_pods_are_read_where_a_rule_asks_for_them_or_somebody_does(cluster: Answers) -> None:
    gather(params())
    assert not cluster.asked.keys() & {*PODS}
    assert gather(params(), with_pods=True).options.complete
    rule = {"action": "Allow", "source": {"selector": "app == 'web'"}}
    cluster.held[f"{CALICO}/globalnetworkpolicies"] = [policy("p", api=V3, ingress=[rule])]
    assert gather(params()).options.complete
    assert all(cluster.asked[path] == 2 for path in PODS)


def test_who_may_not_read_pods_judges_without_and_says_that_it_is_not_all(cluster: Answers) -> None:
    cluster.refused = (PODS[0], f"{CALICO}/networkpolicies")
    found = gather(params(), with_pods=True)
    assert not found.options.complete
    assert [o["metadata"]["name"] for o in found.objects if o["kind"] == "ClusterNetworkPolicy"] == ["unseen"]


def test_felixs_variables_come_from_its_daemonset(cluster: Answers) -> None:
    env = [{"name": "FELIX_BPFENABLED", "value": "true"}, {"name": "SECRET", "value": "s"}]
    template = {"spec": {"containers": [{"name": "calico-node", "env": env}]}}
    cluster.held["/apis/apps/v1/daemonsets"] = [named("calico-node", spec={"template": template})]
    cluster.held[f"{CALICO}/felixconfigurations"] = [felix_configuration(api=V3)]
    found = gather(params())
    assert found.options.environment == {"FELIX_BPFENABLED": "true"}
    assert "SECRET" not in str([o for o in found.objects if o["kind"] == DAEMON_SET])
