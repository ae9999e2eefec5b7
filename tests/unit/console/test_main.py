# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command, run as people run it: a process, its output and its exit code."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.hostfence.calico.plugins.plugin_utils.console.main import parser
from ansible_collections.hostfence.calico.plugins.plugin_utils.console.source import read

from tests.unit import builders

ROOT = Path(__file__).resolve().parent.parent.parent.parent
COMMAND = ROOT / "bin" / "hostfence"
GUIDE = (ROOT / "docs" / "command.md").read_text()
NODE = builders.node("worker-1", "10.0.0.21")
ENDPOINT = builders.host_endpoint(
    "worker-1-host", node="worker-1", api=builders.V3, labels={"host-endpoint": "ingress"}
)
POLICY = builders.policy(
    "default.edge",
    api=builders.V3,
    tier="default",
    order=5,
    selector="host-endpoint == 'ingress'",
    ingress=[
        {"action": "Deny", "protocol": "TCP", "destination": {"ports": [10250]}},
        {"action": "Allow", "protocol": "TCP", "destination": {"ports": [443]}},
        {"action": "Allow", "protocol": "TCP", "source": {"domains": ["partner.example"]}},
    ],
)
# No cluster may be found by chance.
ALONE = {
    **os.environ,
    "K8S_AUTH_KUBECONFIG": "/nonexistent",
    "KUBECONFIG": "/nonexistent",
    "HOME": "/nonexistent",
}


def run(*arguments, environment=ALONE):
    command = [sys.executable, str(COMMAND), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def snapshot(tmp_path):
    file = tmp_path / "snapshot.json"
    file.write_text(json.dumps({"schema": "hostfence.snapshot/1", "objects": [NODE, ENDPOINT, POLICY]}))
    return file


@pytest.fixture
def policies(tmp_path):
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "edge.yml").write_text(yaml.safe_dump_all([ENDPOINT, POLICY], sort_keys=False))
    return folder


@pytest.mark.parametrize(
    ("service", "code", "line"),
    [
        ("tcp/10250", 1, "tier default: GlobalNetworkPolicy edge ingress rule 0 denies"),
        ("tcp/443", 0, "tier default: GlobalNetworkPolicy edge ingress rule 1 allows"),
        ("tcp/22", 0, "failsafe tcp/22"),
        ("tcp/8080", 4, "verdict: undetermined (unknown-match)"),
        ("udp/9", 1, "the end of the tier denies"),
    ],
)
def test_the_exit_code_is_the_verdict(snapshot, service, code, line):
    done = run("explain", "worker-1", "203.0.113.9", service, "--snapshot", snapshot)
    assert done.returncode == code, done.stderr
    assert line in done.stdout
    assert done.stdout.splitlines()[0].endswith(", ingress at worker-1")
    assert done.stderr == ""


def test_outbound_and_json(snapshot):
    done = run(
        "explain", "worker-1", "203.0.113.9", "tcp/443", "--outbound", "--json", "--snapshot", snapshot
    )
    answer = json.loads(done.stdout)
    assert (answer["flow"]["source"], answer["flow"]["direction"]) == ("10.0.0.21", "egress")
    assert answer["verdict"] == "allow"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["worker-9", "203.0.113.9", "tcp/22"], "NODE: 'worker-9': no such node; known are worker-1"),
        (["worker-1", "203.0.113.300", "tcp/22"], "PEER: '203.0.113.300': an IPv4 or IPv6 address"),
        (["worker-1", "2001:db8::9", "tcp/22"], "no IPv6 address of it is known; give it with --address"),
        (["worker-9", "partner", "tcp/22"], "PEER: 'partner': an IPv4 or IPv6 address"),
        (["worker-1", "203.0.113.9", "tcp/22", "--address", "here"], "--address: 'here': an IPv4 or IPv6"),
        (["worker-1", "203.0.113.9", "tcp/ssh"], "PROTOCOL/PORT: 'tcp/ssh'"),
        (["worker-1", "203.0.113.9", "xyz/22"], "protocol"),
        (["worker-1", "203.0.113.9", "tcp/70000"], "destination_port"),
    ],
)
def test_wrong_input_is_one_line(snapshot, arguments, says):
    done = run("explain", *arguments, "--snapshot", snapshot)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


def test_no_cluster_is_told_apart_from_wrong_input():
    done = run("explain", "worker-1", "203.0.113.9", "tcp/22")
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "text",
    [
        '{"schema": "hostfence.snapshot/9"}',
        '{"schema": "hostfence.snapshot/1", "objects": 1}',
        '{"schema": "hostfence.snapshot/1", "objects": [{"kind": "Node"}]}',
        '{"kind": "List", "items": [{"kind": "Node", "metadata": null}]}',
        '{"replicas": 3}',
        "[",
    ],
)
@pytest.mark.parametrize(
    "command", [["lint"], ["explain", "n", "192.0.2.1", "tcp/22", "--address", "192.0.2.2"]]
)
def test_a_snapshot_that_is_none_is_one_line(tmp_path, command, text):
    file = tmp_path / "bad.json"
    file.write_text(text)
    done = run(*command, "--snapshot", file)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.stderr


def test_a_path_that_is_not_there_is_called_so():
    done = run("lint", "/nonexistent/policies")
    assert done.stderr == "hostfence: PATH: '/nonexistent/policies': no such file or directory\n"
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        (None, ["--at", "yesterday"], "--at: 'yesterday': must be a time in UTC such as"),
        (None, ["--at", "2026-13-28T16:30:00Z"], "--at: '2026-13-28T16:30:00Z'"),
        ("[]", [], "must be a report with the schema"),
        ('{"schema": "hostfence.report/1"}', [], "the document is no whole report"),
        ('{"schema": "hostfence.report/1"}', ["--formats", "html"], "the document is no whole report"),
    ],
)
def test_a_report_of_what_is_none_is_one_line(snapshot, tmp_path, text, options, says):
    if text is None:
        asked = ["--snapshot", snapshot]
    else:
        (tmp_path / "given.json").write_text(text)
        asked = ["--from", tmp_path / "given.json"]
    done = run("report", *asked, "--dir", tmp_path / "out", "--formats", "prometheus", *options)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert says in done.stderr


def test_lint_names_file_and_line(policies):
    rule = {"action": "Deny", "source": {"nets": ["10.0.0.0/33"]}}
    spec = {"selector": "all()", "types": ["Ingress"], "ingress": [rule]}
    trap = {**POLICY, "metadata": {"name": "trap"}, "spec": spec}
    (policies / "trap.yml").write_text("# a comment\n" + yaml.safe_dump(trap, sort_keys=False))
    done = run("lint", policies)
    assert done.returncode == 1
    places = dict(re.findall(r"^(\S+/trap\.yml:\d+): error: (\S+):", done.stdout, re.MULTILINE))
    numbers = {rule: int(place.rpartition(":")[2]) for place, rule in places.items()}
    lines = (policies / "trap.yml").read_text().splitlines()
    assert "10.0.0.0/33" in lines[numbers["invalid-net"] - 1]
    results = json.loads(run("lint", policies, "--format", "sarif").stdout)["runs"][0]["results"]
    assert {r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in results} >= {
        str(policies / "trap.yml")
    }


@pytest.mark.parametrize(("fail_on", "code"), [("none", 0), ("error", 0), ("warning", 1), ("info", 1)])
def test_lint_fails_on_what_is_asked(snapshot, fail_on, code):
    findings = json.loads(run("lint", "--snapshot", snapshot, "--format", "json").stdout)
    assert {finding["severity"] for finding in findings} >= {"warning"}
    assert "error" not in {finding["severity"] for finding in findings}
    assert run("lint", "--snapshot", snapshot, "--fail-on", fail_on).returncode == code


def test_diff_says_what_would_change_and_for_which_packets(snapshot, tmp_path):
    changed = {**POLICY, "metadata": {"name": "edge"}, "spec": {**POLICY["spec"], "order": 7, "ingress": []}}
    (tmp_path / "new.yml").write_text(yaml.safe_dump(changed))
    flow = {"node": "worker-1", "direction": "ingress", "protocol": "TCP", "source": "203.0.113.9",
            "destination": "10.0.0.21", "destination_port": 443}  # fmt: skip
    (tmp_path / "flows.yml").write_text(yaml.safe_dump([flow, {**flow, "destination_port": 22}]))
    done = run("diff", tmp_path / "new.yml", "--snapshot", snapshot, "--flows", tmp_path / "flows.yml")
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == [
        "~ GlobalNetworkPolicy edge",
        "    order: 5 -> 7",
        '    - ingress[0]: {"action": "Deny", "destination": {"ports": [10250]}, "protocol": "TCP"}',
        '    - ingress[1]: {"action": "Allow", "destination": {"ports": [443]}, "protocol": "TCP"}',
        '    - ingress[2]: {"action": "Allow", "protocol": "TCP", '
        '"source": {"domains": ["partner.example"]}}',
        "allow -> deny: TCP 203.0.113.9 -> 10.0.0.21:443 at worker-1 (end-of-tier)",
    ]


def test_diff_of_the_same_says_nothing(snapshot, policies):
    same = run("diff", snapshot, "--whole", "--snapshot", snapshot)
    assert (same.returncode, same.stdout) == (0, "")
    assert run("diff", policies, "--snapshot", snapshot).returncode == 0
    gone = run("diff", policies, "--snapshot", snapshot, "--whole")
    assert gone.stdout == ""


def test_report_says_that_no_kernel_was_read(snapshot, tmp_path):
    where = ["--dir", tmp_path / "out", "--at", "2026-11-28T16:30:00Z"]
    done = run("report", "--snapshot", snapshot, "--formats", "json", *where)
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    assert document["counts"]["covered"] == 1
    assert "failsafes" in {item["subject"] for item in document["not_looked_at"]}
    assert "no kernel was read" in done.stdout
    again = run("report", "--from", tmp_path / "out" / "report.json", "--formats", "html,junit", *where)
    assert again.returncode == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.json", "report.html", "junit.xml"}


def test_what_moves_the_cursor_is_shown(snapshot):
    text = snapshot.read_text().replace("default.edge", "edge\\u001b[2J")
    snapshot.write_text(text)
    done = run("explain", "worker-1", "203.0.113.9", "tcp/443", "--snapshot", snapshot)
    assert "\x1b" not in done.stdout
    assert "\\x1b[2J" in done.stdout


@pytest.mark.parametrize("typed", ["", "exp", "lint --fail-on ", "lint --f", "completion "])
def test_bash_completes(typed):
    script = run("completion", "bash").stdout
    words = typed + ('""' if typed.endswith(" ") or not typed else "")
    index = "$((${#COMP_WORDS[@]}-1))"
    shown = """printf '%s\\n' "${COMPREPLY[@]}\""""
    ask = f"COMP_WORDS=(hostfence {words}); COMP_CWORD={index}; _hostfence; {shown}"
    done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True)
    wanted = {
        "": {"explain", "lint", "diff", "report", "snapshot", "completion"},
        "exp": {"explain"},
        "lint --fail-on ": {"none", "info", "warning", "error"},
        "lint --f": {"--fail-on", "--format"},
        "completion ": {"bash", "zsh"},
    }[typed]
    assert set(done.stdout.split()) == wanted


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh on this machine")
def test_zsh_takes_the_script():
    subprocess.run(["zsh", "-fc", run("completion", "zsh").stdout], check=True)


def test_the_guide_names_every_command_and_option():
    for action in parser()._subparsers._group_actions[0].choices.values():
        for option in action._actions:
            for name in option.option_strings:
                assert name == "-h" or name == "--help" or f"`{name}" in GUIDE, name
        assert f"hostfence {action.prog.split()[-1]}" in GUIDE


def test_a_list_of_one_kind_is_read_as_the_api_gives_it_out(tmp_path):
    """Its items leave kind and version out."""
    path = tmp_path / "tiers.json"
    tier = {"metadata": {"name": "edge"}, "spec": {"order": 5}}
    path.write_text(json.dumps({"kind": "TierList", "apiVersion": "projectcalico.org/v3", "items": [tier]}))
    assert [item["kind"] for item in read(str(path)).objects] == ["Tier"]
