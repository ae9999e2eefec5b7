# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names of the chains that Felix writes (felix/rules/rule_defs.go, v3.32.1)."""

from __future__ import annotations

PREFIX = "cali-"
"""Of every chain of Calico's."""

INPUT = "cali-INPUT"
HOOKED = (INPUT, "cali-OUTPUT", "cali-FORWARD", "cali-PREROUTING", "cali-POSTROUTING")
"""Those that the kernel's chains jump to."""

FROM_HOST_ENDPOINT = "cali-from-host-endpoint"
TO_HOST_ENDPOINT = "cali-to-host-endpoint"
FROM_FORWARDED = "cali-from-hep-forward"
TO_FORWARDED = "cali-to-hep-forward"
"""Dispatches: from the hooked chains to the chain of the host endpoint that owns the interface."""

ENDPOINT_FROM, ENDPOINT_TO = "cali-fh-", "cali-th-"
FORWARDED_FROM, FORWARDED_TO = "cali-fhfw-", "cali-thfw-"
"""Prefixes of a host endpoint's chains, for what ends at the node and for what it forwards."""

FAILSAFE_PREFIX = "cali-failsafe-"
FAILSAFE_IN, FAILSAFE_OUT = "cali-failsafe-in", "cali-failsafe-out"

GROUPS = ("cali-gi-", "cali-go-")
POLICIES = ("cali-pi-", "cali-po-")
WORKLOADS = ("cali-fw-", "cali-tw-")
"""Prefixes of the chains of groups of policies, of policies, and of pods."""

FLOATING_IP = "cali-fip-dnat"
WORKLOAD_TO_HOST = "cali-wl-to-host"
FROM_WORKLOADS = "cali-from-wl-dispatch"


def hooked(kernel_chain: str) -> str:
    """The chain that one of the kernel's jumps to."""
    return f"{PREFIX}{kernel_chain}"
