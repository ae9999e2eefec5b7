# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lint rules about host endpoints."""

from __future__ import annotations

from collections.abc import Iterator

from ..finding import INFO, WARNING, Finding
from ..stored.model import WILDCARD, HostEndpoint
from ..verdict.program import places
from .context import LintContext, trap

RULES = {
    "wildcard-collision": "Two host endpoints for all interfaces of one node: the later name is idle.",
    "interface-collision": "Two host endpoints for one interface: the later name is idle.",
    "endpoint-without-profile": "Without a profile a host endpoint denies whatever no policy decides.",
    "endpoint-profile-missing": "A profile that does not exist denies.",
    "endpoint-unselected": "A host endpoint that no policy selects.",
}


def check(context: LintContext) -> Iterator[Finding]:
    """All findings of this file's rules."""
    yield from _collisions(context)
    for hep in context.store.host_endpoints:
        yield from _profiles(context, hep)
    enforced = [policy for policy in context.policies if not policy.staged and any(places(policy))]
    for group in context.groups:
        if group.imagined or any(policy.selector.matches(group.labels) for policy in enforced):
            continue
        for hep in group.members:
            yield trap(
                "endpoint-unselected",
                INFO,
                str(hep.ref),
                "metadata.labels",
                "no enforced policy selects it: its profiles alone decide",
                "label it as your policies expect, or leave it if that is meant",
            )


def _collisions(context: LintContext) -> Iterator[Finding]:
    seen: dict[tuple[str, str], HostEndpoint] = {}
    for hep in sorted(context.store.host_endpoints, key=lambda item: item.name.encode()):
        if not hep.interface:
            continue
        first = seen.setdefault((hep.node, hep.interface), hep)
        if first is hep:
            continue
        wildcard = hep.interface == WILDCARD
        what = "all interfaces" if wildcard else hep.interface
        yield trap(
            "wildcard-collision" if wildcard else "interface-collision",
            WARNING,
            str(hep.ref),
            "spec.interfaceName",
            f"{first.name} is for {what} of {hep.node} too and comes first by name: this one has no effect",
            "keep one of them",
        )


def _where(hep: HostEndpoint) -> str:
    if hep.interface == WILDCARD:
        return "on every interface, loopback included"
    return f"on {hep.interface}" if hep.interface else "on the interfaces with its addresses"


def _profiles(context: LintContext, hep: HostEndpoint) -> Iterator[Finding]:
    if not hep.profiles:
        yield trap(
            "endpoint-without-profile",
            WARNING,
            str(hep.ref),
            "spec.profiles",
            f"no profile: everything that no policy allows is denied in both directions, {_where(hep)}",
            "set profiles: [projectcalico-default-allow] unless that is meant",
        )
    for index, name in enumerate(hep.profiles):
        # Profiles of namespaces and service accounts exist where those do, which the objects need not show.
        if name in context.store.profiles or name.startswith(("kns.", "ksa.")):
            continue
        yield trap(
            "endpoint-profile-missing",
            WARNING,
            str(hep.ref),
            f"spec.profiles[{index}]",
            f"profile {name} does not exist: Felix denies in its place",
            "use projectcalico-default-allow",
        )
