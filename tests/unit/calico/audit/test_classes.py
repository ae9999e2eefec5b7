# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an audit judges once for many flows is what the engine says of each of them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.audit import Audit
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.observed import ObservedFlow
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.dataplanes import Dataplanes
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.flow import parse_flow
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.interface_owner import (
    parse_nodes,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import (
    Options,
    judge_objects,
)

Object = dict[str, Any]
CASES = sorted((Path(__file__).parents[2] / "recordings" / "cases").glob("*.json"))


def varied(packets: list[Object], chance: random.Random) -> list[Object]:
    """The recorded packets, and others near them: addresses of one net that rules tell apart, or not."""
    made = []
    for packet in packets:
        other = dict(packet)
        head, separator, _last = packet["source"].rpartition("." if "." in packet["source"] else ":")
        other["source"] = f"{head}{separator}{chance.randint(1, 250) if separator == '.' else '9'}"
        made += [packet, other]
    return made


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_every_flow_gets_the_verdict_that_it_gets_alone(path: Path) -> None:
    recorded = json.loads(path.read_text())
    dataplane, version = recorded["dataplane"], recorded["calico_version"]
    chance = random.Random(path.stem)
    judged = 0
    for case in recorded["cases"]:
        # Half of the policies staged, so that both programs are asked.
        objects = [
            {**item, "kind": "StagedGlobalNetworkPolicy"}
            if item["kind"] == "GlobalNetworkPolicy" and chance.random() < 0.5
            else item
            for item in case["objects"]
        ]
        packets = varied([packet for probe in case["flows"] for packet in probe["all_of"]], chance)
        nodes = parse_nodes(case["nodes"])
        options = Options(staged="compare", dataplane=dataplane, calico_version=version)
        alone = judge_objects(objects, packets, nodes, options)
        audit = Audit(objects, options, Dataplanes(objects, None, dataplane), nodes)
        for packet, verdict in zip(packets, alone):
            observed = ObservedFlow(parse_flow(packet), 1, None, False, True, False, None, None, "")
            _group, now, _then = audit.judge(observed)
            then, expected = now.staged or now, verdict.staged or verdict
            assert (now.verdict, now.reason_code, now.decided_by) == (
                verdict.verdict,
                verdict.reason_code,
                verdict.decided_by,
            ), packet
            assert (then.verdict, then.reason_code) == (expected.verdict, expected.reason_code), packet
            judged += 1
    assert judged
