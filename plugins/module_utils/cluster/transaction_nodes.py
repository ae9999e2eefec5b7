# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Look at the nodes of a transaction: what their kernels hold, and what new connections they can make."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import Any, Optional

from ..calico.host_endpoint import effective_labels
from ..calico.transaction.kernel_view import Expected, difference
from ..calico.transaction.steps import WantedObject
from ..controller.node_programs import ProgramLogin, run_on
from ..node import forget_connections, lifeline, start_program, switch_probe
from .client import ApiError, Cluster, ClusterError, Object

_PROGRAM = inspect.getsource(switch_probe)
_FORGET = inspect.getsource(forget_connections)
_START = inspect.getsource(start_program)
LIFELINE = "hostfence-lifeline"
_POLL_SECONDS = 0.25
KUBELET = "kubelet from the API"
SSH_FROM_HERE = "SSH from here"
KUBELET_SECONDS = 8


@dataclass(frozen=True)
class Proof:
    """New connections of one node.

    :ivar worked: names of those that work
    :ivar failed: name to reason
    """

    worked: frozenset[str] = frozenset()
    failed: Mapping[str, str] = field(default_factory=dict)


class Observer:
    """:param logins: by node; without any, nothing is seen, and what is to be waited for is waited for by
    time
    """

    def __init__(
        self,
        cluster: Cluster,
        logins: Mapping[str, ProgramLogin],
        host_endpoints: Sequence[Object],
        settle: float,
    ) -> None:
        self._cluster = cluster.asking_once()
        self.logins = dict(logins)
        self._settle = settle
        self._lifelines: set[str] = set()
        self.may_ask_kubelets = True
        self._labels: dict[str, list[Mapping[str, str]]] = {}
        for hep in host_endpoints:
            self._labels.setdefault(str(hep["spec"].get("node")), []).append(effective_labels(hep))

    def wait(
        self, nodes: Iterable[str], expected: Expected, *, seconds: float = 20, patient: bool = True
    ) -> dict[str, str]:
        """Until the kernels of all nodes show what is expected.

        :param patient: otherwise a node that cannot be logged in to twice ends the wait at once
        :returns: node to what is not as it shall be, when the time was over
        """
        time.sleep(0 if self.logins else self._settle)
        waiting = [self.logins[node] for node in nodes if node in self.logins]
        end = time.monotonic() + seconds
        cut_before: set[str] = set()
        while True:
            answers = run_on(waiting, _PROGRAM, lambda _node: {"guards": expected.guard_chains})
            late: dict[str, str] = {}
            cut = {node for node, answer in answers.items() if answer.error}
            for node, answer in answers.items():
                problem = answer.error or difference(
                    expected, answer.document["kernel"], self._labels.get(node, ())
                )
                if problem:
                    late[node] = problem
            if not late or time.monotonic() > end or (not patient and cut & cut_before):
                return late
            cut_before = cut
            waiting = [self.logins[node] for node in late]
            time.sleep(_POLL_SECONDS)

    def facts(self, nodes: Iterable[str]) -> dict[str, Any]:
        """What the nodes' kernels say of themselves, and which targets their programs use."""
        chosen = [self.logins[node] for node in nodes if node in self.logins]
        answers = run_on(chosen, _PROGRAM, lambda _node: {"guards": [], "targets": True})
        return {node: answer.document if not answer.error else None for node, answer in answers.items()}

    def start_lifelines(
        self,
        nodes: Sequence[str],
        servers: Sequence[Sequence[Any]],
        guards: Sequence[WantedObject],
        seconds: int,
        administrators: Sequence[str],
    ) -> tuple[list[str], list[str]]:
        """Start the last resort of each node.

        :param servers: address and port of API servers
        :param guards: of the switch that these nodes have
        :param seconds: after which it looks
        :param administrators: networks from which administrators log in, beside this machine
        :returns: why some did not start; which nodes can have none, each with the reason
        """
        found = self.facts(nodes)
        program = inspect.getsource(lifeline)
        names = Expected(guards=guards).guard_chains

        def options(node: str) -> dict[str, Any]:
            seen = found.get(node) or {"targets": {"api": [], "typha": [], "dns": []}, "ssh": ""}
            targets, session = seen["targets"], str(seen["ssh"]).split()
            return {
                "servers": _unique([*targets["api"], *servers]),
                "typha": targets["typha"],
                "dns": targets["dns"],
                "administrators": _ways_in(session, administrators),
                "guards": names,
                "seconds": seconds,
                "probe": _PROGRAM,
            }

        unable = {node: _no_lifeline(seen) for node, seen in found.items() if seen}
        chosen = [self.logins[node] for node in nodes if node in self.logins and not unable.get(node)]
        self._lifelines.update(login.node for login in chosen)
        answers = run_on(
            chosen, _START, lambda node: {"name": LIFELINE, "program": program, "options": options(node)}
        )
        problems = [answer.error for answer in answers.values() if answer.error]
        return problems, [f"{node} ({why})" for node, why in unable.items() if why]

    def stop_lifelines(self, nodes: Sequence[str], *, of_earlier_runs: bool = False) -> dict[str, str]:
        """Ask them to end; one that cannot be reached ends by itself.

        :param of_earlier_runs: ask every node, and not only those on which this run started one
        :returns: by node, when its last resort acted, where it did
        """
        asked = self.logins if of_earlier_runs else self._lifelines
        chosen = [self.logins[node] for node in nodes if node in asked and node in self.logins]
        answers = run_on(chosen, _START, lambda _node: {"stop": LIFELINE}, seconds=10)
        self._lifelines.difference_update(nodes)
        told = {node: answer.document for node, answer in answers.items() if not answer.error}
        return {node: str(found["acted"]) for node, found in told.items() if found["acted"]}

    def tell_of_lifeline(self, node: str, at: str) -> str:
        """An event of a node whose last resort acted.

        :returns: why there is none, or empty
        """
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": "hostfence-lifeline-", "namespace": "default"},
            # As kubelets do it, who take the name for the uid.
            "involvedObject": {"apiVersion": "v1", "kind": "Node", "name": node, "uid": node},
            "type": "Warning",
            "reason": "HostfenceLastResort",
            "message": "No API server answered at the end of an unconfirmed window: it opened its own way.",
            "source": {"component": "hostfence", "host": node},
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        }
        try:
            self._cluster.create("/api/v1/namespaces/default/events", event)
        except ClusterError as error:
            return str(error)
        return ""

    def forget_connections(
        self, nodes: Sequence[str], *, spare_felix: bool, dry: bool
    ) -> dict[str, Mapping[str, Any]]:
        """Make kernels forget the connections of their hosts, or only look whether they can.

        :param spare_felix: Felix's own connections, by which it hears the way back, but where a last resort
            runs
        :returns: by node, ``{forgotten, spared, problem}``
        """
        chosen = [self.logins[node] for node in nodes if node in self.logins]
        answers = run_on(
            chosen,
            _FORGET,
            lambda node: {"spare_felix": spare_felix and node not in self._lifelines, "dry": dry},
        )
        return {node: answer.document or {"problem": answer.error} for node, answer in answers.items()}

    def prove(
        self,
        nodes: Sequence[str],
        targets: Mapping[str, Sequence[Sequence[Any]]],
        extra: Sequence[Mapping[str, Any]],
        before: Optional[Mapping[str, Proof]] = None,
    ) -> dict[str, Proof]:
        """New connections to, from and by way of each node.

        :param targets: by node, ``[name, protocol, address, port]``
        :param extra: ``{host, port, from}`` that the user adds; without ``from``, from every node
        :param before: what worked before; what did not is not tried again
        """
        wanted = {
            node: [
                t
                for t in (*targets.get(node, ()), *_of_user(extra, node))
                if _worked(before, node, str(t[0]))
            ]
            for node in nodes
        }
        chosen = [self.logins[node] for node in nodes if node in self.logins]
        kubelets = [node for node in nodes if _worked(before, node, KUBELET)]
        # The API server itself waits 30 s for a node that drops: nobody need wait for it with us.
        pool = ThreadPoolExecutor(max_workers=8)
        asked = {node: pool.submit(self._kubelet, node) for node in kubelets}
        end = time.monotonic() + KUBELET_SECONDS
        answers = run_on(chosen, _PROGRAM, lambda node: {"connect": [list(t[1:]) for t in wanted[node]]})
        by_api = {node: _in_time(answer, end) for node, answer in asked.items()}
        pool.shutdown(wait=False, cancel_futures=True)
        proofs = {}
        for node in nodes:
            found = {KUBELET: by_api[node]} if node in by_api else {}
            if node in answers:
                way = "programs here" if self.logins[node].is_local else SSH_FROM_HERE
                found[way] = answers[node].error
                if not answers[node].error:
                    names = [str(target[0]) for target in wanted[node]]
                    found.update(zip(names, answers[node].document["connect"]))
            failed = {name: why for name, why in found.items() if why}
            proofs[node] = Proof(frozenset(found) - frozenset(failed), failed)
        return proofs

    def dry_run(self, policy: Object, path: str) -> str:
        """Whether policy can still be written, admission webhooks included; empty, or why not."""
        try:
            self._cluster.apply(path, policy, dry_run=True)
        except ClusterError as error:
            return str(error)
        return ""

    def _kubelet(self, node: str) -> str:
        try:
            self._cluster.text(f"/api/v1/nodes/{node}/proxy/healthz")
        except ClusterError as error:
            if isinstance(error, ApiError) and error.forbidden:
                self.may_ask_kubelets = False
            return str(error)
        return ""


def _worked(before: Optional[Mapping[str, Proof]], node: str, name: str) -> bool:
    return before is None or name in before[node].worked


def _in_time(answer: Future[str], end: float) -> str:
    try:
        return answer.result(max(0, end - time.monotonic()))
    except FutureTimeout:
        return f"no answer in {KUBELET_SECONDS} s"


def _unique(targets: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(pair) for pair in dict.fromkeys((str(host), int(port)) for host, port in targets)]


def _ways_in(session: Sequence[str], administrators: Sequence[str]) -> list[list[Any]]:
    """From where SSH comes, and to which port of the node; ``session`` is its SSH_CONNECTION."""
    if len(session) != 4:
        return [[network, 22] for network in administrators]
    return [[source, int(session[3])] for source in dict.fromkeys((session[0], *administrators))]


def _no_lifeline(seen: Mapping[str, Any]) -> str:
    """Why a node can have no last resort, or nothing."""
    if not seen["nft"]:
        return "it has no nft"
    return "" if seen["kernel"]["accept_mark"] else "Calico's accept mark is not in its kernel, as with eBPF"


def _of_user(extra: Sequence[Mapping[str, Any]], node: str) -> list[list[Any]]:
    return [
        [f"{entry['host']}:{entry['port']}", "tcp", entry["host"], int(entry["port"])]
        for entry in extra
        if entry.get("from") in (None, "", node)
    ]
