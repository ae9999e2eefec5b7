# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Can the person making the change still reach the nodes afterwards?

The connections are those in use: SSH to every node, and the API. Each is judged as a new one, under the
policy to be and, where that denies it, under the policy that is: what was denied before is no harm of this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

from ..address import Address, parse_address
from ..bad_input import BadInput
from ..stored.reader import Raw
from ..stored.rules import PROTOCOLS
from .flow import Flow
from .judge import Options, Verdict
from .node_judges import NodeJudges, NodeUse
from .packet_path import INGRESS
from .program import DENY
from .vital_flows import decider

SSH, API = "SSH", "the API"


@dataclass(frozen=True)
class Connection:
    """A TCP connection to a node, as the node sees it.

    :ivar what: what it is for, :data:`SSH` or :data:`API`
    :ivar doubt: why the addresses may be others than the node sees; empty where it reported them itself
    """

    node: str
    what: str
    source: Address
    destination: Address
    port: int
    doubt: str = ""


@dataclass(frozen=True)
class Obstacle:
    """A connection that is not plainly allowed, and whether it was denied before the change as well."""

    connection: Connection
    verdict: Verdict
    denied_before: bool = False

    @property
    def shuts(self) -> bool:
        """Whether the change would cut the connection off, for all that can be known."""
        sure = self.connection.what == SSH or not self.connection.doubt
        return self.verdict.verdict == DENY and not self.denied_before and sure

    def as_dict(self) -> dict[str, Any]:
        """The form in which modules return it."""
        seen = self.connection
        return {
            "node": seen.node,
            "what": seen.what,
            "source": str(seen.source),
            "destination": str(seen.destination),
            "port": seen.port,
            "denied_before": self.denied_before,
            **self.verdict.as_dict(),
            "assumptions": [*self.verdict.assumptions, *([seen.doubt] if seen.doubt else [])],
        }


def of_session(node: str, ssh_connection: str, place: str) -> Connection:
    """The connection that an SSH server tells its session.

    :param ssh_connection: four words, address and port of the client and of the server
    :param place: named in error messages
    :raises BadInput: another form
    """
    words = ssh_connection.split()
    ends = [end for end in map(parse_address, words[::2]) if end is not None]
    if len(words) != 4 or not words[3].isdigit() or len(ends) != 2:
        raise BadInput(place, ssh_connection, "four words: address and port of the client and of the server")
    source, destination = ends
    return Connection(node, SSH, source, destination, int(words[3]))


def obstacles(
    before: Iterable[Raw],
    after: Iterable[Raw],
    connections: Sequence[Connection],
    options: Optional[Options] = None,
    uses: Optional[Mapping[str, NodeUse]] = None,
) -> list[Obstacle]:
    """The connections that are not plainly allowed once the objects are as in ``after``.

    :param before: all objects as they are, with which a denied connection is judged once more
    :param uses: by node, what a look there found out
    """
    options = replace(options or Options(), staged="ignore")
    judges = NodeJudges(after, options, uses)
    found = [Obstacle(seen, judges.verdict(_flow(seen))) for seen in connections]
    found = [obstacle for obstacle in found if obstacle.verdict.verdict != "allow"]
    if any(obstacle.verdict.verdict == DENY for obstacle in found):
        earlier = NodeJudges(before, options, uses)
        found = [
            replace(o, denied_before=earlier.verdict(_flow(o.connection)).verdict == DENY) for o in found
        ]
    return found


def _flow(seen: Connection) -> Flow:
    return Flow(
        seen.node, INGRESS, PROTOCOLS["tcp"], seen.source, seen.destination, destination_port=seen.port
    )


def sentences(obstacles: Sequence[Obstacle]) -> list[str]:
    """One sentence for all obstacles that have the same cause."""
    groups: dict[object, list[Obstacle]] = {}
    for obstacle in obstacles:
        seen, by = obstacle.connection, obstacle.verdict
        key = (seen.what, seen.source, seen.port, by.verdict, by.reason_code, by.decided_by, obstacle.shuts)
        groups.setdefault(key, []).append(obstacle)
    return [_sentence(group) for group in groups.values()]


def _sentence(group: Sequence[Obstacle]) -> str:
    first = group[0]
    seen, verdict = first.connection, first.verdict
    more = f" and {len(group) - 1} more nodes" if len(group) > 1 else ""
    flow = f"{seen.what} from {seen.source} to {seen.node}{more} ({seen.destination}, tcp/{seen.port})"
    if verdict.verdict == DENY:
        still = "is and stays" if first.denied_before else "would be"
        doubt = f", if {seen.doubt}" if seen.doubt else ""
        return f"{flow} {still} denied by {decider(verdict, INGRESS)}{doubt}"
    assumptions = "; ".join((*verdict.assumptions, *([seen.doubt] if seen.doubt else [])))
    return f"whether {flow} is allowed depends on this: {assumptions}"


def remedy(obstacles: Sequence[Obstacle]) -> str:
    """What would let the connections in."""
    sources = sorted({str(o.connection.source) for o in obstacles})
    ports = sorted({o.connection.port for o in obstacles})
    return (
        f"allow tcp/{', tcp/'.join(map(str, ports))} from {', '.join(sources)} in a policy that is asked "
        "before (policies_ssh_sources), or keep the port among the inbound failsafes "
        "(felix_failsafe_inbound_host_ports); of several sets, enforce those that allow first, and take "
        "those that deny away first; reach: false (of a role <role>_reach) goes without this check"
    )
