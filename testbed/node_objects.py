# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Node objects as a kubelet would have registered them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from testbed.api import Api, ApiError, Json, in_parallel
from testbed.binaries import KUBERNETES

PATH = "/api/v1/nodes"

_ZONES = "abc"
# Shared address space and unique local addresses: no route of the testbed leads there.
_SIMULATED_V4 = IPv4Address("100.64.0.0")
_SIMULATED_V6 = IPv6Address("fd99:0:0:1::")


def node(name: str, index: int, addresses: tuple[str, str], *, control_plane: bool = False) -> Json:
    """One Ready Node.

    :param index: its number from 1; zone and pod networks follow from it
    :param addresses: InternalIP, IPv4 then IPv6
    """
    zone = _ZONES[(index - 1) % len(_ZONES)]
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": "testbed",
        "topology.kubernetes.io/zone": zone,
        "topology.kubernetes.io/region": "testbed",
    }
    if control_plane:
        labels["node-role.kubernetes.io/control-plane"] = ""
    networks = [f"10.{index // 256 or 244}.{index % 256}.0/24", f"fd98:0:0:{index:x}::/64"]
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "testbed"}
    internal = [{"type": "InternalIP", "address": address} for address in addresses]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"podCIDR": networks[0], "podCIDRs": networks},
        "status": {
            "addresses": [*internal, {"type": "Hostname", "address": name}],
            "conditions": [ready],
            "capacity": {"cpu": "2", "memory": "4Gi", "pods": "110"},
            "allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110"},
            "nodeInfo": {
                "kubeletVersion": KUBERNETES,
                "kubeProxyVersion": "",
                "containerRuntimeVersion": "none://testbed",
                "operatingSystem": "linux",
                "architecture": "amd64",
                "osImage": "testbed",
                "kernelVersion": "",
                "machineID": name,
                "systemUUID": name,
                "bootID": name,
            },
        },
    }


def simulated(count: int, first: int = 1) -> list[Json]:
    """Nodes without a machine behind them, ``sim-0001`` and up, every address different."""
    return [
        node(f"sim-{index:04d}", index, (str(_SIMULATED_V4 + index), str(_SIMULATED_V6 + index)))
        for index in range(first, first + count)
    ]


def create(api: Api, nodes: list[Json]) -> None:
    """Creates Nodes; one that is there already is replaced."""
    in_parallel([lambda body=body: _put(api, body) for body in nodes])


def delete(api: Api, name: str) -> None:
    """Deletes a Node, if it is there."""
    try:
        api.delete(f"{PATH}/{name}")
    except ApiError as error:
        if error.status != 404:
            raise


def _put(api: Api, body: Json) -> None:
    try:
        api.post(PATH, body)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
        delete(api, body["metadata"]["name"])
        api.post(PATH, body)
