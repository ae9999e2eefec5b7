# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The checks of a report: what is asked of every node, and which findings answer which check."""

from __future__ import annotations

from dataclasses import dataclass

PASS, WARNING, FAIL, NOT_CHECKED = "pass", "warning", "fail", "not_checked"
STATUSES = (FAIL, WARNING, NOT_CHECKED, PASS)

COVERAGE, KERNEL, PROBES = "host-endpoint", "kernel-read", "new-connections"


@dataclass(frozen=True)
class Check:
    """One column of the report.

    :ivar findings: what ids of failsafe findings (docs/failsafes.md) begin with, that answer this check
    """

    id: str
    title: str
    question: str
    findings: tuple[str, ...] = ()


CHECKS = (
    Check(COVERAGE, "HostEndpoint", "Does a HostEndpoint cover the node?"),
    Check(KERNEL, "Kernel read", "Were the rules in the node's kernel read?", ("dump",)),
    Check(
        "configuration",
        "Configuration",
        "Is the failsafe configuration one that Felix runs with?",
        ("config",),
    ),
    Check("data-plane", "Data plane", "Does exactly one back end hold Calico's rules?", ("dataplane", "bpf")),
    Check("families", "IPv4 and IPv6", "Are the rules there for both address families?", ("family",)),
    Check("hooks", "Hooks", "Does every packet reach Calico's chains?", ("hook", "path", "chain")),
    Check("dispatch", "Dispatch", "Is every interface led to its host endpoint?", ("dispatch", "interfaces")),
    Check("endpoint", "Endpoint chain", "Do failsafes come before any policy?", ("endpoint",)),
    Check("failsafes", "Failsafe rules", "Is every configured failsafe port in the kernel?", ("failsafe",)),
    Check("hashes", "Rule hashes", "Were all rules written by Felix, and not edited since?", ("hash",)),
    Check(
        "other-programs",
        "Other programs",
        "Does no other program drop failsafe packets?",
        ("foreign", "mark", "lifeline"),
    ),
    Check("vital-paths", "Vital paths", "Do failsafes cover SSH and the API server?", ("vital",)),
    Check(PROBES, "New connections", "Were new connections to failsafe ports set up?", ("probe",)),
)
IDS = tuple(check.id for check in CHECKS)
_BY_FINDING = {prefix: check.id for check in CHECKS for prefix in check.findings}


def check_of(finding_id: str) -> str:
    """The check that a failsafe finding answers; what is not known belongs to reading the kernel."""
    return _BY_FINDING.get(finding_id.partition(".")[0], KERNEL)
