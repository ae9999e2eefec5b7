# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The names of Felix's chains are those that Felix wrote into a kernel."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.felix import chains

DUMPS = Path(__file__).parents[2] / "recordings" / "felix"
DECLARED = {
    name
    for path in DUMPS.rglob("*-save.txt")
    for name in re.findall(r"^:(\S+)", path.read_text(errors="replace"), re.MULTILINE)
}


@pytest.mark.parametrize(
    "name",
    [
        *chains.HOOKED,
        chains.FROM_HOST_ENDPOINT,
        chains.TO_HOST_ENDPOINT,
        chains.FROM_FORWARDED,
        chains.TO_FORWARDED,
        chains.FAILSAFE_IN,
        chains.FAILSAFE_OUT,
        chains.FLOATING_IP,
        chains.WORKLOAD_TO_HOST,
        chains.FROM_WORKLOADS,
    ],
)
def test_felix_writes_a_chain_of_this_name(name: str) -> None:
    assert name in DECLARED
    assert name.startswith(chains.PREFIX)


@pytest.mark.parametrize(
    "prefix",
    [
        chains.ENDPOINT_FROM,
        chains.ENDPOINT_TO,
        chains.FORWARDED_FROM,
        chains.FORWARDED_TO,
        chains.FAILSAFE_PREFIX,
        *chains.GROUPS,
        *chains.POLICIES,
        *chains.WORKLOADS,
    ],
)
def test_felix_writes_chains_that_begin_so(prefix: str) -> None:
    assert any(name.startswith(prefix) and name != prefix for name in DECLARED)


def test_a_chain_of_the_kernel_leads_to_felixs_of_its_name() -> None:
    assert [chains.hooked(name) for name in ("INPUT", "OUTPUT", "FORWARD", "PREROUTING", "POSTROUTING")] == [
        *chains.HOOKED
    ]
