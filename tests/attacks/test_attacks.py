# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Attacks on "nobody is locked out": a playbook runs while a recorder watches, the record is judged.

Where a real Felix programs the nodes, by new connections and the engine; where not, by the engine alone.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from judge import decisive, denied, hurt, newly_denied
from paths import GATEWAY, VitalPath
from world import CALICO, World, end_of

ENFORCE = "playbooks/enforce.yml"
SELECTOR = "host-endpoint == 'ingress'"
# Without 22: policy, and not a failsafe, decides about SSH. Without them all, about everything.
NO_FAILSAFES: dict[str, Any] = {"failsafeInboundHostPorts": [], "failsafeOutboundHostPorts": []}
ANY = {"action": "Allow"}


def policy(name: str, order: int, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": name},
        "spec": {"order": order, "selector": SELECTOR, **spec},
    }


def denying(path: VitalPath, *, pre_dnat: bool = False) -> dict[str, Any]:
    """A policy that denies just this path and allows everything else."""
    rule = {
        "action": "Deny",
        "protocol": path.protocol,
        "source": {"nets": [path.source]},
        "destination": {"nets": [path.destination], "ports": [path.port]},
    }
    if path.direction == "ingress":
        more = {"preDNAT": True, "applyOnForward": True} if pre_dnat else {}
        rules = [rule] if pre_dnat else [rule, ANY]
        return policy("denies", 10, types=["Ingress"], ingress=rules, **more)
    return policy("denies", 10, types=["Egress"], egress=[rule, ANY])


def deny_ssh() -> dict[str, Any]:
    rule = {"action": "Deny", "protocol": "TCP", "destination": {"ports": [22]}}
    return policy("deny-ssh", 10, types=["Ingress"], ingress=[rule, ANY])


def set_failsafes(world: World, spec: dict[str, Any] | None) -> None:
    """Null takes a field out: then Felix has its built-in list."""
    world.api.patch(
        f"{CALICO}/felixconfigurations/default", {"spec": spec or dict.fromkeys(NO_FAILSAFES, None)}
    )


@pytest.fixture(scope="module")
def protected(world: World) -> World:
    """Every node is a HostEndpoint; nothing is enforced."""
    done = world.run("site.yml", policies_sets=[world.policy_set("nothing", deny_ssh())])
    assert done.code == 0, done.output
    return world


@pytest.fixture
def open_world(protected: World) -> Iterator[World]:
    """The same without failsafes, and as it was afterwards."""
    set_failsafes(protected, NO_FAILSAFES)
    yield protected
    for plural in ("globalnetworkpolicies", "stagedglobalnetworkpolicies"):
        for item in protected.objects(plural):
            protected.api.delete(f"{CALICO}/{plural}/{item['metadata']['name']}")
    for tier in protected.objects("tiers"):
        if tier["metadata"]["name"].startswith("hostfence"):
            protected.api.delete(f"{CALICO}/tiers/{tier['metadata']['name']}")
    set_failsafes(protected, None)


def kinds_of_paths() -> list[tuple[str, str, str, int]]:
    """One of each kind, direction, family: which node it is at makes no difference to the gate."""
    return [
        (kind, direction, protocol, family)
        for kind, direction, protocol in (
            ("ssh", "ingress", "TCP"),
            ("kubelet", "ingress", "TCP"),
            ("overlay", "ingress", "UDP"),
            ("api", "egress", "TCP"),
            ("dns", "egress", "UDP"),
            ("dns", "egress", "TCP"),
            ("kubelet", "egress", "TCP"),
        )
        for family in (4, 6)
        # Node objects list IPv4 only; logins are seen in both families.
        if family == 4 or kind == "ssh"
    ]


@pytest.mark.invariant("I5", "I4")
@pytest.mark.parametrize("pre_dnat", [False, True], ids=["normal", "preDNAT"])
@pytest.mark.parametrize(("kind", "direction", "protocol", "family"), kinds_of_paths())
def test_a_set_that_denies_one_vital_path(
    open_world: World, kind: str, direction: str, protocol: str, family: int, pre_dnat: bool
) -> None:
    if pre_dnat and direction == "egress":
        pytest.skip("preDNAT has no egress")
    path = next(
        path
        for path in open_world.paths
        if (path.kind, path.direction, path.protocol) == (kind, direction, protocol)
        and (":" in path.destination) == (family == 6)
        and path.port != 443
    )
    denies = open_world.policy_set("denies", denying(path, pre_dnat=pre_dnat))
    with open_world.recorded() as recording:
        outcome = open_world.run(ENFORCE, policies_sets=[denies], policies_default_action="Pass")
    assert outcome.code != 0, f"{path.name} was cut by a run that ended green\n{outcome.output}"
    assert hurt(outcome, recording.record, open_world.paths) == []


POLICIES = "playbooks/policies.yml"
HARMLESS = policy(
    "harmless",
    10,
    types=["Ingress"],
    ingress=[{"action": "Deny", "protocol": "TCP", "destination": {"ports": [8081]}}, ANY],
)


@pytest.mark.invariant("I5", "I3")
def test_a_mistyped_network_of_the_shipped_set(open_world: World) -> None:
    set_failsafes(open_world, None)
    with open_world.recorded() as recording:
        outcome = open_world.run(
            ENFORCE,
            policies_sets=["ingress-lockdown"],
            policies_ssh_sources=[f"{GATEWAY[0]}/32"],
            policies_node_cidrs=["10.9.0.0/24"],
            policies_cluster_cidrs=["10.24.0.0/16"],
        )
    assert outcome.code != 0, outcome.output
    assert "policies_node_cidrs" in outcome.text
    assert hurt(outcome, recording.record, open_world.paths) == []


@pytest.mark.invariant("I3")
def test_a_harmless_set_is_enforced(open_world: World) -> None:
    """Else the attacks would pass on a product that refuses everything."""
    set_failsafes(open_world, None)
    with open_world.recorded() as recording:
        outcome = open_world.run(ENFORCE, policies_sets=[open_world.policy_set("harmless", HARMLESS)])
    assert outcome.code == 0, outcome.output
    assert recording.record.wrote
    assert hurt(outcome, recording.record, open_world.paths) == []


@pytest.mark.invariant("I3")
def test_it_is_proved_wave_by_wave_once_felix_has_it(open_world: World) -> None:
    if not open_world.felix:
        pytest.skip("no real Felix here: set HOSTFENCE_CALICO_BIN to see chains come")
    set_failsafes(open_world, None)
    given = {"policies_sets": [open_world.policy_set("harmless", HARMLESS)], "policies_state": "enforced"}
    outcome = open_world.run(POLICIES, **given)
    assert outcome.code == 0, outcome.output
    assert outcome.text.count(" proved - ") == 3
    assert " settled" in outcome.text
    assert "not proved" not in outcome.text
    again = open_world.run(POLICIES, **given)
    assert again.code == 0, again.output
    assert "changed=1" not in again.output
    gone = open_world.run(POLICIES, **{**given, "policies_state": "staged"})
    assert gone.code == 0, gone.output


@pytest.mark.invariant("I3", "I4")
def test_a_felix_that_does_not_follow_is_seen(open_world: World) -> None:
    if not open_world.felix:
        pytest.skip("no real Felix here: set HOSTFENCE_CALICO_BIN to stop one")
    set_failsafes(open_world, None)
    given = {"policies_sets": [open_world.policy_set("harmless", HARMLESS)], "policies_state": "enforced"}
    with open_world.felix_stopped("node2"):
        outcome = open_world.run(POLICIES, **given)
    assert outcome.code != 0, outcome.output
    assert "node2" in outcome.text
    # What a node does not have is switched nowhere.
    assert " switched - " not in outcome.text, outcome.text[-3000:]
    assert open_world.objects("globalnetworkpolicies") == []


FLAGS: dict[str, dict[str, Any]] = {
    "strategy free": {"environment": {"ANSIBLE_STRATEGY": "free"}},
    "strategy host_pinned": {"environment": {"ANSIBLE_STRATEGY": "host_pinned"}},
    "one fork": {"environment": {"ANSIBLE_FORKS": "1"}},
    "kept connections": {
        "environment": {
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s"
            " -o ControlPath=/run/hostfence-attacks/%C"
        }
    },
    "skipped tags": {"flags": ["--skip-tags", "failsafes,preflight"]},
    "limit without the controller": {"flags": ["--limit", "node1"]},
    "limit": {"flags": ["--limit", "localhost,node1"]},
    "nodes called local": {"variables": {"ansible_connection": "local"}},
    "no gate": {"variables": {"policies_reach": False}},
    "no proof": {"variables": {"policies_prove": False}},
}


@pytest.mark.invariant("I6", "I4")
@pytest.mark.parametrize("how", FLAGS)
def test_how_ansible_is_run_switches_no_gate_off(open_world: World, how: str) -> None:
    given = FLAGS[how]
    with open_world.recorded() as recording:
        outcome = end_of(
            open_world.start(
                ENFORCE,
                *given.get("flags", ()),
                environment=given.get("environment"),
                policies_sets=[open_world.policy_set("deny-ssh", deny_ssh())],
                **given.get("variables", {}),
            )
        )
    # Without a gate the proof is what is left, and without Felix nothing answers it.
    if how == "no gate" and not open_world.felix:
        assert "policies_reach" in outcome.text or "nobody looked" in outcome.text, outcome.output
        return
    assert outcome.code != 0, outcome.output
    assert hurt(outcome, recording.record, open_world.paths) == []


@pytest.mark.invariant("I7")
@pytest.mark.parametrize("attempt", range(3))
def test_two_runs_at_once(open_world: World, attempt: int) -> None:
    set_failsafes(open_world, None)
    sets = [
        open_world.policy_set(
            f"set{number}",
            policy(
                f"set{number}",
                number,
                types=["Ingress"],
                ingress=[{"action": "Deny", "protocol": "TCP", "destination": {"ports": [8000 + number]}}],
            ),
        )
        for number in (1, 2)
    ]
    with open_world.recorded() as recording, ThreadPoolExecutor() as pool:
        outcomes = list(
            pool.map(
                lambda own: open_world.run(ENFORCE, policies_sets=[own], policies_default_action="Pass"), sets
            )
        )
    stored = {
        item["metadata"]["name"].rpartition(".")[2] for item in open_world.objects("globalnetworkpolicies")
    }
    green = {f"set{number}" for number, outcome in zip((1, 2), outcomes) if outcome.code == 0}
    assert green, [outcome.output for outcome in outcomes]
    assert green <= stored
    tiers = {tier["metadata"]["name"] for tier in open_world.objects("tiers")}
    assert {item["spec"].get("tier") for item in open_world.objects("globalnetworkpolicies")} <= tiers
    assert newly_denied(recording.record, open_world.paths) == set()
    for outcome in outcomes:
        if outcome.code != 0:
            assert any(word in outcome.text for word in ("holds", "holder", "another run", "pending")), (
                outcome.output
            )


@pytest.mark.invariant("I9", "I5")
def test_the_controller_is_on_a_governed_node(open_world: World) -> None:
    """Its own way to the API and to the other nodes' SSH is egress of a governed host then."""
    node = open_world.hosts[0].name
    path = next(
        path
        for path in open_world.paths
        if (path.kind, path.node, path.port, path.source)
        == ("api", node, 6443, open_world.hosts[0].addresses[0])
    )
    denies = open_world.policy_set("denies", denying(path))
    with open_world.recorded() as recording:
        outcome = end_of(
            open_world.start(
                ENFORCE,
                inside=open_world.inside(node),
                policies_sets=[denies],
                policies_default_action="Pass",
            )
        )
    assert outcome.code != 0, outcome.output
    assert hurt(outcome, recording.record, open_world.paths) == []


@pytest.mark.invariant("I10")
def test_what_was_enforced_bears_cold_caches(open_world: World) -> None:
    if not open_world.felix:
        pytest.skip("no real Felix here: set HOSTFENCE_CALICO_BIN to see packets judged late")
    set_failsafes(open_world, None)
    shipped = {
        "policies_sets": ["ingress-lockdown"],
        "policies_ssh_sources": [f"{GATEWAY[0]}/32", f"{GATEWAY[1]}/128"],
        "policies_node_cidrs": ["10.99.0.0/24", "fd99::/64"],
        "policies_cluster_cidrs": ["10.244.0.0/16", "fd98::/48"],
    }
    outcome = open_world.run(ENFORCE, **shipped)
    assert outcome.code == 0, outcome.output
    with open_world.recorded() as recording:
        for host in open_world.hosts:
            inside = open_world.inside(host.name)
            subprocess.run([*inside, "conntrack", "-F"], check=True, capture_output=True)
            for family in ("-4", "-6"):
                subprocess.run(
                    [*inside, "ip", family, "neigh", "flush", "all"], check=False, capture_output=True
                )
        recording.mark("flushed")
    assert hurt(outcome, recording.record, open_world.paths) == []


@pytest.mark.invariant("I11")
def test_the_inventory_hides_nothing(protected: World) -> None:
    inventory = json.loads(protected.inventory.read_text())
    assert "Control" not in json.dumps(inventory)
    families = {
        ":" in entry["address"]
        for node in protected.api.list("/api/v1/nodes")
        for entry in node["status"]["addresses"]
        if entry["type"] == "InternalIP"
    }
    assert families == {False}
    answered = subprocess.run(
        [
            *protected.inside("node2"),
            "socat",
            "-u",
            "/dev/null",
            f"TCP:{protected.hosts[0].addresses[0]}:443",
        ],
        check=False,
    )
    assert answered.returncode == 0


def test_the_attacks_know_when_a_path_is_cut(protected: World) -> None:
    """A judge that finds nothing would let every attack pass."""
    endpoints = [item for item in snapshot_of(protected) if item["kind"] == "HostEndpoint"]
    assert len(endpoints) == len(protected.hosts)
    cut = deny_ssh()
    cut["metadata"]["name"] = "default.deny-ssh"
    felix = {
        "apiVersion": "crd.projectcalico.org/v1",
        "kind": "FelixConfiguration",
        "metadata": {"name": "default"},
        "spec": NO_FAILSAFES,
    }
    found = denied([*endpoints, felix, {**cut, "apiVersion": "crd.projectcalico.org/v1"}], protected.paths)
    assert found == {path.name for path in protected.paths if path.kind == "ssh"}
    assert decisive([cut]) != decisive([])


def snapshot_of(world: World) -> list[dict[str, Any]]:
    from record import snapshot

    return snapshot(world.api)
