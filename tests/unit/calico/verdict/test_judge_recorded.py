# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The engine against what a real kernel did with the rules that a real Felix (v3.32.1) rendered.

Each recorded probe lists the packets that all had to pass; recordings/cases/README.md has the format.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.interface_owner import (
    parse_nodes,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import (
    Options,
    judge_objects,
)

CASES = sorted((Path(__file__).parents[2] / "recordings" / "cases").glob("*.json"))
PROBES = 2139


def agreement(path: Path) -> tuple[int, list[str]]:
    """Number of recorded probes in a file, and those that the engine answers otherwise."""
    recorded = json.loads(path.read_text())
    options = Options(dataplane=recorded["dataplane"], calico_version=recorded["calico_version"])
    count, wrong = 0, []
    for case in recorded["cases"]:
        packets = [packet for probe in case["flows"] for packet in probe["all_of"]]
        verdicts = iter(judge_objects(case["objects"], packets, parse_nodes(case["nodes"]), options))
        for probe in case["flows"]:
            answers = {next(verdicts).verdict for _packet in probe["all_of"]}
            ours = "allow" if answers == {"allow"} else "deny" if "deny" in answers else "undetermined"
            count += 1
            if ours != probe["expect"]:
                wrong.append(f"{case['name']} {probe['label']}: the kernel {probe['expect']}, ours {ours}")
    return count, wrong


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_agrees_with_the_kernel(path: Path, record_property: pytest.FixtureRequest) -> None:
    count, wrong = agreement(path)
    record_property("agree", f"{count - len(wrong)} of {count}")  # type: ignore[operator]
    assert wrong == []


def test_every_recorded_probe_was_asked(capsys: pytest.CaptureFixture[str]) -> None:
    results = {path.stem: agreement(path) for path in CASES}
    asked = sum(count for count, _wrong in results.values())
    agreed = asked - sum(len(wrong) for _count, wrong in results.values())
    with capsys.disabled():
        print(f"\n{agreed} of {asked} recorded probes agree with the kernel")
    assert asked == PROBES
