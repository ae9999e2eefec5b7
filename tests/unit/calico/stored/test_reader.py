# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stored objects, read as Felix reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.model import SKIPPED
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.reader import (
    canonical_name,
    inherited_labels,
    read,
)

from tests.unit import builders
from tests.unit.builders import V1, V3, Object
from tests.unit.calico.stored.objects import RULE, effects, gnp, policy, thing


def governed(raw: Object, native_v3: bool = False) -> tuple[bool, bool]:
    found = policy(raw, native_v3)
    return found.governs_ingress, found.governs_egress


class TestTypes:
    """What a missing list of types means depends on who wrote the object."""

    def test_raw_v1_governs_both(self) -> None:
        assert governed(gnp(egress=[RULE])) == (True, True)
        assert not policy(gnp(egress=[RULE])).types_given

    @pytest.mark.parametrize(
        ("spec", "both"),
        [
            ({}, (True, False)),
            ({"ingress": [RULE]}, (True, False)),
            ({"egress": [RULE]}, (False, True)),
            ({"ingress": [RULE], "egress": [RULE]}, (True, True)),
            ({"ingress": [], "egress": [RULE]}, (False, True)),
        ],
    )
    def test_the_api_server_counts_rules(self, spec: Object, both: tuple[bool, bool]) -> None:
        assert governed(gnp(V3, **spec)) == both

    @pytest.mark.parametrize(
        ("spec", "both"),
        [
            ({}, (True, False)),
            ({"ingress": [], "egress": [RULE]}, (True, True)),
            ({"egress": []}, (False, True)),
            ({"types": [], "egress": [RULE]}, (True, True)),
        ],
    )
    def test_the_admission_policy_looks_for_the_field(self, spec: Object, both: tuple[bool, bool]) -> None:
        assert governed(gnp(V3, **spec), native_v3=True) == both

    def test_case_does_not_matter_and_other_words_govern_nothing(self) -> None:
        assert governed(gnp(types=["INGRESS"])) == (True, False)
        assert governed(gnp(types=["sideways"])) == (False, False)


class TestMetadata:
    """On v1 CRDs Calico's own metadata is in an annotation."""

    def annotated(self, kept: Object, api: str = V1, **metadata: Any) -> Object:
        annotation = {"projectcalico.org/metadata": json.dumps(kept)}
        return thing(
            "HostEndpoint", {"node": "n", "interfaceName": "*"}, api, annotations=annotation, **metadata
        )

    def test_its_labels_win_and_the_others_stay(self) -> None:
        store = read([self.annotated({"labels": {"a": "kept"}}, labels={"a": "changed", "b": "x"})])
        assert store.host_endpoints[0].labels == {"a": "kept", "b": "x"}
        assert effects(store) == {("metadata.labels", SKIPPED)}

    def test_it_means_nothing_on_v3(self) -> None:
        store = read([self.annotated({"labels": {"a": "kept"}}, V3, labels={"a": "changed"})])
        assert store.host_endpoints[0].labels == {"a": "changed"}

    def test_an_annotation_that_is_no_json_stops_felix(self) -> None:
        raw = self.annotated({})
        raw["metadata"]["annotations"]["projectcalico.org/metadata"] = "{"
        assert read([raw]).stale()

    @pytest.mark.parametrize(
        ("kind", "stored", "tier", "annotated", "name"),
        [
            ("GlobalNetworkPolicy", "default.a", "", "", "a"),
            ("GlobalNetworkPolicy", "default.a", "default", "", "a"),
            ("GlobalNetworkPolicy", "default.a", "t", "", "default.a"),
            ("GlobalNetworkPolicy", "t.a", "t", "", "t.a"),
            ("GlobalNetworkPolicy", "default.a", "", "b", "b"),
            ("StagedGlobalNetworkPolicy", "default.a", "", "", "a"),
            ("HostEndpoint", "default.a", "", "", "default.a"),
        ],
    )
    def test_canonical_name(self, kind: str, stored: str, tier: str, annotated: str, name: str) -> None:
        assert canonical_name(kind, stored, tier, annotated) == name


class TestKubernetes:
    """Pods, namespaces, service accounts and services give labels and addresses."""

    POD = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "ns", "labels": {"app": "web"}},
        "spec": {
            "nodeName": "n",
            "serviceAccountName": "sa",
            "containers": [{"ports": [{"name": "http", "containerPort": 8080}]}],
        },
        "status": {"podIPs": [{"ip": "10.244.0.5"}, {"ip": "fd00::5"}]},
    }
    NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns", "labels": {"env": "p"}}}
    ACCOUNT = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sa", "namespace": "ns"}}

    def test_a_pod_inherits_labels(self) -> None:
        store = read([self.POD, self.NAMESPACE, self.ACCOUNT])
        (pod,) = store.workloads
        labels = inherited_labels(pod.labels, pod.profiles, store.profiles)
        assert labels["app"] == "web"
        assert labels["projectcalico.org/namespace"] == "ns"
        assert labels["pcns.env"] == "p"
        assert labels["pcsa.projectcalico.org/name"] == "sa"
        assert pod.unknown_labels == ()
        assert [str(address) for address in pod.addresses] == ["10.244.0.5", "fd00::5"]

    def test_what_nobody_told_is_unknown(self) -> None:
        assert read([self.POD]).workloads[0].unknown_labels == ("pcns.", "pcsa.")

    def test_host_network_pods_are_no_endpoints(self) -> None:
        assert read([{**self.POD, "spec": {"hostNetwork": True}}]).workloads == []

    def test_own_labels_win_over_inherited_ones(self) -> None:
        store = read([thing("Profile", {"labelsToApply": {"a": "profile", "b": "profile"}}, V3)])
        assert inherited_labels({"a": "own"}, ["x", "gone"], store.profiles) == {"a": "own", "b": "profile"}

    def test_service_endpoints(self) -> None:
        made = builders.endpoint_slice("s", "10.0.0.1", port=53, protocol="UDP", namespace="ns")
        (member,) = read([made]).services["ns/s"]
        assert (str(member.address), member.protocol, member.port) == ("10.0.0.1", 17, 53)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ("text", "resources[0]"),
        ({"metadata": {"name": "x"}}, "resources[0].kind"),
        ({"kind": "Tier", "metadata": {}}, "resources[0].metadata.name"),
        (thing("Tier", {}, "projectcalico.org/v1"), "apiVersion"),
        (thing("Tier", {"order": "first"}), "spec.order"),
        (gnp(ingress={}), "spec.ingress"),
        (gnp(ingress=["x"]), "spec.ingress[0]"),
        (gnp(selector=5), "spec.selector"),
        (gnp(preDNAT="yes"), "spec.preDNAT"),
        (gnp(ingress=[{"source": {"nets": "10.0.0.0/8"}}]), "spec.ingress[0].source.nets"),
        (thing("HostEndpoint", {"expectedIPs": "10.0.0.1"}), "spec.expectedIPs"),
    ],
)
def test_what_no_api_would_hold_is_refused(raw: Any, field: str) -> None:
    with pytest.raises(BadInput) as refused:
        read([raw])
    assert refused.value.field == field


def test_two_objects_of_one_name_are_refused() -> None:
    with pytest.raises(BadInput, match="two objects"):
        read([gnp(), gnp()])


def test_lists_are_opened_and_other_kinds_passed_over() -> None:
    listed = {"kind": "List", "items": [gnp(), {"kind": "ConfigMap", "metadata": {"name": "c"}}]}
    assert len(read([listed]).policies) == 1


def test_a_staged_deletion_is_kept_apart() -> None:
    store = read([thing("StagedGlobalNetworkPolicy", {"stagedAction": "Delete"})])
    assert store.policies == []
    assert [ref.name for ref in store.staged_deletions] == ["x"]
