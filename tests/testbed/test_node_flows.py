# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the module saw of a node's traffic, against what was made of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.packing import unpack

sys.path.insert(0, str(Path(__file__).resolve().parent))

from traffic.lab import CLIENT, IPTABLES, NAT, NODE, POD, SERVER, Lab
from traffic.plan import TCP, Flow, make

ROOT = Path(__file__).resolve().parents[2]
PROBES = int(os.environ.get("HOSTFENCE_PROBES", "600"))
SEED = int(os.environ.get("HOSTFENCE_SEED", "7"))
SIXTY_FOUR = (64, 65)  # Kernels differ in whether the last place counts.
TABLE = "table inet hostfence_flows"
REFUSED = {444, 9001, *range(3000, 3020), *range(4000, 4010)}
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made


@pytest.fixture(autouse=True)
def no_window(lab):
    yield
    module(lab, state="stopped")


def module(lab: Lab, *, fails: bool = False, **options):
    """Run node_flows on the node, as Ansible runs it there."""
    arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {"node": "node", **options}})
    done = subprocess.run(
        lab.inside(NODE, sys.executable, str(ROOT / "plugins/modules/node_flows.py")),
        input=arguments,
        text=True,
        capture_output=True,
        check=False,
    )
    answer = json.loads(done.stdout or "{}")
    assert bool(answer.get("failed")) == fails, done.stdout + done.stderr
    return with_document(answer)


def with_document(answer):
    """The module's answer, with its document read."""
    return {**answer, "flows": json.loads(unpack(answer["flows"]))} if "flows" in answer else answer


def flow_of(record) -> Flow:
    flow = record["flow"]
    return Flow(
        flow["direction"],
        flow["protocol"],
        flow["source"],
        flow["destination"],
        flow.get("destination_port"),
        flow.get("original_destination"),
        flow.get("original_destination_port"),
        (flow["icmp_type"], flow["icmp_code"]) if "icmp_type" in flow else None,
        flow.get("interface", ""),
        flow.get("out_interface", ""),
    )


def gaps(answer) -> list[str]:
    return [gap["id"] for gap in answer["flows"]["window"]["gaps"]]


def retransmissions(lab: Lab) -> int:
    """Segments of TCP that the four hosts sent again so far."""
    total = 0
    for role in (CLIENT, NODE, POD, SERVER):
        names, values = (
            line.split()
            for line in lab.run(role, "cat", "/proc/net/snmp").splitlines()
            if line.startswith("Tcp:")
        )
        total += int(values[names.index("RetransSegs")])
    return total


def begin_watching(lab: Lab, **options) -> subprocess.Popen[str]:
    """Let node_flows watch, and return once it has looked for the first time."""
    arguments = {"ANSIBLE_MODULE_ARGS": {"node": "node", "state": "watched", **options}}
    running = subprocess.Popen(
        lab.inside(NODE, sys.executable, str(ROOT / "plugins/modules/node_flows.py")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdin
    running.stdin.write(json.dumps(arguments))
    running.stdin.close()
    running.stdin = None
    time.sleep(2)
    return running


def watched(running: subprocess.Popen[str]):
    answer = json.loads(running.communicate()[0])
    assert not answer.get("failed"), answer
    return with_document(answer)


def old_connection(lab: Lab, source: str):
    holder = lab.spawn(
        CLIENT, str(Path(__file__).parent / "traffic" / "hold.py"), source, "10.77.0.21", "6443"
    )
    assert holder.stdout.readline() == "open\n"


def test_a_window_sees_every_flow_with_its_interfaces_ports_and_count(lab):
    """n of n: also the connection that is older than the window."""
    plan = make(PROBES, SEED)
    old_connection(lab, "10.77.2.60")
    started = module(lab, state="started")["started"]
    sent_again = retransmissions(lab)
    lab.probe(plan.probes)

    answer = module(lab, state="stopped", started=started)

    seen = {flow_of(record): record for record in answer["flows"]["flows"]}
    missed = [flow for flow in plan.flows if flow not in seen]
    assert not missed
    excess = {
        flow: seen[flow]["seen"]["count"] - made
        for flow, made in plan.flows.items()
        if flow.protocol in (1, 6, 58)
    }
    # A SYN that is sent again counts again.
    assert min(excess.values()) >= 0
    assert sum(excess.values()) <= retransmissions(lab) - sent_again
    assert all(seen[flow]["seen"]["interface_by"] == "hook" for flow in plan.flows)
    older = Flow("ingress", TCP, "10.77.2.60", "10.77.0.21", 6443, interface="eth0")
    assert older in seen
    assert answer["flows"]["window"]["complete"]
    assert len({flow.direction for flow in plan.flows}) == 3


@pytest.mark.parametrize("backend", ["legacy", "nft"])
def test_a_window_sees_every_flow_whoever_translates_addresses(lab, backend):
    """As above, and not by nftables: by iptables, as kube-proxy does by default."""
    if not all(shutil.which(f"{program}-{backend}-restore") for program in IPTABLES):
        pytest.skip(f"no iptables-{backend} on this machine")
    plan = make(120, SEED + 3)
    lab.run(NODE, "nft", "delete", "table", "inet", "nat")
    try:
        for program, rules in IPTABLES.items():
            lab.run(NODE, f"{program}-{backend}-restore", text=rules)
        started = module(lab, state="started")["started"]
        lab.probe(plan.probes)
        answer = module(lab, state="stopped", started=started)
    finally:
        for program in IPTABLES:
            lab.run(NODE, f"{program}-{backend}-restore", text="*nat\nCOMMIT\n")
        lab.run(NODE, "nft", "-f", "-", text=NAT)

    seen = {flow_of(record) for record in answer["flows"]["flows"]}
    assert not [flow for flow in plan.flows if flow not in seen]
    assert answer["flows"]["window"]["complete"]


def test_one_look_sees_what_was_answered_and_misses_what_was_refused(lab):
    """The table in docs/auditing.md says so; a change of it must be noticed."""
    plan = make(120, SEED + 1)
    lab.run(NODE, "conntrack", "-F")
    old_connection(lab, "10.77.2.58")
    lab.probe(plan.probes)

    answer = module(lab)

    seen = {flow_of(record) for record in answer["flows"]["flows"]}
    refused = {flow for flow in plan.flows if flow.protocol == TCP and flow.port in REFUSED}
    assert refused
    assert not refused & seen
    assert not [flow for flow in plan.flows if flow not in seen and flow not in refused]
    assert Flow("ingress", TCP, "10.77.2.58", "10.77.0.21", 6443, interface="eth0") in seen
    assert gaps(answer) == ["one-shot"]
    assert not answer["changed"]


def test_what_the_window_alone_sees_and_what_nothing_sees(lab):
    """The last two rows of that table: neighbour discovery and untracked packets, and what is dropped."""
    dropped, untracked = 2001, 7777
    rules = f"""
      table inet others {{
        chain raw {{ type filter hook prerouting priority raw; udp dport {untracked} notrack; }}
        chain input {{ type filter hook input priority filter; tcp dport {dropped} drop; }}
      }}
    """
    lab.run(NODE, "nft", "-f", "-", text=rules)
    try:
        module(lab, state="started")
        running = begin_watching(lab, duration=5, refused=True)
        lab.ip(CLIENT, "-6 neigh flush dev eth0")
        to = {"source": "10.77.2.7", "to": "10.77.0.21"}
        lab.probe(
            {
                CLIENT: [
                    {"kind": "tcp", **to, "port": dropped, "unanswered": True},
                    {"kind": "udp", **to, "port": untracked},
                    {"kind": "tcp", **to, "port": 2002},
                    {"kind": "ping", "to": "fd77::21", "id": 1},
                ]
            }
        )
        answers = {"once": module(lab), "watched": watched(running), "window": module(lab, state="stopped")}
    finally:
        lab.run(NODE, "nft", "delete", "table", "inet", "others")

    seen = {how: {flow_of(record) for record in one["flows"]["flows"]} for how, one in answers.items()}
    known = {
        how: (
            any(flow.port == 2002 for flow in flows),
            any(flow.icmp == (135, 0) and flow.direction == "ingress" for flow in flows),
            any(flow.port == untracked for flow in flows),
            any(flow.port == dropped for flow in flows),
        )
        for how, flows in seen.items()
    }
    assert known == {
        "window": (True, True, True, False),
        "once": (True, False, False, False),
        "watched": (True, False, False, False),
    }


def test_flows_beyond_the_limit_are_counted_and_named(lab):
    lab.run(NODE, "conntrack", "-F")
    probes = [
        {"kind": "udp", "to": "10.77.0.21", "port": 7000 + port, "source": "10.77.2.1"} for port in range(100)
    ]
    lab.probe({CLIENT: probes})

    answer = module(lab, limit=64)

    assert "connections-cut" in gaps(answer)
    assert answer["flows"]["not_recorded"] >= 100 - 64 - 16


def test_a_table_that_is_nearly_full_and_takes_longer_to_read_than_entries_live_is_named(lab):
    nearly_full = int(Path("/proc/sys/net/netfilter/nf_conntrack_max").read_text()) * 96 // 100
    entries = min(nearly_full, 300_000)
    fill = str(Path(__file__).parent / "traffic" / "fill.py")
    lab.run(NODE, sys.executable, fill, str(entries))
    lab.sysctl(NODE, "net.netfilter.nf_conntrack_tcp_timeout_close=1")
    try:
        answer = watched(begin_watching(lab, duration=3, refused=True))
    finally:
        lab.sysctl(NODE, "net.netfilter.nf_conntrack_tcp_timeout_close=10")
        lab.run(NODE, "conntrack", "-F")

    found = {*gaps(answer)}
    assert "dumps-late" in found
    assert ("connections-full" in found) == (entries == nearly_full)


@pytest.mark.parametrize("refused", [False, True])
def test_without_a_table_all_that_was_answered_is_seen_and_what_was_refused_if_asked_for(lab, refused):
    plan = make(120, SEED + 2)
    lab.run(NODE, "conntrack", "-F")
    old_connection(lab, "10.77.2.59")
    running = begin_watching(lab, duration=10, refused=refused)
    assert TABLE not in lab.run(NODE, "nft", "list", "tables")
    lab.probe(plan.probes)
    assert running.poll() is None

    answer = watched(running)

    seen = {flow_of(record): record["seen"] for record in answer["flows"]["flows"]}
    rejected = {flow for flow in plan.flows if flow.protocol == TCP and flow.port in REFUSED}
    assert rejected
    assert {flow for flow in plan.flows if flow not in seen} == (set() if refused else rejected)
    assert gaps(answer) == ([] if refused else ["refused-unseen"])
    assert answer["flows"]["window"]["complete"] == refused
    counted = {flow: made for flow, made in plan.flows.items() if flow.protocol == TCP and flow in seen}
    # What is sent again late may be another connection to the kernel; none is missed.
    assert not [flow for flow, made in counted.items() if seen[flow]["count"] < made]
    older = Flow("ingress", TCP, "10.77.2.59", "10.77.0.21", 6443, interface="eth0")
    assert seen[older]["older_than_window"]
    assert not any(seen[flow]["older_than_window"] for flow in counted)


def test_events_that_found_no_place_are_counted_and_named(lab):
    running = begin_watching(lab, duration=4, refused=True, event_buffer=4096)
    probes = [
        {"kind": "tcp", "to": "10.77.0.21", "port": 3000 + port, "source": f"10.77.2.{number}"}
        for number in range(1, 41)
        for port in range(10)
    ]
    lab.probe({CLIENT: probes})

    answer = watched(running)

    assert gaps(answer) == ["events-lost"]
    assert answer["flows"]["not_recorded"] > 0


def test_events_that_are_switched_off_are_named(lab):
    lab.sysctl(NODE, "net.netfilter.nf_conntrack_events=0")
    try:
        answer = watched(begin_watching(lab, duration=3, refused=True))
    finally:
        lab.sysctl(NODE, "net.netfilter.nf_conntrack_events=2")

    assert gaps(answer) == ["events-off"]


def test_a_listener_has_a_name(lab):
    lab.probe({CLIENT: [{"kind": "tcp", "to": "10.77.0.21", "port": 22, "source": "10.77.2.1"}]})

    found = [
        record["owner"]
        for record in module(lab)["flows"]["flows"]
        if record["flow"].get("destination_port") == 22 and record["flow"]["direction"] == "ingress"
    ]

    assert found
    assert found[0]["process"].startswith("python")
    assert found[0]["uid"] == 0


def test_who_opened_a_connection_is_named_by_the_control_group(lab):
    roots = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
    root = next((path for path in roots if (path / "cgroup.controllers").exists()), None)
    if root is None or not os.access(root, os.W_OK):
        pytest.skip("no control group can be made here")
    group = root / f"hfa{os.getpid()}.service"
    group.mkdir()
    # Not by ip netns exec, which hides control groups.
    inside = ["nsenter", f"--net=/run/netns/{lab.names[NODE]}"]
    opens = 'echo $$ > "$1/cgroup.procs"; exec "$2" -c "$3"'
    connect = "import socket; socket.create_connection(('10.78.0.30', 443)).close()"
    asked = json.dumps({"ANSIBLE_MODULE_ARGS": {"node": "node", "state": "collected"}})
    try:
        module(lab, state="started")
        command = ["sh", "-c", opens, "sh", str(group), sys.executable, connect]
        subprocess.run([*inside, *command], check=True)
        program = [sys.executable, str(ROOT / "plugins/modules/node_flows.py")]
        done = subprocess.run([*inside, *program], input=asked, text=True, capture_output=True, check=True)
    finally:
        group.rmdir()

    (owner,) = (
        record["owner"]
        for record in with_document(json.loads(done.stdout))["flows"]["flows"]
        if flow_of(record)[:5] == ("egress", TCP, "10.78.0.21", "10.78.0.30", 443)
    )
    assert (owner["unit"], owner["uid"]) == (group.name, 0)


def settings(lab: Lab) -> tuple[str, ...]:
    """The node's rules without what they counted, and its kernel parameters without those that only tell."""
    lines = lab.run(NODE, "sysctl", "-a", "-r", r"^net\.").splitlines()
    return lab.run(NODE, "nft", "--stateless", "list", "ruleset"), *(
        line for line in lines if "nf_conntrack_count" not in line
    )


def test_nothing_of_the_node_is_changed_but_the_table_that_is_taken_away(lab):
    before = settings(lab)

    module(lab)
    watched(begin_watching(lab, duration=1, refused=True))
    looked = settings(lab)
    module(lab, state="started")
    module(lab, state="collected")
    during = settings(lab)
    module(lab, state="stopped")

    assert looked == settings(lab) == before
    assert during[1:] == before[1:]
    assert during[0].startswith(before[0].rstrip())
    assert TABLE in during[0]


def test_start_and_stop_do_nothing_twice_and_nothing_in_check_mode(lab):
    check = {"_ansible_check_mode": True}
    assert module(lab, state="started", **check)["changed"]
    assert TABLE not in lab.run(NODE, "nft", "list", "tables")

    assert module(lab, state="started")["changed"]
    assert not module(lab, state="started")["changed"]
    assert not module(lab, state="started", **check)["changed"]

    assert module(lab, state="stopped", **check)["changed"]
    assert TABLE in lab.run(NODE, "nft", "list", "tables")
    assert module(lab, state="stopped")["changed"]
    assert not module(lab, state="stopped")["changed"]
    assert TABLE not in lab.run(NODE, "nft", "list", "tables")


def test_reading_keeps_the_window_open(lab):
    started = module(lab, state="started")["started"]

    answer = module(lab, state="collected", started=started)

    assert not answer["changed"]
    assert gaps(answer) == []
    assert TABLE in lab.run(NODE, "nft", "list", "tables")


@pytest.mark.parametrize(
    ("done", "gap"),
    [
        (["delete", "table", "inet", "hostfence_flows"], "table-gone"),
        (["flush", "table", "inet", "hostfence_flows"], "rules-gone"),
        (["flush", "chain", "inet", "hostfence_flows", "input6_tcp"], "rules-gone"),
    ],
)
def test_a_table_that_was_touched_is_a_gap(lab, done, gap):
    started = module(lab, state="started")["started"]
    lab.run(NODE, "nft", *done)

    assert gaps(module(lab, state="collected", started=started)) == [gap]


def test_a_flushed_ruleset_is_a_gap(lab):
    started = module(lab, state="started")["started"]
    lab.run(NODE, "nft", "flush", "ruleset")
    lab.run(NODE, "nft", "-f", "-", text=NAT)

    assert gaps(module(lab, state="stopped", started=started)) == ["table-gone"]


def test_a_window_of_another_boot_or_of_another_table_is_a_gap(lab):
    started = module(lab, state="started")["started"]

    assert gaps(module(lab, state="collected", started={**started, "boot_id": "another"})) == ["rebooted"]
    assert gaps(module(lab, state="collected", started={**started, "handle": 1})) == ["table-replaced"]


def test_without_a_window_there_is_nothing_to_collect(lab):
    answer = module(lab, state="collected", fails=True)

    assert "no window is open" in answer["msg"]


def test_a_full_set_widens_sources_and_then_counts_what_it_could_not_hold(lab):
    """64 distinct flows one by one, 16 nets more, and every connection beyond is counted."""
    started = module(lab, state="started", set_size=64)["started"]
    probes = [
        {"kind": "tcp", "to": "10.77.0.21", "port": 2000 + port, "source": f"10.77.2.{number}"}
        for number in range(1, 11)
        for port in range(10)
    ]
    lab.probe({CLIENT: probes})

    answer = module(lab, state="stopped", started=started)

    found = [r["seen"] for r in answer["flows"]["flows"] if r["flow"]["direction"] == "ingress"]
    wide = [seen for seen in found if seen["source_prefix"] == 16]
    exact = [seen for seen in found if seen["source_prefix"] is None and "set" in seen["by"]]
    assert len(exact) in SIXTY_FOUR
    assert wide
    assert sum(seen["count"] for seen in (*wide, *exact)) == len(probes)
    assert answer["flows"]["not_recorded"] == 0

    started = module(lab, state="started", set_size=64)["started"]
    probes = [
        {"kind": "tcp", "to": "10.77.0.21", "port": 3000 + port, "source": "10.77.2.1"} for port in range(100)
    ]
    lab.probe({CLIENT: probes})

    answer = module(lab, state="stopped", started=started)

    seen = [r["seen"] for r in answer["flows"]["flows"] if r["flow"].get("destination_port", 0) >= 3000]
    assert answer["flows"]["not_recorded"] == 100 - sum(one["count"] for one in seen if "set" in one["by"])
    assert 100 - 65 - 17 <= answer["flows"]["not_recorded"] <= 100 - 64 - 16
    assert gaps(answer) == ["set-full"]


def test_a_node_that_tracks_nothing_is_not_made_to_unless_asked():
    name = f"hfa{os.getpid()}-still"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        still = Lab()
        still.names[NODE] = name
        answer = module(still, state="started", fails=True)
        assert "enable_tracking" in answer["msg"]
        assert gaps(module(still)) == ["one-shot", "not-tracked"]
        assert module(still, state="started", enable_tracking=True)["changed"]
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.parametrize("state", ["once", "started", "collected", "watched"])
def test_without_rights_it_says_what_is_missing(lab, state):
    arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {"node": "node", "state": state}})
    done = subprocess.run(
        lab.inside(NODE, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all",
                   sys.executable, str(ROOT / "plugins/modules/node_flows.py")),
        input=arguments, text=True, capture_output=True, check=False,
    )  # fmt: skip

    assert "needs root" in json.loads(done.stdout)["msg"]
