# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``hostfence explain``: what happens to one packet, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...module_utils.calico.address import parse_address
from ...module_utils.calico.bad_input import BadInput
from ...module_utils.calico.verdict.dataplanes import judge_flows
from .source import Object, Snapshot

ANNOTATIONS = ("projectcalico.org/IPv4Address", "projectcalico.org/IPv6Address")


def flow_of(
    snapshot: Snapshot, node: str, peer: str, service: str, *, outbound: bool, **more: Any
) -> dict[str, Any]:
    """A flow as flow_verdict takes it.

    :param peer: address of the other side
    :param service: ``tcp/10250``, or a protocol alone
    :param outbound: from the node to the peer, instead of the other way
    :param more: further keys of the flow; those that are None are left out
    :raises BadInput: what cannot be read, or a node without an address of the peer's family
    """
    protocol, _slash, port = service.partition("/")
    if port and not port.isdecimal():
        raise BadInput("PROTOCOL/PORT", service, "such as tcp/10250, or a protocol alone, such as icmp")
    other = parse_address(peer)
    if other is None:
        raise BadInput("PEER", peer, "an IPv4 or IPv6 address")
    own = more.pop("address", None)
    if own is not None and parse_address(own) is None:
        raise BadInput("--address", own, "an IPv4 or IPv6 address")
    own = own or _address(snapshot, node, other.version)
    source, destination = (own, peer) if outbound else (peer, own)
    flow = {
        "node": node,
        "direction": "egress" if outbound else "ingress",
        "protocol": protocol,
        "source": source,
        "destination": destination,
        **{key: value for key, value in more.items() if value is not None},
    }
    return {**flow, "destination_port": int(port)} if port else flow


def _address(snapshot: Snapshot, node: str, version: int) -> str:
    nodes = {str(item["metadata"]["name"]): item for item in snapshot.of_kind("Node")}
    if nodes and node not in nodes:
        raise BadInput("NODE", node, f"no such node; known are {', '.join(sorted(nodes)[:5])}")
    for text in _addresses(snapshot, nodes.get(node), node):
        own = parse_address(text)
        if own is not None and own.version == version:
            return text
    raise BadInput("NODE", node, f"no IPv{version} address of it is known; give it with --address")


def _addresses(snapshot: Snapshot, item: Object | None, node: str) -> Iterator[str]:
    """Those by which Calico knows a node come first, as host policy is about them."""
    found = item or {}
    annotations = (found.get("metadata") or {}).get("annotations") or {}
    yield from (str(annotations[name]).partition("/")[0] for name in ANNOTATIONS if name in annotations)
    for entry in (found.get("status") or {}).get("addresses") or ():
        if entry.get("type") == "InternalIP":
            yield str(entry.get("address"))
    for endpoint in snapshot.of_kind("HostEndpoint"):
        spec = endpoint.get("spec") or {}
        if spec.get("node") == node:
            yield from map(str, spec.get("expectedIPs") or ())


def explain(snapshot: Snapshot, flow: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The verdict of a flow, now and with staged policy enforced, and the data plane it was judged for."""
    judged = judge_flows(snapshot.objects, [flow], snapshot.dataplanes, {}, snapshot.options("compare"))
    return judged.verdicts[0].as_dict(), ", ".join(judged.dataplanes)


def lines(flow: dict[str, Any], verdict: dict[str, Any], dataplane: str) -> Iterator[str]:
    """The answer, to be read from top to bottom."""
    port = f":{flow['destination_port']}" if "destination_port" in flow else ""
    way = f"{flow['direction']} at {flow['node']}"
    yield f"{flow['protocol']} {flow['source']} -> {flow['destination']}{port}, {way}"
    yield f"verdict: {verdict['verdict']} ({verdict['reason_code']}), data plane {dataplane}"
    yield from (f"  {line}" for line in verdict["trace"])
    yield from (f"  assuming: {text}" for text in verdict["assumptions"])
    staged = verdict["staged"]
    if staged["verdict"] != verdict["verdict"]:
        yield f"with staged policy enforced: {staged['verdict']} ({staged['reason_code']})"
        yield from (f"  {line}" for line in staged["trace"])
