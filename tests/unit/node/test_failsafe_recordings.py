# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The failsafe check against what a real Felix wrote, as it is and damaged in every way that matters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import failsafe_mutations
import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico import failsafe_rules
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe import INFO, verify
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe_expect import (
    Expectation,
    expect,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe_rules import Ruleset
from ansible_collections.hostfence.calico.plugins.module_utils.node import iptables_save, nft_json

RECORDINGS = Path(__file__).resolve().parent.parent / "recordings"
STATES = sorted(path for path in (RECORDINGS / "felix" / "dumps").glob("*/*"))
EMPTY_LISTS = "10-failsafe-none"


def expectation(state: Path) -> Expectation:
    document = json.loads((RECORDINGS / "cases" / f"{state.parent.name}.json").read_text())
    case = next(item for item in document["cases"] if item["name"] == state.name)
    node = case["nodes"][0]
    return expect(
        case["objects"], node["name"], node["interfaces"], calico_version=document["calico_version"]
    )


def iptables_lines(state: Path) -> dict[int, list[str]]:
    return {
        4: (state / "iptables-save.txt").read_text().splitlines(keepends=True),
        6: (state / "ip6tables-save.txt").read_text().splitlines(keepends=True),
    }


def nft_elements(state: Path) -> list[dict[str, Any]]:
    return json.loads((state / "nft-ruleset.json").read_text())["nftables"]


def read_nft(elements: list[dict[str, Any]]) -> list[Ruleset]:
    reader = nft_json.Reader()
    for element in elements:
        reader.add(element)
    return list(reader.finish())


def rulesets(state: Path) -> list[Ruleset]:
    if (state / "nft-ruleset.json").exists():
        return list(nft_json.parse([(state / "nft-ruleset.json").read_text()]))
    return [iptables_save.parse(lines, family) for family, lines in iptables_lines(state).items()]


@pytest.fixture(scope="module", autouse=True)
def remember_rules() -> Iterator[None]:
    """Thousands of dumps differ in one rule each: read and render the others once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(iptables_save, "parse_rule", lru_cache(maxsize=None)(iptables_save.parse_rule))
        patch.setattr(failsafe_rules, "render", lru_cache(maxsize=None)(rendered))
        yield


render = failsafe_rules.render


def rendered(*arguments: Any) -> tuple[str, ...]:
    return tuple(render(*arguments))


def name(state: Path) -> str:
    return f"{state.parent.name}/{state.name}"


def test_all_recordings_are_here() -> None:
    assert len(STATES) == 28


@pytest.mark.parametrize("state", STATES, ids=name)
def test_what_felix_wrote_is_clean(state: Path) -> None:
    findings = verify(expectation(state), rulesets(state))
    expected = ["config.none", "config.none"] if state.name == EMPTY_LISTS else []
    assert [finding.id for finding in findings] == expected


@pytest.mark.parametrize("state", STATES, ids=name)
def test_every_damage_is_found(state: Path, record_property: Any) -> None:
    expected = expectation(state)
    total, missed = 0, []
    known = told(expected, rulesets(state))
    if (state / "nft-ruleset.json").exists():
        for label, elements in failsafe_mutations.nftables(nft_elements(state)):
            total += 1
            if told(expected, read_nft(elements)) <= known:
                missed.append(label)
    else:
        originals = iptables_lines(state)
        whole = {family: iptables_save.parse(lines, family) for family, lines in originals.items()}
        for family, lines in originals.items():
            other = whole[10 - family]
            for label, damaged in failsafe_mutations.iptables(lines):
                total += 1
                if told(expected, [iptables_save.parse(damaged, family), other]) <= known:
                    missed.append(f"IPv{family} {label}")
            for label, left in (("left out", [other]), ("empty", [iptables_save.parse([], family), other])):
                total += 1
                if told(expected, left) <= known:
                    missed.append(f"IPv{family} {label}")
    print(f"{name(state)}: {total - len(missed)}/{total} mutations found")
    assert missed == []


def told(expected: Expectation, damaged: list[Ruleset]) -> set[str]:
    """What is worth a look, or worse."""
    return {str(item) for item in verify(expected, damaged) if item.severity != INFO}
