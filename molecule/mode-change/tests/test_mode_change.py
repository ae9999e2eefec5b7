# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every change from one mode to another, on real kubelets: no node without an active HostEndpoint, ever."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint import active_wildcard

from testbed.api import Api, ApiError
from testbed.state import run_directory

sys.path.append(str(Path(__file__).parents[3] / "tests/integration"))
from role_run import run_roles

HEPS = "/apis/crd.projectcalico.org/v1/hostendpoints"
NODES = ("node1", "node2", "node3")
# Each of the twelve pairs once, beginning and ending with direct.
MODES = (
    *("direct", "daemonset", "direct", "job", "direct", "auto"),
    *("daemonset", "job", "daemonset", "auto", "job", "auto", "direct"),
)
# Each mode is asked for twice after one of the changes into it.
TWICE = (("direct", "daemonset"), ("direct", "job"), ("direct", "auto"), ("auto", "direct"))
RUN = run_directory()
AUTO, OWN = "auto-hep", "hostfence"


class Watcher(threading.Thread):
    """Records every event, and after each which HostEndpoint of each node is active.

    :ivar active: node -> the active ones, one after the other; None is a moment without any
    :ivar modified: names of those that were changed, one for each change
    """

    def __init__(self, api: Api) -> None:
        super().__init__(daemon=True)
        self._api = api
        found = api.get(HEPS)
        self._version = found["metadata"]["resourceVersion"]
        self._heps = {hep["metadata"]["name"]: hep for hep in found["items"]}
        self.events = 0
        self.modified: list[str] = []
        self.active: dict[str, list[str | None]] = {node: [] for node in NODES}
        self.failure: Exception | None = None
        self._note()

    def run(self) -> None:
        try:
            for event in self._api.watch(HEPS, resourceVersion=self._version):
                self._take(event)
        except ApiError as error:
            self.failure = error
        else:
            self.failure = RuntimeError("the server ended the watch")

    def _take(self, event: dict) -> None:
        name = event["object"]["metadata"]["name"]
        self.events += 1
        if event["type"] == "DELETED":
            del self._heps[name]
        else:
            self._heps[name] = event["object"]
        if event["type"] == "MODIFIED":
            self.modified.append(name)
        self._note()

    def _note(self) -> None:
        for node, before in self.active.items():
            hep = active_wildcard(self._heps.values(), node)
            now = hep["metadata"]["name"].removeprefix(f"{node}-") if hep else None
            if not before or before[-1] != now:
                before.append(now)


@pytest.fixture(scope="module")
def watcher():
    watcher = Watcher(Api(RUN / "kubeconfig"))
    watcher.start()
    return watcher


def change_to(mode):
    return run_roles(
        str(RUN / "kubeconfig"),
        ["host_endpoints"],
        host_endpoints_mode=mode,
        host_endpoints_agent_image=(RUN / "agent-image").read_text().strip(),
        host_endpoints_wait_timeout=60,
    )


@pytest.mark.parametrize(("before", "mode"), list(zip(MODES, MODES[1:])), ids="-to-".join)
def test_change(watcher, before, mode):
    done = change_to(mode)
    assert done.code == 0, done.output
    if (before, mode) in TWICE:
        again = change_to(mode)
        assert (again.code, again.changed) == (0, 0), again.output
    time.sleep(1)
    assert watcher.failure is None
    expected = AUTO if mode == "auto" else OWN
    assert {node: active[-1] for node, active in watcher.active.items()} == dict.fromkeys(NODES, expected)


def test_no_moment_without_one_and_no_fight(watcher):
    # It changes where auto comes or goes, once; who wrote ours before and who does now makes no difference.
    order = [AUTO if mode == "auto" else OWN for mode in MODES]
    changes = [now for last, now in zip([None, *order], order) if now != last]
    assert watcher.active == dict.fromkeys(NODES, changes)
    assert [name for name in watcher.modified if name.endswith(OWN)] == []
    print(
        f"{watcher.events} events, {len(changes) - 1} changes of the active one on each of {len(NODES)} nodes"
    )


def test_nothing_of_another_mode_is_left():
    api = Api(RUN / "kubeconfig")
    for collection in ("apps/v1/daemonsets", "batch/v1/jobs", "rbac.authorization.k8s.io/v1/clusterroles"):
        assert api.list(f"/apis/{collection}", labelSelector="hostfence.io/mode") == []
    assert api.list("/api/v1/namespaces", labelSelector="hostfence.io/mode") == []
