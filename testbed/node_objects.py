# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Node objects as a kubelet would have registered them."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address, IPv6Address

from testbed.api import Api, ApiError, Json, in_parallel
from testbed.binaries import KUBERNETES

PATH = "/api/v1/nodes"

_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
_ZONES = "abc"
# Shared address space and unique local addresses: no route of the testbed leads there.
_SIMULATED_V4 = IPv4Address("100.64.0.0")
_SIMULATED_V6 = IPv6Address("fd99:0:0:1::")


def own_labels(index: int) -> dict[str, str]:
    """Labels of the node with this number that a kubelet may be told to set."""
    return {
        "node.kubernetes.io/instance-type": "testbed",
        "topology.kubernetes.io/zone": _ZONES[(index - 1) % len(_ZONES)],
        "topology.kubernetes.io/region": "testbed",
    }


def pod_network(index: int) -> str:
    """The IPv4 network of the pods on the node with this number."""
    return f"10.{index // 256 or 244}.{index % 256}.0/24"


def node(name: str, index: int, addresses: tuple[str, str], *, control_plane: bool = False) -> Json:
    """One Ready Node.

    :param index: its number from 1; zone and pod networks follow from it
    :param addresses: InternalIP, IPv4 then IPv6
    """
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        **own_labels(index),
    }
    if control_plane:
        labels[_CONTROL_PLANE] = ""
    networks = [pod_network(index), f"fd98:0:0:{index:x}::/64"]
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
    """Nodes without a machine behind them, ``sim-0001`` and up, every address different.

    Their instance type is ``simulated``, so that an inventory can leave them out.
    """
    nodes = [
        node(f"sim-{index:04d}", index, (str(_SIMULATED_V4 + index), str(_SIMULATED_V6 + index)))
        for index in range(first, first + count)
    ]
    for one in nodes:
        one["metadata"]["labels"]["node.kubernetes.io/instance-type"] = "simulated"
    return nodes


def create(api: Api, nodes: list[Json]) -> None:
    """Creates Nodes; one that is there already is replaced."""
    in_parallel([partial(_put, api, body) for body in nodes])


def complete(api: Api, name: str, index: int, *, control_plane: bool) -> None:
    """Gives a Node that its kubelet has registered what a cluster's installer and controllers give it.

    :raises ApiError: not registered yet, with status 404
    """
    networks = {"podCIDR": pod_network(index), "podCIDRs": [pod_network(index)]}
    labels = {_CONTROL_PLANE: ""} if control_plane else {}
    api.patch(f"{PATH}/{name}", {"metadata": {"labels": labels}, "spec": networks})


def is_ready(node: Json) -> bool:
    """Whether a Node says that it is Ready."""
    conditions = node["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def delete_pods(api: Api, node: str) -> None:
    """Deletes the pods of a node that is gone: the cluster would wait for the node to confirm it."""
    for pod in api.list("/api/v1/pods", fieldSelector=f"spec.nodeName={node}"):
        metadata = pod["metadata"]
        with suppress(ApiError):
            api.delete(
                f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}", gracePeriodSeconds="0"
            )


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
