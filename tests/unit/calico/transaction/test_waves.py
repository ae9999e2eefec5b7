# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waves: who changes together, and that everybody has exactly one switch."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.selector import parse
from ansible_collections.hostfence.calico.plugins.module_utils.calico.transaction.waves import (
    HOSTNAME,
    Host,
    check,
    compute,
    without_node,
)

from tests.unit import builders


def hosts(workers: int, control_plane: int = 3) -> list[Host]:
    found = [Host(f"w{n}", {HOSTNAME: f"w{n}", "n": str(n)}, zone="abc"[n % 3]) for n in range(workers)]
    return found + [Host(f"c{n}", {HOSTNAME: f"c{n}", "cp": ""}, True) for n in range(control_plane)]


def test_canary_grows_and_ends_with_single_control_plane_nodes() -> None:
    waves = compute("canary", hosts(100))
    assert [len(wave.nodes) for wave in waves] == [1, 3, 6, 40, 50, 1, 1, 1]
    assert [wave.name for wave in waves][:2] == ["canary", "one of each zone and role"]
    assert all(wave.nodes[0].startswith("c") for wave in waves[-3:])


@pytest.mark.parametrize(
    "wish", ["canary", "all", ["has(cp)", "n == '1'"], ["n in {'1', '2'}", "n == '2' || has(cp)"]]
)
@pytest.mark.parametrize("count", [0, 1, 5, 100])
def test_every_endpoint_is_in_exactly_one_wave(wish: object, count: int) -> None:
    everybody = hosts(count)
    if isinstance(wish, list) and count < 2:
        return
    waves = compute(wish, everybody)  # type: ignore[arg-type]
    pod = {"app": "web"}
    for labels in [*(host.labels for host in everybody), pod, {HOSTNAME: "came-later"}]:
        assert sum(parse(wave.selector).matches(labels) for wave in waves) == 1
    for host in everybody:
        wave = next(w for w in waves if parse(w.selector).matches(host.labels))
        assert host.node in wave.nodes


def test_they_are_the_same_each_time() -> None:
    assert compute("canary", hosts(30)) == compute("canary", list(reversed(hosts(30))))


def test_what_cannot_be_told_apart_is_refused() -> None:
    with pytest.raises(BadInput, match="has no label"):
        compute("canary", [Host("a", {}), Host("b", {})])
    with pytest.raises(BadInput, match="matches no HostEndpoint"):
        compute(["has(cp)", "has(cp)"], hosts(3))
    with pytest.raises(BadInput, match=r"waves\[0\]"):
        compute(["has("], hosts(3))
    for nothing in ("", []):
        with pytest.raises(BadInput, match="must be canary, all, or a list"):
            compute(nothing, hosts(3))


def test_a_wish_can_be_checked_before_there_are_hosts() -> None:
    for wish in (["all"], ["canary"], ["has(zone)", "all()"]):
        check(wish)
    for wish, said in (([], "must be canary"), (["has(zone)", "has("], r"waves\[1\]")):
        with pytest.raises(BadInput, match=said):
            check(wish)


def bpf(name: str) -> builders.Object:
    return builders.felix_configuration(name, bpfEnabled=True)


def test_a_host_with_ebpf_and_without_a_node_object_is_refused() -> None:
    for name in ("default", "node.ghost"):
        with pytest.raises(BadInput, match="has eBPF and no Node object"):
            without_node({"ghost": "hep", "n1": "h1"}, ["n1"], [bpf(name)])


def test_a_host_without_a_node_object_is_told_and_one_with_it_is_not() -> None:
    assert without_node({"ghost": "hep", "n1": "h1"}, ["n1"], [bpf("node.n1")]).startswith(
        "no Node object: ghost."
    )
    assert without_node({"n1": "h1"}, ["n1"], [bpf("default")]) == ""
