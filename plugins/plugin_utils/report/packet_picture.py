# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The way of a packet as a picture: the places of docs/verdict.md, and which of them decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

EBPF = "ebpf"
_DNAT = "DNAT"
# What is asked at a place, for the picture's second line.
_ASKED = {
    "raw PREROUTING": "untracked policy",
    "raw OUTPUT": "untracked policy",
    "XDP": "untracked policy",
    "mangle PREROUTING": "preDNAT policy",
    "filter INPUT": "normal policy, then profiles",
    "filter FORWARD": "forward policy, pod policy",
    "filter OUTPUT": "normal policy, then profiles",
    "mangle POSTROUTING": "normal policy, then profiles",
    "cali-wl-to-host": "a pod's traffic to its own node",
    "TC ingress": "preDNAT and normal policy",
    "TC egress": "normal and forward policy",
    "TC": "interfaces with eBPF programs",
    _DNAT: "services",
}
_ROUTES = {
    "ingress": ("raw PREROUTING", "mangle PREROUTING", _DNAT, "filter INPUT"),
    "forward": ("raw PREROUTING", "mangle PREROUTING", _DNAT, "filter FORWARD"),
    "egress": ("raw OUTPUT", _DNAT, "filter OUTPUT"),
}
_EBPF_ROUTES = {
    "ingress": ("XDP", "TC ingress"),
    "forward": ("XDP", "TC ingress", "TC egress"),
    "egress": ("TC egress",),
}
_PLACES_OF_CLASS = {
    "untracked": ("raw PREROUTING", "raw OUTPUT", "XDP"),
    "preDNAT": ("mangle PREROUTING", "TC ingress"),
    "normal": ("filter INPUT", "filter OUTPUT", "mangle POSTROUTING", "TC ingress", "TC egress"),
    "forward": ("filter FORWARD", "TC egress", "TC ingress"),
}


@dataclass(frozen=True)
class Box:
    """One box of the picture. ``state``: passed, decides, skipped or unreached."""

    name: str
    asked: str
    state: str


@dataclass(frozen=True)
class Picture:
    """From where, by which places, to where."""

    begins: str
    places: tuple[Box, ...]
    ends: str

    @property
    def words(self) -> str:
        """The picture for those who cannot see it."""
        said = "; ".join(f"{place.name}: {place.state}" for place in self.places)
        return f"From {self.begins}: {said}. Towards {self.ends}."


def picture(flow: Mapping[str, Any], verdict: Mapping[str, Any], dataplane: str = "") -> Picture:
    """Draw the way of a flow.

    :param verdict: as flow_verdict returns it
    """
    direction = str(flow.get("direction"))
    visited = _visited(verdict.get("trace") or ())
    decides = _deciding(verdict, visited)
    names = _route(direction, dataplane, visited)
    reached = names.index(decides) if decides in names else len(names)
    stops = verdict.get("verdict") == "deny"
    places = [
        Box(name, _ASKED.get(name, ""), _state(index, name, reached, visited, stops))
        for index, name in enumerate(names)
    ]
    begins, ends = _ends(direction, flow)
    return Picture(begins, tuple(places), ends)


def _visited(trace: Sequence[str]) -> list[str]:
    """The places that a trace names, in its order."""
    found = []
    for line in trace:
        place = line.partition(":")[0]
        if place in _ASKED and place not in found:
            found.append(place)
    return found


def _route(direction: str, dataplane: str, visited: Sequence[str]) -> list[str]:
    routes = _EBPF_ROUTES if dataplane == EBPF else _ROUTES
    names = list(routes.get(direction, ()))
    others = [place for place in visited if place not in names]
    # What a packet passes instead of the usual last place, such as after DNAT.
    return [*names[:-1], *others] if others and names and names[-1] not in visited else [*names, *others]


def _deciding(verdict: Mapping[str, Any], visited: Sequence[str]) -> str:
    stage = str((verdict.get("decided_by") or {}).get("stage") or "")
    if stage in _ASKED:
        return stage
    candidates = [place for place in visited if place in _PLACES_OF_CLASS.get(stage, ())]
    return (candidates or list(visited) or [""])[-1]


def _state(index: int, name: str, reached: int, visited: Sequence[str], stops: bool) -> str:
    if index == reached:
        return "decides"
    if index > reached and stops:
        return "unreached"
    return "passed" if name in visited else "skipped"


def _ends(direction: str, flow: Mapping[str, Any]) -> tuple[str, str]:
    port = f":{flow['destination_port']}" if flow.get("destination_port") is not None else ""
    source, destination = str(flow.get("source")), f"{flow.get('destination')}{port}"
    if direction == "egress":
        return f"a process of {flow.get('node')}", destination
    if direction == "forward":
        return source, f"{destination}, forwarded"
    return source, f"port {port[1:]} of {flow.get('node')}" if port else f"a process of {flow.get('node')}"
