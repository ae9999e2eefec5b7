# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts from the cluster's own Node objects, so that there is no second list to keep."""

from __future__ import annotations

DOCUMENTATION = r"""
name: nodes
short_description: The nodes of a Kubernetes cluster as hosts
version_added: 0.1.0
author: The Hostfence founders (@hostfence)
description:
  - Its file is named so that it ends in C(nodes.yml), C(nodes.yaml), C(hostfence.yml) or C(hostfence.yaml),
    and holds one YAML document.
  - Reads the cluster's Node objects, and Calico's HostEndpoints where there are any, in one list each.
  - Every host is named as its Node, is in the group C(nodes), in C(role_<role>) for each of its
    C(node-role.kubernetes.io/) labels and in C(zone_<zone>).
  - Characters that Ansible does not take in a group's name become C(_), as in C(role_control_plane).
  - Gives each host the variables C(ansible_host), C(hostfence_addresses) (the node's IP addresses) and
    C(hostfence_node) with C(name), C(addresses) (a list for each type), C(roles), C(labels), C(ready) and
    C(host_endpoint), the name of the HostEndpoint that covers the node, or null.
extends_documentation_fragment:
  - hostfence.calico.connection
  - constructed
  - inventory_cache
requirements:
  - python >= 3.11
  - kubernetes >= 31
  - PyYAML >= 6
options:
  plugin:
    description: Says that the file is for this plugin.
    type: str
    required: true
    choices: [hostfence.calico.nodes]
  label_selector:
    description: Kubernetes label selector of the nodes that become hosts; empty for all.
    type: str
    default: kubernetes.io/os!=windows
  address_types:
    description: Types of Node addresses, the preferred one first, of which C(ansible_host) is taken.
    type: list
    elements: str
    choices: [InternalIP, ExternalIP, InternalDNS, ExternalDNS, Hostname]
    default: [InternalIP, ExternalIP, Hostname]
  address_family:
    description: Take only IP addresses of this family for C(ansible_host). Names fit either.
    type: str
    choices: [any, ipv4, ipv6]
    default: any
  label_groups:
    description: Keys of Node labels that make groups named C(label_<key>_<value>).
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
---
# These are examples of separate files; one is inventories/mine/nodes.yml.
# All nodes of the cluster that the kubeconfig names
plugin: hostfence.calico.nodes
kubeconfig: ~/.kube/config

---
# Through their external addresses, grouped by instance type, the list kept for ten minutes
plugin: hostfence.calico.nodes
address_types: [ExternalIP]
label_groups: [node.kubernetes.io/instance-type]
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ./.cache
cache_timeout: 600

---
# Nodes that are down, and those that no HostEndpoint covers, as groups of their own
plugin: hostfence.calico.nodes
groups:
  not_ready: not hostfence_node.ready
  uncovered: hostfence_node.host_endpoint is none
compose:
  ansible_user: "'core' if 'worker' in hostfence_node.roles else 'admin'"
"""

import hashlib
import json
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.inventory.group import to_safe_group_name
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.node_object import is_true

Object = dict[str, Any]

_FILE_NAMES = ("nodes.yml", "nodes.yaml", "hostfence.yml", "hostfence.yaml")
_ROLE_PREFIX = "node-role.kubernetes.io/"
_ZONE = "topology.kubernetes.io/zone"
# What decides which cluster and which nodes are read; a cache made with others must not be used.
_CACHED_FOR = ("label_selector", "kubeconfig", "context", "host")


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):  # type: ignore[misc]
    NAME = "hostfence.calico.nodes"

    def verify_file(self, path: str) -> bool:
        return bool(super().verify_file(path)) and path.endswith(_FILE_NAMES)

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        for node in self._nodes(path, cache):
            self._add(node)

    def _nodes(self, path: str, cache: bool) -> list[Object]:
        """The nodes from the cache, else from the cluster."""
        if not self.get_option("cache"):
            return self._read()
        key = f"{self.get_cache_key(path)}_{self._digest()}"
        if cache and key in self._cache:
            kept: list[Object] = self._cache[key]
            return kept
        self._cache[key] = nodes = self._read()
        return nodes

    def _digest(self) -> str:
        chosen = json.dumps([self.get_option(name) for name in _CACHED_FOR], default=str)
        return hashlib.sha256(chosen.encode()).hexdigest()[:12]

    def _read(self) -> list[Object]:
        # Not at the top: Ansible loads this plugin for every inventory, and all of them would wait for it.
        try:
            from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint_plan import (
                coverage,
            )
            from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import (
                CONNECTION_OPTIONS,
                Cluster,
                ClusterError,
            )
            from ansible_collections.hostfence.calico.plugins.module_utils.cluster.flavour import detect
            from ansible_collections.hostfence.calico.plugins.module_utils.cluster.host_endpoints import read
        except ImportError as error:
            raise AnsibleParserError(f"{error}: run ansible-galaxy collection install -r requirements.yml")

        selector = self.get_option("label_selector")
        try:
            cluster = Cluster.of_options({name: self.get_option(name) for name in CONNECTION_OPTIONS})
            nodes, _names, heps = read(cluster, detect(cluster), selector, described)
        except BadInput as error:
            raise AnsibleParserError(str(BadInput("label_selector", selector, error.remedy)))
        except ClusterError as error:
            raise AnsibleParserError(str(error))
        covered = coverage((node["name"] for node in nodes), heps)
        return [{**node, "host_endpoint": covered.get(node["name"])} for node in nodes]

    def _add(self, node: Object) -> None:
        host = self.inventory.add_host(node["name"])
        address = preferred(
            node["addresses"], self.get_option("address_types"), self.get_option("address_family")
        )
        if address:
            self.inventory.set_variable(host, "ansible_host", address)
        elif self.get_option("strict"):
            raise AnsibleParserError(
                f"Node {host} has no address that address_types and address_family allow; "
                f"it has {node['addresses'] or 'none'}"
            )
        self.inventory.set_variable(host, "hostfence_addresses", ip_addresses(node["addresses"]))
        self.inventory.set_variable(host, "hostfence_node", node)
        for group in group_names(node, self.get_option("label_groups")):
            self.inventory.add_child(self.inventory.add_group(group), host)
        self._construct(host)

    def _construct(self, host: str) -> None:
        strict = self.get_option("strict")
        variables = self.inventory.get_host(host).get_vars()
        self._set_composite_vars(self.get_option("compose"), variables, host, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, host, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, host, strict=strict)


def described(node: Object) -> Object:
    """What a host's variable ``hostfence_node`` holds of the Node itself."""
    labels = node["metadata"].get("labels") or {}
    status = node.get("status") or {}
    addresses: dict[str, list[str]] = {}
    for entry in status.get("addresses") or []:
        addresses.setdefault(entry["type"], []).append(entry["address"])
    return {
        "name": node["metadata"]["name"],
        "addresses": addresses,
        "roles": sorted(key[len(_ROLE_PREFIX) :] for key in labels if key.startswith(_ROLE_PREFIX)),
        "labels": labels,
        "ready": is_true(node, "Ready"),
    }


def ip_addresses(addresses: dict[str, list[str]]) -> list[str]:
    """The IP addresses among a node's addresses, internal ones first, each once."""
    found = [a for kind in ("InternalIP", "ExternalIP") for a in addresses.get(kind, ())]
    return list(dict.fromkeys(found))


def preferred(addresses: dict[str, list[str]], types: Sequence[str], family: str) -> str:
    """The address to connect to, or empty: of the first type that has a fitting one, the first."""
    fitting = (a for kind in types for a in addresses.get(kind, ()) if _fits(a, family))
    return next(fitting, "")


def group_names(node: Object, label_groups: Sequence[str]) -> list[str]:
    """Groups of a host, by names that Ansible takes."""
    labels = node["labels"]
    names = ["nodes", *(f"role_{role}" for role in node["roles"])]
    if labels.get(_ZONE):
        names.append(f"zone_{labels[_ZONE]}")
    names += [f"label_{key}_{labels[key]}" for key in label_groups if key in labels]
    return [to_safe_group_name(name, force=True, silent=True) for name in names]


def _fits(address: str, family: str) -> bool:
    if family == "any":
        return True
    try:
        return f"ipv{ip_address(address).version}" == family
    except ValueError:
        return True
