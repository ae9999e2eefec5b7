# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is no listing of nftables, or one that means ill: no crash, no ``ok``, no more memory than needed."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.check import verify
from ansible_collections.hostfence.calico.plugins.module_utils.calico.finding import Finding, is_ok
from ansible_collections.hostfence.calico.plugins.module_utils.node import nft_json

from tests.unit.node.test_failsafe_recordings import RECORDINGS, expectation

STATE = RECORDINGS / "felix" / "dumps" / "classes-nftables" / "11-eth0hep-all"
TEXT = (STATE / "nft-ruleset.json").read_text()
HEAD = '{"nftables": [{"metainfo": {"json_schema_version": 1}}'


def judged(*chunks: str) -> list[Finding]:
    return verify(expectation(STATE), nft_json.parse(chunks))


def ids(*chunks: str) -> set[str]:
    return {finding.id for finding in judged(*chunks)}


def test_the_text_may_come_in_pieces_of_any_size() -> None:
    assert judged(*(TEXT[at : at + 7] for at in range(0, len(TEXT), 7))) == []


@pytest.mark.parametrize("share", [0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
def test_a_truncated_listing_is_never_ok(share: float) -> None:
    assert "dump.unreadable" in ids(TEXT[: int(len(TEXT) * share)])


@pytest.mark.parametrize(
    "text",
    [
        "", "hello", "{}", "[]", "null", '{"nftables": []}', '{"nftables": {}}', HEAD + "]}", HEAD + ", 3]}",
        HEAD + ", null]}", HEAD + ',{"rule": ' * 5000, "[" * 100_000, TEXT + TEXT, TEXT + "x",
        "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n",
    ],
    ids=lambda text: text[:24],
)  # fmt: skip
def test_what_is_no_listing_is_never_ok(text: str) -> None:
    assert not is_ok(judged(text))


def test_binary_data_is_never_ok() -> None:
    noise = random.Random(1).randbytes(100_000).decode("utf-8", "replace")
    assert "dump.unreadable" in ids(noise)
    assert "dump.unreadable" in ids(TEXT[:90_000] + noise[:3000] + TEXT[90_000:])


def element(chain: str, comment: str, *expression: Any) -> str:
    rule = {"family": "ip", "table": "calico", "chain": chain, "comment": comment, "expr": list(expression)}
    return json.dumps({"rule": rule})


DROP = {"drop": None}
IMITATIONS = [
    element("filter-cali-failsafe-in", "cali:wWFQM43tJU7wwnFZ;", DROP),
    element("filter-cali-failsafe-in", "cali:AAAAAAAAAAAAAAAA; cali:wWFQM43tJU7wwnFZ;", DROP),
    element("filter-INPUT", "cali:Cz_u1IQiXIMmKD4c;", DROP),
    element("filter-cali-INPUT", "jump filter-cali-from-host-endpoint", DROP),
]


@pytest.mark.parametrize("rule", IMITATIONS)
def test_comments_that_imitate_calicos_do_not_deceive(rule: str) -> None:
    chain = json.loads(rule)["rule"]["chain"]
    elements = json.loads(TEXT)["nftables"]
    first = next(
        at for at, item in enumerate(elements)
        if item.get("rule", {}).get("chain") == chain and item["rule"]["family"] == "ip"
    )  # fmt: skip
    elements.insert(first, json.loads(rule))
    assert not is_ok(judged(json.dumps({"nftables": elements})))


ODD: list[Any] = [None, True, -1, "x", [], {}, [[]], {"set": None}, {"prefix": {}}, {"range": [1]}, "\0"]


def test_members_of_the_wrong_type_are_no_crash_and_no_ok() -> None:
    generator = random.Random(5)

    def spoilt(value: Any) -> Any:
        if generator.random() < 0.08:
            return generator.choice(ODD)
        if isinstance(value, dict):
            return {key: spoilt(item) for key, item in value.items()}
        return [spoilt(item) for item in value] if isinstance(value, list) else value

    elements = json.loads(TEXT)["nftables"]
    at_stake = [
        at for at, item in enumerate(elements)
        if "failsafe" in str(item.get("rule", {}).get("chain")) and item["rule"]["family"] != "arp"
    ]  # fmt: skip
    for at in at_stake:
        damaged = spoilt(elements[at])
        if damaged != elements[at]:
            changed = [*elements[:at], damaged, *elements[at + 1 :]]
            findings = verify(expectation(STATE), nft_json.parse([json.dumps({"nftables": changed})]))
            harmless = _same_rule(damaged, elements[at])
            assert harmless or not is_ok(findings), damaged


def _same_rule(damaged: Any, original: Any) -> bool:
    """Counters and handles say nothing."""

    def said(item: Any) -> Any:
        rule = item.get("rule") if isinstance(item, dict) else None
        if not isinstance(rule, dict) or not isinstance(rule.get("expr"), list):
            return item
        expressions = [
            part for part in rule["expr"] if not (isinstance(part, dict) and set(part) == {"counter"})
        ]
        return {
            **{key: rule.get(key) for key in ("family", "table", "chain", "comment")},
            "expr": expressions,
        }

    return bool(said(damaged) == said(original))


CROWD = """
import json, resource, sys
from ansible_collections.hostfence.calico.plugins.module_utils.node import nft_json

def crowd(text, rules):
    table = {"family": "ip", "table": "crowd"}
    yield text.rstrip().removesuffix("]}")
    for number in range(rules // 4):
        yield ", " + json.dumps({"chain": {**table, "name": f"X{number}"}})
    for number in range(rules):
        jump = {"jump": {"target": f"X{number % 1000}"}}
        rule = {**table, "chain": f"X{number // 4}", "comment": "cali:wWFQM43tJU7wwnFZ;", "expr": [jump]}
        yield ", " + json.dumps({"rule": rule})
    yield "]}"

def endless():
    yield '{"nftables": [{"metainfo": {}}, {"set": {"elem": ['
    for _ in range(1000):
        yield "1," * 32768

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
chunks = endless() if sys.argv[1] == "endless" else crowd(open(sys.argv[1]).read(), 200_000)
rulesets = nft_json.parse(chunks)
peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
print(json.dumps([peak, *(ruleset.problems for ruleset in rulesets)]))
"""


def memory(source: str) -> list[Any]:
    """MiB that reading took, and the problems of each family, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", CROWD, source], capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


def test_200_000_rules_cost_bounded_memory() -> None:
    peak, *problems = memory(str(STATE / "nft-ruleset.json"))
    assert problems == [[], []]
    assert peak < 100


def test_an_element_without_end_is_refused_and_not_held() -> None:
    peak, *problems = memory("endless")
    assert all(problems)
    assert peak < 400
