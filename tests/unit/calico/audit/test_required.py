# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a platform needs is judged though nobody saw it."""

from __future__ import annotations

from typing import Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.audit import Audit
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.gate import parse_accepted
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.observed import FlowDocument
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.remedy import RemedyOptions
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.report import Asked, conclude
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.required import (
    CONTROL_PLANE_LABEL,
    RequiredPacket,
    packets,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.required_flows import (
    PlatformNetworks,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.reader import read
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.dataplanes import Dataplanes
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import Options

from tests.unit import builders
from tests.unit.builders import Object
from tests.unit.calico.audit.watched import ENOUGH, LOCKDOWN, ONLY_WEB, all_nodes, audited, cluster


def platform_audited(*accepted: Object) -> Object:
    """What kubeadm's hosts need, judged though nobody saw it."""
    objects = cluster(LOCKDOWN)
    audit = Audit(objects, Options(calico_version="v3.32.1"), Dataplanes(objects))
    for raw in all_nodes():
        audit.add(FlowDocument(raw, "flows"))
    asked = Asked(RemedyOptions("none", {}), parse_accepted(accepted), ENOUGH, 100, anonymise=False)
    return conclude(audit, asked, packets("kubeadm", PlatformNetworks(nodes=("10.0.3.0/24",)), audit.store))


def test_what_the_platform_needs_fails_though_nobody_saw_it():
    result = platform_audited()

    assert result["gate"] == "fail"
    assert any(
        "tcp/10250" in text and "at 3 nodes -> add 10.0.3.0/24 to " in text for text in result["unseen"]
    )
    assert audited(cluster(ONLY_WEB), *all_nodes())["gate"] == "pass"


def test_what_the_platform_needs_can_be_accepted_with_a_reason_and_a_day():
    needed = platform_audited()["unseen"]
    kubelet = {"protocol": "tcp", "port": 10250, "reason": "kubelets are read by their own network"}
    kubelet["until"] = "2026-12-31"

    for accepted in (kubelet, {**kubelet, "group": "unseen", "peer": "10.0.0.0/8"}):
        result = platform_audited(accepted)
        assert result["unseen"] == [text for text in needed if "tcp/10250" not in text]
        assert result["accepted"] == len(needed) - len(result["unseen"]) > 0
    of_one = platform_audited({**kubelet, "node": "n2"})
    assert any("tcp/10250" in text and " at 2 nodes -> " in text for text in of_one["unseen"])
    for other in ({"until": "2026-11-27"}, {"group": "would_deny"}, {"peer": "10.0.3.0/25"}):
        assert platform_audited({**kubelet, **other})["unseen"] == needed
    everything = [{**kubelet, "direction": way, "group": "unseen"} for way in ("ingress", "egress")]
    for entry in everything:
        del entry["protocol"], entry["port"]
    assert platform_audited(*everything)["gate"] == "pass"


def needed(labels: dict[str, str], *addresses: str) -> list[RequiredPacket]:
    around = PlatformNetworks(nodes=("10.0.3.0/24", "fd00::/64"))
    return list(packets("kubeadm", around, read([builders.node("n1", *addresses, labels=labels)])))


def test_each_packet_is_of_a_family_that_its_node_has_and_stays_within_its_net() -> None:
    only_v4 = needed({}, "10.0.3.1")
    assert {packet.flow.version for packet in only_v4} == {4}
    assert {packet.flow.version for packet in needed({}, "10.0.3.1", "fd00::1")} == {4, 6}
    for packet in only_v4:
        inwards = packet.flow.direction == "ingress"
        own, peer = (packet.flow.destination, packet.flow.source)[:: 1 if inwards else -1]
        assert str(own) == "10.0.3.1"
        assert packet.peers.contains(peer)


def test_what_only_the_control_plane_needs_is_asked_of_it_alone() -> None:
    def ports(labels: dict[str, str]) -> set[Any]:
        found = needed(labels, "10.0.3.1")
        return {packet.flow.destination_port for packet in found if packet.flow.direction == "ingress"}

    worker, control_plane = ports({}), ports({CONTROL_PLANE_LABEL: ""})
    assert 2379 in control_plane - worker
    assert 10250 in worker & control_plane
