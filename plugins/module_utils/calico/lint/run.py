# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Traps of host protection, named before they bite.

:func:`lint` looks at objects as they are (or will be) stored. Every finding has a rule of :data:`RULES`; the
ids are stable. ``error`` is for what locks someone out or means something else to Felix than it says;
``warning`` for what usually is not meant; ``info`` for what is worth knowing. docs/lint.md tells each rule.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ..finding import ERROR, Finding
from ..host_endpoint import OWNER, OWNER_LABEL
from ..policy.audited import is_tier_of_copies
from ..policy.names import POLICY, TIER
from ..stored.reader import Raw, opened, read
from ..verdict.interface_owner import NodeFacts
from ..verdict.judge import Options
from . import api_rules as lint_api
from . import behind_rules as lint_behind
from . import effect_rules as lint_effects
from . import endpoint_rules as lint_endpoints
from . import failsafe_rules as lint_failsafes
from . import misread_rules as lint_misread
from . import policy_rules as lint_policies
from . import single_rules as lint_rules
from .context import SEVERITIES, LintContext

RULES: Mapping[str, str] = {
    **lint_api.RULES,
    **lint_misread.RULES,
    **lint_policies.RULES,
    **lint_rules.RULES,
    **lint_behind.RULES,
    **lint_endpoints.RULES,
    **lint_failsafes.RULES,
    **lint_effects.RULES,
}

_CHECKS = (
    lint_misread.check,
    lint_policies.check,
    lint_rules.check,
    lint_behind.check,
    lint_endpoints.check,
    lint_failsafes.check,
    lint_effects.check,
)


_FIRST = ("failsafe-shadows-deny",)


@dataclass(frozen=True)
class LintSurroundings:
    """What the objects do not say.

    ``nodes`` as in :func:`..endpoints.parse_nodes`; ``ssh_ports`` are where sshd listens; ``api_ports`` where
    the API server is reached (besides the endpoints of the service ``kubernetes``, where they are given).
    ``live``: the objects are all that a cluster holds, so that what is not among them does not exist.
    """

    nodes: Mapping[str, NodeFacts] = field(default_factory=dict)
    ssh_ports: tuple[int, ...] = (22,)
    api_ports: tuple[int, ...] = ()
    live: bool = False


def lint(
    objects: Iterable[Raw],
    options: Optional[Options] = None,
    surroundings: Optional[LintSurroundings] = None,
    focus: Optional[Collection[str]] = None,
) -> list[Finding]:
    """Find the traps in a set of objects.

    Staged policies are looked at as if they were enforced: that is when their traps would bite. Copies that
    are only counted are left out: what is to be said is said of their originals.

    :param objects: stored objects as dictionaries, together with those about to be written (which replace
        what is stored under their name: give each name once)
    :param options: data plane, Calico version and how ``types`` are defaulted, as for verdicts
    :param focus: report only on these objects, as ``Kind name``
    :returns: errors first, then by object and rule
    :raises BadInput: an object that cannot be read at all
    """
    options = options or Options()
    around = surroundings or LintSurroundings()
    objects = [obj for obj in opened(objects) if not _is_copy(obj)]
    context = LintContext(
        read(objects, options.native_v3),
        options,
        around.nodes,
        around.ssh_ports,
        around.api_ports,
        live=around.live,
    )
    found = {finding.identity: finding for check in _CHECKS for finding in check(context)}
    said = {
        (finding.object, finding.field)
        for finding in found.values()
        if finding.severity == ERROR and finding.id in {**lint_misread.RULES, **lint_failsafes.RULES}
    }
    for finding in lint_api.check(objects):
        if (finding.object, finding.field) not in said:
            found[finding.identity] = finding
    chosen = [finding for finding in found.values() if focus is None or finding.object in focus]
    return sorted(chosen, key=place_of)


def _is_copy(raw: Raw) -> bool:
    labels = raw["metadata"].get("labels")
    ours = isinstance(labels, Mapping) and labels.get(OWNER_LABEL) == OWNER
    tier = raw["metadata"]["name"].partition(".")[0]
    return ours and raw["kind"] in (POLICY, TIER) and is_tier_of_copies(tier)


def place_of(finding: Finding) -> tuple[int, bool, tuple[str, str, str, str]]:
    """Errors first; what does the opposite of what it says before other things of its severity."""
    return SEVERITIES.index(finding.severity), finding.id not in _FIRST, finding.identity


def count_findings(findings: Iterable[Finding]) -> dict[str, int]:
    """How many findings have which severity."""
    counted = dict.fromkeys(SEVERITIES, 0)
    for finding in findings:
        counted[finding.severity] += 1
    return counted


def errors_of(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that must keep objects from being written."""
    return [finding for finding in findings if finding.severity == ERROR]


def as_dicts(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """The form in which modules return findings."""
    return [finding.as_dict() for finding in findings]
