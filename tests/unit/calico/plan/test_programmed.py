# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is looked for in kernels before a login proves anything about policy."""

from __future__ import annotations

from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.model import Programmed
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.programmed import programmed
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy import planner
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import Options
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.node_judges import parse_use

from tests.unit import builders
from tests.unit.builders import V1, Object

OURS = {"app.kubernetes.io/managed-by": "hostfence"}


def gnp(name: str, **spec: object) -> Object:
    return builders.policy(
        name, labels=OURS, **{"tier": "default", "selector": "has(db)", "order": 1, **spec}
    )


def hep(node: str, interface: str = "*", name: str = "", **labels: str) -> Object:
    return builders.host_endpoint(
        name or f"{node}-hep", node=node, labels={"db": "", **labels}, interfaceName=interface
    )


def inventory(*policies: Object) -> planner.Inventory:
    by_kind = {kind: [o for o in policies if o["kind"] == kind] for kind in planner.KINDS}
    return planner.inventory_of(by_kind, frozenset(planner.KINDS), V1, raw_v1=True, calico_version="v3.32.1")


def seen(
    stored: planner.Inventory, wanted: planner.Inventory, *around: Object, **interfaces: str
) -> Programmed:
    uses = {
        node: parse_use({"node": node, "interfaces": {name: ["10.0.0.1"]}}, "uses")
        for node, name in interfaces.items()
    }
    return programmed(stored, wanted, around, Options(calico_version="v3.32.1"), uses)


def test_enforced_policies_of_hostfence_that_select_the_endpoint_in_force() -> None:
    foreign = builders.policy("theirs", selector="has(db)", order=1)
    staged = builders.policy("s", kind="StagedGlobalNetworkPolicy", labels=OURS, selector="has(db)")
    wanted = inventory(
        gnp("a"),
        gnp("other", selector="has(web)"),
        gnp("raw", doNotTrack=True, applyOnForward=True),
        foreign,
        staged,
    )
    found = seen(inventory(), wanted, hep("n1"), hep("n2", web=""))
    assert found.policies == {"n1": ("a",), "n2": ("a", "other")}


def test_what_is_enforced_no_more_is_to_be_gone() -> None:
    assert seen(inventory(gnp("a"), gnp("b")), inventory(gnp("b")), hep("n1")).gone == ("a",)


def test_of_two_on_one_interface_the_first_name_counts() -> None:
    first, second = hep("n1", name="a"), hep("n1", name="b", web="")
    assert seen(inventory(), inventory(gnp("w", selector="has(web)")), first, second).policies == {"n1": ()}


def test_an_interface_counts_only_where_it_was_seen() -> None:
    wanted = inventory(gnp("a"))
    assert seen(inventory(), wanted, hep("n1", "eth0")).policies == {"n1": ()}
    assert seen(inventory(), wanted, hep("n1", "eth0"), n1="eth0").policies == {"n1": ("a",)}
    assert seen(inventory(), wanted, hep("n1", "eth0"), n1="eth1").policies == {"n1": ()}


def test_ebpf_makes_no_chains() -> None:
    felix = builders.felix_configuration("node.n1", bpfEnabled=True)
    assert seen(inventory(), inventory(gnp("a")), hep("n1"), hep("n2"), felix).policies == {"n2": ("a",)}
