# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Event-Driven Ansible: the event source on a real API server, and the rulebook in ansible-rulebook."""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import kubernetes
import pytest
import yaml
from role_run import ROOT
from waiting import eventually

pytestmark = pytest.mark.one_flavour

EDA = ROOT / "extensions" / "eda"
spec = importlib.util.spec_from_file_location("nodes", EDA / "plugins" / "event_source" / "nodes.py")
source = importlib.util.module_from_spec(spec)
spec.loader.exec_module(source)
RULEBOOK = EDA / "rulebooks" / "nodes.yml"


@pytest.fixture
def events(clean_api):
    """Follows the Nodes in a thread, as the plugin does."""
    clean_api.add_nodes(1)
    found: queue.Queue = queue.Queue()
    api = kubernetes.client.CoreV1Api(clean_api.client())
    known = source.Nodes(present=True)

    def follow():
        with suppress(Exception):
            source.keep_following(api, known, found.put)

    threading.Thread(target=follow, daemon=True).start()
    return found


def next_of(events):
    event = events.get(timeout=60)
    return event["node"], event["change"]


def test_nodes_join_change_and_leave(clean_api, events):
    assert next_of(events) == ("sim-0001", "present")
    clean_api.add_nodes(1, first=2)
    assert next_of(events) == ("sim-0002", "joined")
    path = "/api/v1/nodes/sim-0002"
    heartbeat = {"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "test"}]}}
    clean_api.admin.patch(f"{path}/status", heartbeat)
    clean_api.admin.patch(path, {"metadata": {"labels": {"zone": "a"}}})
    assert next_of(events) == ("sim-0002", "changed")
    clean_api.admin.patch(path, {"metadata": {"annotations": {source.CALICO_ADDRESSES[0]: "10.9.9.9/24"}}})
    assert next_of(events) == ("sim-0002", "changed")
    clean_api.admin.delete(path)
    assert next_of(events) == ("sim-0002", "left")
    assert events.empty()


def test_what_happened_without_a_watch_is_seen_by_the_next_listing(clean_api):
    clean_api.add_nodes(3)
    api = kubernetes.client.CoreV1Api(clean_api.client())
    known = source.Nodes(present=False)
    assert list(known.listed(api.list_node().items)) == []
    clean_api.admin.delete("/api/v1/nodes/sim-0001")
    clean_api.admin.patch("/api/v1/nodes/sim-0002", {"metadata": {"labels": {"zone": "b"}}})
    clean_api.add_nodes(1, first=4)
    assert [tuple(event.values()) for event in known.listed(api.list_node().items)] == [
        ("sim-0001", "left"),
        ("sim-0002", "changed"),
        ("sim-0004", "joined"),
    ]


def test_the_rulebook_asks_for_what_the_source_documents():
    (ruleset,) = yaml.safe_load(RULEBOOK.read_text())
    ((name, given),) = ((key, value) for key, value in ruleset["sources"][0].items() if key != "name")
    assert name == "hostfence.calico.nodes"
    assert set(given) <= set(yaml.safe_load(source.DOCUMENTATION)["options"])
    assert "localhost" in ruleset["hosts"].split(",")
    (rule,) = ruleset["rules"]
    playbook = rule["action"]["run_playbook"]["name"].rpartition(".")[2]
    assert (ROOT / "playbooks" / f"{playbook}.yml").is_file()
    for change in ("present", "joined", "changed", "left"):
        assert f'"{change}"' in rule["condition"]


def test_the_cron_job_of_the_guide_is_one_that_the_api_takes(clean_api):
    page = (ROOT / "docs" / "ecosystem.md").read_text()
    (text,) = re.findall(r"```yaml\n(apiVersion: batch.*?)```", page, re.DOTALL)
    manifest = {**yaml.safe_load(text)}
    manifest["metadata"]["namespace"] = "kube-system"
    taken = clean_api.admin.post(
        "/apis/batch/v1/namespaces/kube-system/cronjobs", manifest, dryRun="All", fieldValidation="Strict"
    )
    assert taken["kind"] == "CronJob"


@contextmanager
def rulebook(api, folder):
    """ansible-rulebook at work with the shipped rulebook, the log of which is a file."""
    (folder / "hosts.yml").write_text("nodes:\n  hosts: {}\n")
    given = {
        "hostfence_kubeconfig": api.kubeconfig,
        "hostfence_context": None,
        "policies_sets": [],
    }
    (folder / "vars.json").write_text(json.dumps(given))
    command = ["ansible-rulebook", "-r", str(RULEBOOK), "-i", str(folder / "hosts.yml")]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (folder / "log").open("w") as log:
        running = subprocess.Popen(
            [*command, "--vars", str(folder / "vars.json")],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": path, "ANSIBLE_NOCOLOR": "1"},
            start_new_session=True,
        )
    try:
        yield folder / "log"
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.wait(timeout=60)


@pytest.mark.skipif(
    not (shutil.which("ansible-rulebook") and shutil.which("java")),
    reason="ansible-rulebook needs Java 17: pip install ansible-rulebook kubernetes, its command on the PATH",
)
def test_a_node_that_joins_is_covered(clean_api, tmp_path):
    clean_api.add_nodes(1)

    def covered():
        stored = clean_api.admin.list(clean_api.path("HostEndpoint"))
        return {obj["spec"]["node"] for obj in stored}

    with rulebook(clean_api, tmp_path) as log:
        eventually(lambda: covered() == {"sim-0001"}, 300, str(log))
        clean_api.add_nodes(1, first=2)
        eventually(lambda: covered() == {"sim-0001", "sim-0002"}, 300, str(log))
