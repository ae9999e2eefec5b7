# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps of a transaction against the verdict engine: what each of them makes of every flow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.transaction.change import (
    change_of,
    compare,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.transaction.state import (
    Wave,
    switch_object,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.transaction.steps import (
    Script,
    WantedObject,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import judge_objects
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import builders
from tests.unit.builders import V1, Object
from tests.unit.calico.transaction.objects import contents, gnp, tier

NODES = ("n1", "n2", "n3")
WAVES = (
    Wave("first", "kubernetes.io/hostname in { 'n1' }", ("n1",)),
    Wave("rest", "!(kubernetes.io/hostname in { 'n1' })", ("n2", "n3")),
)


def heps() -> list[Object]:
    return [
        builders.resource(
            "HostEndpoint",
            f"{node}-hep",
            labels={"role": "host", "kubernetes.io/hostname": node, **({"db": ""} if node == "n2" else {})},
            node=node,
            interfaceName="*",
            expectedIPs=[f"10.0.0.{index}"],
            profiles=["projectcalico-default-allow"],
        )
        for index, node in enumerate(NODES, start=1)
    ]


def flows() -> list[Object]:
    found = []
    for index, node in enumerate(NODES, start=1):
        for direction in ("ingress", "egress", "forward"):
            for port in (80, 443, 9999):
                for peer in ("192.0.2.1", "198.51.100.1"):
                    own = f"10.0.0.{index}"
                    ends = (own, peer) if direction == "egress" else (peer, own)
                    flow = {
                        "node": node,
                        "direction": direction,
                        "protocol": "tcp",
                        "source": ends[0],
                        "destination": ends[1],
                        "destination_port": port,
                    }
                    if direction == "forward":
                        flow["destination"] = "10.200.0.9"
                    found.append(flow)
    return found


class Cluster:
    """The objects of a cluster while a transaction writes them; switches are always there."""

    def __init__(self, objects: Iterable[Object]) -> None:
        self.objects = {(o["kind"], o["metadata"]["name"]): o for o in objects}

    def put(self, writes: Iterable[WantedObject]) -> None:
        for write in writes:
            if write.wanted is None:
                self.objects.pop((write.kind, write.name), None)
            else:
                self.objects[write.kind, write.name] = write.wanted

    def turn(self, number: int, *, on: bool) -> None:
        obj = switch_object(V1, number, {}, on=on)
        self.objects["GlobalNetworkSet", obj["metadata"]["name"]] = obj

    def verdicts(self) -> list[str]:
        return [v.verdict for v in judge_objects([*self.objects.values(), *heps()], flows())]


def undone(writes: Sequence[WantedObject]) -> list[WantedObject]:
    return [WantedObject(write.kind, write.name) for write in writes]


def played(
    old: list[Object], new: list[Object], others: Sequence[Object] = ()
) -> list[tuple[str, list[str]]]:
    """(what was done, verdicts) after every step, and after every single write of those whose "
    "order matters."""
    before, after = compare(contents(old), contents(new))
    change = change_of(before, after, [o for o in (*old, *others) if o["kind"] == "Tier"])
    script = Script("id", V1, change, WAVES)
    cluster = Cluster([*old, *others])
    told = []

    def step(name: str, writes: Sequence[WantedObject]) -> None:
        for write in writes:
            cluster.put([write])
            told.append((name, cluster.verdicts()))

    for number in (1, 2):
        cluster.turn(number, on=False)
    step("old", script.sets())
    step("old", script.next_tiers_open())
    step("old", script.new_guards())
    step("old", script.old_guards())
    step("old", script.moved())
    step("old", script.next_tiers())
    told.append(("old", cluster.verdicts()))
    cluster.turn(1, on=True)
    told.append(("first", cluster.verdicts()))
    cluster.turn(1, on=False)
    told.append(("old", cluster.verdicts()))
    for number in (1, 2):
        cluster.turn(number, on=True)
    told.append(("new", cluster.verdicts()))
    step("new", script.tiers())
    step("new", script.settle_guards())
    step("new", script.policies())
    step("new", undone(script.old_guards()))
    for number in (1, 2):
        cluster.turn(number, on=False)
        told.append(("new", cluster.verdicts()))
    step("new", script.next_tiers_open())
    step("new", undone(script.moved()))
    step("new", undone(script.settle_guards()))
    step("new", undone(script.new_guards()))
    step("new", undone(script.next_tiers()))
    step("new", script.last())
    return told


def check(old: list[Object], new: list[Object], others: Sequence[Object] = ()) -> None:
    was, will = Cluster([*old, *others]).verdicts(), Cluster([*new, *others]).verdicts()
    nodes = [flow["node"] for flow in flows()]
    wanted = {
        "old": was,
        "new": will,
        "first": [w if node == "n1" else o for o, w, node in zip(was, will, nodes)],
    }
    for index, (name, seen) in enumerate(played(old, new, others)):
        assert seen == wanted[name], f"after step {index}, which should be {name}"


PORTS = st.lists(st.sampled_from([80, 443, 9999]), min_size=1, max_size=2, unique=True)


@st.composite
def rules(draw: Any, direction: str) -> list[Object]:
    found = []
    for _index in range(draw(st.integers(0, 3))):
        rule: Object = {"action": draw(st.sampled_from(["Allow", "Deny", "Pass"])), "protocol": "TCP"}
        rule["destination"] = {"ports": draw(PORTS)}
        if draw(st.booleans()):
            side = "source" if direction == "Ingress" else "destination"
            rule.setdefault(side, {})["nets"] = ["192.0.2.0/24"]
        found.append(rule)
    return found


@st.composite
def policies(draw: Any, *, forward: bool) -> list[Object]:
    found = []
    for index in range(draw(st.integers(0, 3))):
        types = draw(st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]))
        spec: Object = {"types": types, "order": draw(st.sampled_from([None, 5, 10 + index]))}
        spec["selector"] = draw(st.sampled_from(["role == 'host'", "has(db)", "!has(db)", "all()"]))
        for direction in types:
            spec[direction.lower()] = draw(rules(direction))
        if draw(st.booleans()) and types == ["Ingress"]:
            spec.update(preDNAT=True, applyOnForward=True)
        elif forward:
            spec.update(applyOnForward=True)
        found.append(gnp(f"p{index}", **spec))
    return found


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_every_write_of_a_transaction_leaves_exactly_old_or_exactly_new(data: Any) -> None:
    old, new = data.draw(policies(forward=False)), data.draw(policies(forward=False))
    end = data.draw(st.sampled_from(["Deny", "Pass"]))
    later = builders.policy("u.x", order=1, tier="u", selector="has(db)")
    others = [builders.tier("s", order=1, defaultAction="Pass"), builders.tier("u", order=500), later]
    check([tier(), *old], [tier(action=end), *new], others)


@settings(max_examples=5, deadline=None)
@given(st.data())
def test_forward_policies_on_both_sides_are_exact_too(data: Any) -> None:
    always = gnp("always", applyOnForward=True, types=["Ingress", "Egress"], ingress=[], egress=[], order=99)
    old, new = data.draw(policies(forward=True)), data.draw(policies(forward=True))
    check([tier(), always, *old], [tier(), always, *new])


def test_a_tier_that_is_new_and_one_that_goes() -> None:
    rule = [{"action": "Allow", "protocol": "TCP", "destination": {"ports": [80]}}]
    check([], [tier(), gnp("in", ingress=rule)])
    check([tier(), gnp("in", ingress=rule)], [])


def test_one_direction_governed_before_and_the_other_after() -> None:
    """A guard for both directions would make the tier deny where no policy of it governs."""
    check([tier(), gnp("in", ingress=[])], [tier(), gnp("out", types=["Egress"], egress=[])])


def test_a_guard_comes_before_what_it_guards() -> None:
    sets = [[{"action": "Allow", "protocol": "TCP", "destination": {"ports": [port]}}] for port in (80, 443)]
    old, new = ([tier(), gnp("in", ingress=rules)] for rules in sets)
    check(old, new)


def test_a_network_set_that_only_new_policy_refers_to_comes_first() -> None:
    rule = [{"action": "Allow", "source": {"selector": "role == 'admin'"}}]
    added = builders.network_set("admins", labels={"role": "admin"}, nets=["192.0.2.0/24"])
    check([tier(), gnp("in", ingress=[])], [tier(), gnp("in", ingress=rule), added])
