# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""report.yml, and the command hostfence, on a real API server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from module_run import run_module
from role_run import run_playbook

pytestmark = pytest.mark.one_flavour

ROOT = Path(__file__).resolve().parent.parent.parent
SCHEMA = json.loads((ROOT / "docs" / "report.schema.json").read_text())
FORMS = {"html", "json", "junit", "sarif", "markdown", "prometheus"}
FLOW = {
    "node": "sim-0001",
    "direction": "ingress",
    "protocol": "TCP",
    "source": "192.0.2.9",
    "destination": "100.64.0.1",
    "destination_port": 10250,
}
POLICY = {
    "selector": "host-endpoint == 'ingress'",
    "types": ["Ingress"],
    "ingress": [
        {"action": "Deny", "protocol": "TCP", "destination": {"ports": [10250]}},
        {"action": "Allow"},
    ],
}


@pytest.fixture(scope="module")
def cluster(api):
    api.reset()
    api.add_nodes(2)
    assert not run_module("host_endpoints", api)["failed"]
    api.create("GlobalNetworkPolicy", "edge", POLICY)
    return api


def report(cluster, folder, *flags, **variables):
    return run_playbook(
        cluster.kubeconfig, "playbooks/report.yml", *flags, report_dir=str(folder), **variables
    )


def test_all_forms_are_written_and_nothing_counts_as_changed(cluster, tmp_path):
    done = report(cluster, tmp_path, report_formats=sorted(FORMS), report_flows=[FLOW])
    assert (done.code, done.changed) == (0, 0), done.output
    document = json.loads((tmp_path / "report.json").read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert {item["subject"] for item in document["not_looked_at"]} == {
        *("failsafes", "audit", "transaction", "difference")
    }
    assert document["counts"]["covered"] == document["counts"]["nodes"] == 2
    assert [item["verdict"] for item in document["flows"]] == ["deny"]
    assert len(list(tmp_path.iterdir())) == len(FORMS)
    assert f"report (html): {tmp_path}/report.html" in done.text


def test_a_look_writes_nothing(cluster, tmp_path):
    done = report(cluster, tmp_path / "none", "--check")
    assert (done.code, done.changed) == (0, 0), done.output
    assert not (tmp_path / "none").exists()
    assert "(not written in check mode)" in done.text


def test_a_pipeline_fails_after_the_report_is_written(cluster, tmp_path):
    done = report(cluster, tmp_path, report_fail_on="attention")
    assert done.code == 2, done.output
    assert "no kernel was read" in done.text
    assert (tmp_path / "report.html").exists()


def test_what_cannot_be_written_is_one_line(cluster, tmp_path):
    (tmp_path / "file").write_text("")
    done = report(cluster, tmp_path / "file" / "below")
    assert done.code != 0
    assert "cannot be written to: Not a directory" in done.text
    assert "Traceback" not in done.output


def command(cluster, *arguments):
    return subprocess.run(
        [sys.executable, str(ROOT / "bin" / "hostfence"), *map(str, arguments)],
        env={**os.environ, "K8S_AUTH_KUBECONFIG": cluster.kubeconfig},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_answers_from_the_live_cluster_as_from_its_snapshot(cluster, tmp_path):
    asked = ("explain", "sim-0001", "192.0.2.9", "tcp/10250", "--address", "100.64.0.1")
    live = command(cluster, *asked)
    assert live.returncode == 1, live.stderr
    assert command(cluster, "snapshot", tmp_path / "s.json").returncode == 0
    kept = command(cluster, *asked, "--snapshot", tmp_path / "s.json")
    assert (kept.returncode, kept.stdout) == (live.returncode, live.stdout)
    assert command(cluster, "diff", tmp_path / "s.json", "--whole").returncode == 0
