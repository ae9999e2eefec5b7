# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``hostfence report``: the report of what a snapshot holds, or another form of one that there is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Optional

from ...module_utils.calico.bad_input import BadInput
from ...module_utils.calico.host_endpoint_plan import coverage, made_by
from ...module_utils.calico.lint.run import as_dicts
from ...module_utils.calico.plan.judgement import traps
from ...module_utils.calico.policy.planner import KINDS, inventory_of, once_enforced
from ...module_utils.calico.stored.difference import differences
from ...module_utils.calico.verdict.dataplanes import judge_flows
from ..collection import version
from ..report.document import SCHEMA, Found, build, checked_time
from .source import Snapshot

WINDOWS = {"kubernetes.io/os": "windows"}


def of_snapshot(snapshot: Snapshot, flows: Optional[Sequence[Any]], at: Optional[str]) -> dict[str, Any]:
    """The report. Kernels were not read, and it says so.

    :param flows: packets to explain, as flow_verdict takes them
    :param at: time of the report, RFC 3339 in UTC; now if left out
    :raises BadInput: no such time
    """
    time = checked_time("--at", at) if at is not None else f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    nodes = [item for item in snapshot.of_kind("Node") if not _is_windows(item)]
    names = sorted(str(item["metadata"]["name"]) for item in nodes)
    endpoints = snapshot.of_kind("HostEndpoint")
    covered = coverage(names, endpoints)
    makers = {str(item["metadata"]["name"]): made_by(item) for item in endpoints}
    explained, dataplanes = None, list(snapshot.dataplanes.in_use)
    if flows is not None:
        judged = judge_flows(snapshot.objects, flows, snapshot.dataplanes, {}, snapshot.options("compare"))
        explained = [(flow, verdict.as_dict()) for flow, verdict in zip(flows, judged.verdicts)]
        dataplanes = list(judged.dataplanes)
    found = Found(
        nodes=[
            {
                "name": name,
                "host_endpoint": covered.get(name, ""),
                "made_by": makers.get(covered.get(name, ""), ""),
            }
            for name in names
        ],
        lint=as_dicts(traps(snapshot.objects, snapshot.options(), dataplanes=snapshot.dataplanes)),
        flows=explained,
        pending=_pending(snapshot),
        cluster={
            "server": snapshot.origin,
            "calico_version": snapshot.calico_version,
            "dataplane": ", ".join(dataplanes),
        },
    )
    return build(found, time, version())


def _pending(snapshot: Snapshot) -> list[dict[str, Any]]:
    """What enforcing the staged policies of Hostfence's sets changes."""
    stored = {kind: snapshot.of_kind(kind) for kind in KINDS}
    api_version = next((str(item["apiVersion"]) for items in stored.values() for item in items), "")
    raw_v1 = api_version.startswith("crd.")
    inventory = inventory_of(
        stored, frozenset(KINDS), api_version, raw_v1=raw_v1, calico_version=snapshot.calico_version
    )
    before, after = once_enforced(inventory)
    return [change.as_dict() for change in differences(before, after, native=snapshot.native)]


def of_file(path: str) -> dict[str, Any]:
    """A report that was written before.

    :raises BadInput: not a report of this version
    """
    try:
        document = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput("REPORT", path, f"cannot be read: {error}")
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise BadInput("REPORT", path, f"must be a report with the schema {SCHEMA}")
    return document


def _is_windows(item: dict[str, Any]) -> bool:
    labels = item["metadata"].get("labels") or {}
    return any(labels.get(key) == value for key, value in WINDOWS.items())
