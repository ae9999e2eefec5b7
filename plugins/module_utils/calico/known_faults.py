# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of Calico itself that touch hosts: in which versions, on which data plane, and what they do.

Read in Calico's release notes and source from 3.26 to 3.32; ``source`` says where.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from .version import CURRENT, DEFAULT_ALLOW_FOR_BOTH_DIRECTIONS, Version, parse_version

TABLES = ("iptables", "nftables")
_NEWEST = 999


@dataclass(frozen=True)
class KnownFault:
    """One fault.

    :ivar id: its stable name
    :ivar since: the first version that has it; None where it was there before 3.26
    :ivar fixed: the first version without it, with patch level where that matters; None where none is known
    :ivar dataplanes: on which it shows
    :ivar what: what it does, in one sentence
    :ivar way_out: what to do meanwhile
    :ivar source: where it is read
    :ivar casts_doubt: whether a verdict may be wrong because of it
    """

    id: str
    since: Optional[Version]
    fixed: Optional[tuple[int, ...]]
    dataplanes: tuple[str, ...]
    what: str
    way_out: str
    source: str
    casts_doubt: bool = False

    def affects(self, version: tuple[int, ...], dataplane: str) -> bool:
        """Whether a version, with or without patch level, has it on a data plane."""
        begun = self.since is None or version >= self.since
        ended = self.fixed is not None and version >= self.fixed
        return begun and not ended and dataplane in self.dataplanes


FORWARD_DEFAULT = KnownFault(
    "forward-default",
    DEFAULT_ALLOW_FOR_BOTH_DIRECTIONS,
    None,
    TABLES,
    "applyOnForward policy of one direction takes the default allow from the other, too, so that the node's "
    "own FORWARD rules decide",
    "allow what is forwarded in both directions",
    "felix/rules/endpoints.go, endpointIptablesChain (v3.29.0 to v3.32.1)",
)
KNOWN_FAULTS = (
    FORWARD_DEFAULT,
    KnownFault(
        "nft-icmp-code",
        (3, 29),
        None,
        ("nftables",),
        "a rule with an ICMP code cannot be programmed, and Felix programs nothing more until it is gone",
        "match by type alone",
        "seen with v3.32.1 and nft 1.0.6",
    ),
    KnownFault(
        "nft-overlapping-set",
        (3, 29),
        (3, 32, 1),
        ("nftables",),
        "Felix panics where a selector finds a network set and pods whose addresses lie in its nets, and "
        "programs nothing more",
        "keep pods' addresses out of network sets that one selector finds together with pods, or take Calico "
        "3.32.1",
        "projectcalico/calico#12671, release notes of v3.32.1",
    ),
    KnownFault(
        "failsafe-entry",
        None,
        None,
        (*TABLES, "ebpf"),
        "one failsafe entry that Felix cannot read keeps it from starting",
        "let policy_lint look at FelixConfiguration before it is applied",
        "projectcalico/calico#2904; felix/config/param_types.go (v3.32.1)",
    ),
    KnownFault(
        "ebpf-policy-programs",
        None,
        (3, 32),
        ("ebpf",),
        "the programs of ingress and egress policy are confused when they are cleaned up, so that policy of "
        "one direction may be gone",
        "restart calico-node after changes, or take Calico 3.32",
        "projectcalico/calico#11565, release notes of v3.32.0",
        casts_doubt=True,
    ),
    KnownFault(
        "ebpf-same-interface",
        (3, 30),
        (3, 32),
        ("ebpf",),
        "packets are sent back by the host interface that they came in by",
        "take Calico 3.32",
        "projectcalico/calico#11117, release notes of v3.32.0",
        casts_doubt=True,
    ),
    KnownFault(
        "ipvs-chain-names",
        None,
        (3, 32),
        TABLES,
        "in IPVS mode the chains of a host endpoint and of a pod can have one name",
        "run kube-proxy in another mode, or take Calico 3.32",
        "projectcalico/calico#11541, release notes of v3.32.0",
    ),
)


def faults_of(calico_version: str, dataplane: str) -> Iterator[KnownFault]:
    """The faults of a version on a data plane; of the newest known one where it is no version."""
    version = _with_patch(calico_version) or (*CURRENT, _NEWEST)
    return (fault for fault in KNOWN_FAULTS if fault.affects(version, dataplane))


def faults_of_any_dataplane(calico_version: str) -> Iterator[KnownFault]:
    """The faults of a version on whatever data plane; none where it is no version."""
    version = _with_patch(calico_version)
    return (
        fault
        for fault in KNOWN_FAULTS
        if version and any(fault.affects(version, name) for name in fault.dataplanes)
    )


def _with_patch(calico_version: str) -> Optional[tuple[int, ...]]:
    """The version with its patch level, the newest where it says none; None where it is no version."""
    version = parse_version(calico_version)
    patch = re.match(r"v?\d+\.\d+\.(\d+)", calico_version)
    return (*version, int(patch[1]) if patch else _NEWEST) if version else None
