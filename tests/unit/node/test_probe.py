# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""New TCP connections, to a port at which something listens and to one at which nothing does."""

from __future__ import annotations

import socket

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.node.probe import result


def test_a_port_that_nothing_listens_at_is_a_finding() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        good, refused = (f"127.0.0.1:{one.getsockname()[1]}" for one in (server, bound))
        found = result([good, refused])
    assert (found["ok"], found["summary"]) == (False, "1 of 2 new connections")
    assert [probe["ok"] for probe in found["probes"]] == [True, False]
    [finding] = found["findings"]
    assert finding["id"] == "probe.failed"
    assert f"to {refused} failed: refused: nothing listens there" in finding["message"]


def test_where_all_are_reached_nothing_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = result([f"127.0.0.1:{server.getsockname()[1]}"])
    assert (found["ok"], found["findings"]) == (True, [])


@pytest.mark.parametrize(
    "target", ["", "10.0.0.1", "10.0.0.1:", ":22", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:ssh", "[]:22"]
)
def test_a_target_is_an_address_and_a_port(target: str) -> None:
    with pytest.raises(BadInput) as refused:
        result(["127.0.0.1:1", target])
    assert (refused.value.field, refused.value.value) == ("probe_targets[1]", target)
