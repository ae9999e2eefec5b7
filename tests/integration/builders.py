# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What several integration tests give to the modules: definitions of policy, and what was seen of a node."""

from __future__ import annotations

import time
from typing import Any

Object = dict[str, Any]
GNP, SGNP, GNS, TIER = "GlobalNetworkPolicy", "StagedGlobalNetworkPolicy", "GlobalNetworkSet", "Tier"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/hostfence"
V3 = "projectcalico.org/v3"


def policy(name: str, action: str = "Allow", order: int = 10, *, port: int = 22, **spec: Any) -> Object:
    """Of all hosts, with one rule for one TCP port; ``spec`` is more of it, or other."""
    rule = {"action": action, "protocol": "TCP", "destination": {"ports": [port]}}
    given = {"order": order, "selector": "host-endpoint == 'ingress'", "ingress": [rule], **spec}
    return {"apiVersion": V3, "kind": GNP, "metadata": {"name": name}, "spec": given}


def network_set(name: str, *nets: str) -> Object:
    """Networks that rules select by ``role``, which is the set's name."""
    metadata = {"name": name, "labels": {"role": name}}
    return {"apiVersion": V3, "kind": GNS, "metadata": metadata, "spec": {"nets": list(nets)}}


def flows_document(node: str, *ports: int) -> Object:
    """A node's document of flows: connections from 192.0.2.9 to these TCP ports, a day and more until now."""
    now = time.time()
    flow = {
        "direction": "ingress",
        "interface": "eth0",
        "protocol": 6,
        "source": "192.0.2.9",
        "destination": "10.0.0.1",
    }
    seen = {"all_of": None, "seen": {"count": 4, "replied": True}, "owner": None}
    return {
        "schema": "hostfence.flows/1",
        "node": node,
        "window": {"start": now - 90000, "end": now, "complete": True, "gaps": []},
        "not_recorded": 0,
        "flows": [{"flow": {**flow, "destination_port": port}, **seen} for port in ports],
    }


def lease_held_elsewhere() -> Object:
    """The Lease of all that changes what is enforced, held by another process and not run out."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "hostfence", "namespace": "kube-system"},
        "spec": {
            "holderIdentity": "elsewhere, process 7",
            "leaseDurationSeconds": 120,
            "acquireTime": "2098-01-01T00:00:00.000000Z",
            "renewTime": "2098-01-01T00:00:00.000000Z",
        },
    }
