# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each way for a failsafe not to work is told by its own name."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.check import verify
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.expectation import expect
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.vital_paths import (
    VitalFacts,
    path_findings,
    vital_paths,
)
from ansible_collections.hostfence.calico.plugins.module_utils.node import (
    failsafe_check,
    iptables_save,
    probe,
)

from tests.unit.node.test_failsafe_recordings import RECORDINGS, expectation, iptables_lines

DUMPS = RECORDINGS / "felix" / "dumps" / "classes-iptables-nft"
STATE = DUMPS / "11-eth0hep-all"


def damaged(table: str, pattern: str, *instead: str) -> list[str]:
    """The IPv4 dump with other lines in the place of the first that matches; ``{}`` is that line."""
    lines = iptables_lines(STATE)[4]
    at = next(i for i in range(lines.index(f"*{table}\n"), len(lines)) if re.match(pattern, lines[i]))
    line = lines[at].rstrip("\n")
    return [*lines[:at], *(text.replace("{}", line) + "\n" for text in instead), *lines[at + 1 :]]


def without_chain(table: str, chain: str) -> list[str]:
    kept, current = [], ""
    for line in iptables_lines(STATE)[4]:
        current = line[1:].strip() if line.startswith("*") else current
        if current != table or (line.split()[:1] != [f":{chain}"] and line.split()[:2] != ["-A", chain]):
            kept.append(line)
    return kept


def swapped() -> list[str]:
    lines = iptables_lines(STATE)[4]
    at = next(i for i, line in enumerate(lines) if line.startswith("-A cali-failsafe-in"))
    lines[at], lines[at + 1] = lines[at + 1], lines[at]
    return lines


INPUT = "-A INPUT .*-j cali-INPUT"
DISPATCH = "-A cali-INPUT .*-j cali-from-host-endpoint"
DAMAGES = {
    "hook.missing": damaged("filter", INPUT),
    "hook.conditional": damaged("filter", INPUT, "-A INPUT -s 10.0.0.0/8 -j cali-INPUT"),
    "hook.doubled": damaged("filter", INPUT, "{}", "{}"),
    "hook.foreign": damaged("filter", INPUT, "-A INPUT -j cali-INPUT"),
    "path.missing": damaged("filter", DISPATCH),
    "path.conditional": damaged("filter", DISPATCH, "-A cali-INPUT -i eth0 -j cali-from-host-endpoint"),
    "chain.cut": damaged("filter", "-A cali-INPUT .*Host endpoint policy accepted packet"),
    "chain.unreferenced": damaged("filter", "-A cali-fh-eth0 .*-j cali-(pi|gi)-"),
    "chain.absent": without_chain("filter", "cali-failsafe-in"),
    "dispatch.missing": damaged("filter", "-A cali-from-host-endpoint .*-g cali-fh-eth0"),
    "dispatch.wrong": damaged(
        "filter", "-A cali-from-host-endpoint", "-A cali-from-host-endpoint -i eth0 -g cali-x"
    ),
    "dispatch.extra": damaged(
        "filter", "-A cali-from-host-endpoint", "{}", "-A cali-from-host-endpoint -i eth7 -g cali-fh-eth0"
    ),
    "endpoint.missing": without_chain("filter", "cali-fh-eth0"),
    "endpoint.no-failsafe": damaged("filter", "-A cali-fh-eth0 .*-j cali-failsafe-in"),
    "endpoint.failsafe-late": damaged("filter", "-A cali-fh-eth0 ", "-A cali-fh-eth0 -j cali-pi-x", "{}"),
    "endpoint.policies": damaged("filter", "-A cali-fh-eth0 .*-j cali-(pi|gi)-"),
    "failsafe.no-chain": without_chain("filter", "cali-failsafe-in"),
    "failsafe.missing": damaged("filter", "-A cali-failsafe-in "),
    "failsafe.extra": damaged("filter", "-A cali-failsafe-in ", "-A cali-failsafe-in -j ACCEPT", "{}"),
    "failsafe.order": swapped(),
    "hash.broken": swapped(),
    "foreign.drop": damaged("filter", INPUT, "-A INPUT -p tcp -m tcp --dport 22 -j DROP", "{}"),
    "foreign.before": damaged("filter", INPUT, "-A INPUT -i lo -j ACCEPT", "{}"),
    "foreign.accept": damaged("filter", INPUT, "-A INPUT -j ACCEPT", "{}"),
    "foreign.bypass": damaged("filter", INPUT, "-A INPUT -i eth0 -j ACCEPT", "{}"),
    "foreign.policy": damaged("mangle", ":INPUT", ":INPUT DROP [0:0]"),
    "mark.collision": damaged("mangle", "-A PREROUTING", "-A PREROUTING -j MARK --set-mark 0x40000", "{}"),
    "dump.unreadable": damaged("filter", "COMMIT"),
}


@pytest.mark.parametrize("id_", DAMAGES)
def test_a_damage_is_told_by_its_name(id_: str) -> None:
    lines = DAMAGES[id_]
    assert lines != iptables_lines(STATE)[4]
    read = [iptables_save.parse(lines, 4), iptables_save.parse(iptables_lines(STATE)[6], 6)]
    findings = verify(expectation(STATE), read)
    found = [item for item in findings if item.id == id_]
    assert found
    assert all(item.family == 4 and "\n" not in item.message for item in found)
    assert all(item.remedy for item in found)


@pytest.mark.parametrize("append", [False, True])
def test_a_node_whose_host_policy_is_bypassed_is_not_protected(tmp_path: Path, append: bool) -> None:
    """found/t32: an accept of everything before the jump to Calico, however Felix inserts that jump."""
    dump = {}
    for program in ("iptables", "ip6tables"):
        text = (DUMPS / "3-normal" / f"{program}-save.txt").read_text()
        jump = next(
            line for line in text.splitlines() if line.startswith("-A INPUT ") and "cali-INPUT" in line
        )
        (tmp_path / program).write_text(text.replace(jump, f"-A INPUT -j ACCEPT\n{jump}", 1))
        dump[f"{program}_save"] = str(tmp_path / program)
    spec = {"chainInsertMode": "Append"} if append else {}
    felix = {**HEP, "kind": "FelixConfiguration", "metadata": {"name": "default"}, "spec": spec}
    wildcard = {**HEP, "spec": {"node": "n", "interfaceName": "eth0"}}
    result = failsafe_check.check([wildcard, felix], None, "n", {"eth0": ["10.0.0.1"]}, dump, None)
    (found,) = [f for f in result["findings"] if f["id"] == "foreign.accept" and f["family"] == "ipv4"]
    assert found["severity"] == "warning"
    assert "no host policy is in force" in found["message"]
    assert result["protected"] is False


HOOKS = {
    ("raw", "PREROUTING"): "untracked policy",
    ("raw", "OUTPUT"): "untracked policy",
    ("mangle", "PREROUTING"): "preDNAT policy",
    ("filter", "FORWARD"): "applyOnForward policy",
    ("filter", "INPUT"): "host policy",
    ("filter", "OUTPUT"): "host policy",
}
WIDE = ("-i eth0", "-p tcp", "-p udp -m conntrack --ctstate NEW", "-m conntrack --ctstate NEW,ESTABLISHED")
NARROW = (
    "-i lo",
    "-s 10.0.0.0/8",
    "-p tcp --dport 22",
    "-m conntrack --ctstate RELATED,ESTABLISHED",
    "-p icmp",
)


@pytest.mark.parametrize(("table", "chain"), HOOKS)
def test_an_accept_before_a_jump_of_calico_takes_that_policy_away(table: str, chain: str) -> None:
    def told(rule: str) -> list[str]:
        lines = damaged(table, f"-A {chain} .*-j cali-{chain}", rule, "{}")
        found = verify(expectation(STATE), [iptables_save.parse(lines, 4)])
        ids = ("foreign.accept", "foreign.bypass")
        return [
            item.message for item in found if item.id in ids and (item.table, item.chain) == (table, chain)
        ]

    for condition in WIDE:
        (message,) = told(f"-A {chain} {condition} -j ACCEPT")
        assert f"{HOOKS[table, chain]} is not in force" in message
    assert told(f"-A {chain} -j ACCEPT")
    for condition in NARROW:
        assert not told(f"-A {chain} {condition} -j ACCEPT")


@pytest.mark.parametrize("jump", ["-j", "-g"])
def test_a_chain_that_accepts_everything_is_an_accept(jump: str) -> None:
    def told(*rules: str) -> list[str]:
        lines = damaged(
            "filter", INPUT, f"-A INPUT {jump} OURS", "{}", *(f"-A OURS {rule}" for rule in rules)
        )
        at = lines.index("*filter\n") + 1
        read = iptables_save.parse([*lines[:at], ":OURS - [0:0]\n", *lines[at:]], 4)
        return [item.id for item in verify(expectation(STATE), [read]) if item.id == "foreign.accept"]

    assert told("-j ACCEPT")
    assert not told("-i lo -j ACCEPT", "-j ACCEPT")  # only its first rule is remembered
    assert not told("-j RETURN")


def test_failsafes_where_no_host_endpoint_needs_them() -> None:
    read = [iptables_save.parse(lines, family) for family, lines in iptables_lines(STATE).items()]
    found = verify(expectation(DUMPS / "12-eth0hep-nopol"), read)
    assert {(item.table, item.chain) for item in found if item.id == "failsafe.unneeded"} == {
        ("raw", "cali-failsafe-in"),
        ("raw", "cali-failsafe-out"),
        ("mangle", "cali-failsafe-in"),
    }


HEP = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "HostEndpoint",
    "metadata": {"name": "h"},
    "spec": {"node": "n", "expectedIPs": ["10.0.0.1"]},
}


def test_a_host_endpoint_found_by_addresses_that_are_not_known() -> None:
    expected = expect(
        [HEP, {**HEP, "metadata": {"name": "g"}, "spec": {"node": "n", "interfaceName": "*"}}], "n"
    )
    assert "interfaces.unknown" in [item.id for item in verify(expected, [])]


def test_ssh_on_another_port_is_not_covered() -> None:
    expected = expect([HEP], "n", {"eth0": ["10.0.0.1"]})
    paths = vital_paths(expected, [HEP], VitalFacts(ssh=(2222,)))
    assert [item.id for item in path_findings(paths)] == ["vital.uncovered"]


def test_a_port_that_nobody_opens() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{bound.getsockname()[1]}"
        result = probe.result([closed])
    assert [item["id"] for item in result["findings"]] == ["probe.failed"]
    assert result["summary"] == "0 of 1 new connections"
