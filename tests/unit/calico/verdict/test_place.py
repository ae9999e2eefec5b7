# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What cannot be judged from where this machine stands."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.address import parse_address
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.place import Place, unjudged
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.reach import Connection

POOL = {"kind": "IPPool", "metadata": {"name": "pods"}, "spec": {"cidr": "10.244.0.0/16"}}
HERE, POD, JUMP = (parse_address(text) for text in ("192.0.2.1", "10.244.3.7", "192.0.2.99"))


def login(node, source, doubt=""):
    return Connection(node, "SSH", source, parse_address("192.0.2.11"), 22, doubt)


PLACES = {
    "outside": (Place([HERE], "api:6443", HERE), [login("node1", HERE)], []),
    "in a pod": (
        Place([POD], "api:443", POD),
        [login("node1", POD)],
        ["this machine is a pod (10.244.3.7 is"],
    ),
    "in a pod, SSH behind a NAT": (
        Place([], "api:443", POD),
        [login("node1", JUMP)],
        ["this machine is a pod", "SSH to node1 comes from 192.0.2.99, which is no address of this machine"],
    ),
    "behind a jump host": (
        Place([HERE], "api:6443", HERE),
        [login("node0", HERE), *(login(f"node{n}", JUMP) for n in range(1, 6))],
        ["SSH to node1, node2, node3 and 2 more nodes comes from 192.0.2.99"],
    ),
    "nobody logged in": (Place([], "api:6443", HERE), [login("node1", HERE, "the node sees")], []),
    "behind a load balancer": (
        Place([HERE], "api.example:443", HERE, behind_balancer=True),
        [],
        ["the API server api.example:443 is no node, but API servers are, as behind a load balancer"],
    ),
    "an API nobody can name": (
        Place([HERE], "api.invalid:443"),
        [],
        ["the address of the API server api.invalid:443 is not known here"],
    ),
}


@pytest.mark.parametrize("where", PLACES)
def test_what_is_not_judged_is_said(where):
    place, logins, expected = PLACES[where]
    found = unjudged([POOL], place, logins)
    assert len(found) == len(expected)
    for sentence, beginning in zip(found, expected):
        assert sentence.startswith(beginning)
