# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names of the chains that Felix makes of policies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.transaction.chains import chain_names

DUMPS = Path(__file__).parents[2] / "recordings" / "felix" / "more"


def test_a_chain_is_named_after_the_kind_or_as_earlier_versions_did() -> None:
    assert chain_names("t.ssh", "t", "Ingress") == {"cali-pi-gnp/t.ssh", "cali-pi-t/t.ssh", "cali-pi-t/ssh"}
    assert chain_names("ssh", "default", "Egress") >= {"cali-po-gnp/ssh", "cali-po-default/ssh"}
    assert "cali-po-default/ssh" in chain_names("default.ssh", "default", "Egress")


@pytest.mark.parametrize(
    ("recording", "name", "tier"),
    [
        ("v3.32.1-iptables-nft", "norm", "default"),
        ("v3.32.1-iptables-nft", "sec.x", "sec"),
        ("v3.29.5-iptables-legacy", "default.norm", "default"),
    ],
)
@pytest.mark.parametrize("direction", ["Ingress", "Egress"])
def test_felix_wrote_one_of_the_names(recording: str, name: str, tier: str, direction: str) -> None:
    dumps = (DUMPS / recording).rglob("iptables-save.txt")
    declared = {found for path in dumps for found in re.findall(r"^:(\S+)", path.read_text(), re.MULTILINE)}
    assert len(chain_names(name, tier, direction) & declared) == 1


def test_what_is_too_long_for_iptables_is_hashed_and_stands_in_full_in_nftables() -> None:
    names = chain_names("hostfence.ingress-lockdown-drop", "hostfence", "Ingress")
    assert "cali-pi-gnp/hostfence.ingress-lockdown-drop" in names
    hashed = {name for name in names if name.startswith("cali-pi-_")}
    assert {len(name) for name in hashed} == {28}
    assert len(hashed) == 3
    just_short = chain_names("x" * 16, "t", "Ingress")
    assert [name for name in just_short if "gnp/" in name] == ["cali-pi-gnp/" + "x" * 16]
    assert not any(name.startswith("cali-pi-_") for name in just_short)
