# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Peers by their labels: a selector of host endpoints, pods or network sets in place of addresses.

It is the narrowest that labels allow: it selects what has every label that all the peers share.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..address import BITS, Net, host_net
from ..stored.model import Store
from .peers import LABEL, Peers

# Of one pod or one generation of pods: a rule by them is void with the next roll-out.
_PASSING = frozenset(
    {
        "apps.kubernetes.io/pod-index",
        "batch.kubernetes.io/controller-uid",
        "controller-revision-hash",
        "controller-uid",
        "pod-template-generation",
        "pod-template-hash",
        "statefulset.kubernetes.io/pod-name",
    }
)
_PLAIN = re.compile(r"[A-Za-z0-9._/-]*\Z")

Label = tuple[str, str]


@dataclass(frozen=True)
class _Entity:
    labels: frozenset[Label]
    nets: tuple[Net, ...]


class Labelled:
    """What of a cluster's objects has labels that rules select by, and addresses."""

    def __init__(self, store: Store) -> None:
        self._entities = [
            *(_entity(hep.labels, map(host_net, hep.expected_ips)) for hep in store.host_endpoints),
            *(_entity(pod.labels, map(host_net, pod.addresses)) for pod in store.workloads),
            *(_entity(one.labels, one.nets) for one in store.network_sets),
        ]
        self._exact: dict[Net, _Entity] = {}
        for entity in self._entities:
            for net in entity.nets:
                self._exact.setdefault(net, entity)
        self._sets = [
            entity for entity in self._entities if any(net.prefix < BITS[net.version] for net in entity.nets)
        ]

    def sides(self, peers: Peers, generalise: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """(IP version, the peers' side of a rule) for each version, which Calico demands of nets.

        :param generalise: as for :meth:`Peers.nets`; ``label`` selects the peers where their labels can
        """
        selector = self.selector(peers.each()) if generalise == LABEL else ""
        nets = peers.nets(generalise)
        for version in (4, 6):
            of_version = [net for net in nets if (":" in net) == (version == 6)]
            if of_version:
                yield version, {"selector": selector} if selector else {"nets": of_version}

    def selector(self, peers: Sequence[Net]) -> str:
        """A selector that holds all peers; empty where one has no labels, or no label is common to all."""
        found = [self._of(peer) for peer in peers]
        shared = [entity for entity in found if entity is not None]
        if not shared or len(shared) < len(found):
            return ""
        common = frozenset.intersection(*(entity.labels for entity in shared))
        return " && ".join(f"{key} == '{value}'" for key, value in self._narrowest(common))

    def _of(self, peer: Net) -> Optional[_Entity]:
        exact = self._exact.get(peer)
        return exact or next((e for e in self._sets if any(net.covers(peer) for net in e.nets)), None)

    def _narrowest(self, common: frozenset[Label]) -> list[Label]:
        """The fewest labels that select no more than all of them do."""
        selected = [entity for entity in self._entities if entity.nets]
        least = sum(common <= entity.labels for entity in selected)
        chosen: list[Label] = []
        while common and len(selected) > least:
            label = min(common, key=lambda one: (sum(one in entity.labels for entity in selected), one))
            chosen.append(label)
            selected = [entity for entity in selected if label in entity.labels]
        return chosen or sorted(common)[:1]


def _entity(labels: Mapping[str, str], nets: Iterable[Net]) -> _Entity:
    plain = {
        (key, value)
        for key, value in labels.items()
        if key not in _PASSING and _PLAIN.match(key) and _PLAIN.match(value)
    }
    return _Entity(frozenset(plain), tuple(nets))
