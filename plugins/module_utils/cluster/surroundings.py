# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The networks of a cluster as its objects name them, where the user gave none."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

Object = Mapping[str, Any]


def node_networks(objects: Iterable[Object]) -> list[str]:
    """The nodes' own addresses, neighbours joined."""
    found = set()
    for item in objects:
        if item.get("kind") == "Node":
            for entry in (item.get("status") or {}).get("addresses") or ():
                found.add(str((entry or {}).get("address")))
    return _joined(found)


def pod_networks(objects: Iterable[Object]) -> list[str]:
    """The address pools of pods, and what nodes were given of them."""
    found = set()
    for item in objects:
        spec = item.get("spec") or {}
        if item.get("kind") == "IPPool":
            found.add(str(spec.get("cidr")))
        elif item.get("kind") == "Node":
            found.update(str(cidr) for cidr in spec.get("podCIDRs") or ())
    return _joined(found)


def _joined(texts: Iterable[str]) -> list[str]:
    networks: list[Any] = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            continue  # A host name among the addresses, or nothing.
    result: list[str] = []
    for version in (4, 6):
        of_version = [network for network in networks if network.version == version]
        result.extend(str(network) for network in ipaddress.collapse_addresses(of_version))
    return result
