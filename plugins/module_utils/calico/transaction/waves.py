# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which hosts change together: computed once, and kept in the transaction."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from .. import selector as selectors
from ..bad_input import BadInput
from ..felix.settings import FelixSettings
from .state import Wave

CANARY, ALL = "canary", "all"
HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
_WISHES = "must be canary, all, or a list of selectors of HostEndpoints"
_FRACTIONS = (0.1, 0.5, 1.0)


@dataclass(frozen=True)
class Host:
    """A node that has a HostEndpoint; the labels are the HostEndpoint's."""

    node: str
    labels: Mapping[str, str]
    control_plane: bool = False
    zone: str = ""
    role: str = ""


def without_node(
    endpoints: Mapping[str, str], nodes: Iterable[str], configurations: Sequence[Mapping[str, Any]]
) -> str:
    """What is to be said of HostEndpoints whose node has no Node object, or nothing.

    :param endpoints: names of HostEndpoints by the node that they name
    :param configurations: FelixConfiguration objects
    :raises BadInput: such a node has eBPF: its Felix cuts it off once it restarts (calico#12642)
    """
    lost = sorted(set(endpoints) - set(nodes))
    for node in lost:
        if FelixSettings(configurations, node, {}).flag("bpfEnabled", default=False):
            raise BadInput(
                f"HostEndpoint {endpoints[node]}",
                node,
                "has eBPF and no Node object, and Felix cuts such a host off once it restarts: let the node "
                "register again, or delete its HostEndpoint",
            )
    if not lost:
        return ""
    more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
    return (
        f"no Node object: {', '.join(lost[:5])}{more}. Their HostEndpoints change with the last wave, and "
        "nobody looks at them"
    )


def compute(wish: Union[str, Sequence[str]], hosts: Sequence[Host]) -> tuple[Wave, ...]:
    """The waves, in order. The last one selects whatever the others do not, so that no host has no switch.

    :param wish: ``canary``, ``all`` or a list of selectors of HostEndpoints
    :raises BadInput: a selector cannot be read or matches no host, or hosts cannot be told apart
    """
    if wish in (ALL, [ALL]):
        return (Wave(ALL, "", tuple(sorted(host.node for host in hosts))),)
    if wish in (CANARY, [CANARY]):
        return _by_names(_canary(hosts), hosts)
    if isinstance(wish, str):
        raise BadInput("waves", wish, _WISHES)
    return _by_selectors(wish, hosts)


def check(wish: Sequence[str]) -> None:
    """What can be said of a wish without any host.

    :raises BadInput: it is empty, or a selector of it cannot be read
    """
    if list(wish) not in ([ALL], [CANARY]):
        _parsed(wish)


def _parsed(wish: Sequence[str]) -> list[selectors.Selector]:
    if not wish:
        raise BadInput("waves", wish, _WISHES)
    found = []
    for index, text in enumerate(wish):
        try:
            found.append(selectors.parse(text))
        except BadInput as bad:
            raise BadInput(f"waves[{index}]", text, bad.remedy)
    return found


def _canary(hosts: Sequence[Host]) -> list[tuple[str, list[Host]]]:
    """One worker, one of each zone and role, a tenth, half, the rest; control-plane nodes singly and last."""
    workers = sorted((h for h in hosts if not h.control_plane), key=_mixed)
    control_plane = sorted((h for h in hosts if h.control_plane), key=_mixed)
    waves = [("canary", workers[:1])]
    left = workers[1:]
    first_of_each: dict[tuple[str, str], Host] = {}
    for host in left:
        first_of_each.setdefault((host.zone, host.role), host)
    chosen = list(first_of_each.values())
    waves.append(("one of each zone and role", chosen))
    left = [host for host in left if host not in chosen]
    total, done = len(workers), len(workers) - len(left)
    for fraction in _FRACTIONS:
        count = max(math.ceil(total * fraction) - done, 0)
        waves.append((f"{fraction:.0%} of the workers", left[:count]))
        left, done = left[count:], done + count
    waves += [(f"control plane {host.node}", [host]) for host in control_plane]
    return [(name, members) for name, members in waves if members]


def _mixed(host: Host) -> str:
    """An order that has nothing to do with racks, names or age, and is the same each time."""
    return hashlib.sha256(host.node.encode()).hexdigest()


def _by_names(parts: Sequence[tuple[str, Sequence[Host]]], hosts: Sequence[Host]) -> tuple[Wave, ...]:
    if len(parts) < 2:
        return compute(ALL, hosts)
    for host in hosts:
        if not host.labels.get(HOSTNAME):
            raise BadInput(
                "waves",
                CANARY,
                f"the HostEndpoint of {host.node} has no label {HOSTNAME}, by which a wave would "
                "select it: add "
                "it to host_endpoints_node_labels, or give selectors, or all",
            )
    waves = []
    for name, members in parts:
        waves.append(Wave(name, _named(members), tuple(sorted(h.node for h in members))))
    return _closed(waves)


def _by_selectors(wish: Sequence[str], hosts: Sequence[Host]) -> tuple[Wave, ...]:
    waves: list[Wave] = []
    left = list(hosts)
    for index, (text, parsed) in enumerate(zip(wish, _parsed(wish))):
        members = [host for host in left if parsed.matches(host.labels)]
        if not members:
            raise BadInput(f"waves[{index}]", text, "matches no HostEndpoint that is in no wave before it")
        earlier = [f"!({wave.selector})" for wave in waves]
        # A host that an earlier selector matches too belongs to the earlier wave only.
        whole = " && ".join([*[f"!({given})" for given in wish[:index]], f"({text})"]) if earlier else text
        waves.append(Wave(text, whole, tuple(sorted(h.node for h in members))))
        left = [host for host in left if host not in members]
    if left:
        waves.append(Wave("the rest", "rest", tuple(sorted(h.node for h in left))))
    return _closed(waves) if len(waves) > 1 else compute(ALL, hosts)


def _closed(waves: Sequence[Wave]) -> tuple[Wave, ...]:
    """The waves, the last one widened to all that no other selects."""
    *first, last = waves
    rest = " && ".join(f"!({wave.selector})" for wave in first)
    return (*first, Wave(last.name, rest, last.nodes))


def _named(hosts: Sequence[Host]) -> str:
    names = ", ".join(f"'{name}'" for name in sorted(host.labels[HOSTNAME] for host in hosts))
    return f"{HOSTNAME} in {{ {names} }}"
