# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.felix.configuration import (
    BUILT_IN,
    INBOUND_ENV,
    Edit,
    FailsafePort,
    FelixFields,
    built_in,
    changed_fields,
    check_entries,
    edit_of,
    edited_lists,
    effective,
    parse_env,
    remarks,
    wanted_spec,
)

FIELD = "failsafeInboundHostPorts"


def configuration(name: str, ports: Any, created: str = "", selector: str = "") -> dict[str, Any]:
    spec: dict[str, Any] = {} if ports is None else {FIELD: ports}
    if selector:
        spec["nodeSelector"] = selector
    return {
        "kind": "FelixConfiguration",
        "metadata": {"name": name, "creationTimestamp": created},
        "spec": spec,
    }


def tcp(port: int) -> list[dict[str, Any]]:
    return [{"protocol": "TCP", "port": port}]


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        ({"protocol": "SCTP", "port": 22}, "[0].protocol"),
        ({"protocol": "icmp", "port": 22}, "[0].protocol"),
        ({"port": 22}, "[0].protocol"),
        ({"protocol": 6, "port": 22}, "[0].protocol"),
        ({"protocol": "tcp", "port": 0}, "[0].port"),
        ({"protocol": "tcp", "port": 65536}, "[0].port"),
        ({"protocol": "tcp", "port": "22"}, "[0].port"),
        ({"protocol": "tcp", "port": True}, "[0].port"),
        ({"protocol": "tcp", "port": 22, "net": "abc"}, "[0].net"),
        ({"protocol": "tcp", "port": 22, "net": "10.0.0.0/33"}, "[0].net"),
        ({"protocol": "tcp", "port": 22, "net": "10.0.0.1/8"}, "[0].net"),
        ({"protocol": "tcp", "port": 22, "net": "10.0.0.1"}, "[0].net"),
        ({"protocol": "tcp", "port": 22, "nets": ["10.0.0.0/8"]}, "[0].nets"),
        # Felix does not start with it: on the way through its settings the net loses its brackets.
        ({"protocol": "tcp", "port": 22, "net": "::ffff:10.0.0.0/104"}, "[0].net"),
        ({"protocol": "tcp", "port": 22, "net": "::ffff:0:0/96"}, "[0].net"),
        ({"protocol": "tcp", "port": 22, "net": "fe80::%eth0/64"}, "[0].net"),
        ("tcp:22", "[0]"),
    ],
)
def test_what_felix_would_die_on_or_misread_is_refused(entry: Any, place: str) -> None:
    with pytest.raises(BadInput) as refused:
        check_entries([entry], FIELD)
    assert refused.value.field == FIELD + place


def test_an_entry_that_stands_twice_is_refused() -> None:
    with pytest.raises(BadInput, match="twice"):
        check_entries([*tcp(22), {"protocol": "tcp", "port": 22}], FIELD)


def test_entries_are_written_in_one_form_and_keep_their_order() -> None:
    given = [
        {"protocol": "UDP", "port": 68},
        {"protocol": "Tcp", "port": 22, "net": "FD00:0::/8"},
    ]
    assert check_entries(given, FIELD) == [
        {"protocol": "udp", "port": 68},
        {"protocol": "tcp", "port": 22, "net": "fd00::/8"},
    ]


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("none", ()),
        ("NONE", ()),
        ("22", (FailsafePort("tcp", 22),)),
        ("tcp:22, udp:68,", (FailsafePort("tcp", 22), FailsafePort("udp", 68))),
        ("tcp:10.0.0.0/8:22", (FailsafePort("tcp", 22, "10.0.0.0/8"),)),
        ("tcp:[fd00::/8]:22", (FailsafePort("tcp", 22, "fd00::/8"),)),
        ("tcp:10.1.2.3/8:22", (FailsafePort("tcp", 22, "10.0.0.0/8"),)),
        ("tcp:10.1.2.3:22", (FailsafePort("tcp", 22, "10.1.2.3/32"),)),
        ("", None),
        ("  ", None),
    ],
)
def test_the_form_of_environment_variables(text: str, ports: Any) -> None:
    assert parse_env(text, "V") == ports


@pytest.mark.parametrize(
    "text", ["sctp:22", "tcp:65536", "tcp:abc", "a:b:c:d", "tcp:[fd00::/8]", "tcp:x/8:22"]
)
def test_a_variable_that_felix_would_not_start_with(text: str) -> None:
    with pytest.raises(BadInput):
        parse_env(text, "V")


def test_defaults_by_version() -> None:
    now = [str(entry) for entry in built_in("v3.32.1").inbound]
    assert now == [
        "tcp/22", "udp/68", "tcp/179", "tcp/2379", "tcp/2380", "tcp/5473", "tcp/6443", "tcp/6666", "tcp/6667"
    ]  # fmt: skip
    assert [str(entry) for entry in built_in("v3.13.0").inbound] == [
        name for name in now if name not in ("tcp/5473", "tcp/6443")
    ]
    assert built_in("") == built_in("v3.15.0")


@pytest.mark.parametrize(
    ("configurations", "environment", "port", "source"),
    [
        ([], {}, 179, BUILT_IN),
        ([configuration("default", tcp(1))], {}, 1, "FelixConfiguration default"),
        ([configuration("default", None)], {}, 179, BUILT_IN),
        (
            [configuration("default", tcp(1)), configuration("rack", tcp(2), "2", "rack == 'a'")],
            {},
            2,
            "FelixConfiguration rack",
        ),
        (
            [configuration("x", tcp(3), "2", "rack == 'a'"), configuration("y", tcp(2), "1", "has(rack)")],
            {},
            2,
            "FelixConfiguration y",
        ),
        (
            [configuration("default", tcp(1)), configuration("other", tcp(2), "2", "rack == 'b'")],
            {},
            1,
            "FelixConfiguration default",
        ),
        (
            [configuration("rack", tcp(2), "2", "rack == 'a'"), configuration("node.n1", tcp(4))],
            {},
            4,
            "FelixConfiguration node.n1",
        ),
        (
            [configuration("node.n1", tcp(4))],
            {"FELIX_FAILSAFEINBOUNDHOSTPORTS": "tcp:5"},
            5,
            "environment variable FELIX_FAILSAFEINBOUNDHOSTPORTS",
        ),
        (
            [configuration("node.n1", tcp(4))],
            {"FELIX_FAILSAFEINBOUNDHOSTPORTS": ""},
            4,
            "FelixConfiguration node.n1",
        ),
        ([configuration("node.other", tcp(4))], {}, 179, BUILT_IN),
    ],
)
def test_which_source_wins(configurations: Any, environment: Any, port: int, source: str) -> None:
    found = effective(configurations, "n1", {"rack": "a"}, environment)
    assert port in [entry.port for entry in found.inbound]
    assert found.inbound_source == source
    assert found.outbound_source == BUILT_IN


@pytest.mark.parametrize(
    ("environment", "port"), [({}, 6), ({INBOUND_ENV: "tcp:5"}, 5), ({INBOUND_ENV: ""}, 6)]
)
def test_felixs_file_stands_between_its_environment_and_the_api(environment: Any, port: int) -> None:
    file = {INBOUND_ENV: "tcp:6"}
    found = effective([configuration("node.n1", tcp(4))], "n1", {}, environment, config_file=file)
    assert [entry.port for entry in found.inbound] == [port]


def test_felix_dies_on_a_bad_list_even_where_another_source_wins() -> None:
    bad = configuration("default", [{"protocol": "sctp", "port": 1}])
    found = effective([bad], "n1", {}, {INBOUND_ENV: "tcp:5"})
    assert [entry.port for entry in found.inbound] == [5]
    assert [field for field, _problem in found.undefined] == [FIELD]


def test_what_felix_would_not_start_with_is_told_and_not_guessed() -> None:
    found = effective([configuration("default", [{"protocol": "sctp", "port": 1}])], "n1", {})
    assert found.undefined[0][0] == FIELD
    assert found.inbound == built_in().inbound


def test_a_list_that_says_the_same_is_left_alone() -> None:
    spec = wanted_spec(FelixFields(inbound=[{"protocol": "TCP", "port": 22, "net": "10.0.0.0/8"}]))
    live = {FIELD: [{"protocol": "TCP", "port": 22, "net": "10.0.0.0/8"}], "logSeverityScreen": "Info"}
    assert changed_fields(live, spec) == {}
    assert changed_fields({FIELD: tcp(22)}, spec) == spec
    assert changed_fields({}, spec) == spec
    assert changed_fields({FIELD: []}, wanted_spec(FelixFields(inbound=[]))) == {}


@pytest.mark.parametrize(
    "server",
    [
        "10.96.0.10",
        "10.96.0.10:53",
        "2001:db8::53",
        "[2001:db8::53]:53",
        "k8s-service:kube-dns",
        "k8s-service:a/b:53",
    ],
)
def test_trusted_servers_are_addresses_and_services(server: str) -> None:
    assert wanted_spec(FelixFields(dns_trusted_servers=[server])) == {"dnsTrustedServers": [server]}


@pytest.mark.parametrize(
    "server",
    [
        "not a server",
        "999.1.1.1",
        "10.96.0.10:99999",
        "10.96.0.10:0",
        "[10.96.0.10]:53",
        "2001:db8::53::1",
        "k8s-service:",
    ],
)
def test_what_can_be_no_trusted_server_is_refused(server: str) -> None:
    with pytest.raises(BadInput, match="dnsTrustedServers"):
        wanted_spec(FelixFields(dns_trusted_servers=[server]))


@pytest.mark.parametrize("wanted", [FelixFields(node="Node_1"), FelixFields(inbound=[{}])])
def test_wanted_fields_are_checked_before_they_are_written(wanted: FelixFields) -> None:
    with pytest.raises(BadInput):
        wanted_spec(wanted)


SSH, BGP = FailsafePort("tcp", 22), FailsafePort("tcp", 179)
SSH_OF_SOME = FailsafePort("tcp", 22, "192.0.2.0/28")


@pytest.mark.parametrize(
    ("edit", "after"),
    [
        (Edit(add=(FailsafePort("tcp", 2222),)), (SSH, BGP, FailsafePort("tcp", 2222))),
        (Edit(add=(SSH,)), (SSH, BGP)),
        (Edit(remove=(BGP,)), (SSH,)),
        (Edit(remove=(FailsafePort("udp", 22),)), (SSH, BGP)),
        (Edit(remove=(SSH_OF_SOME,)), (SSH, BGP)),
        (Edit(add=(SSH_OF_SOME,), remove=(SSH,)), (BGP, SSH_OF_SOME)),
    ],
)
def test_single_entries_change_and_the_same_edit_again_changes_nothing(edit: Edit, after: Any) -> None:
    assert edit.applied((SSH, BGP)) == after
    assert edit.applied(after) == after


def test_what_is_edited_is_the_list_that_applies() -> None:
    add = edit_of([{"protocol": "TCP", "port": 2222}], [], FIELD)
    everywhere = [configuration("default", tcp(22))]
    [(field, ports)] = edited_lists(FelixFields(inbound_edit=add), everywhere, {}).items()
    assert (field, ports) == (FIELD, [{"protocol": "tcp", "port": p} for p in (22, 2222)])
    # A node without a list of its own starts from that of its labels, else from that of all nodes.
    of_node = FelixFields("n1", inbound_edit=add)
    scoped = configuration("by-label", tcp(23), selector="zone == 'a'")
    assert edited_lists(of_node, everywhere, {})[FIELD][0]["port"] == 22
    assert edited_lists(of_node, [*everywhere, scoped], {"zone": "a"})[FIELD][0]["port"] == 23
    # The list of all nodes does not start from that of some.
    assert edited_lists(FelixFields(inbound_edit=add), [scoped], {"zone": "a"})[FIELD][:-1] == [
        entry.as_object() for entry in built_in().inbound
    ]
    # What is so already is not written.
    assert edited_lists(FelixFields(inbound_edit=edit_of(tcp(22), [], FIELD)), [], {}) == {}


def test_a_list_that_felix_cannot_read_is_not_edited() -> None:
    broken = [configuration("default", [{"protocol": "sctp", "port": 1}])]
    with pytest.raises(BadInput, match="write it as a whole"):
        edited_lists(FelixFields(inbound_edit=Edit(add=(SSH,))), broken, {})


def test_a_list_is_given_as_a_whole_or_edited() -> None:
    with pytest.raises(BadInput, match="as a whole"):
        FelixFields(inbound=tcp(22), inbound_edit=Edit(add=(SSH,)))


def test_default_ports_that_a_list_leaves_out_are_named_with_who_uses_them() -> None:
    def said(**given: Any) -> str:
        wanted = FelixFields(**given)
        spec = {**wanted_spec(wanted), **edited_lists(wanted, [], {})}
        return "; ".join(": ".join(remark) for remark in remarks(wanted, spec))

    whole = said(inbound=tcp(22))
    assert (
        "leaves out udp/68 (DHCP), tcp/179 (BGP), tcp/2379 (etcd), tcp/2380 (etcd), tcp/5473 (Typha)" in whole
    )
    assert "tcp/22" not in whole
    assert "tcp/22" not in said(inbound=[{"protocol": "tcp", "port": 22, "net": "10.0.0.0/8"}])
    assert "no port stays open" in said(outbound=[])
    # Who takes out a single port has named it.
    assert said(inbound_edit=Edit(add=(SSH_OF_SOME,), remove=(SSH, BGP))) == ""
