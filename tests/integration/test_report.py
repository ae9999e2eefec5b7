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
import junitparser
import pytest
from builders import flows_document
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
    done = report(cluster, tmp_path, report_formats=sorted(FORMS), report_flows=[FLOW], report_flow=FLOW)
    assert (done.code, done.changed) == (0, 0), done.output
    assert "report_flow: no variable of Hostfence; did you mean report_flows?" in done.text
    document = json.loads((tmp_path / "report.json").read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert {item["subject"] for item in document["not_looked_at"]} == {*("failsafes", "audit")}
    assert document["counts"]["covered"] == document["counts"]["nodes"] == 2
    assert [item["verdict"] for item in document["flows"]] == ["deny"]
    assert len(list(tmp_path.iterdir())) == len(FORMS)
    assert f"report (html): {tmp_path}/report.html" in done.text


def test_what_enforcing_would_change_is_told_rule_by_rule(cluster, tmp_path):
    rule = {"action": "Deny", "protocol": "TCP", "destination": {"ports": [9100]}}
    wanted = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "shut"},
        "spec": {"selector": "host-endpoint == 'ingress'", "order": 10, "ingress": [rule]},
    }
    staged = run_module("policies", cluster, name="edge", state="staged", definitions=[wanted], reach=False)
    assert not staged["failed"], staged["msg"]
    try:
        done = report(cluster, tmp_path)
    finally:
        run_module("policies", cluster, name="edge", state="absent", reach=False)
    assert done.code == 0, done.output
    (change,) = json.loads((tmp_path / "report.json").read_text())["difference"]["changes"]
    assert (change["action"], change["kind"], change["name"]) == (
        "added",
        "GlobalNetworkPolicy",
        "hostfence.shut",
    )
    assert [json.loads(found["rule"]) for found in change["rules"]] == [rule]


def test_an_audit_ends_with_a_report_even_if_its_gate_fails(cluster, tmp_path):
    seen = flows_document("sim-0001", 9100)
    (tmp_path / "audit" / "flows").mkdir(parents=True)
    (tmp_path / "audit" / "flows" / "sim-0001.json").write_text(json.dumps(seen))
    candidate = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "a-shut"},
        "spec": {"selector": "host-endpoint == 'ingress'", "order": 1, "ingress": [{"action": "Deny"}]},
    }
    (tmp_path / "candidate.yml").write_text(json.dumps(candidate))
    done = run_playbook(
        cluster.kubeconfig,
        "playbooks/audit.yml",
        report_dir=str(tmp_path / "out"),
        audit_directory=str(tmp_path / "audit"),
        audit_candidate=str(tmp_path / "candidate.yml"),
        audit_gate=True,
        audit_min_windows="1d",
    )
    assert done.code == 2, done.output
    assert "audit_min_windows: no variable of Hostfence; did you mean audit_min_window?" in done.text
    assert "audit: fail" in done.text
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert document["audit"]["gate"] == "fail"
    (group,) = document["audit"]["groups"]
    assert (group["verdict"], group["port"], group["connections"]) == ("deny", 9100, 4)
    assert group["decided_by"]["name"] == "a-shut"


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


def test_ansibles_own_junit_callback_works_with_verify(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("ANSIBLE_CALLBACKS_ENABLED", "ansible.builtin.junit")
    monkeypatch.setenv("JUNIT_OUTPUT_DIR", str(tmp_path))
    done = run_playbook(cluster.kubeconfig, "playbooks/verify.yml", "--tags", "report")
    assert done.code == 0, done.output
    (file,) = tmp_path.glob("*.xml")
    suites = junitparser.JUnitXml.fromfile(str(file))
    names = [case.name for suite in suites for case in suite]
    assert any(
        "hostfence.calico.report : Look at the nodes and their HostEndpoints" in name for name in names
    )
    assert (suites.failures, suites.errors) == (0, 0)
