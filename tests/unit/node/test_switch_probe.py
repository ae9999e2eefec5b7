# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is read of a kernel, from recorded dumps of a real Felix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.node import switch_probe

DUMPS = Path(__file__).resolve().parents[1] / "recordings" / "felix" / "dumps"


def recorded(monkeypatch: pytest.MonkeyPatch, backend: str) -> dict[str, Any]:
    place = DUMPS / f"classes-{backend}" / "3-normal"
    answers = {"iptables-nft-save": "iptables-save.txt", "nft": "nft-ruleset.json"}

    def run(command: list[str]) -> str:
        path = place / answers.get(command[0], "none")
        return path.read_text() if path.exists() else ""

    monkeypatch.setattr(switch_probe, "_run", run)
    monkeypatch.setattr(switch_probe.shutil, "which", lambda name: name)
    return switch_probe.kernel([])


@pytest.mark.parametrize("backend", ["iptables-nft", "nftables"])
def test_chains_and_the_accept_mark_are_read(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    found = recorded(monkeypatch, backend)
    assert found["accept_mark"] == "0x10000"
    assert found["chains"]
    assert all(name.startswith(("cali-pi-", "cali-po-")) for name in found["chains"])
    assert found["forward_drops"] is False


@pytest.mark.parametrize(
    ("members", "state"),
    [
        ({"0.0.0.0/1", "128.0.0.0/1"}, "full"),
        ({"0.0.0.0-255.255.255.255"}, "full"),
        ({"0.0.0.0/1"}, "other"),
        ({"10.0.0.0/8"}, "other"),
        (set(), "empty"),
    ],
)
def test_half_of_all_addresses_is_not_all(members: set[str], state: str) -> None:
    assert switch_probe._fullness(members) == state


def test_a_forward_chain_that_drops_is_seen() -> None:
    read: dict[str, Any] = {"guards": {}}
    switch_probe._read_iptables("*filter\n:FORWARD DROP [0:0]\n", [], read)
    assert read["forward_drops"] is True
