# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A document in a size that an API server bears for thousands of nodes.

What is too large gets its peers as nets: /24 and /64, then /16 and /48, then everybody. If that is not
enough, the rarest flows are left out, and their connections counted.
"""

from __future__ import annotations

import base64
import gzip
import ipaddress
import json
from collections.abc import Mapping
from typing import Any

from ..node.flows.observe import GAPS

Document = dict[str, Any]
KEY = "flows.json.gz"
_PREFIXES = ({4: 24, 6: 64}, {4: 16, 6: 48}, {4: 0, 6: 0})
_PEERS = {"ingress": ("source",), "egress": ("destination",), "forward": ("source", "destination")}
_CUT = "published-cut"


def config_map(namespace: str, node: str, data: bytes) -> dict[str, Any]:
    """The object that holds a node's document."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"flows-{node}",
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "hostfence", "hostfence.io/mode": "audit"},
        },
        "binaryData": {KEY: base64.b64encode(data).decode("ascii")},
    }


def packed(document: Document, most_bytes: int) -> bytes:
    """The document compressed, coarser or shorter where it is too large."""
    data = _compressed(document)
    for prefixes in _PREFIXES:
        if len(data) <= most_bytes:
            return data
        document = {**document, "flows": _widened(document["flows"], prefixes)}
        data = _compressed(document)
    while len(data) > most_bytes:
        document = _without_the_rarest(document)
        data = _compressed(document)
    return data


def _compressed(document: Document) -> bytes:
    return gzip.compress(json.dumps(document, separators=(",", ":"), sort_keys=True).encode(), 6, mtime=0)


def _widened(flows: list[Document], prefixes: Mapping[int, int]) -> list[Document]:
    found: dict[str, Document] = {}
    for record in flows:
        wide = _wide(record, prefixes)
        seen = wide["seen"]
        key = json.dumps([wide["flow"], seen["source_prefix"], seen["destination_prefix"]], sort_keys=True)
        known = found.setdefault(key, wide)
        if known is not wide:
            _add(known["seen"], seen)
            known["owner"] = known["owner"] or wide["owner"]
    return list(found.values())


def _wide(record: Document, prefixes: Mapping[int, int]) -> Document:
    flow, seen = dict(record["flow"]), dict(record["seen"])
    for side in _PEERS[flow["direction"]]:
        before = seen[f"{side}_prefix"]
        address = ipaddress.ip_address(flow[side])
        bits = prefixes[address.version] if before is None else min(before, prefixes[address.version])
        flow[side] = str(ipaddress.ip_network((flow[side], bits), strict=False).network_address)
        seen[f"{side}_prefix"] = bits
    return {**record, "flow": flow, "all_of": None, "seen": seen}


def _add(known: Document, more: Mapping[str, Any]) -> None:
    known["count"] += more["count"]
    known["first"] = min(known["first"], more["first"])
    known["last"] = max(known["last"], more["last"])
    known["replied"] = known["replied"] or more["replied"]
    known["older_than_window"] = known["older_than_window"] and more["older_than_window"]


def _without_the_rarest(document: Document) -> Document:
    flows = sorted(document["flows"], key=lambda record: -record["seen"]["count"])
    kept = flows[: len(flows) // 2]
    window = document["window"]
    gaps = [gap for gap in window["gaps"] if gap["id"] != _CUT] + [{"id": _CUT, "message": GAPS[_CUT]}]
    left_out = sum(record["seen"]["count"] for record in flows[len(kept) :])
    return {
        **document,
        "window": {**window, "complete": False, "gaps": gaps},
        "not_recorded": document["not_recorded"] + left_out,
        "flows": kept,
    }
