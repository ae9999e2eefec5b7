# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Known faults of Calico: which version has which, and that verdicts and lint say so."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.known_faults import (
    KNOWN_FAULTS,
    faults_of,
    faults_of_any_dataplane,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.run import lint
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import (
    Options,
    judge_objects,
)

from tests.unit import builders

HEP = builders.host_endpoint("h", node="n")
FLOW = builders.flow(destination_port=8080)


@pytest.mark.parametrize(
    ("version", "dataplane", "fault", "has"),
    [
        ("v3.28.2", "iptables", "forward-default", False),
        ("v3.29.0", "iptables", "forward-default", True),
        ("v3.32.1", "nftables", "forward-default", True),
        ("v3.32.1", "ebpf", "forward-default", False),
        ("v3.31.4", "ebpf", "ebpf-policy-programs", True),
        ("v3.32.0", "ebpf", "ebpf-policy-programs", False),
        ("v3.29.3", "ebpf", "ebpf-same-interface", False),
        ("v3.30.0", "ebpf", "ebpf-same-interface", True),
        ("", "iptables", "failsafe-entry", True),
        ("v3.28.2", "nftables", "nft-overlapping-set", False),
        ("v3.31.4", "nftables", "nft-overlapping-set", True),
        ("v3.32.0", "nftables", "nft-overlapping-set", True),
        ("v3.32.1", "nftables", "nft-overlapping-set", False),
        ("v3.32", "nftables", "nft-overlapping-set", False),
        ("master", "nftables", "nft-overlapping-set", False),
        ("v3.32.0", "iptables", "nft-overlapping-set", False),
    ],
)
def test_which_version_has_which(version: str, dataplane: str, fault: str, has: bool) -> None:
    assert (fault in {found.id for found in faults_of(version, dataplane)}) is has


def test_each_says_where_it_is_read_and_what_to_do() -> None:
    assert len({fault.id for fault in KNOWN_FAULTS}) == len(KNOWN_FAULTS)
    assert all(fault.what and fault.way_out and fault.source for fault in KNOWN_FAULTS)
    assert not list(faults_of_any_dataplane(""))


def test_verdict_and_lint_say_what_may_make_them_wrong() -> None:
    def said(version: str) -> tuple[bool, bool]:
        options = Options(dataplane="ebpf", calico_version=version)
        (verdict,) = judge_objects([HEP], [FLOW], options=options)
        found = {finding.id for finding in lint([HEP], options)}
        return any("ebpf-policy-programs" in text for text in verdict.assumptions), "known-fault" in found

    assert said("v3.31.4") == (True, True)
    assert said("v3.32.1") == (False, False)
