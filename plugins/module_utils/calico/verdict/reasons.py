# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why a packet is allowed or denied: every reason code of a verdict and what it means."""

from __future__ import annotations

REASONS = {
    "no-host-endpoint": "No host endpoint owns the interface; Calico does not judge the packet.",
    "established": "The packet belongs to a connection that the kernel knows.",
    "failsafe": "A failsafe port matched before any policy was asked.",
    "lifeline": "The node's kept lifeline set Calico's accept mark before any policy was asked.",
    "policy-allow": "A policy's rule allowed the packet.",
    "policy-deny": "A policy's rule denied the packet.",
    "end-of-tier": "Policies of a tier govern this direction, and none allowed or passed the packet.",
    "profile-allow": "No tier decided, and a profile of the host endpoint allowed the packet.",
    "profile-deny": "No tier decided, and a profile of the host endpoint denied the packet.",
    "profile-missing": "No tier decided, and the profile does not exist: Felix puts a deny in its place.",
    "no-profile": "No tier decided, and no profile allows.",
    "forward-default": "No applyOnForward policy governs the host endpoint: forwarded traffic passes.",
    "forward-undecided": "Forward policy neither allowed nor denied; the node's own FORWARD rules decide.",
    "invalid-state": "The packet belongs to no connection and opens none: host endpoints drop it.",
    "answer-denied": "Untracked policy allows the packet; its answer, which is of no connection, is denied.",
    "no-connection": "nftables: the kernel keeps no connection for it, so egress policy is not reached.",
    "neighbour-discovery": "IPv6 neighbour discovery that Calico always lets pass here.",
    "not-an-ebpf-interface": "eBPF: no program looks at this packet on this interface, so it has no policy.",
    "ipvs-node-port": "IPVS mode: a new connection to the NodePort range is taken for a forwarded one.",
    "host-to-pod": "A node's traffic to its own pods is never policed.",
    "pod-to-host": "From a pod to its own node, DefaultEndpointToHostAction decides, not host policy.",
    "tunnel": "A tunnel (IPIP, VXLAN, WireGuard), about which Felix decides by itself.",
    "pod-policy": "Host policy lets the packet pass; the pod's own policy decides.",
    "unknown-match": "Whether a rule matches depends on something that the input does not say.",
    "unknown-interface": "The verdict depends on the interface, or on its addresses, which are not given.",
    "unknown-configuration": "Felix does not run with what is configured; older rules may still be in force.",
    "unprogrammable-rule": "The kernel's tools refuse a rule as Felix renders it; older rules are in force.",
    "unreadable-object": "Felix cannot decode an object and sees no newer policy; older rules are in force.",
}
