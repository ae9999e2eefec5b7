# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which data plane each node's Felix is configured for: nodes of one cluster may differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

from ..felix.settings import FelixSettings
from ..stored.model import Misreading, Reference
from ..stored.reader import Raw, read
from .flow import parse_flow
from .interface_owner import NodeFacts
from .judge import Judge, Options, Verdict, refuse_unknown_kinds
from .packet_path import EBPF, IPTABLES, NFTABLES


class Dataplanes:
    """The data planes of a cluster.

    :param objects: FelixConfigurations, Nodes and HostEndpoints are looked at, others are passed over
    :param environment: of Felix, as far as it is known
    :param forced: the one that all nodes are taken to have, whatever is configured
    :param kube_proxy_mode: one of kube_proxy.MODES, empty where it is not known
    """

    def __init__(
        self,
        objects: Iterable[Mapping[str, Any]],
        environment: Optional[Mapping[str, str]] = None,
        forced: str = "",
        kube_proxy_mode: str = "",
    ) -> None:
        self._follows_nftables = kube_proxy_mode == NFTABLES
        self._configurations: list[Mapping[str, Any]] = []
        self._labels: dict[str, Mapping[str, str]] = {}
        self._environment = environment
        self._forced = forced
        hosts = set()
        for item in objects:
            metadata = item.get("metadata") or {}
            if item.get("kind") == "FelixConfiguration":
                self._configurations.append(item)
            elif item.get("kind") == "Node":
                self._labels[str(metadata.get("name"))] = metadata.get("labels") or {}
            elif item.get("kind") == "HostEndpoint":
                hosts.add(str((item.get("spec") or {}).get("node") or ""))
        self._hosts = hosts

    def of_node(self, node: str) -> str:
        """The data plane of one node; iptables where nothing names one."""
        if self._forced:
            return self._forced
        settings = FelixSettings(self._configurations, node, self._labels.get(node, {}), self._environment)
        if settings.flag("bpfEnabled", default=False):
            return EBPF
        # Auto, the default since v3.32, follows kube-proxy.
        mode = str(settings.value("nftablesMode") or "Auto").lower()
        return NFTABLES if mode == "enabled" or (mode == "auto" and self._follows_nftables) else IPTABLES

    @property
    def in_use(self) -> tuple[str, ...]:
        """Those of the nodes that have a HostEndpoint; where none has, that of ``default``."""
        return tuple(sorted({self.of_node(node) for node in self._hosts or {""}}))


@dataclass(frozen=True)
class Judgement:
    """Verdicts in the order of the flows.

    ``dataplanes`` are those that were judged for; ``misread`` is what Felix does not read as it looks, in
    any of the objects.
    """

    verdicts: tuple[Verdict, ...]
    dataplanes: tuple[str, ...]
    misread: tuple[tuple[Reference, Misreading], ...] = ()


def judge_flows(
    objects: Iterable[Raw],
    flows: Sequence[object],
    dataplanes: Dataplanes,
    nodes: Mapping[str, NodeFacts],
    options: Options,
) -> Judgement:
    """Judge each flow by the data plane of its node.

    :param flows: dictionaries as :func:`.flow.parse_flow` reads them
    :param options: those that all nodes share
    :raises BadInput: a bad object or flow, with its field
    """
    parsed = [parse_flow(raw, f"flows[{index}]") for index, raw in enumerate(flows)]
    store = read(objects, options.native_v3)
    refuse_unknown_kinds(store)
    names = [dataplanes.of_node(flow.node) for flow in parsed]
    judges = {name: Judge(store, nodes, replace(options, dataplane=name)) for name in sorted({*names})}
    for judge in judges.values():
        judge.refuse_unknown_nodes(parsed)
    verdicts = tuple(judges[name].verdict(flow) for name, flow in zip(names, parsed))
    return Judgement(verdicts, tuple(judges), tuple(store.misreadings))
