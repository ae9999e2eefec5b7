# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What must be there, and the findings that no recorded dump shows."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.bpf import read_map, verify_map
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.check import verify
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.expectation import (
    ANY_INTERFACE,
    Expectation,
    endpoint_chain,
    expect,
    failsafe_rules,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.ruleset import (
    IPTABLES,
    NFTABLES,
    BaseChain,
    Chain,
    DumpedRule,
    Ruleset,
    Table,
    chain_hashes,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.vital_paths import (
    VitalFacts,
    VitalPath,
    vital_paths,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.felix.chains import (
    FAILSAFE_IN,
    FAILSAFE_OUT,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.felix.configuration import (
    FailsafePort,
    Failsafes,
    built_in,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.finding import Finding, is_ok

from tests.unit import builders
from tests.unit.builders import V3, Object

INTERFACES = {"lo": ["127.0.0.1/8", "::1/128"], "eth0": ["10.0.0.1/24"], "eth1": [], "cali12": []}


def hep(name: str, interface: str, ips: tuple[str, ...] = (), node: str = "n1") -> Object:
    return builders.host_endpoint(
        name,
        node=node,
        api=V3,
        labels={"hep": "1"},
        interfaceName=interface,
        profiles=None,
        expectedIPs=list(ips),
    )


def policy(name: str, **spec: Any) -> Object:
    return builders.policy(name, api=V3, **{"selector": "has(hep)", **spec})


# -- hashes: the published ones of Felix's default lists -----------------------------------------

DEFAULT_IN = [
    "wWFQM43tJU7wwnFZ",
    "LwNV--R8MjeUYacw",
    "QOO5NUOqOSS1_Iw0",
    "cwZWoBSwVeIAZmVN",
    "7FbNXT91kugE_upR",
    "8Ftbkk2dRH2eEeq1",
    "-JoRSaAQZPJAegMo",
    "PUKij4Rn9njHfVTi",
    "vSprVE-4rient0wc",
]
RAW_REST = [
    "5FMJxeFRJfisGvcj",
    "oFvJCuh5JYJWtOxJ",
    "tB3k-uOYKx5Eojo1",
    "g8ehpdolb2tqoKZq",
    "Xq497yMLKgOppNs8",
    "n5ydGurw6_3FeGBL",
    "LW8T61IMKSNx_sl0",
    "7eZAxCiiFv6o92sE",
    "r2XbJ4DDeEDLpH9E",
]


@pytest.mark.parametrize(("table", "hashes"), [("filter", DEFAULT_IN), ("raw", DEFAULT_IN + RAW_REST)])
def test_the_default_lists_have_felixs_hashes(table: str, hashes: list[str]) -> None:
    rules = failsafe_rules(built_in(), FAILSAFE_IN, table, 4)
    assert chain_hashes(rules, FAILSAFE_IN, 4, IPTABLES) == hashes


def test_nets_are_in_their_family_only_and_answers_pass_in_raw() -> None:
    lists = Failsafes(
        (FailsafePort("tcp", 22, "10.0.0.0/8"), FailsafePort("udp", 68)),
        (FailsafePort("tcp", 6443, "fd00::/8"),),
    )
    assert [str(rule) for rule in failsafe_rules(lists, FAILSAFE_IN, "filter", 6)] == [
        "proto udp dports 68 accept"
    ]
    assert [str(rule) for rule in failsafe_rules(lists, FAILSAFE_OUT, "raw", 4)] == [
        "proto tcp sports 22 daddr 10.0.0.0/8 accept",
        "proto udp sports 68 accept",
    ]


def test_long_names_are_hashed_in_iptables_only() -> None:
    assert endpoint_chain("cali-fh-", ANY_INTERFACE, IPTABLES) == "cali-fh-any-interface-at-all"
    assert endpoint_chain("cali-fhfw-", ANY_INTERFACE, IPTABLES) == "cali-fhfw-_Nqh4HyA73udmyanQI"
    assert endpoint_chain("cali-fhfw-", ANY_INTERFACE, NFTABLES) == "cali-fhfw-any-interface-at-all"


# -- what must be there -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objects", "active"),
    [
        ([], {}),
        ([hep("a", "*")], {ANY_INTERFACE: "a"}),
        ([hep("a", "*", node="N1")], {}),
        ([hep("b", "*"), hep("a", "*")], {ANY_INTERFACE: "a"}),
        ([hep("a", "*"), hep("b", "eth0")], {ANY_INTERFACE: "a", "eth0": "b"}),
        ([hep("b", "eth0"), hep("a", "", ("10.0.0.1",))], {"eth0": "a"}),
        ([hep("a", "eth1", ("10.0.0.1",))], {"eth1": "a"}),
        ([hep("a", "eth9")], {}),
        ([hep("a", "cali12")], {}),
    ],
)
def test_which_endpoint_is_active_where(objects: Any, active: dict[str, str]) -> None:
    found = expect(objects, "n1", INTERFACES)
    assert {item.interface: item.name for item in found.endpoints} == active


@pytest.mark.parametrize(
    ("spec", "tables"),
    [
        ({}, {"filter from", "filter to", "mangle to"}),
        ({"preDNAT": True, "applyOnForward": True}, {"filter from", "filter to", "mangle to", "mangle from"}),
        (
            {"preDNAT": True, "applyOnForward": True, "types": ["Egress"]},
            {"filter from", "filter to", "mangle to"},
        ),
        (
            {"doNotTrack": True, "applyOnForward": True},
            {"filter from", "filter to", "mangle to", "raw from", "raw to"},
        ),
        ({"selector": "!has(hep)", "preDNAT": True}, {"filter from", "filter to", "mangle to"}),
    ],
)
def test_which_table_holds_which_failsafe_chain(spec: dict[str, Any], tables: set[str]) -> None:
    found = expect([hep("a", "eth0"), policy("p", **spec)], "n1", INTERFACES)
    held = {
        f"{table} {direction}"
        for table in ("raw", "mangle", "filter")
        for direction in ("from", "to")
        if found.dispatched(table, direction)
    }
    assert held == tables


def test_untracked_policy_is_nothing_for_the_wildcard() -> None:
    found = expect([hep("a", "*"), policy("p", doNotTrack=True, applyOnForward=True)], "n1", INTERFACES)
    assert found.dispatched("raw", "from") == ()


def test_a_named_endpoint_without_predenat_does_not_shield_its_interface_from_the_wildcards() -> None:
    named = hep("b", "eth0")
    named["metadata"]["labels"] = {}
    found = expect([hep("a", "*"), named, policy("p", preDNAT=True, applyOnForward=True)], "n1", INTERFACES)
    owner = found.owner("mangle", "from", "eth0")
    assert owner is not None
    assert owner.name == "a"


@pytest.mark.parametrize(
    ("spec", "interfaces", "ipv6"),
    [
        ({}, INTERFACES, True),
        ({"ipv6Support": False}, INTERFACES, False),
        ({}, {"lo": ["127.0.0.1/8"]}, False),
        ({}, None, True),
    ],
)
def test_whether_ipv6_must_be_there(spec: dict[str, Any], interfaces: Any, ipv6: bool) -> None:
    assert expect([builders.felix_configuration(api=V3, **spec)], "n1", interfaces).ipv6 is ipv6


# -- findings -----------------------------------------------------------------------------------


def ids(findings: list[Finding]) -> list[str]:
    return [finding.id for finding in findings]


def test_a_node_with_an_endpoint_and_without_calicos_chains() -> None:
    found = verify(expect([hep("a", "*")], "n1", INTERFACES), [])
    assert ids(found) == ["family.missing", "family.missing"]


def test_a_node_without_endpoint_needs_nothing() -> None:
    assert verify(expect([], "n1", INTERFACES), []) == []


def test_a_configuration_that_felix_would_not_start_with() -> None:
    bad = builders.felix_configuration(api=V3, failsafeInboundHostPorts=[{"protocol": "SCTP", "port": 1}])
    assert ids(verify(expect([bad], "n1", INTERFACES), [])) == ["config.undefined"]


def calico(backend: str, hooked: bool) -> Ruleset:
    chain = Chain(hook="INPUT")
    if hooked:
        chain.rules.append(DumpedRule((), "jump", "cali-INPUT", "Cz_u1IQiXIMmKD4c"))
    table = Table(chains={"INPUT": chain}, declared={"cali-INPUT"}, jumps={"INPUT": {"cali-INPUT"}})
    return Ruleset(backend, 4, {"filter": table})


def test_leftovers_of_another_back_end() -> None:
    found = verify(
        expect([], "n1", {"lo": ["127.0.0.1/8"]}),
        [calico("iptables-legacy", False), calico("iptables-nft", True)],
    )
    assert [(item.id, item.message.split()[0]) for item in found] == [
        ("dataplane.leftover", "iptables-legacy")
    ]


def test_chains_of_a_family_that_felix_was_told_to_leave_alone() -> None:
    off = builders.felix_configuration(api=V3, ipv6Support=False)
    old = Ruleset("iptables-nft", 6, calico("iptables-nft", True).tables)
    found = verify(expect([off], "n1", INTERFACES), [calico("iptables-nft", True), old])
    assert [item.id for item in found if item.family == 6] == ["family.leftover"]
    assert is_ok(found)


def test_somebody_elses_nftables_chain_that_drops_all() -> None:
    ruleset = calico("iptables-nft", True)
    base = BaseChain("inet evil in", "input", "accept", rules=[DumpedRule((), "drop")])
    other = Ruleset("nftables", 4, hooked=[base])
    found = verify(expect([], "n1", {"lo": ["127.0.0.1/8"]}), [ruleset, other])
    assert [(item.id, item.severity) for item in found] == [
        ("foreign.before", "info"),
        ("foreign.drop", "error"),
    ]


@pytest.mark.parametrize(
    ("match", "severity"),
    [
        ((("proto", "tcp"), ("dports", "22")), "error"),
        ((("proto", "tcp"), ("dports", "1:1024")), "error"),
        ((("iif", "eth0"),), "error"),
        ((("saddr", "192.0.2.1/32"),), "warning"),
        ((("?", "recent"),), "warning"),
        ((("proto", "tcp"), ("dports", "8080")), None),
        ((("proto", "icmp"),), None),
        ((("ctstate", "INVALID"),), None),
    ],
)
def test_how_bad_a_foreign_drop_before_calico_is(match: Any, severity: str | None) -> None:
    ruleset = calico("iptables-nft", True)
    ruleset.tables["filter"].chains["INPUT"].rules.insert(0, DumpedRule(match, "drop"))
    found = verify(expect([], "n1", {"lo": ["127.0.0.1/8"]}), [ruleset])
    drops = [item.severity for item in found if item.id == "foreign.drop"]
    assert drops == ([severity] if severity else [])


def test_a_foreign_program_that_sets_the_bit_by_which_calico_drops() -> None:
    ruleset = calico("iptables-nft", True)
    ruleset.set_marks.append("mangle: -A ts-forward -j MARK --set-xmark 0x40000/0xff0000")
    found = verify(expect([], "n1", {"lo": ["127.0.0.1/8"]}), [ruleset])
    assert ids(found) == ["mark.collision"]


# -- eBPF ---------------------------------------------------------------------------------------


def key(bits: int, port: int, protocol: int, outbound: int, address: bytes) -> dict[str, Any]:
    raw = struct.pack("<IHBB", 32 + bits, port, protocol, outbound) + address
    return {"key": [f"0x{byte:02x}" for byte in raw], "value": ["0x00"] * 4}


def bpf(ports: Failsafes) -> Expectation:
    found = expect([hep("a", "*")], "n1", INTERFACES)
    return Expectation(**{**found.__dict__, "failsafes": ports, "bpf": True})


PORTS = Failsafes(
    (FailsafePort("tcp", 22), FailsafePort("udp", 68, "10.0.0.0/8")), (FailsafePort("udp", 53),)
)
MAP = [
    key(0, 22, 6, 0, bytes(4)),
    key(8, 68, 17, 0, bytes([10, 0, 0, 0])),
    key(0, 53, 17, 1, bytes(4)),
]


def test_a_map_that_holds_what_is_configured() -> None:
    assert verify_map(bpf(PORTS), MAP, 4) == []
    assert verify_map(bpf(PORTS), [key(0, 22, 6, 0, bytes(16)), key(0, 53, 17, 1, bytes(16))], 6) == []


@pytest.mark.parametrize("at", range(3))
def test_a_missing_key(at: int) -> None:
    assert ids(verify_map(bpf(PORTS), MAP[:at] + MAP[at + 1 :], 4)) == ["failsafe.missing"]


def test_a_key_too_many_and_one_in_the_wrong_direction() -> None:
    assert ids(verify_map(bpf(PORTS), [*MAP, key(0, 80, 6, 0, bytes(4))], 4)) == ["failsafe.extra"]
    turned = [key(0, 22, 6, 1, bytes(4)), *MAP[1:]]
    assert sorted(ids(verify_map(bpf(PORTS), turned, 4))) == ["failsafe.extra", "failsafe.missing"]


@pytest.mark.parametrize(
    "document", [None, {}, [1], [{"key": "x"}], [{"key": ["0x1"]}], [{"key": ["zz"] * 12}]]
)
def test_what_is_no_map_is_never_ok(document: Any) -> None:
    assert ids(verify_map(bpf(PORTS), document, 4)) == ["dump.unreadable"]


def test_a_map_is_read_as_bpftool_writes_it() -> None:
    (found,) = read_map(json.loads(json.dumps(MAP[1:2])), 4)
    assert str(found) == "inbound udp/68 (10.0.0.0/8)"


# -- vital paths --------------------------------------------------------------------------------


NOTHING_KNOWN = VitalFacts()


def paths(objects: list[dict[str, Any]], facts: VitalFacts = NOTHING_KNOWN) -> dict[str, VitalPath]:
    found = vital_paths(expect(objects, "n1", INTERFACES), objects, facts)
    return {f"{path.name} {path.protocol}/{path.port} {path.peer}".strip(): path for path in found}


API = {
    "kind": "EndpointSlice",
    "metadata": {
        "name": "kubernetes",
        "namespace": "default",
        "labels": {"kubernetes.io/service-name": "kubernetes"},
    },
    "endpoints": [{"addresses": ["10.0.0.9"]}],
    "ports": [{"port": 443, "protocol": "TCP"}],
}


def test_an_api_on_443_is_not_covered_by_the_default_list() -> None:
    assert paths([hep("a", "*"), API])["api tcp/443 10.0.0.9"].status == "uncovered"


def test_dns_over_tcp_is_not_covered_and_a_moved_ssh_port_is_not() -> None:
    found = paths([hep("a", "*")], VitalFacts(dns=("10.0.0.10",), ssh=(2222,)))
    assert {name: path.status for name, path in found.items()} == {
        "ssh tcp/2222": "uncovered",
        "dns udp/53 10.0.0.10": "covered",
        "dns tcp/53 10.0.0.10": "uncovered",
    }


def test_ssh_is_open_to_everybody_only_where_policy_would_refuse_strangers() -> None:
    open_profile = {**hep("a", "*")}
    open_profile["spec"]["profiles"] = ["projectcalico-default-allow"]
    office = {"action": "Allow", "source": {"nets": ["203.0.113.0/24"]}}

    def is_open(**spec: Any) -> bool:
        return paths([open_profile, policy("p", **spec)])["ssh tcp/22"].open_to_everybody

    assert not paths([open_profile])["ssh tcp/22"].open_to_everybody
    assert paths([hep("a", "*")])["ssh tcp/22"].open_to_everybody, "no profile: nobody would get in"
    assert is_open(ingress=[office])
    assert is_open(preDNAT=True, applyOnForward=True, ingress=[{"action": "Deny"}])
    assert not is_open(ingress=[{"action": "Allow"}])
    assert not is_open(ingress=[office], types=["Egress"])
    assert not is_open(selector="!has(hep)")


def test_a_net_covers_partly() -> None:
    entry = {"protocol": "TCP", "port": 22, "net": "10.0.0.0/8"}
    limited = builders.felix_configuration(api=V3, failsafeInboundHostPorts=[entry])
    assert paths([hep("a", "*"), limited, policy("p")])["ssh tcp/22"].status == "partly"


def test_without_endpoint_nothing_is_filtered() -> None:
    assert {path.status for path in paths([API]).values()} == {"unfiltered"}
