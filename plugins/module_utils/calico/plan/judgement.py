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
from ..host_endpoint_plan import HostEndpointChange
from ..lint.run import LintSurroundings, lint, place_of
from ..verdict.dataplanes import Dataplanes
from ..verdict.judge import Options
from ..verdict.reach import Obstacle, remedy, sentences
from ..verdict.vital_flows import Loss, summaries

Object = dict[str, Any]


def traps(
    objects: Sequence[Object],
    options: Options,
    focus: Optional[Collection[str]] = None,
    around: Optional[LintSurroundings] = None,
    dataplanes: Optional[Dataplanes] = None,
) -> list[Finding]:
    """Traps in objects, by the rules of every data plane that nodes with a HostEndpoint have.

    :param focus: as of :func:`..lint.run.lint`
    :param around: left out, the objects are all that a cluster holds
    :param dataplanes: where the objects alone do not say them
    """
    around = around or LintSurroundings(live=True)
    found: dict[object, Finding] = {}
    for dataplane in (dataplanes or _dataplanes(objects, options)).in_use:
        for finding in lint(objects, replace(options, dataplane=dataplane), around, focus):
            known = found.get(finding.identity)
            # What is only worth knowing on one data plane stops Felix on another.
            if known is None or _gravity(finding) < _gravity(known):
                found[finding.identity] = finding
    return sorted(found.values(), key=place_of)


def _dataplanes(objects: Sequence[Object], options: Options) -> Dataplanes:
    return Dataplanes(objects, options.environment, kube_proxy_mode=options.kube_proxy_mode)


def _gravity(finding: Finding) -> int:
    return SEVERITIES.index(finding.severity)


def refusal(what: str, blocking: Sequence[Obstacle], lost: Sequence[Loss]) -> str:
    """Why a change is not to be written, or empty: what would be denied, by what, and what to do."""
    shut = [obstacle for obstacle in blocking if obstacle.shuts]
    gone = [loss for loss in lost if loss.refuses]
    if not (shut or gone):
        return ""
    told = [f"{'; '.join(sentences(shut))} - {remedy(shut)}"] if shut else []
    told += summaries(gone)
    if gone:
        kinds = ", ".join(sorted({loss.vital.kind for loss in gone}))
        told.append(f"to lose that on purpose, name it: accept_denied (policies_accept_denied): [{kinds}]")
    return f"{what} is not written: {'; '.join(told)}"


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


def with_host_endpoints(objects: Sequence[Object], changes: Sequence[HostEndpointChange]) -> list[Object]:
    """The objects once HostEndpoints were written."""
    written = {change.name for change in changes}
    kept = [o for o in objects if o["kind"] != "HostEndpoint" or o["metadata"]["name"] not in written]
    return kept + [change.wanted for change in changes if change.wanted]
