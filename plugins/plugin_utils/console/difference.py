# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``hostfence diff``: in what two sets of objects differ as Felix reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ...module_utils.calico.stored.difference import differences, lines
from ...module_utils.calico.verdict.dataplanes import judge_flows
from .source import Object, Snapshot


def objects_differ(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Lines for each policy, tier, network set and host endpoint that is not the same, rule by rule."""
    return lines(differences(before.objects, after.objects, native=before.native))


def verdicts_differ(before: Snapshot, after: Snapshot, flows: Sequence[Any]) -> Iterator[str]:
    """A line for each flow that is treated differently.

    :param flows: as flow_verdict takes them
    :raises BadInput: a flow that cannot be read
    """
    was, is_now = (
        judge_flows(side.objects, flows, side.dataplanes, {}, side.options("as_enforced")).verdicts
        for side in (before, after)
    )
    for flow, old, new in zip(flows, was, is_now):
        if old.verdict != new.verdict:
            port = f":{flow['destination_port']}" if "destination_port" in flow else ""
            packet = f"{flow['protocol']} {flow['source']} -> {flow['destination']}{port} at {flow['node']}"
            yield f"{old.verdict} -> {new.verdict}: {packet} ({new.reason_code})"


def overlaid(below: Snapshot, above: Snapshot) -> Snapshot:
    """The cluster as it would be with some objects written into it."""
    written = {_identity(item) for item in above.objects}
    kept = [item for item in below.objects if _identity(item) not in written]
    return Snapshot(
        [*kept, *above.objects],
        above.origin,
        below.calico_version,
        below.native,
        below.complete,
        below.environment,
    )


def _identity(item: Object) -> tuple[str, str, str]:
    metadata = item.get("metadata") or {}
    # Stored policies of the tier default may have its name in front of theirs.
    name = str(metadata.get("name") or "").removeprefix("default.")
    return str(item.get("kind")), str(metadata.get("namespace") or ""), name
