# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write some fields of a FelixConfiguration and leave the others alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.validation import check_type_dict

from ..calico.bad_input import BadInput
from ..calico.felix.configuration import (
    INBOUND_FIELD,
    OPTIONAL_FIELDS,
    OUTBOUND_FIELD,
    FelixFields,
    changed_fields,
    edit_of,
    edited_lists,
    no_list_remedy,
    remarks,
    wanted_spec,
)
from ..calico.plan.judgement import with_felix
from . import lease, reach
from .client import ApiError, Cluster
from .flavour import Flavour, FlavourKind, calico_version, detect, list_stored, refuse_during_migration
from .host_endpoints import NODES
from .host_view import HostView

_ENTRY: dict[str, Any] = {
    "protocol": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "net": {"type": "str"},
}
_ENTRIES: dict[str, Any] = {"type": "list", "elements": "raw"}
OPTIONS: dict[str, Any] = {
    "node": {"type": "str", "default": ""},
    "failsafe_inbound_host_ports": _ENTRIES,
    "failsafe_inbound_add": {**_ENTRIES, "default": []},
    "failsafe_inbound_remove": {**_ENTRIES, "default": []},
    "failsafe_outbound_host_ports": _ENTRIES,
    "failsafe_outbound_add": {**_ENTRIES, "default": []},
    "failsafe_outbound_remove": {**_ENTRIES, "default": []},
    "dns_trusted_servers": {"type": "list", "elements": "str"},
    "flow_logs_enable_host_endpoint": {"type": "bool"},
}
"""The fields of a FelixConfiguration, for the modules that write and that plan it."""

KIND = "FelixConfiguration"
ALL_NODES = "default"
TRIES = 3


@dataclass
class FelixOutcome:
    """What was, or would be, written.

    :ivar fields: the fields that differed, as wanted
    :ivar before: the spec as it was
    :ivar unknown_fields: fields that the API drops
    :ivar remarks: what is to be known of the lists, in one line each
    """

    fields: dict[str, Any]
    before: dict[str, Any] = field(default_factory=dict)
    unknown_fields: list[str] = field(default_factory=list)
    ahead: reach.Outlook = field(default_factory=reach.Outlook)
    remarks: list[str] = field(default_factory=list)


def wanted_of(params: Mapping[str, Any]) -> FelixFields:
    """What is wanted, of :data:`OPTIONS`.

    :raises BadInput: an entry that Felix would not start with, or read otherwise
    """
    lists = {option: _entries(params[option], option) for option in OPTIONS if option.startswith("failsafe_")}
    return FelixFields(
        params["node"],
        lists["failsafe_inbound_host_ports"],
        lists["failsafe_outbound_host_ports"],
        params["dns_trusted_servers"],
        params["flow_logs_enable_host_endpoint"],
        edit_of(lists["failsafe_inbound_add"], lists["failsafe_inbound_remove"], INBOUND_FIELD),
        edit_of(lists["failsafe_outbound_add"], lists["failsafe_outbound_remove"], OUTBOUND_FIELD),
    )


def _entries(given: Optional[list[Any]], option: str) -> Any:
    """Entries with their types converted, and without the keys that were not set.

    Ansible itself would say of the word none only that it is no dictionary.
    """
    if given is None:
        return None
    if any(isinstance(entry, str) and entry.strip().lower() == "none" for entry in given):
        side = INBOUND_FIELD if "inbound" in option else OUTBOUND_FIELD
        raise BadInput(option, "none", f"is a word of the environment variable only: {no_list_remedy(side)}")
    return [_entry(entry, f"{option}[{index}]") for index, entry in enumerate(given)]


def _entry(given: object, place: str) -> dict[str, Any]:
    try:
        result = ArgumentSpecValidator(_ENTRY).validate(check_type_dict(given))
    except TypeError:
        raise BadInput(place, given, "must be {protocol, port, net}")
    if result.error_messages:
        raise BadInput(place, given, "; ".join(result.error_messages))
    return {key: value for key, value in result.validated_parameters.items() if value is not None}


def write(cluster: Cluster, wanted: FelixFields, params: Mapping[str, Any], check_mode: bool) -> FelixOutcome:
    """Set fields of one FelixConfiguration, which is created if absent.

    :param params: of the module, :data:`reach.OPTIONS` among them
    :raises BadInput: a value that Felix would not start with
    :raises CutOff: a failsafe would go by which a node is logged in to
    :raises ClusterError: the API refuses, or someone else keeps writing the object
    """
    whole = wanted_spec(wanted)
    served = detect(cluster)
    if check_mode and served.kind is FlavourKind.NONE:
        # The role crds would have made the kind.
        spec = {**whole, **edited_lists(wanted, (), {})}
        return FelixOutcome(spec, remarks=_said(wanted, spec, ""))
    refuse_during_migration(cluster)
    for attempt in range(TRIES):
        try:
            return _write_once(cluster, served, wanted, whole, params, check_mode)
        except ApiError as error:
            if not error.conflict or attempt == TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _said(wanted: FelixFields, spec: Mapping[str, Any], version: str) -> list[str]:
    return [f"{what}: {cost}" for what, cost in remarks(wanted, spec, version)]


def _write_once(
    cluster: Cluster,
    served: Flavour,
    wanted: FelixFields,
    whole: Mapping[str, Any],
    params: Mapping[str, Any],
    check_mode: bool,
) -> FelixOutcome:
    live: Any = None

    def plan() -> FelixOutcome:
        nonlocal live
        live = cluster.find(served.path(KIND, wanted.name))
        return _planned(cluster, served, wanted, whole, params, live)

    def leaves_more_to_policy(planned: FelixOutcome) -> bool:
        return not check_mode and bool({INBOUND_FIELD, OUTBOUND_FIELD} & {*planned.fields})

    with lease.planned(cluster, plan, changes=leaves_more_to_policy) as (planned, _lease):
        fields = planned.fields
        if fields:
            new = live is None and wanted.name != ALL_NODES
            inherited = _inherited(cluster, served, wanted.name, fields) if new else {}
            _send(cluster, served, wanted.name, live, {**inherited, **fields}, dry_run=check_mode)
    return planned


def _planned(
    cluster: Cluster,
    served: Flavour,
    wanted: FelixFields,
    whole: Mapping[str, Any],
    params: Mapping[str, Any],
    live: Any,
) -> FelixOutcome:
    name = wanted.name
    before = dict((live or {}).get("spec") or {})
    lists = wanted.inbound is not None or wanted.outbound is not None or wanted.edits
    version = calico_version(cluster, served) if lists else ""
    edited = edited_lists(wanted, *_applying(cluster, served, wanted), version) if wanted.edits else {}
    spec = {**whole, **edited}
    fields = changed_fields(before, spec)
    unknown: list[str] = []
    if any(item in OPTIONAL_FIELDS for item in fields):
        unknown = unknown_fields(cluster, served, name, live, fields)
        fields = {item: value for item, value in fields.items() if item not in unknown}
    ahead = _look_ahead(cluster, served, name, fields, params)
    return FelixOutcome(fields, before, unknown, ahead, _said(wanted, spec, version))


def _applying(
    cluster: Cluster, served: Flavour, wanted: FelixFields
) -> tuple[list[dict[str, Any]], Mapping[str, str]]:
    """All FelixConfigurations, and the labels of the node that is meant."""
    labels: Mapping[str, str] = {}
    if wanted.node:
        named = cluster.list(NODES, fieldSelector=f"metadata.name={wanted.node}")
        labels = next((node["metadata"].get("labels") or {} for node in named), {})
    return list_stored(cluster, served, KIND), labels


def unknown_fields(
    cluster: Cluster, served: Flavour, name: str, live: Any, fields: Mapping[str, Any]
) -> list[str]:
    """Fields that the API would drop; it is asked by a dry run."""
    kept = _send(cluster, served, name, live, fields, dry_run=True)
    return [item for item in fields if item in OPTIONAL_FIELDS and item not in (kept.get("spec") or {})]


def _look_ahead(
    cluster: Cluster, served: Flavour, name: str, fields: Mapping[str, Any], params: Mapping[str, Any]
) -> reach.Outlook:
    """Fewer failsafes leave more to policy."""
    if not (INBOUND_FIELD in fields or OUTBOUND_FIELD in fields):
        return reach.Outlook()
    return reach.outlook(
        HostView(cluster, served),
        params,
        f"FelixConfiguration {name}",
        lambda objects: with_felix(objects, name, fields, served.api_version),
    )


def _inherited(cluster: Cluster, served: Flavour, name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What a new node's configuration must repeat from that of all nodes.

    Calico 3.32's CRD fills in fields of its own (``nftablesMode``), and a node's value wins: without this the
    node would leave the mode that all others are in.
    """
    filled_in = _send(cluster, served, name, None, fields, dry_run=True).get("spec") or {}
    shared = (cluster.find(served.path(KIND, ALL_NODES)) or {}).get("spec") or {}
    return {field: shared[field] for field in filled_in if field not in fields and field in shared}


def _send(
    cluster: Cluster,
    served: Flavour,
    name: str,
    live: Any,
    fields: Mapping[str, Any],
    dry_run: bool,
) -> dict[str, Any]:
    if live is None:
        body = {
            "apiVersion": served.api_version,
            "kind": KIND,
            "metadata": {"name": name},
            "spec": dict(fields),
        }
        return cluster.create(served.path(KIND), body, dry_run)
    patch = {"metadata": {"resourceVersion": live["metadata"]["resourceVersion"]}, "spec": dict(fields)}
    return cluster.merge(served.path(KIND, name), patch, dry_run)
