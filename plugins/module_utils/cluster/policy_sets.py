# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A policy set as modules are given it: options in, definitions out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from pathlib import PurePath
from typing import Any, Callable, Optional
from urllib.parse import urlsplit

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ..calico.bad_input import BadInput
from ..calico.policy import presets
from ..calico.policy.definition import Definitions
from ..calico.policy.mixed import Mixed, sort_out, templates_like
from ..calico.policy.names import EGRESS, INGRESS
from ..calico.policy.planner import ABSENT, AUDITED, STAGED, STATES, PolicySet
from ..calico.policy.reader import Document, parse
from ..calico.policy.required_flows import PLATFORMS, PlatformNetworks, Shape
from .api_endpoints import endpoints_of
from .policy_files import read_definitions, read_path
from .variables import set_path

Object = dict[str, Any]

_LOG_LIMIT = "logActionRateLimit"
# What the role policies calls the networks of a shipped set.
_VARIABLES = {
    "ssh": "policies_ssh_sources",
    "nodes": "policies_node_cidrs",
    "cluster": "policies_cluster_cidrs",
}
NETWORKS: dict[str, Any] = {"type": "list", "elements": "str", "default": []}

SET_OPTIONS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": list(STATES), "default": STAGED},
    "definitions": {"type": "list", "elements": "raw", "default": []},
    "src": {"type": "path"},
    "strict": {"type": "bool", "default": False},
    "platform": {
        "type": "dict",
        "options": {
            "preset": {"type": "str", "required": True, "choices": sorted(PLATFORMS)},
            "selector": {"type": "str", "default": "host-endpoint == 'ingress'"},
            "control_plane_selector": {
                "type": "str",
                "default": "has(node-role.kubernetes.io/control-plane)",
            },
            "directions": {
                "type": "list",
                "elements": "str",
                "choices": [INGRESS, EGRESS],
                "default": [INGRESS, EGRESS],
            },
            "pre_dnat": {"type": "bool", "default": False},
            "set": {"type": "str", "choices": list(presets.SHIPPED), "default": presets.PLATFORM_FLOWS},
            "nodeport_ports": {**NETWORKS, "default": ["30000:32767"]},
            "nodeport_sources": NETWORKS,
            "nodeport_source_selector": {"type": "str", "default": ""},
            **dict.fromkeys(("nodes", "cluster", "api", "control_plane", "dns", "ntp", "ssh"), NETWORKS),
            "api_ports": {"type": "list", "elements": "int", "default": []},
            "local": {**NETWORKS, "default": ["127.0.0.0/8", "::1/128", "169.254.20.10/32"]},
            "ssh_port": {"type": "int", "default": 22},
        },
    },
    "tier": {
        "type": "dict",
        "default": {},
        "options": {
            "name": {"type": "str", "default": "hostfence"},
            "order": {"type": "float", "default": 100},
        },
        "apply_defaults": True,
    },
    "default_action": {"type": "str", "choices": ["Deny", "Pass"], "default": "Deny"},
    "audit_log": {"type": "bool", "default": False},
}


def checked(given: Mapping[str, Any], place: str) -> dict[str, Any]:
    """A set's options where it is one of a list: types converted, defaults filled in.

    :raises BadInput: an option that the module policies does not have, or of another type
    """
    result = ArgumentSpecValidator(SET_OPTIONS).validate(dict(given))
    if result.error_messages:
        raise BadInput(place, given.get("name"), "; ".join(result.error_messages))
    found: dict[str, Any] = result.validated_parameters
    return found


def options_of(entry: str, common: Mapping[str, Any]) -> dict[str, Any]:
    """The options of one entry of the role's list of sets.

    :param entry: name of a shipped set, or a path with a ``/`` in it
    :param common: ``state``, ``tier``, ``platform``, ``default_action``, ``strict``, ``audit_log``, and
        ``platform_tier`` with ``name``, ``order`` and ``directions``; ``inventories``, in whose folders a
        path is looked for
    :raises BadInput: no such set
    """
    if "/" in entry:
        stem = PurePath(entry.rstrip("/")).name.split(".")[0].lower()
        shared = ("state", "tier", "default_action", "strict", "audit_log")
        own = {key: common[key] for key in shared if key in common}
        src = set_path(entry, common.get("inventories", ()), os.getcwd())
        return {"name": stem, "src": src, **own}
    if entry not in presets.SHIPPED:
        known = ", ".join(presets.SHIPPED)
        raise BadInput(
            "policies_sets",
            entry,
            f"no such set. Hostfence ships {known}; a folder or file is named by a path with a '/' in it",
        )
    tier, platform = common["tier"], {**common["platform"], "set": entry}
    if entry == presets.PLATFORM_TIER:
        own_tier = common["platform_tier"]
        tier = {key: own_tier[key] for key in ("name", "order")}
        platform.update(directions=own_tier["directions"], pre_dnat=False)
    # What the other sets deny, they deny by a rule of their own.
    action = "Deny" if entry == presets.PLATFORM_TIER else "Pass"
    return {
        "name": entry,
        "state": common["state"],
        "tier": tier,
        "platform": platform,
        "default_action": action,
        "audit_log": common.get("audit_log", False),
    }


def refuse_sets_of_one_name(names: Iterable[str]) -> None:
    """:raises BadInput: two sets of one name, each of which would take away what the other wrote"""
    listed = list(names)
    twice = next((name for index, name in enumerate(listed) if name in listed[:index]), None)
    if twice is not None:
        raise BadInput(
            "policies_sets",
            twice,
            f"two of {', '.join(listed)} would be one set by name, and each would take away what the other "
            "wrote. Rename a directory or file: its name is the set's",
        )


def policy_set(params: Mapping[str, Any], slices: Callable[[], list[Object]], host: str) -> PolicySet:
    """What is wanted of a set; as :func:`definitions_of`."""
    return PolicySet(
        name=params["name"],
        state=params["state"],
        definitions=definitions_of(params, slices, host),
        tier=params["tier"]["name"],
        tier_order=params["tier"]["order"],
        default_action=params["default_action"],
        remarks=_remarks(in_source(params)),
        missing=_missing(params["platform"]),
        audit_log=params["audit_log"],
    )


def refuse_unlimited_log(wanted: PolicySet, configurations: Iterable[Object]) -> None:
    """Refuse to log what would be denied where Felix would log every packet: that floods the node's log.

    Source: LogActionRateLimit in felix/config/config_params.go and felix/rules/policy.go (v3.32.1); an API
    that does not know the field does not store it.

    :param configurations: the cluster's FelixConfigurations
    :raises BadInput: ``audit_log``, with what to set
    """
    if wanted.state != AUDITED or not wanted.audit_log:
        return
    named = {str(item["metadata"]["name"]): item.get("spec") or {} for item in configurations}
    if not named.get("default", {}).get(_LOG_LIMIT):
        raise BadInput(
            "audit_log",
            True,
            f"Felix has no limit for it, and would log every packet: set {_LOG_LIMIT} (such as 10/minute) in "
            "FelixConfiguration default; a Calico whose API does not keep that field has no such limit",
        )


def _remarks(beside: Mixed) -> tuple[str, ...]:
    templates = templates_like(beside.host_endpoints)
    if not templates:
        return tuple(beside.remarks)
    return (
        *beside.remarks,
        f"to make such HostEndpoints: host_endpoints_templates: {json.dumps(templates)}",
    )


def _missing(platform: Optional[Mapping[str, Any]]) -> tuple[str, ...]:
    if not platform:
        return ()
    return tuple(_VARIABLES[name] for name in presets.REQUIRED[platform["set"]] if not platform[name])


def definitions_of(params: Mapping[str, Any], slices: Callable[[], list[Object]], host: str) -> Definitions:
    """The policies that a set's options name.

    :param params: :data:`SET_OPTIONS`
    :param slices: reads the EndpointSlices of the service ``kubernetes``, where they are needed
    :param host: URL of the API server
    :raises BadInput: what is not read without doubt, with its place
    """
    if params["state"] == ABSENT:
        return Definitions()
    documents = read_definitions(params["definitions"])
    if params["src"]:
        found = in_source(params)
        if not found.documents:
            # Taking a set away is said by its state.
            raise BadInput(
                "src",
                params["src"],
                "; ".join(
                    ["holds no document of a set", *found.remarks, "to take it away, set state: absent"]
                ),
            )
        documents += found.documents
    if params["platform"]:
        documents += _platform(params["name"], params["platform"], slices, host)
    return parse(documents, params["tier"]["name"])


def in_source(params: Mapping[str, Any]) -> Mixed:
    """What lies in a set's file or directory; nothing where it has none.

    :raises BadInput: as :func:`definitions_of`
    """
    if params["state"] == ABSENT or not params["src"]:
        return Mixed()
    return sort_out(read_path(params["src"]), strict=params["strict"])


def _platform(
    name: str, options: Mapping[str, Any], slices: Callable[[], list[Object]], host: str
) -> list[Document]:
    api, ports = options["api"], options["api_ports"]
    if not (api and ports):
        found_api, found_ports = _discover_api(slices(), host)
        api = api or found_api
        ports = ports or sorted({*found_ports, PLATFORMS[options["preset"]].api_port})
    networks = {key: tuple(options[key]) for key in ("nodes", "cluster", "control_plane", "dns", "ntp")}
    around = PlatformNetworks(
        **networks,
        local=tuple(options["local"]),
        ssh=tuple(options["ssh"]),
        ssh_port=options["ssh_port"],
        api=tuple(api),
        api_ports=tuple(ports),
    )
    shape = Shape(
        set_name=name,
        selector=options["selector"],
        control_plane_selector=options["control_plane_selector"],
        directions=tuple(options["directions"]),
        pre_dnat=options["pre_dnat"],
    )
    ports = presets.NodePorts(
        tuple(options["nodeport_ports"]),
        tuple(options["nodeport_sources"]),
        options["nodeport_source_selector"],
    )
    found = presets.preset(options["set"], options["preset"], around, shape, ports)
    return [Document(policy, f"platform {options['preset']}") for policy in found]


def _discover_api(slices: Iterable[Object], host: str) -> tuple[list[str], list[int]]:
    """Where the API servers are: networks, and ports.

    :returns: no network where nodes may reach the API by a name, whose addresses are unknown
    """
    found = endpoints_of(slices)
    server = urlsplit(host)
    ports = {*(endpoint.port for endpoint in found), server.port or 443}
    hosts = [str(server.hostname), *(endpoint.address for endpoint in found)]
    try:
        nets = [str(ip_network(host)) for host in dict.fromkeys(hosts)]
    except ValueError:
        nets = []
    return nets, sorted(ports)
