# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a node's HostEndpoint should be, whether the stored one is, and which one Felix uses."""

from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint import (
    OWNER_LABEL,
    HostEndpointTemplate,
    NamedPort,
    active_wildcard,
    auto_hep_name,
    correction,
    desired,
    effective_labels,
    expected_ips,
    hep_name,
    is_auto,
    is_ours,
)

V1 = "crd.projectcalico.org/v1"


def node(name="node1", annotations=None, labels=None, addresses=(("InternalIP", "10.99.0.11"),)):
    return {
        "metadata": {"name": name, "annotations": annotations or {}, "labels": labels or {}},
        "status": {"addresses": [{"type": kind, "address": address} for kind, address in addresses]},
    }


def stored(wanted, theirs=(), **metadata):
    """A HostEndpoint as the API gives it back after we wrote it; ``theirs`` are labels others wrote."""
    live = copy.deepcopy(wanted)
    labels = {f"f:{key}": {} for key in live["metadata"]["labels"] if key not in theirs}
    live["metadata"].update(
        resourceVersion="7",
        managedFields=[{"manager": "hostfence", "fieldsV1": {"f:metadata": {"f:labels": labels}}}],
        **metadata,
    )
    return live


def wildcard(name, node_name="node1", interface="*"):
    return {"metadata": {"name": name}, "spec": {"node": node_name, "interfaceName": interface}}


def test_addresses_come_in_kube_controllers_order_each_once_and_without_prefix():
    annotations = {
        "projectcalico.org/IPv4VXLANTunnelAddr": "10.244.1.0",
        "projectcalico.org/IPv6Address": "fd99::11/64",
        "projectcalico.org/IPv4Address": "10.99.0.11/24",
        "projectcalico.org/IPv4IPIPTunnelAddr": "not an address",
    }
    addresses = [("Hostname", "node1"), ("InternalIP", "10.99.0.11"), ("InternalIP", "192.0.2.1")]
    seen = expected_ips(node(annotations=annotations, addresses=addresses), with_tunnels=True)
    assert seen == ["10.99.0.11", "fd99::11", "10.244.1.0", "192.0.2.1"]


def test_a_node_without_status_or_annotations_has_no_addresses():
    assert expected_ips({"metadata": {"name": "n", "annotations": None}}, with_tunnels=True) == []
    assert expected_ips({"metadata": {"name": "n"}, "status": {}}, with_tunnels=True) == []


def test_by_default_a_node_gets_a_wildcard_with_the_allow_profile_and_our_label():
    hep = desired(node(), HostEndpointTemplate(labels={"host-endpoint": "ingress"}), V1)
    assert hep == {
        "apiVersion": V1,
        "kind": "HostEndpoint",
        "metadata": {
            "name": "node1-hostfence",
            "labels": {"host-endpoint": "ingress", OWNER_LABEL: "hostfence"},
        },
        "spec": {
            "node": "node1",
            "interfaceName": "*",
            "expectedIPs": ["10.99.0.11"],
            "profiles": ["projectcalico-default-allow"],
        },
    }


def test_by_ip_leaves_the_tunnel_devices_alone():
    annotations = {"projectcalico.org/IPv4VXLANTunnelAddr": "10.244.1.0"}
    hep = desired(node(annotations=annotations), HostEndpointTemplate(interface="by-ip"), V1)
    assert hep["spec"]["expectedIPs"] == ["10.99.0.11"]
    assert "interfaceName" not in hep["spec"]


def test_by_ip_refuses_a_node_without_an_address():
    with pytest.raises(BadInput, match=r"Node node1: status.addresses: \[\]: .*InternalIP"):
        desired(node(addresses=[("Hostname", "node1")]), HostEndpointTemplate(interface="by-ip"), V1)


def test_a_static_label_wins_over_a_copied_one_and_an_absent_one_is_not_copied():
    template = HostEndpointTemplate(labels={"zone": "mine"}, node_labels=["zone", "rack", "absent"])
    labels = desired(node(labels={"zone": "a", "rack": "r1"}), template, V1)["metadata"]["labels"]
    assert labels == {"zone": "mine", "rack": "r1", OWNER_LABEL: "hostfence"}


def test_our_name_sorts_after_calicos_own_so_that_an_overlap_changes_nothing():
    names = [hep_name("node1"), auto_hep_name("node1")]
    heps = [wildcard(n) for n in names]
    assert active_wildcard(heps, "node1")["metadata"]["name"] == "node1-auto-hep"


def test_a_name_without_room_for_the_suffix_is_refused():
    assert len(hep_name("n" * 243)) == 253
    with pytest.raises(BadInput, match=r"metadata\.name"):
        hep_name("n" * 244)


def test_the_active_wildcard_is_the_first_by_name_among_the_nodes_wildcards():
    heps = [
        wildcard("b"),
        wildcard("a", interface="eth0"),
        wildcard("0", node_name="node2"),
        wildcard("c"),
        {"metadata": {"name": "no-spec"}},
    ]
    assert active_wildcard(heps, "node1")["metadata"]["name"] == "b"
    assert active_wildcard(heps, "NODE1") is None


@pytest.mark.parametrize(
    ("metadata", "labels"),
    [
        ({}, {}),
        ({"labels": None}, {}),
        ({"labels": {"a": "1"}}, {"a": "1"}),
        ({"annotations": {"projectcalico.org/metadata": '{"labels": {"b": "2"}}'}}, {"b": "2"}),
        ({"annotations": {"projectcalico.org/metadata": "{}"}}, {}),
        ({"annotations": {"projectcalico.org/metadata": '{"labels": null}'}}, {}),
    ],
)
def test_effective_labels(metadata, labels):
    assert effective_labels({"metadata": {"name": "x", **metadata}}) == labels


def test_who_made_it_is_read_from_the_labels_that_count():
    auto = {"labels": {"projectcalico.org/created-by": "calico-kube-controllers"}}
    hidden = {"metadata": {"name": "x", "annotations": {"projectcalico.org/metadata": json.dumps(auto)}}}
    assert is_auto(hidden)
    assert not is_ours(hidden)
    ours = desired(node(), HostEndpointTemplate(), V1)
    assert is_ours(ours)
    assert not is_auto(ours)


WANTED = desired(node(), HostEndpointTemplate(labels={"host-endpoint": "ingress"}), V1)


def test_what_we_wrote_needs_no_correction_however_the_api_stores_it():
    live = stored(WANTED)
    live["spec"]["expectedIPs"].reverse()
    live["spec"].update(ports=[], profiles=list(live["spec"]["profiles"]))
    assert correction(live, WANTED) is None


def test_labels_of_others_stay_and_labels_of_ours_that_are_no_longer_wanted_go():
    live = stored(WANTED)
    live["metadata"]["labels"].update(theirs="stays", dropped="goes")
    live["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"]["f:labels"]["f:dropped"] = {}
    corrected = correction(live, WANTED)
    assert corrected["metadata"]["labels"] == {**WANTED["metadata"]["labels"], "theirs": "stays"}
    assert corrected["metadata"]["resourceVersion"] == "7"
    assert "managedFields" not in corrected["metadata"]


def test_a_foreign_label_alone_is_no_reason_to_write():
    live = stored(WANTED)
    live["metadata"]["labels"]["theirs"] = "stays"
    assert correction(live, WANTED) is None


@pytest.mark.parametrize(
    "change",
    [
        {"profiles": []},
        {"expectedIPs": ["10.99.0.12"]},
        {"interfaceName": "eth0"},
        {"node": "node2"},
        {"ports": [{"name": "x", "protocol": "TCP", "port": 1}]},
    ],
)
def test_any_difference_in_the_spec_is_corrected(change):
    live = stored(WANTED)
    live["spec"].update(change)
    assert correction(live, WANTED)["spec"] == WANTED["spec"]


def test_a_label_of_ours_hidden_by_calicos_annotation_is_revealed_and_others_stay_there():
    hidden = json.dumps({"labels": {"theirs": "stays", "host-endpoint": "stale"}})
    live = stored(WANTED, annotations={"projectcalico.org/metadata": hidden, "other": "stays"})
    corrected = correction(live, WANTED)
    annotations = corrected["metadata"]["annotations"]
    assert annotations["other"] == "stays"
    assert json.loads(annotations["projectcalico.org/metadata"]) == {"labels": {"theirs": "stays"}}
    assert effective_labels(corrected) == {**WANTED["metadata"]["labels"], "theirs": "stays"}
    assert correction(corrected, WANTED) is None


def test_an_annotation_that_hides_nothing_of_ours_is_left_alone():
    hidden = json.dumps({"labels": {"theirs": "stays"}})
    assert correction(stored(WANTED, annotations={"projectcalico.org/metadata": hidden}), WANTED) is None


def test_correcting_once_is_enough():
    live = stored(WANTED)
    live["metadata"]["labels"] = {"theirs": "stays"}
    live["spec"]["profiles"] = []
    corrected = correction(live, WANTED)
    assert correction(stored(corrected, theirs=["theirs"]), WANTED) is None


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"labels": {"-bad": "x"}}, "labels.-bad"),
        ({"labels": {"a/b/c": "x"}}, "labels.a/b/c"),
        ({"labels": {"/x": "x"}}, "labels./x"),
        ({"labels": {"Upper.example/x": "x"}}, "labels.Upper.example/x"),
        ({"labels": {"x" * 64: "x"}}, "labels.x"),
        ({"labels": {"a": "x" * 64}}, "labels.a"),
        ({"labels": {"a": "two words"}}, "labels.a"),
        ({"labels": {"a": "newline\n"}}, "labels.a"),
        ({"labels": {"a": True}}, "labels.a: True"),
        ({"labels": {1: "x"}}, "labels.1"),
        ({"labels": {OWNER_LABEL: "me"}}, OWNER_LABEL),
        ({"node_labels": ["ok", "not ok"]}, r"node_labels\[1\]"),
        ({"interface": ""}, "interface"),
        ({"interface": "eth0 "}, "interface"),
        ({"interface": "a-name-of-16-ch"[:15] + "x"}, "interface"),
        ({"profiles": ["Not-A-Name"]}, r"profiles\[0\]"),
        ({"ports": [NamedPort("a b", "TCP", 1)]}, r"ports\[0\].name"),
        *(
            ({"ports": [NamedPort(name, "TCP", 1)]}, r"ports\[0\].name")
            for name in ("HTTP", "80-90", "a.b", "a_b", "80", "-a", "a-", "a--b", "a" * 16, "")
        ),
        ({"profiles": ["a" * 129]}, r"profiles\[0\].*128"),
        ({"profiles": ["kns.a", "kns.a"]}, r"profiles\[1\].*twice"),
        ({"ports": [NamedPort("a", "tcp", 1)]}, r"ports\[0\].protocol"),
        ({"ports": [NamedPort("a", "6", 1)]}, r"ports\[0\].protocol"),
        ({"ports": [NamedPort("a", "TCP", 0)]}, r"ports\[0\].port"),
        ({"ports": [NamedPort("a", "TCP", 65536)]}, r"ports\[0\].port"),
        ({"ports": [NamedPort("a", "TCP", 1), NamedPort("a", "TCP", 2)]}, r"ports\[1\].name"),
    ],
)
def test_what_calico_would_refuse_or_misread_is_refused(fields, complaint):
    with pytest.raises(BadInput, match=complaint):
        HostEndpointTemplate(**fields)


def test_limits_themselves_are_fine():
    template = HostEndpointTemplate(
        labels={"x" * 63: "y" * 63, "example.com/z": ""},
        interface="a-name-of-15-ch",
        ports=[NamedPort("a", "TCP", 65535), NamedPort("a", "UDP", 1), NamedPort("8-a-15-letters", "TCP", 1)],
        profiles=["kns.default", "a" * 128],
    )
    assert desired(node(), template, V1)["spec"]["ports"][0]["port"] == 65535
