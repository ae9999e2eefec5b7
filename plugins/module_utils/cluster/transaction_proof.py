# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proof of a wave: which new connections of its nodes worked before its switch, and whether they work
after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..calico.policy.names import POLICY
from ..calico.transaction.state import Wave
from .client import ClusterError
from .transaction_nodes import SSH_FROM_HERE, Observer, Proof
from .transaction_store import Stored
from .watchdogs import endpoints

Target = list[Any]


class WaveProof:
    """:param extra: ``{host, port, from}`` that the user adds
    :param is_canary: the first wave, on which what is cached is flushed before the proof
    """

    def __init__(
        self,
        stored: Stored,
        nodes: Observer,
        wave: Wave,
        extra: Sequence[Mapping[str, Any]],
        *,
        is_canary: bool,
    ) -> None:
        self._stored = stored
        self._nodes = nodes
        self._wave = wave
        self._extra = extra
        self._is_canary = is_canary
        self._targets: dict[str, list[Target]] = {}
        self._before: dict[str, Proof] = {}
        self._no_policy_before = ""

    def look_before(self) -> list[str]:
        """What works before: only that can break.

        :returns: what will not be proved
        :raises ClusterError: a node cannot be logged in to as it is
        """
        self._targets = self._targets_of_nodes()
        self._no_policy_before = self._dry_run()
        self._before = self._nodes.prove(self._wave.nodes, self._targets, self._extra)
        for node, proof in self._before.items():
            if SSH_FROM_HERE in proof.failed:
                why = "; ".join(f"{name}: {why}" for name, why in proof.failed.items())
                raise ClusterError(f"cannot be logged in to before the switch: {node}: {why}")
        return self._unproved()

    def look_again(self) -> str:
        """What worked works.

        :returns: how much that was
        :raises ClusterError: something does not
        """
        after = self._nodes.prove(self._wave.nodes, self._targets, self._extra, self._before)
        for node, proof in after.items():
            broken = [name for name in proof.failed if name in self._before[node].worked]
            if broken:
                raise ClusterError(
                    f"node {node}: {broken[0]} worked before and does not now: {proof.failed[broken[0]]}"
                )
        if not self._no_policy_before:
            problem = self._dry_run()
            if problem:
                raise ClusterError(f"policy could be written before and cannot now: {problem}")
        flows = sum(len(proof.worked) for proof in after.values())
        return f"wave {self._wave.name}: {flows} new connections work on {len(after)} nodes"

    def forget_connections(self, *, spare_felix: bool, dry: bool) -> str:
        """What breaks only on reconnect is to break now, while the wave can go back.

        :param spare_felix: leave Felix's own, by which it hears the way back, where no last resort runs
        :param dry: only look whether it can be done
        :returns: how much was forgotten
        :raises ClusterError: it cannot be done
        """
        found = self._nodes.forget_connections(self._wave.nodes, spare_felix=spare_felix, dry=dry)
        for node, each in found.items():
            if each["problem"]:
                raise ClusterError(f"node {node}: its connections cannot be flushed: {each['problem']}")
        forgotten, spared = (sum(each[key] for each in found.values()) for key in ("forgotten", "spared"))
        return (
            f"wave {self._wave.name}: {forgotten} connections of its hosts were forgotten, "
            f"{spared} of Felix's spared"
        )

    def _unproved(self) -> list[str]:
        remarks = []
        if not self._nodes.may_ask_kubelets:
            remarks.append(
                f"wave {self._wave.name}: that the API server reaches kubelets is not proved, for want of "
                "the permission get nodes/proxy"
            )
        logins = [self._nodes.logins[node] for node in self._wave.nodes if node in self._nodes.logins]
        here = ", ".join(login.node for login in logins if login.is_local)
        if here:
            remarks.append(
                f"wave {self._wave.name}: nobody logs in to {here} from outside, as this machine is the node"
            )
        return remarks

    def _targets_of_nodes(self) -> dict[str, list[Target]]:
        by_api = endpoints(self._stored.cluster)
        facts = self._nodes.facts(self._wave.nodes)
        return {
            node: _without_twins(_targets(by_api, found["targets"], is_canary=self._is_canary))
            for node, found in facts.items()
            if found
        }

    def _dry_run(self) -> str:
        """Whether policy can be written, admission webhooks included; empty, or why not."""
        guards = self._stored.labelled(POLICY)
        if not guards:
            return ""
        name = str(guards[0]["metadata"]["name"])
        served = self._stored.served
        obj = {
            "kind": POLICY,
            "apiVersion": served.api_version,
            "metadata": {"name": name},
            "spec": guards[0]["spec"],
        }
        return self._nodes.dry_run(obj, served.path(POLICY, name))


def _targets(
    by_api: Sequence[Sequence[Any]], used: Mapping[str, Sequence[Sequence[Any]]], *, is_canary: bool
) -> list[Target]:
    """Name, protocol, address and port of what a node uses.

    :param by_api: API servers, as the API names them
    :param used: as the node itself names them, ``{api, typha, dns, neighbours}``
    """
    found: list[Target] = [
        [f"API {host}:{port}", "tcp", host, port] for host, port in [*by_api, *used["api"]]
    ]
    found += [[f"Typha {host}", "tcp", host, port] for host, port in used["typha"]]
    for host, port in used["dns"]:
        found += [
            [f"DNS {host} over UDP", "udp-dns", host, port],
            [f"DNS {host} over TCP", "tcp", host, port],
        ]
    if is_canary:
        # Flushed before the proof: on the canary only, as what is cached lives for minutes.
        found += [
            [f"IPv6 neighbour {address}", "neighbour", address, port] for address, port in used["neighbours"]
        ]
    return found


def _without_twins(targets: Sequence[Target]) -> list[Target]:
    return list({str(target[0]): target for target in targets}.values())
