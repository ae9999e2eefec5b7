# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write some fields of a FelixConfiguration and leave the others alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..calico.felix.configuration import INBOUND_FIELD, OPTIONAL_FIELDS, OUTBOUND_FIELD, changed_fields
from ..calico.plan.judgement import with_felix
from . import reach
from .client import ApiError, Cluster
from .flavour import Flavour, FlavourKind, detect, refuse_during_migration

KIND = "FelixConfiguration"
ALL_NODES = "default"
TRIES = 3


@dataclass
class Outcome:
    """What was, or would be, written.

    :ivar fields: the fields that differed, as wanted
    :ivar before: the spec as it was
    :ivar unknown_fields: fields that the API drops
    """

    fields: dict[str, Any]
    before: dict[str, Any] = field(default_factory=dict)
    unknown_fields: list[str] = field(default_factory=list)
    ahead: reach.Outlook = field(default_factory=reach.Outlook)


def write(
    cluster: Cluster, name: str, spec: Mapping[str, Any], params: Mapping[str, Any], check_mode: bool
) -> Outcome:
    """Set fields of one FelixConfiguration, which is created if absent.

    :param params: of the module, :data:`reach.OPTIONS` among them
    :raises CutOff: a failsafe would go by which a node is logged in to
    :raises ClusterError: the API refuses, or somebody else keeps writing the object
    """
    served = detect(cluster)
    if check_mode and served.kind is FlavourKind.NONE:
        return Outcome(dict(spec))  # the role crds would have made the kind
    refuse_during_migration(cluster)
    for attempt in range(TRIES):
        try:
            return _write_once(cluster, served, name, spec, params, check_mode)
        except ApiError as error:
            if not error.conflict or attempt == TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _write_once(
    cluster: Cluster,
    served: Flavour,
    name: str,
    spec: Mapping[str, Any],
    params: Mapping[str, Any],
    check_mode: bool,
) -> Outcome:
    live = cluster.find(served.path(KIND, name))
    before = dict((live or {}).get("spec") or {})
    fields = changed_fields(before, spec)
    unknown: list[str] = []
    if any(item in OPTIONAL_FIELDS for item in fields):
        unknown = unknown_fields(cluster, served, name, live, fields)
        fields = {item: value for item, value in fields.items() if item not in unknown}
    ahead = _look_ahead(cluster, served, name, fields, params)
    if fields:
        inherited = {} if live or name == ALL_NODES else _inherited(cluster, served, name, fields)
        _send(cluster, served, name, live, {**inherited, **fields}, dry_run=check_mode)
    return Outcome(fields, before, unknown, ahead)


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
        cluster,
        served,
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
