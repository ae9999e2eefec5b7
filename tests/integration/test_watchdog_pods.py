# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Watchdogs as pods: what a real API server takes, run here as a kubelet would, for no kubelet runs."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from builders import GNS
from module_run import run_module
from test_enforce import NEW, OLD, enforce, left, ports, protected_api  # noqa: F401

pytestmark = pytest.mark.one_flavour

DEPLOYMENTS = "/apis/apps/v1/namespaces/kube-system/deployments"
CONFIG_MAPS = "/api/v1/namespaces/kube-system/configmaps"
ACCOUNTS = "/api/v1/namespaces/kube-system/serviceaccounts"
IMAGE = "registry.example.org/python@sha256:" + "0" * 64
PODS = {"watchdogs": 2, "watchdog_mode": "pod", "watchdog_image": IMAGE}


@contextmanager
def kubelet(api, place: Path) -> Iterator[dict[str, dict]]:
    """Runs the command of each Deployment with the files that it mounts; gives the Deployments by name."""
    seen: dict[str, dict] = {}
    processes: list[subprocess.Popen] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.2):
            for found in api.admin.list(DEPLOYMENTS):
                name = found["metadata"]["name"]
                if name.startswith("hostfence-watchdog") and name not in seen:
                    seen[name] = found
                    processes.append(start(api, place / name, found))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
        for process in processes:
            process.kill()
            process.wait()


def start(api, place: Path, deployment: dict) -> subprocess.Popen:
    spec = deployment["spec"]["template"]["spec"]
    place.mkdir()
    sources = {volume["name"]: volume for volume in spec["volumes"]}
    where = {}
    for mount in spec["containers"][0]["volumeMounts"]:
        directory = place / mount["name"]
        directory.mkdir()
        where[mount["mountPath"]] = str(directory)
        source = sources[mount["name"]]
        if "configMap" in source:
            for name, text in api.admin.get(f"{CONFIG_MAPS}/{source['configMap']['name']}")["data"].items():
                (directory / name).write_text(text)
        else:
            wanted = source["projected"]["sources"][0]["serviceAccountToken"]
            review = {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": wanted["expirationSeconds"]},
            }
            account = f"{ACCOUNTS}/{spec['serviceAccountName']}/token"
            (directory / wanted["path"]).write_text(api.admin.post(account, review)["status"]["token"])

    def placed(text: str) -> str:
        for mount, directory in where.items():
            text = text.replace(f"{mount}/", f"{directory}/")
        return text

    # The program names the place of its token, which is another one here.
    options = place / "watchdog" / "options.json"
    options.write_text(json.dumps({k: _deep(v, placed) for k, v in json.loads(options.read_text()).items()}))
    python, *arguments = spec["containers"][0]["command"]
    assert python == "python3"
    return subprocess.Popen([sys.executable, *map(placed, arguments)])


def _deep(value: object, placed) -> object:
    return placed(value) if isinstance(value, str) and value.startswith("/token/") else value


def of_watchdogs(api) -> list[str]:
    found = [*api.admin.list(DEPLOYMENTS), *api.admin.list(CONFIG_MAPS), *api.admin.list(ACCOUNTS)]
    return [obj["metadata"]["name"] for obj in found if "watchdog" in obj["metadata"]["name"]]


def test_pods_watch_a_transaction_and_are_gone_after_it(protected_api, tmp_path):  # noqa: F811
    api = protected_api
    with kubelet(api, tmp_path) as deployments:
        done = enforce(api, OLD, **PODS)
    assert not done["failed"], done["msg"]
    assert "settled" in [step["event"] for step in done["timeline"]]
    assert sorted(deployments) == ["hostfence-watchdog-1", "hostfence-watchdog-2"]
    assert of_watchdogs(api) == []
    assert not left(api)
    for deployment in deployments.values():
        pod = deployment["spec"]["template"]["spec"]
        assert pod["hostNetwork"] is True
        assert pod["automountServiceAccountToken"] is False
        container = pod["containers"][0]
        assert container["image"] == IMAGE
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_pods_switch_a_wave_back_that_nobody_confirms(protected_api, tmp_path):  # noqa: F811
    api = protected_api
    assert not enforce(api, OLD)["failed"]
    with kubelet(api, tmp_path):
        waiting = enforce(api, NEW, confirm="manual", **PODS)
        assert not waiting["failed"], waiting["msg"]
        path = f"{api.path(GNS)}/hostfence-switch-1"
        end = time.monotonic() + 60
        while api.admin.get(path)["metadata"]["annotations"]["hostfence.io/phase"] == "switched":
            assert time.monotonic() < end
            time.sleep(0.5)
        stored = api.admin.get(path)
        assert stored["metadata"]["annotations"]["hostfence.io/phase"] == "rolled-back"
        assert stored["metadata"]["annotations"]["hostfence.io/by"].startswith("hostfence-watchdog-")
        assert stored["spec"]["nets"] == ["0.0.0.0/0", "::/0"]
        assert not run_module("rollback", api, settle=0)["failed"]
    assert ports(api) == {"hostfence.in": [22], "hostfence.more": [23]}
    assert of_watchdogs(api) == []


@pytest.mark.parametrize(("options", "says"), [({"watchdog_image": ""}, "an image with Python 3.9 or later")])
def test_without_an_image_nothing_is_written(protected_api, options, says):  # noqa: F811
    refused = enforce(protected_api, OLD, **{**PODS, **options})
    assert refused["failed"]
    assert says in refused["msg"]
    assert of_watchdogs(protected_api) == []
