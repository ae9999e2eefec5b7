# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Flows judged by several processes: the result is that of one."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.audit import Audit
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.remedy import RemedyOptions
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.report import Asked, conclude
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.dataplanes import Dataplanes
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import Options
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import flow_judging

from tests.unit.calico.audit.watched import ENOUGH, ONLY_WEB, cluster, document, record

NODES = 7


def written(folder: Path, *, ports: int) -> list[Path]:
    """Documents of nodes, with flows of every group, peers by the hundred, and some that cannot be read."""
    paths = []
    for number in range(1, NODES + 2):
        pick = random.Random(number)
        flows = [
            record(
                f"198.51.{pick.randrange(3)}.{pick.randrange(200)}",
                pick.choice((22, 443, *range(9000, 9000 + ports))),
                count=pick.randrange(1, 9),
                older_than_window=pick.random() < 0.1,
                owner={"process": "one"},
            )
            for _ in range(300)
        ]
        path = folder / f"n{number}.json"
        # The last node is none of the cluster's.
        interfaces = {"eth0": [f"10.0.3.{number}/24"]}
        path.write_text(json.dumps(document(*flows, {"flow": 1}, of=f"n{number}", interfaces=interfaces)))
        paths.append(path)
    return paths


def result(paths: list[Path], processes: int) -> dict:
    objects = cluster(ONLY_WEB, nodes=NODES)
    audit = Audit(objects, Options(calico_version="v3.32.1"), Dataplanes(objects))
    flow_judging.judge(audit, paths, processes)
    return conclude(audit, Asked(RemedyOptions("none", {}), (), ENOUGH, 1000, anonymise=False))


@pytest.mark.parametrize("processes", [2, 3, 20])
def test_several_processes_come_to_what_one_does(tmp_path, processes):
    paths = written(tmp_path, ports=40)

    assert result(paths, processes) == result(paths, 1)


def test_more_ports_than_are_kept_apart_stay_bounded_and_all_flows_are_counted(tmp_path):
    paths = written(tmp_path, ports=500)

    several, one = result(paths, 3), result(paths, 1)

    assert several["counts"] == one["counts"]
    for group in ("would_deny", "established_only"):
        rows = [row for row in several["rows"] if row["group"] == group]
        assert sum(row["flows"] for row in rows) == one["counts"][group]
        assert len(rows) <= 65


@pytest.mark.parametrize("number", range(NODES))
def test_a_file_that_is_no_document_is_the_same_error_in_whosever_share_it_is(tmp_path, number):
    paths = written(tmp_path, ports=1)
    paths[number].write_text("{}")

    with pytest.raises(BadInput) as refused:
        result(paths, 3)

    assert str(paths[number]) in str(refused.value)
    # No child is left behind.
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
