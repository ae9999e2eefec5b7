# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""felix_configuration and failsafe_resources_info as Ansible runs them, on every flavour of the API."""

from __future__ import annotations

from typing import Any

import pytest
from module_run import run_module

KIND = "FelixConfiguration"
SSH = {"protocol": "TCP", "port": 22, "net": "192.0.2.0/24"}
STORED = {"protocol": "tcp", "port": 22, "net": "192.0.2.0/24"}


def stored(api: Any, name: str = "default") -> dict[str, Any]:
    return api.admin.get(api.path(KIND, name))["spec"]


def test_only_our_fields_change_and_a_second_run_changes_nothing(clean_api: Any) -> None:
    # Calico's own API server adds defaults with a write, whoever's it is.
    clean_api.admin.patch(clean_api.path(KIND, "default"), {"metadata": {"labels": {"written": "before"}}})
    before = stored(clean_api)
    ports = {"failsafe_inbound_host_ports": [SSH, {"protocol": "udp", "port": 68}]}
    tried = run_module("felix_configuration", clean_api, check=True, diff=True, **ports)
    assert tried["changed"]
    assert stored(clean_api) == before
    done = run_module("felix_configuration", clean_api, diff=True, **ports)
    assert done["changed"]
    assert done["diff"] == tried["diff"]
    written = stored(clean_api)
    assert written.pop("failsafeInboundHostPorts") == [STORED, {"protocol": "udp", "port": 68}]
    assert written == {name: value for name, value in before.items() if name != "failsafeInboundHostPorts"}
    again = run_module("felix_configuration", clean_api, **ports)
    assert not again["changed"]


def test_a_list_is_replaced_as_a_whole(clean_api: Any) -> None:
    run_module("felix_configuration", clean_api, failsafe_inbound_host_ports=[SSH])
    run_module("felix_configuration", clean_api, failsafe_inbound_host_ports=[{"protocol": "tcp", "port": 1}])
    assert stored(clean_api)["failsafeInboundHostPorts"] == [{"protocol": "tcp", "port": 1}]


@pytest.mark.one_flavour
def test_a_nodes_own_configuration_is_made(clean_api: Any) -> None:
    done = run_module("felix_configuration", clean_api, node="n1", failsafe_outbound_host_ports=[SSH])
    assert done["name"] == "node.n1"
    assert stored(clean_api, "node.n1")["failsafeOutboundHostPorts"] == [STORED]
    assert not run_module("felix_configuration", clean_api, node="n1", failsafe_outbound_host_ports=[SSH])[
        "changed"
    ]


@pytest.mark.one_flavour
def test_a_node_with_its_own_configuration_stays_in_the_mode_of_all(clean_api: Any) -> None:
    spec = {**stored(clean_api), "nftablesMode": "Disabled"}
    clean_api.admin.patch(clean_api.path(KIND, "default"), {"spec": spec})
    run_module("felix_configuration", clean_api, node="n1", failsafe_outbound_host_ports=[SSH])
    assert stored(clean_api, "node.n1").get("nftablesMode", "Disabled") == "Disabled"


@pytest.mark.one_flavour
def test_nothing_is_written_when_felix_would_not_start_with_it(clean_api: Any) -> None:
    before = stored(clean_api)
    for entry, field in (
        ({"protocol": "SCTP", "port": 22}, "failsafeInboundHostPorts[1].protocol"),
        ({"protocol": "tcp", "port": 0}, "failsafeInboundHostPorts[1].port"),
        ({"protocol": "tcp", "port": 65536}, "failsafeInboundHostPorts[1].port"),
        ({"protocol": "tcp", "port": -1}, "failsafeInboundHostPorts[1].port"),
        ({"protocol": "tcp", "port": "ssh"}, "failsafe_inbound_host_ports[1]"),
        ({"protocol": "tcp", "port": 22, "net": "abc"}, "failsafeInboundHostPorts[1].net"),
        ({"protocol": "tcp", "port": 22, "net": "::ffff:10.0.0.0/104"}, "failsafeInboundHostPorts[1].net"),
        ({"protocol": "tcp", "port": 22, "net": "fe80::%eth0/64"}, "failsafeInboundHostPorts[1].net"),
    ):
        refused = run_module("felix_configuration", clean_api, failsafe_inbound_host_ports=[SSH, entry])
        assert refused["failed"]
        assert field in refused["msg"]
        assert "\n" not in refused["msg"]
    assert stored(clean_api) == before


def test_a_field_that_the_api_does_not_know_is_told_and_not_believed(clean_api: Any) -> None:
    before = stored(clean_api)
    done = run_module("felix_configuration", clean_api, dns_trusted_servers=["10.96.0.10"])
    if not done["changed"]:
        assert done["unknown_fields"] == ["dnsTrustedServers"]
        assert any("dnsTrustedServers" in warning for warning in done["warnings"])
        assert stored(clean_api) == before
    else:
        assert stored(clean_api)["dnsTrustedServers"] == ["10.96.0.10"]


@pytest.mark.one_flavour
def test_an_empty_list_is_warned_of(clean_api: Any) -> None:
    done = run_module("felix_configuration", clean_api, failsafe_outbound_host_ports=[])
    assert stored(clean_api)["failsafeOutboundHostPorts"] == []
    assert any("empty" in warning for warning in done["warnings"])


@pytest.mark.one_flavour
def test_the_word_none_is_answered_with_what_to_write(clean_api: Any) -> None:
    before = stored(clean_api)
    for option in ("failsafe_inbound_host_ports", "failsafe_outbound_host_ports"):
        refused = run_module("felix_configuration", clean_api, **{option: "none"})
        assert refused["failed"]
        assert "write [] for no failsafe at all, which leaves" in refused["msg"]
        assert "\n" not in refused["msg"]
    assert stored(clean_api) == before


@pytest.mark.one_flavour
def test_single_ports_are_narrowed_added_and_removed_and_all_others_stay(clean_api: Any) -> None:
    edit = {
        "failsafe_inbound_add": [{**SSH, "net": "192.0.2.0/28"}, {"protocol": "tcp", "port": 2222}],
        "failsafe_inbound_remove": [{"protocol": "tcp", "port": 22}, {"protocol": "tcp", "port": 6666}],
    }
    done = run_module("felix_configuration", clean_api, **edit)
    assert done["changed"]
    assert not any("leaves out" in warning for warning in done["warnings"])
    ports = [(e["port"], e.get("net")) for e in stored(clean_api)["failsafeInboundHostPorts"]]
    kept = [(port, None) for port in (68, 179, 2379, 2380, 5473, 6443, 6667)]
    assert ports == [*kept, (22, "192.0.2.0/28"), (2222, None)]
    assert not run_module("felix_configuration", clean_api, **edit)["changed"]
    # A node's own list begins with that of all nodes.
    more = {"node": "n1", "failsafe_inbound_add": [{"protocol": "udp", "port": 546}]}
    assert run_module("felix_configuration", clean_api, **more)["changed"]
    own = [(e["port"], e.get("net")) for e in stored(clean_api, "node.n1")["failsafeInboundHostPorts"]]
    assert own == [*ports, (546, None)]


@pytest.mark.one_flavour
def test_default_ports_that_fall_out_are_warned_of(clean_api: Any) -> None:
    done = run_module("felix_configuration", clean_api, check=True, failsafe_inbound_host_ports=[SSH])
    [warning] = [text for text in done["warnings"] if "leaves out" in text]
    assert "tcp/179 (BGP), tcp/2379 (etcd), tcp/2380 (etcd), tcp/5473 (Typha)" in warning


def test_what_the_nodes_need_is_collected_once(clean_api: Any) -> None:
    names = clean_api.add_nodes(3)
    clean_api.create("HostEndpoint", "h1", {"node": names[0], "interfaceName": "*"}, labels={"a": "b"})
    for name, selector in (("hosts", "a == 'b'"), ("pods", "!has(a)")):
        spec = {"selector": selector, "types": ["Ingress"], "ingress": [{"action": "Allow"}]}
        clean_api.create("GlobalNetworkPolicy", name, spec)
    found = run_module("failsafe_resources_info", clean_api)
    assert set(names) <= set(found["by_node"])
    assert [item["kind"] for item in found["by_node"][names[0]]].count("HostEndpoint") == 1
    policies = {item["metadata"]["name"]: item["spec"] for item in found["shared"]}
    assert policies["hosts"]["ingress"] == [{"action": "Allow"}]
    assert "ingress" not in policies["pods"], "what governs no host endpoint is not sent to every node"
    assert policies["pods"]["selector"] == "!has(a)"
    assert {"FelixConfiguration", "ClusterInformation"} <= {item["kind"] for item in found["shared"]}
