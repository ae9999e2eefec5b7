# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a change means: connections that it puts at risk, and traps in what is about to decide.

Both know each node's data plane: what one renders another refuses, and then Felix stops there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Optional

from ..finding import SEVERITIES, Finding
from ..host_endpoint import DEFAULT_ALLOW_PROFILE
from ..host_endpoint_plan import Change
from ..lint.run import Surroundings, lint, place_of
from ..verdict.dataplanes import Dataplanes
from ..verdict.judge import Options
from ..verdict.reach import Connection, Obstacle, obstacles, remedy, sentences

Object = dict[str, Any]


def connections_at_risk(
    before: Sequence[Object],
    after: Sequence[Object],
    connections: Sequence[Connection],
    options: Options,
) -> list[Obstacle]:
    """The connections that are not plainly allowed once the objects are as in ``after``.

    :param options: Calico's version and how ``types`` are defaulted; the data plane is each node's own
    """
    dataplanes = Dataplanes(after)
    by_dataplane: dict[str, list[Connection]] = {}
    for connection in connections:
        by_dataplane.setdefault(dataplanes.of_node(connection.node), []).append(connection)
    return [
        obstacle
        for dataplane, chosen in by_dataplane.items()
        for obstacle in obstacles(before, after, chosen, replace(options, dataplane=dataplane))
    ]


def traps(
    objects: Sequence[Object],
    options: Options,
    focus: Optional[Collection[str]] = None,
    around: Optional[Surroundings] = None,
    dataplanes: Optional[Dataplanes] = None,
) -> list[Finding]:
    """Traps in objects, by the rules of every data plane that nodes with a HostEndpoint have.

    :param focus: as of :func:`..lint.run.lint`
    :param around: left out, the objects are all that a cluster holds
    :param dataplanes: where the objects alone do not say them
    """
    around = around or Surroundings(live=True)
    found: dict[object, Finding] = {}
    for dataplane in (dataplanes or Dataplanes(objects)).in_use:
        for finding in lint(objects, replace(options, dataplane=dataplane), around, focus):
            known = found.get(finding.identity)
            # What is only worth knowing on one data plane stops Felix on another.
            if known is None or _gravity(finding) < _gravity(known):
                found[finding.identity] = finding
    return sorted(found.values(), key=place_of)


def _gravity(finding: Finding) -> int:
    return SEVERITIES.index(finding.severity)


def lockout(what: str, blocking: Sequence[Obstacle]) -> tuple[str, list[str]]:
    """What would cut off the person who makes a change, and what may.

    :param what: is not written then
    :returns: why it is refused, or empty; and warnings, of what is not sure and of what was denied before
    """
    shut = [obstacle for obstacle in blocking if obstacle.shuts]
    if shut:
        return f"{what} is not written: {'; '.join(sentences(shut))} - {remedy(shut)}", []
    return "", [f"{what}: {sentence}" for sentence in sentences(blocking)]


def open_without_policy(host_endpoint: Object) -> bool:
    """Whether a HostEndpoint that no policy selects lets everything pass."""
    return DEFAULT_ALLOW_PROFILE in (host_endpoint["spec"].get("profiles") or ())


def with_felix(
    objects: Sequence[Object], name: str, fields: Mapping[str, Any], api_version: str
) -> list[Object]:
    """The objects once fields of a FelixConfiguration were set."""
    kind = "FelixConfiguration"
    live = next((o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name)), None)
    felix: Object = live or {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}}
    kept = [o for o in objects if o is not live]
    return [*kept, {**felix, "spec": {**(felix.get("spec") or {}), **fields}}]


def with_host_endpoints(objects: Sequence[Object], changes: Sequence[Change]) -> list[Object]:
    """The objects once HostEndpoints were written."""
    written = {change.name for change in changes}
    kept = [o for o in objects if o["kind"] != "HostEndpoint" or o["metadata"]["name"] not in written]
    return kept + [change.wanted for change in changes if change.wanted]
