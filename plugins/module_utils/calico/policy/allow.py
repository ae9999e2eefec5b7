# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Named ports that are to be reachable, as policies that let them past every shipped set."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from .. import selector as selectors
from ..bad_input import BadInput
from .names import API_VERSION, POLICY, is_simple_name
from .reader import Document, check_network, parse

# The shipped sets' own policies begin at 10.
ORDER = 5
HOSTNAME_LABEL = "kubernetes.io/hostname"
ALLOWED_PROTOCOLS = ("TCP", "UDP", "SCTP")
_KEYS = ("name", "protocol", "ports", "sources", "nodes")
_LONGEST_NAME = 63 - len("allow-")


@dataclass(frozen=True)
class Allowed:
    """Ports that some networks may reach on some nodes.

    :ivar name: part of the policy's name
    :ivar ports: numbers, or ``first:last``
    :ivar sources: networks, of either IP version
    :ivar selector: Calico selector of HostEndpoints; empty for all that the shipped sets select
    """

    name: str
    protocol: str
    ports: tuple[Union[int, str], ...]
    sources: tuple[str, ...]
    selector: str

    def policy(self, selector: str) -> dict[str, Any]:
        """The policy that allows them.

        It is preDNAT, for two reasons. Shipped sets deny before DNAT, where only such a policy lets anything
        past; and no policy after DNAT is asked about what it allows, so it passes a tier's default action.
        """
        chosen = f"({selector}) && ({self.selector})" if selector and self.selector else selector
        families = (
            [net for net in self.sources if ":" not in net],
            [net for net in self.sources if ":" in net],
        )
        return {
            "apiVersion": API_VERSION,
            "kind": POLICY,
            "metadata": {"name": f"allow-{self.name}"},
            "spec": {
                "order": ORDER,
                "selector": chosen or self.selector,
                "preDNAT": True,
                "applyOnForward": True,
                "types": ["Ingress"],
                "ingress": [
                    {
                        "action": "Allow",
                        "protocol": self.protocol,
                        "source": {"nets": nets},
                        "destination": {"ports": list(self.ports)},
                    }
                    for nets in families
                    if nets
                ],
            },
        }


def read(entries: object, field: str) -> list[Allowed]:
    """The ports as the user wrote them.

    :param field: the variable's name, with which errors begin
    :raises BadInput: naming ``<field>[<index>].<key>``
    """
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise BadInput(field, entries, "must be a list of {name, protocol, ports, sources, nodes}")
    found: list[Allowed] = []
    for index, entry in enumerate(entries):
        where = f"{field}[{index}]"
        one = _read(entry, where)
        if one.name in [other.name for other in found]:
            raise BadInput(f"{where}.name", one.name, "is named twice")
        found.append(one)
    return found


def policies(entries: object, selector: str, field: str) -> list[dict[str, Any]]:
    """One policy for each entry.

    :param selector: which HostEndpoints the shipped sets select
    :raises BadInput: as :func:`read`, and what Calico would not take
    """
    allowed = read(entries, field)
    made = [one.policy(selector) for one in allowed]
    for index, policy in enumerate(made):
        # The reader of policies refuses what is no port; here only the entry's name is added.
        try:
            parse([Document(policy, "")])
        except BadInput as refused:
            raise BadInput(f"{field}[{index}].{_key_of(refused.field)}", refused.value, refused.remedy)
    return made


def _key_of(path: str) -> str:
    return "ports" if ".ports" in path else "sources" if ".nets" in path else "nodes"


def _read(entry: object, where: str) -> Allowed:
    if not isinstance(entry, Mapping):
        raise BadInput(where, entry, f"must be a mapping of {', '.join(_KEYS)}")
    for key in entry:
        if key not in _KEYS:
            close = difflib.get_close_matches(str(key), _KEYS, 1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(_KEYS)}"
            raise BadInput(f"{where}.{key}", entry[key], hint)
    name = entry.get("name")
    if not isinstance(name, str) or not is_simple_name(name) or len(name) > _LONGEST_NAME:
        raise BadInput(
            f"{where}.name",
            name,
            f"must be at most {_LONGEST_NAME} lower-case letters, digits and '-', as in node-exporter",
        )
    protocol = entry.get("protocol", "TCP")
    if protocol not in ALLOWED_PROTOCOLS:
        raise BadInput(f"{where}.protocol", protocol, f"must be one of {', '.join(ALLOWED_PROTOCOLS)}")
    sources = [
        check_network(str(net), f"{where}.sources[{number}]")
        for number, net in enumerate(_listed(entry, "sources", where))
    ]
    return Allowed(
        name=name,
        protocol=protocol,
        ports=tuple(_listed(entry, "ports", where)),
        sources=tuple(dict.fromkeys(sources)),
        selector=_selector(entry.get("nodes"), f"{where}.nodes"),
    )


def _listed(entry: Mapping[str, Any], key: str, where: str) -> list[Any]:
    remedies = {
        "ports": 'must be a list, as in [9100, "30000:30010"]',
        "sources": 'must be a list of networks, as in [192.0.2.0/24]; for anybody [0.0.0.0/0, "::/0"]',
    }
    found = entry.get(key)
    # An empty list would be a rule that fits everything.
    if not isinstance(found, Sequence) or isinstance(found, str) or not found:
        raise BadInput(f"{where}.{key}", found, remedies[key])
    return list(found)


def _selector(nodes: object, where: str) -> str:
    remedy = (
        "must be a list of nodes' names, or a Calico selector of HostEndpoints; left out, it is all of them"
    )
    if nodes is None:
        return ""
    if isinstance(nodes, Sequence) and not isinstance(nodes, str) and nodes:
        if not all(isinstance(name, str) and "'" not in name and name for name in nodes):
            raise BadInput(where, nodes, remedy)
        return f"{HOSTNAME_LABEL} in {{{_quoted(nodes)}}}"
    if not isinstance(nodes, str) or not nodes:
        raise BadInput(where, nodes, remedy)
    try:
        selectors.parse(nodes)
    except BadInput as refused:
        raise BadInput(where, nodes, f"{refused.remedy}; {remedy}")
    return nodes


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
