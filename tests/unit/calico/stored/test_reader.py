# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stored objects, read as Felix reads them."""

from __future__ import annotations

import json
from typing import Any, Optional

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.address import (
    Address,
    parse_address,
    parse_net,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.model import (
    MISSING,
    SKIPPED,
    STALE,
    Policy,
    Store,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.reader import (
    canonical_name,
    inherited_labels,
    read,
)

from tests.unit import builders
from tests.unit.builders import V1, V3, Object


def thing(kind: str, spec: Object, api: str = V1, name: str = "x", **metadata: Any) -> Object:
    found = builders.resource(kind, name, api=api, **spec)
    found["metadata"].update(metadata)
    return found


def gnp(api: str = V1, **spec: Any) -> Object:
    return thing("GlobalNetworkPolicy", spec, api)


def policy(raw: Object, native_v3: bool = False) -> Policy:
    (found,) = read([raw], native_v3).policies
    return found


def governed(raw: Object, native_v3: bool = False) -> tuple[bool, bool]:
    found = policy(raw, native_v3)
    return found.governs_ingress, found.governs_egress


def effects(store: Store) -> set[tuple[str, str]]:
    return {(found.field, found.effect) for _ref, found in store.misreadings}


RULE = {"action": "Allow"}


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


class TestSelectors:
    """Joined as text, so that Calico's replacements hit what they hit there."""

    @pytest.mark.parametrize(
        ("spec", "printed"),
        [
            ({}, "all()"),
            ({"selector": "a == 'x'"}, 'a == "x"'),
            (
                {"selector": "all()", "namespaceSelector": "env == 'p'"},
                '(has(projectcalico.org/namespace) && pcns.env == "p")',
            ),
            ({"selector": "all( )", "namespaceSelector": "env == 'p'"}, '(all() && pcns.env == "p")'),
            ({"namespaceSelector": "all()"}, "has(projectcalico.org/namespace)"),
            ({"namespaceSelector": "!has(x)"}, "!has(pcns.x)"),
            ({"namespaceSelector": "global()"}, "global()"),
            ({"serviceAccountSelector": "all()"}, "has(projectcalico.org/serviceaccount)"),
            (
                {"selector": "a == 'x'", "namespaceSelector": "has(b)", "serviceAccountSelector": "has(c)"},
                '((a == "x" && has(pcns.b)) && has(pcsa.c))',
            ),
        ],
    )
    def test_of_a_policy(self, spec: Object, printed: str) -> None:
        assert str(policy(gnp(**spec)).selector) == printed

    def test_a_bad_namespace_selector_is_left_out(self) -> None:
        store = read([gnp(selector="has(a)", namespaceSelector="oops(")])
        assert str(store.policies[0].selector) == "has(a)"
        assert effects(store) == {("spec.namespaceSelector", SKIPPED)}

    def test_of_a_namespaced_policy(self) -> None:
        raw = thing(
            "NetworkPolicy",
            {"selector": "has(a)", "ingress": [{**RULE, "source": {"selector": "has(b)"}}]},
            namespace="ns",
        )
        found = policy(raw)
        assert str(found.selector) == '(has(a) && projectcalico.org/namespace == "ns")'
        assert str(found.ingress[0].source.selector) == '(projectcalico.org/namespace == "ns" && has(b))'

    @pytest.mark.parametrize(
        ("side", "wanted", "unwanted"),
        [
            ({}, None, None),
            ({"selector": "has(a)"}, "has(a)", None),
            ({"notSelector": "has(a)"}, None, "has(a)"),
            ({"selector": "has(a)", "notSelector": "has(b)"}, "(has(a) && !has(b))", None),
            ({"namespaceSelector": "global()"}, "!has(projectcalico.org/namespace)", None),
            (
                {"namespaceSelector": "all()", "notSelector": "has(b)"},
                "(has(projectcalico.org/namespace) && !has(b))",
                None,
            ),
            (
                {"serviceAccounts": {"names": ["s"], "selector": "has(x)"}},
                '(has(pcsa.x) && projectcalico.org/serviceaccount in {"s"})',
                None,
            ),
        ],
    )
    def test_of_a_rule(self, side: Object, wanted: Optional[str], unwanted: Optional[str]) -> None:
        source = policy(gnp(ingress=[{**RULE, "source": side}])).ingress[0].source
        assert (source.selector and str(source.selector)) == wanted
        assert (source.not_selector and str(source.not_selector)) == unwanted


class TestMisread:
    """What the API takes and Felix does not."""

    @pytest.mark.parametrize(
        ("rule", "field", "effect"),
        [
            ({"source": {"nets": ["10.0.0.0/33"]}}, "source.nets[0]", SKIPPED),
            ({"protocol": "TCP", "destination": {"ports": [70000]}}, "destination.ports[0]", STALE),
            ({"protocol": "TCP", "destination": {"ports": ["9:1"]}}, "destination.ports[0]", STALE),
            ({"protocol": "TCP", "destination": {"ports": [-1]}}, "destination.ports[0]", STALE),
            ({"protocol": "TCP", "destination": {"ports": ["a/b"]}}, "destination.ports[0]", STALE),
            ({"protocol": "TCP", "destination": {"ports": [0]}}, "destination.ports[0]", MISSING),
            ({"protocol": "TCP", "destination": {"ports": ["HTTP"]}}, "destination.ports[0]", MISSING),
            ({"destination": {"ports": [80]}}, "destination.ports", MISSING),
            ({"protocol": 6, "destination": {"ports": [80]}}, "", ""),
            ({"protocol": "6", "destination": {"ports": [80]}}, "", ""),
            ({"protocol": "ICMP", "source": {"notPorts": ["http"]}}, "source.notPorts", MISSING),
            ({"protocol": "GRE"}, "protocol", MISSING),
            ({"protocol": 0}, "protocol", MISSING),
            ({"protocol": 256}, "protocol", STALE),
            ({"notProtocol": "nonsense"}, "notProtocol", MISSING),
            ({"ipVersion": 5}, "ipVersion", MISSING),
            ({"protocol": "ICMP", "icmp": {"type": 255}}, "icmp.type", MISSING),
            ({"protocol": "ICMP", "icmp": {"code": 1}}, "icmp.code", SKIPPED),
            ({"source": {"selector": "has("}}, "source.selector", MISSING),
            ({"source": {"namespaceSelector": "has("}}, "source.namespaceSelector", MISSING),
            ({"action": "Reject"}, "action", STALE),
        ],
    )
    def test_rule(self, rule: Object, field: str, effect: str) -> None:
        store = read([gnp(ingress=[{**RULE, **rule}])])
        assert effects(store) == ({(f"spec.ingress[0].{field}", effect)} if field else set())
        assert bool(store.policies) == (effect in ("", SKIPPED))
        assert bool(store.stale()) == (effect == STALE)

    def test_a_rule_whose_only_net_is_none_matches_everybody(self) -> None:
        store = read([gnp(ingress=[{**RULE, "source": {"nets": ["10.0.0.0/33"]}}])])
        assert store.policies[0].ingress[0].source.nets == ()

    def test_a_bad_selector_makes_the_policy_vanish(self) -> None:
        store = read([gnp(selector="a = 'b'")])
        assert store.policies == []
        assert [str(ref) for ref, _found in store.dropped] == ["GlobalNetworkPolicy x"]

    def test_host_endpoint_with_a_label_that_felix_refuses(self) -> None:
        spec = {"node": "n", "interfaceName": "*"}
        assert read([thing("HostEndpoint", spec, labels={"a": "b/c"})]).host_endpoints == []
        assert len(read([thing("HostEndpoint", spec, labels={"a": "b.c"})]).host_endpoints) == 1


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


@pytest.mark.parametrize(
    ("text", "net"),
    [
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("10.1.2.3", "10.1.2.3/32"),
        ("fd00::1", "fd00::1/128"),
        ("FD00::1/64", "fd00::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:10.0.0.0/24", "::/24"),
        ("::ffff:10.0.0.0/8", "::/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_nets(text: str, net: str) -> None:
    assert str(parse_net(text)) == net


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0.0/33",
        "10.0.0/24",
        "010.0.0.1",
        "10.0.0.256",
        "10.0.0.0/-1",
        "10.0.0.0/255.0.0.0",
        "fe80::1%eth0",
        "fd00::/129",
        "10.0.0.0/ 8",
        "10.0.0.0/\uff18",
        "a",
    ],
)
def test_no_nets(text: str) -> None:
    assert parse_net(text) is None


def test_a_mapped_address_is_the_ipv4_address() -> None:
    assert parse_address("::ffff:1.2.3.4") == parse_address("1.2.3.4") == Address(4, 0x01020304)
