# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where this machine stands, and what of its ways cannot be judged from there.

What hosts do with a packet is judged where the node tells from where it came. What lies before it - a jump
host, a NAT, a load balancer, the overlay and policy of pods - is not, and is said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..address import Address, parse_net
from .reach import Connection

Object = Mapping[str, Any]
_SHOWN = 3


@dataclass(frozen=True)
class Place:
    """This machine.

    :ivar own: those of its addresses from which it is known to connect
    :ivar api_host: host and port of the API server, as configured
    :ivar api_source: its address towards the API, None where the host's address is not known
    :ivar behind_balancer: whether the API servers are nodes, and the connection ends at none of them
    """

    own: Collection[Address]
    api_host: str
    api_source: Optional[Address] = None
    behind_balancer: bool = False


def unjudged(objects: Iterable[Object], place: Place, logins: Sequence[Connection]) -> list[str]:
    """What cannot be judged, one sentence each.

    :param objects: the IPPools among them are looked at
    :param logins: SSH as the nodes told it; what is assumed says so itself
    """
    return [*_pod(objects, place), *_jumps(place, logins), *_api(place)]


def _pod(objects: Iterable[Object], place: Place) -> Iterable[str]:
    pools = [
        ((item.get("metadata") or {}).get("name"), parse_net(str((item.get("spec") or {}).get("cidr"))))
        for item in objects
        if item.get("kind") == "IPPool"
    ]
    addresses = dict.fromkeys([*([place.api_source] if place.api_source else []), *place.own])
    for address in addresses:
        for name, net in pools:
            if net is not None and net.contains(address):
                yield (
                    f"this machine is a pod ({address} is of IPPool {name}): what policy of pods and the "
                    "overlay do on its way is not judged; run it on a host, or keep SSH and the API among "
                    "the failsafes"
                )
                return


def _jumps(place: Place, logins: Sequence[Connection]) -> Iterable[str]:
    by_source: dict[Address, list[str]] = {}
    for login in logins:
        if not login.doubt and login.source not in place.own:
            by_source.setdefault(login.source, []).append(login.node)
    for source, nodes in by_source.items():
        more = f" and {len(nodes) - _SHOWN} more nodes" if len(nodes) > _SHOWN else ""
        yield (
            f"SSH to {', '.join(nodes[:_SHOWN])}{more} comes from {source}, which is no address of this "
            "machine but a jump host's or a NAT's: the way from here to there is not judged"
        )


def _api(place: Place) -> Iterable[str]:
    if place.api_source is None:
        yield f"the address of the API server {place.api_host} is not known here: the way to it is not judged"
    elif place.behind_balancer:
        yield (
            f"the API server {place.api_host} is no node, but API servers are, as behind a load balancer: "
            "from which address it hands connections on is not known, and they are judged as from "
            f"{place.api_source}"
        )
