# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""eBPF mode: are the programs attached, and what is left to iptables."""

from __future__ import annotations

import json
import struct
from typing import Any, Optional

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.bpf import (
    Kernel,
    expected_keys,
    read_attached,
    read_map,
    verify,
    verify_map,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.expectation import (
    Expectation,
    expect,
    failsafe_rules,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.ruleset import (
    Chain,
    DumpedRule,
    Ruleset,
    Table,
    chain_hashes,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.felix.chains import FAILSAFE_OUT
from ansible_collections.hostfence.calico.plugins.module_utils.calico.felix.configuration import (
    FailsafePort,
    Failsafes,
)

from tests.unit import builders
from tests.unit.builders import V3
from tests.unit.calico.failsafe import objects

INTERFACES = {"lo": ["127.0.0.1/8", "::1/128"], "eth0": ["10.0.0.1/24"], "br0": [], "cali12": []}
CLSACT = [
    {"xdp": [], "flow_dissector": [], "tc": [
        {"devname": "eth0", "ifindex": 3, "kind": f"clsact/{way}", "name": "cali_tc_preambl:[166]", "id": 166}
        for way in ("ingress", "egress")
    ]}
]  # fmt: skip
TCX = [
    {"xdp": [], "tc": [
        {"devname": "eth0", "ifindex": 3, "kind": f"tcx/{way}", "name": "cali_tc_preambl", "prog_id": 7}
        for way in ("ingress", "egress")
    ]}
]  # fmt: skip
PINS = [{"xdp": [], "tc": []}, {"pins": ["eth0_ingress", "eth0_egress", "cali12_ingress"]}]
BOTH = frozenset(("ingress", "egress"))


def expectation(interface: str = "*", *more: dict[str, Any], version: str = "") -> Expectation:
    felix = builders.felix_configuration(api=V3, bpfEnabled=True)
    labels = {"hep": "1"}
    hep = builders.host_endpoint(
        "h", node="n1", api=V3, labels=labels, interfaceName=interface, profiles=None
    )
    return expect([felix, hep, *more], "n1", INTERFACES, calico_version=version)


def maps(expected: Expectation) -> dict[int, Any]:
    found = {}
    for family, size in ((4, 4), (6, 16)):
        found[family] = [
            {"key": list(struct.pack("<IHBB", 32, key.port, {"tcp": 6, "udp": 17}[key.protocol], key.outbound)
                         + bytes(size))}
            for key in expected_keys(expected.failsafes, family)
        ]  # fmt: skip
    return found


def ids(expected: Expectation, attached: Any = None, rulesets: tuple[Ruleset, ...] = (), **more: Any) -> Any:
    kernel = Kernel(maps(expected), attached, **more)
    return [(item.id, item.severity) for item in verify(expected, kernel, rulesets)]


@pytest.mark.parametrize("document", [CLSACT, TCX, PINS], ids=["clsact", "tcx", "pins"])
def test_programs_are_found_however_they_are_attached(document: Any) -> None:
    attached = read_attached(document)
    assert attached["eth0"] == BOTH
    assert ids(expectation(), attached, masters={}) == []


@pytest.mark.parametrize(
    "document", [None, {}, [1], [{}], [[]], "x", [{"tc": [], "x": 1}, 3]], ids=lambda item: str(item)[:20]
)
def test_what_is_no_list_of_programs_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match="bpftool"):
        read_attached(document)


def test_programs_of_others_are_not_calicos() -> None:
    other = [{"tc": [{"devname": "eth0", "kind": "clsact/ingress", "name": "cil_from_netdev"}]}]
    assert ids(expectation(), read_attached(other), masters={}) == [("bpf.detached", "error")]


@pytest.mark.parametrize(
    ("interface", "attached", "masters", "found"),
    [
        ("*", {}, {}, [("bpf.detached", "error")]),
        ("*", {"eth0": frozenset(("ingress",))}, {}, [("bpf.detached", "error")]),
        ("*", {"eth0": BOTH}, {}, []),
        ("*", {}, None, [("bpf.detached", "warning")]),
        ("*", {}, {"eth0": "bond0"}, []),
        ("*", {}, {"eth0": "br0"}, [("bpf.detached", "error")]),
        ("eth0", {}, None, [("bpf.detached", "error")]),
        ("br0", {"br0": BOTH}, {}, [("bpf.ignored", "warning")]),
        ("*", None, {}, [("bpf.unknown", "warning")]),
    ],
)
def test_each_interface_of_a_host_endpoint_needs_both(
    interface: str, attached: Any, masters: Optional[dict[str, str]], found: Any
) -> None:
    assert ids(expectation(interface), attached, masters=masters) == found


@pytest.mark.parametrize(
    ("interface", "name", "addresses", "setting", "found"),
    [
        ("*", "vxlan.calico", ["10.244.1.0/32"], {}, [("bpf.detached", "error")]),
        ("*", "vxlan-v6.calico", ["fd10::1/128"], {}, [("bpf.detached", "error")]),
        ("*", "tunl0", ["10.244.1.0/32"], {}, [("bpf.detached", "error")]),
        ("*", "tunl0", [], {}, []),
        ("*", "tunl0", ["10.244.1.0/32"], {"ipipEnabled": False}, []),
        ("*", "wg7", ["10.244.1.0/32"], {"wireguardInterfaceName": "wg7"}, [("bpf.detached", "error")]),
        ("*", "wg7", ["10.244.1.0/32"], {}, []),
        ("vxlan.calico", "vxlan.calico", [], {}, [("bpf.detached", "error")]),
        ("vxlan.calico", "vxlan.calico", [], {"vxlanEnabled": False}, [("bpf.ignored", "warning")]),
    ],
)
def test_overlay_interfaces_need_programs_where_they_are_in_use(
    interface: str, name: str, addresses: list[str], setting: dict[str, Any], found: Any
) -> None:
    felix = builders.felix_configuration(api=V3, bpfEnabled=True, **setting)
    hep = builders.host_endpoint("h", node="n1", api=V3, interfaceName=interface, profiles=None)
    expected = expect([felix, hep], "n1", {**INTERFACES, name: addresses})
    assert ids(expected, {"eth0": BOTH}, masters={}) == found
    assert ids(expected, {"eth0": BOTH, name: BOTH}, masters={}) == [one for one in found if "ign" in one[0]]


def test_a_map_that_is_not_there_is_missed_but_for_ipv6_before_calico_had_it() -> None:
    attached = {"eth0": BOTH}
    for version, missing in (("v3.32.1", 2), ("v3.26.5", 1)):
        expected = expectation(version=version)
        found = verify(expected, Kernel({}, attached, {}), [])
        assert [item.id for item in found] == ["family.missing"] * missing


UNTRACKED = builders.policy(
    "p",
    api=V3,
    selector="has(hep)",
    types=["Egress"],
    doNotTrack=True,
    applyOnForward=True,
)


def signed(name: str, *rules: DumpedRule) -> Chain:
    hashes = chain_hashes(rules, name, 4, "iptables")
    chain = [DumpedRule(rule.match, rule.action, rule.target, text) for rule, text in zip(rules, hashes)]
    return Chain(chain)


def raw(expected: Expectation) -> Ruleset:
    """What Felix leaves in raw in eBPF mode for untracked egress policy."""
    bypass = ("mark", "0x3000000/0xffffffff")
    chains = {
        "OUTPUT": signed("OUTPUT", DumpedRule((), "jump", "cali-OUTPUT")),
        "cali-OUTPUT": signed(
            "cali-OUTPUT",
            DumpedRule((), "clear-mark", "0x1b0000"),
            DumpedRule((), "jump", "cali-to-host-endpoint"),
            DumpedRule((("mark", "0x10000/0x10000"),), "set-mark", "0x3000000/0xffffffff"),
            DumpedRule((bypass,), "accept"),
        ),
        "cali-to-host-endpoint": signed(
            "cali-to-host-endpoint", DumpedRule((("oif", "eth0"),), "goto", "cali-th-eth0")
        ),
        "cali-th-eth0": signed(
            "cali-th-eth0",
            DumpedRule((), "jump", FAILSAFE_OUT),
            DumpedRule((), "clear-mark", "0x30000"),
            DumpedRule((), "jump", "cali-po-p"),
        ),
        FAILSAFE_OUT: signed(FAILSAFE_OUT, *failsafe_rules(expected.failsafes, FAILSAFE_OUT, "raw", 4)),
    }
    chains["OUTPUT"].hook = "OUTPUT"
    jumps = {
        name: {rule.target for rule in chain.rules if rule.action in ("jump", "goto")}
        for name, chain in chains.items()
    }
    table = Table(chains, {*chains, "cali-po-p"} - {"OUTPUT"}, jumps)
    return Ruleset("iptables-nft", 4, {"raw": table})


def untracked(ruleset: Optional[Ruleset]) -> list[str]:
    expected = expectation("eth0", UNTRACKED)
    kernel = Kernel(maps(expected), {"eth0": BOTH}, {})
    found = verify(expected, kernel, [ruleset] if ruleset else [])
    return [item.id for item in found if item.family == 4]


def test_untracked_egress_policy_keeps_its_failsafes_in_raw() -> None:
    assert untracked(raw(expectation("eth0", UNTRACKED))) == []
    assert untracked(None) == ["family.missing"]


@pytest.mark.parametrize(
    ("chain", "at", "expected"),
    [
        ("OUTPUT", 0, "hook.missing"),
        ("cali-OUTPUT", 1, "path.missing"),
        ("cali-to-host-endpoint", 0, "dispatch.missing"),
        ("cali-th-eth0", 0, "endpoint.no-failsafe"),
        (FAILSAFE_OUT, 0, "failsafe.missing"),
    ],
)
def test_damage_to_it_is_found(chain: str, at: int, expected: str) -> None:
    ruleset = raw(expectation("eth0", UNTRACKED))
    del ruleset.tables["raw"].chains[chain].rules[at]
    assert expected in untracked(ruleset)


def test_chains_of_another_mode_are_leftovers() -> None:
    old = Ruleset("iptables-legacy", 4, {"filter": Table(declared={"cali-INPUT", "cali-fh-eth0"})})
    assert ("dataplane.leftover", "error") in ids(expectation(), {"eth0": BOTH}, (old,), masters={})


def test_felixs_own_rules_in_the_kernels_chains_are_no_strangers_and_others_are() -> None:
    mark = ("!mark", "0x1000000/0x1000000")
    own = DumpedRule((("iif", "cali+"), mark), "drop", "", "AAAAAAAAAAAAAAAA")
    chain = Chain([own], "INPUT", "ACCEPT")
    ruleset = Ruleset("iptables-nft", 4, {"filter": Table({"INPUT": chain})})
    assert ids(expectation(), {"eth0": BOTH}, (ruleset,), masters={}) == []
    chain.rules.append(DumpedRule((), "drop", "", "AAAAAAAAAAAAAAAA"))
    found = ids(expectation(), {"eth0": BOTH}, (ruleset,), masters={})
    assert ("foreign.drop", "error") in found


# -- the map of failsafe ports --------------------------------------------------------------------


def key(bits: int, port: int, protocol: int, outbound: int, address: bytes) -> dict[str, Any]:
    raw = struct.pack("<IHBB", 32 + bits, port, protocol, outbound) + address
    return {"key": [f"0x{byte:02x}" for byte in raw], "value": ["0x00"] * 4}


def bpf(ports: Failsafes) -> Expectation:
    found = expect([objects.hep("a", "*")], "n1", INTERFACES)
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
    assert objects.ids(verify_map(bpf(PORTS), MAP[:at] + MAP[at + 1 :], 4)) == ["failsafe.missing"]


def test_a_key_too_many_and_one_in_the_wrong_direction() -> None:
    assert objects.ids(verify_map(bpf(PORTS), [*MAP, key(0, 80, 6, 0, bytes(4))], 4)) == ["failsafe.extra"]
    turned = [key(0, 22, 6, 1, bytes(4)), *MAP[1:]]
    assert sorted(objects.ids(verify_map(bpf(PORTS), turned, 4))) == ["failsafe.extra", "failsafe.missing"]


@pytest.mark.parametrize(
    "document", [None, {}, [1], [{"key": "x"}], [{"key": ["0x1"]}], [{"key": ["zz"] * 12}]]
)
def test_what_is_no_map_is_never_ok(document: Any) -> None:
    assert objects.ids(verify_map(bpf(PORTS), document, 4)) == ["dump.unreadable"]


def test_a_map_is_read_as_bpftool_writes_it() -> None:
    (found,) = read_map(json.loads(json.dumps(MAP[1:2])), 4)
    assert str(found) == "inbound udp/68 (10.0.0.0/8)"
