# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The failsafe check against what a real Felix wrote, as it is and damaged in every way that matters."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe import (
    ruleset as failsafe_rules,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.check import verify
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.expectation import (
    Expectation,
    expect,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.ruleset import Ruleset
from ansible_collections.hostfence.calico.plugins.module_utils.calico.finding import ERROR, INFO, WARNING
from ansible_collections.hostfence.calico.plugins.module_utils.node import iptables_save, nft_json
from ansible_collections.hostfence.calico.plugins.module_utils.node.kernel import felix_file

from tests.unit.node import failsafe_mutations

RECORDINGS = Path(__file__).resolve().parent.parent / "recordings"
STATES = sorted(path for path in (RECORDINGS / "felix" / "dumps").glob("*/*"))
OF_IPTABLES = [state for state in STATES if (state / "iptables-save.txt").exists()]
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


# Rules of the elements below, which stay; what differs from them is a copy.
recorded: set[int] = set()


@cache
def nft_elements(state: Path) -> list[dict[str, Any]]:
    elements: list[dict[str, Any]] = json.loads((state / "nft-ruleset.json").read_text())["nftables"]
    recorded.update(id(element["rule"]) for element in elements if "rule" in element)
    return elements


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
        patch.setattr(failsafe_rules, "follow", lru_cache(maxsize=None)(failsafe_rules.follow))
        patch.setattr(nft_json, "read_rule", read_once)
        yield


read_rule = nft_json.read_rule
read_before: dict[tuple[int, str], failsafe_rules.DumpedRule] = {}


def read_once(rule: dict[str, Any], layer: str) -> failsafe_rules.DumpedRule:
    if id(rule) not in recorded:
        return read_rule(rule, layer)
    key = id(rule), layer
    if key not in read_before:
        read_before[key] = read_rule(rule, layer)
    return read_before[key]


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


MORE = sorted(path.parent for path in (RECORDINGS / "felix" / "more").glob("*/*/case.json"))


def more_expectation(state: Path) -> Expectation:
    case = json.loads((state / "case.json").read_text())
    return expect(
        case["objects"],
        case["node"],
        case["interfaces"],
        case.get("environment"),
        case["calico_version"],
        felix_file(case.get("felix_cfg", "")),
    )


def all_rulesets(state: Path) -> list[Ruleset]:
    """Of every dump of a state: a node with iptables has nftables rules of other programs, too."""
    read = []
    if (state / "iptables-save.txt").exists():
        read += [iptables_save.parse(lines, family) for family, lines in iptables_lines(state).items()]
    if (state / "nft-ruleset.json").exists():
        read += nft_json.parse([(state / "nft-ruleset.json").read_text()])
    return read


@pytest.mark.parametrize("state", MORE, ids=name)
def test_other_configurations_and_versions_are_clean(state: Path) -> None:
    findings = verify(more_expectation(state), all_rulesets(state))
    assert [str(item) for item in findings if item.severity == ERROR] == []
    # What stands there besides Calico, or needs OpenStack, may be worth a look.
    expected = {"firewalld": {"foreign.drop"}, "append-with-foreign": {"foreign.drop"},
                "prefixes": {"hash.unverified"}}.get(state.name, set())  # fmt: skip
    assert {item.id for item in findings if item.severity == WARNING} <= expected


def test_all_of_the_other_configurations_are_here() -> None:
    assert len(MORE) == 30


@pytest.mark.parametrize("state", MORE, ids=name)
def test_damage_to_other_configurations_is_found(state: Path) -> None:
    """One damage in twenty, or this would take as long as all other tests together."""
    expected, healthy = more_expectation(state), all_rulesets(state)
    known = told(expected, healthy)
    total, missed = 0, []
    for number, (label, damaged) in enumerate(damages(state, healthy)):
        if number % 20 or about_pods(label):
            continue
        total += 1
        if told(expected, damaged()) <= known:
            missed.append(label)
    print(f"{name(state)}: {total - len(missed)}/{total} mutations found")
    assert missed == []


VERSIONS = sorted((RECORDINGS / "felix" / "versions").glob("*/*/*"))


def test_other_versions_of_iptables_and_nft_are_here() -> None:
    assert {state.parent.parent.name for state in VERSIONS} == {
        *("iptables-1.8.7", "iptables-1.8.11"),
        *("nft-0.9.8", "nft-1.1.3"),
    }


@pytest.mark.parametrize("state", VERSIONS, ids=lambda state: f"{state.parent.parent.name}/{state.name}")
def test_what_other_versions_list_is_clean_and_its_damage_is_found(state: Path) -> None:
    expected, healthy = expectation(state), all_rulesets(state)
    assert [str(item) for item in verify(expected, healthy)] == []
    total, missed = 0, []
    for number, (label, damaged) in enumerate(damages(state, healthy)):
        if number % 20:
            continue
        total += 1
        if not told(expected, damaged()):
            missed.append(label)
    print(f"{state.parent.parent.name}/{state.name}: {total - len(missed)}/{total} mutations found")
    assert missed == []


def test_an_older_reader_than_felixs_own_iptables_is_named_as_a_cause() -> None:
    """What 1.8.7 shows of a mark that 1.8.9 has written: nothing."""
    state = RECORDINGS / "felix" / "dumps" / "classes-iptables-nft" / "11-eth0hep-all"
    cut = re.compile(r"-m mark --mark \S+ ")
    read = [
        iptables_save.parse([cut.sub("", line) for line in lines], family)
        for family, lines in iptables_lines(state).items()
    ]
    broken = [item for item in verify(expectation(state), read) if item.id == "hash.broken"]
    assert broken
    assert all("older than the iptables inside calico-node" in item.remedy for item in broken)


def damages(state: Path, healthy: list[Ruleset]) -> Iterator[tuple[str, Callable[[], list[Ruleset]]]]:
    if (state / "iptables-save.txt").exists():
        for family, lines in iptables_lines(state).items():
            rest = [
                ruleset for ruleset in healthy if ruleset.family != family or ruleset.dialect == "nftables"
            ]
            for label, damaged in failsafe_mutations.iptables(lines):
                yield (
                    f"IPv{family} {label}",
                    lambda d=damaged, f=family, r=rest: [iptables_save.parse(d, f), *r],
                )
    else:
        for label, elements in failsafe_mutations.nftables(nft_elements(state)):
            yield label, lambda e=elements: read_nft(e)


def about_pods(label: str) -> bool:
    """Chains of pods and profiles are not judged: no packet of the host passes them."""
    pods = r"cali-((fw|tw|pri|pro)-|(from|to)-wl-dispatch|p[io]-\S*pods)"
    return bool(re.match(rf"(IPv. )?(jump removed|chain) (ip6? )?(filter-)?{pods}", label))


@pytest.mark.parametrize("state", STATES, ids=name)
def test_every_damage_is_found(state: Path) -> None:
    expected = expectation(state)
    whole = {ruleset.family: ruleset for ruleset in rulesets(state)}
    known = {family: told(expected, [ruleset]) for family, ruleset in whole.items()}
    total, missed = 0, []

    def judge(label: str, damaged: list[Ruleset]) -> None:
        nonlocal total
        total += 1
        # A family to which nothing happened is judged only where it tells that the other is absent.
        touched = [ruleset for ruleset in damaged if ruleset != whole[ruleset.family]]
        judged = touched if all(ruleset.holds_calico for ruleset in touched) else damaged
        if not judged or told(expected, judged) <= set().union(*(known[item.family] for item in judged)):
            missed.append(label)

    if state in OF_IPTABLES:
        for family, lines in iptables_lines(state).items():
            for label, damaged in failsafe_mutations.iptables(lines):
                judge(f"IPv{family} {label}", [iptables_save.parse(damaged, family)])
    else:
        for label, elements in failsafe_mutations.nftables(nft_elements(state)):
            judge(label, read_nft(elements))
    print(f"{name(state)}: {total - len(missed)}/{total} mutations found")
    assert missed == []


@pytest.mark.parametrize("state", OF_IPTABLES, ids=name)
@pytest.mark.parametrize("family", [4, 6])
def test_a_family_that_is_left_out_or_empty_is_found(state: Path, family: int) -> None:
    expected = expectation(state)
    whole = rulesets(state)
    [other] = [ruleset for ruleset in whole if ruleset.family != family]
    known = told(expected, whole)
    assert told(expected, [other]) - known
    assert told(expected, [iptables_save.parse([], family), other]) - known


def told(expected: Expectation, damaged: list[Ruleset]) -> set[str]:
    """What is worth a look, or worse."""
    return {str(item) for item in verify(expected, damaged) if item.severity != INFO}
