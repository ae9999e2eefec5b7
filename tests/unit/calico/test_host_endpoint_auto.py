# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Automatic HostEndpoints: what may be configured, what is to be written, and what is to come of it."""

from __future__ import annotations

import json

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint import (
    HostEndpointTemplate,
    NamedPort,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint_auto import (
    ENABLED_ANNOTATION,
    AutoHostEndpoints,
    Template,
    coverage,
    desired_by_templates,
    is_enabled,
    is_enabled_by_us,
    left_uncovered,
    note_of_ownership,
    refuse_equal_names,
    refuse_names_of_two,
    templates_of,
)

from tests.unit import builders

AUTO = {"projectcalico.org/created-by": "calico-kube-controllers"}


def node(name="node1", labels=None, annotations=None, address="10.99.0.11"):
    return builders.node(name, address, labels=labels, annotations=annotations)


def hep(name, node_name="node1", labels=AUTO):
    return builders.host_endpoint(name, node=node_name, labels=labels)


def controllers(**host_endpoint):
    return {"node": {"hostEndpoint": host_endpoint}}


def cidr_template(name="t", cidr="10.99.0.0/16", **more):
    return Template(generate_name=name, interface_cidrs=(cidr,), **more)


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ({"generate_name": ""}, r"templates\[0\]\.generate_name"),
        ({"generate_name": "Upper"}, r"templates\[0\]\.generate_name"),
        ({"generate_name": "a" * 254}, r"templates\[0\]\.generate_name"),
        ({"generate_name": "a\n"}, r"templates\[0\]\.generate_name"),
        ({"interface_cidrs": []}, r"templates\[0\]\.interface_cidrs"),
        ({"interface_cidrs": ["10.0.0.0/8", "10.0.0.0/33"]}, r"templates\[0\]\.interface_cidrs\[1\]"),
        # Calico's validation takes a bare address, its controller then makes no HostEndpoint at all.
        ({"interface_cidrs": ["10.0.0.1"]}, "prefix length"),
        ({"interface_cidrs": ["10.0.0.0/255.0.0.0"]}, "prefix length"),
        ({"interface_cidrs": ["fe80::1%eth0/64"]}, "prefix length"),
        ({"interface_cidrs": ["010.0.0.0/8"]}, "prefix length"),
        ({"interface_cidrs": ["::ffff:10.0.0.0/104"]}, "IPv4's own form"),
        ({"interface_cidrs": ["10.0.0.1/8"]}, r"interface_cidrs\[0\].*write 10.0.0.0/8"),
        ({"interface_cidrs": ["10.0.0.0/8", "10.0.0.0/8"]}, "twice"),
        ({"labels": {"a": "two words"}}, r"templates\[0\]\.labels\.a"),
        ({"labels": {"app.kubernetes.io/managed-by": "hostfence"}}, "who owns the object"),
        ({"node_selector": "has(a) &&"}, r"templates\[0\]\.node_selector: 'has\(a\) &&'"),
        ({"node_selector": "a=b"}, r"templates\[0\]\.node_selector"),
    ],
)
def test_what_the_controller_would_misread_is_refused(option, complaint):
    good = {"generate_name": "t", "interface_cidrs": ["10.0.0.0/8"]}
    with pytest.raises(BadInput, match=complaint):
        templates_of([{**good, **option}])


@pytest.mark.parametrize(
    "pattern",
    [
        "eth0",
        "^eth[0-9]+$",
        "en(p|s)[a-z0-9]{1,4}",
        "(?:bond|team).*",
        r"eth0\.100",
        r"\w+-\d",
        "a{3}",
        "a{2,}?",
        "[^a-f.]",
        "x??",
        "()",
        "a{10}b{10}",
    ],
)
def test_patterns_that_both_languages_read_alike_are_taken(pattern):
    assert Template(generate_name="t", interface_pattern=pattern).interface_pattern == pattern


@pytest.mark.parametrize(
    "pattern",
    [
        "eth(?!0)",
        "(?<=a)b",
        r"(a)\1",
        "(?P<n>a)",
        "a++",
        "a**",
        "a*+",
        "(",
        ")",
        "[",
        "[]",
        "*",
        "a{1001}",
        "(a{40}){40}",
        "a{,5}",
        "a{2,1}",
        "[[:alpha:]]",
        "[z-a]",
        r"[a-\d]",
        r"\Z",
        r"\x",
        "a\\",
        "(?i)a",
        "é",
        "a b",
    ],
)
def test_patterns_that_go_might_not_compile_are_refused(pattern):
    with pytest.raises(BadInput, match="interface_pattern"):
        Template(generate_name="t", interface_pattern=pattern)


def test_templates_need_names_of_their_own():
    with pytest.raises(BadInput, match=r"templates\[1\]\.generate_name: 't'"):
        AutoHostEndpoints(enabled=True, templates=[cidr_template(), cidr_template()])


def test_neither_default_nor_templates_would_protect_nothing():
    with pytest.raises(BadInput, match="create_default"):
        AutoHostEndpoints(enabled=True, create_default=False)


def test_a_stored_template_is_read_by_gos_rules():
    stored = controllers(
        templates=[
            {"generateName": name, "interfaceCIDRs": [cidr]}
            for name, cidr in (
                ("host-bits", "10.99.0.1/16"),
                ("mapped", "::ffff:10.99.0.0/112"),
                ("other", "::/0"),
            )
        ]
    )
    made = AutoHostEndpoints.of_controllers({**stored}).made(node("n1"))
    assert set(made) >= {"n1-host-bits-auto-hep", "n1-mapped-auto-hep"}
    assert "n1-other-auto-hep" not in made


def test_a_bad_stored_template_is_named_as_such():
    stored = controllers(templates=[{"generateName": "t", "interfaceCIDRs": ["10.0.0.1"]}])
    with pytest.raises(
        BadInput, match=r"KubeControllersConfiguration default: templates\[0\]\.interface_cidrs"
    ):
        AutoHostEndpoints.of_controllers(stored)


@pytest.mark.parametrize(
    "stored", [None, {}, {"node": None}, {"node": {}}, controllers(autoCreate="Disabled")]
)
def test_disabled_is_what_is_assumed(stored):
    assert AutoHostEndpoints.of_controllers(stored) == AutoHostEndpoints()
    assert AutoHostEndpoints().difference(stored) == {}
    assert AutoHostEndpoints(enabled=True).difference(stored) == {"autoCreate": "Enabled"}


def test_only_what_differs_is_written():
    stored = controllers(
        autoCreate="Enabled",
        createDefaultHostEndpoint="Enabled",
        # Calico's own clients fill in the selector, raw writers do not.
        templates=[{"generateName": "t", "interfaceCIDRs": ["10.99.0.0/16"], "labels": {}}],
    )
    same = AutoHostEndpoints(enabled=True, templates=[cidr_template()])
    assert same.difference(stored) == {}
    assert AutoHostEndpoints.of_controllers(stored).difference(stored) == {}
    assert AutoHostEndpoints(enabled=True).difference(stored) == {"templates": []}
    other = AutoHostEndpoints(enabled=True, create_default=False, templates=[cidr_template(cidr="::/0")])
    assert other.difference(stored) == {
        "createDefaultHostEndpoint": "Disabled",
        "templates": [{"generateName": "t", "interfaceCIDRs": ["::/0"], "nodeSelector": "all()"}],
    }


def test_while_disabled_nothing_else_is_compared():
    stored = controllers(autoCreate="Enabled", createDefaultHostEndpoint="Disabled", templates=[{}])
    assert AutoHostEndpoints().difference(stored) == {"autoCreate": "Disabled"}


def test_names_of_a_nodes_host_endpoints():
    interfaces = [{"name": "eth0", "addresses": ["192.0.2.1"]}, {"name": "eth1"}, {"name": "lo"}]
    config = AutoHostEndpoints(
        enabled=True,
        templates=[
            cidr_template("here", labels={"a": "1"}),
            cidr_template("elsewhere", "10.98.0.0/16"),
            cidr_template("reported", "192.0.2.0/24"),
            cidr_template("storage", node_selector="has(storage)"),
            Template(generate_name="nic", interface_pattern="^eth"),
        ],
    )
    made = config.made(node(annotations={"projectcalico.org/Interfaces": json.dumps(interfaces)}))
    assert {name: one.labels for name, one in made.items()} == {
        "node1-auto-hep": {},
        "node1-here-auto-hep": {"a": "1"},
        "node1-reported-auto-hep": {},
        "node1-nic-eth0-auto-hep": {},
        "node1-nic-eth1-auto-hep": {},
    }
    assert (made["node1-reported-auto-hep"].interface, made["node1-reported-auto-hep"].expected_ips) == (
        "",
        ["192.0.2.1"],
    )
    assert (made["node1-nic-eth0-auto-hep"].interface, made["node1-nic-eth0-auto-hep"].expected_ips) == (
        "eth0",
        ["192.0.2.1"],
    )


@pytest.mark.parametrize("annotation", ["", "no json", "{}", "[1]", '[{"name": "eth0", "addresses": ["x"]}]'])
def test_interfaces_that_are_not_reported_make_no_host_endpoint(annotation):
    config = AutoHostEndpoints(enabled=True, templates=[Template("nic", interface_pattern="eth0")])
    made = config.made(node(annotations={"projectcalico.org/Interfaces": annotation}))
    assert list(made) == ["node1-auto-hep"]


def test_a_name_that_is_too_long_becomes_its_hash_as_calico_hashes_it():
    (name,) = AutoHostEndpoints(enabled=True).made(node("n" * 250))
    # From generateAutoHostEndpointName of kube-controllers v3.32.1.
    assert name == "fsetawr4cyeogg79xle7sas6qytoq8j2wa55iiu0owe-auto-hep"


def test_two_nodes_may_not_share_a_name():
    config = AutoHostEndpoints(enabled=True, templates=[cidr_template("b")])
    refuse_equal_names(config, [node("node1"), node("node2")])
    with pytest.raises(BadInput, match=r"node1-b-auto-hep.*both node1 and node1-b"):
        refuse_equal_names(config, [node("node1"), node("node1-b")])


def test_progress_tells_what_is_missing_unlabelled_in_the_way_and_done():
    heps = [
        hep("a-auto-hep", "a", {**AUTO, "zone": "1"}),
        hep("b-auto-hep", "b"),
        hep("c-auto-hep", "c", {"made": "by hand"}),
    ]
    nodes = [node(name) for name in "abcd"]
    progress = coverage(AutoHostEndpoints(enabled=True), nodes, heps, {n: {"zone": "1"} for n in "ab"})
    assert progress.covered == ["a"]
    assert progress.unlabelled == ["b-auto-hep"]
    assert progress.in_the_way == ["c-auto-hep"]
    assert progress.missing == {"d-auto-hep": "d"}


def test_a_templates_label_wins_over_the_nodes():
    config = AutoHostEndpoints(
        enabled=True, create_default=False, templates=[cidr_template(labels={"zone": "mine"})]
    )
    labels = {"node1": {"zone": "1", "rack": "r"}}
    there = hep("node1-t-auto-hep", labels={**AUTO, "zone": "mine", "rack": "r"})
    assert coverage(config, [node()], [there], labels).covered == ["node1"]
    stale = hep("node1-t-auto-hep", labels={**AUTO, "zone": "1", "rack": "r"})
    assert coverage(config, [node()], [stale], labels).unlabelled == ["node1-t-auto-hep"]


def test_a_node_that_no_template_fits_is_told_apart():
    config = AutoHostEndpoints(enabled=True, create_default=False, templates=[cidr_template()])
    progress = coverage(config, [node("out", address="192.0.2.1"), node()], [hep("node1-t-auto-hep")], {})
    assert (progress.without, progress.covered, progress.missing) == (["out"], ["node1"], {})


def test_who_would_be_left_without_a_host_endpoint():
    nodes = [node(name) for name in ("a", "b", "c")] + [node("w", {"kubernetes.io/os": "windows"})]
    heps = [hep("a-auto-hep", "a"), hep("a-hostfence", "a", {}), hep("b-auto-hep", "b"), hep("b-own", "b")]
    assert left_uncovered(nodes, heps) == ["b", "c"]


def configuration(**annotations):
    spec = {"controllers": controllers(autoCreate="Enabled")}
    return {"metadata": {"name": "default", "annotations": annotations}, "spec": spec}


def test_whether_they_are_enabled():
    assert is_enabled(configuration())
    assert not is_enabled(None)
    assert not is_enabled({"metadata": {}, "spec": {"controllers": {}}})


def test_our_note_is_found_where_calicos_clients_put_it():
    hidden = json.dumps({"name": "default", "annotations": {ENABLED_ANNOTATION: "enabled", "other": "x"}})
    moved = configuration(**{"projectcalico.org/metadata": hidden})
    assert is_enabled_by_us(moved)
    assert is_enabled_by_us(configuration(**{ENABLED_ANNOTATION: "enabled"}))
    assert not is_enabled_by_us(configuration())
    assert not is_enabled_by_us(None)
    note = note_of_ownership(moved, ours=False)
    assert note[ENABLED_ANNOTATION] is None
    assert json.loads(note["projectcalico.org/metadata"]) == {
        "name": "default",
        "annotations": {"other": "x"},
    }


def test_the_note_is_written_only_where_it_differs():
    noted = configuration(**{ENABLED_ANNOTATION: "enabled"})
    assert note_of_ownership(noted, ours=True) == {}
    assert note_of_ownership(noted, ours=False) == {ENABLED_ANNOTATION: None}
    assert note_of_ownership(configuration(), ours=True) == {ENABLED_ANNOTATION: "enabled"}
    assert note_of_ownership(None, ours=False) == {}


INTERFACES = json.dumps(
    [
        {"name": "eth0", "addresses": ["10.99.0.11", "fd99::11"]},
        {"name": "eth1", "addresses": ["198.51.100.7"]},
        {"name": "eth2", "addresses": []},
    ]
)


def by_templates(*options, of=None, shape=None, **more):
    on = of or node(labels={"zone": "a"}, annotations={"projectcalico.org/Interfaces": INTERFACES})
    shape = shape or HostEndpointTemplate(labels={"host-endpoint": "ingress"}, node_labels=["zone"])
    made = desired_by_templates(on, shape, templates_of(options), "projectcalico.org/v3", **more)
    return {one["metadata"]["name"]: one for one in made}


PUBLIC = {"generate_name": "public", "interface_cidrs": ["198.51.100.0/24"]}
STORAGE = {
    "generate_name": "storage",
    "interface_pattern": "^eth[12]$",
    "labels": {"host-endpoint": "storage"},
}


def test_one_of_ours_for_each_network_of_a_node():
    ports = [NamedPort("ssh", "TCP", 22)]
    shape = HostEndpointTemplate(labels={"host-endpoint": "ingress"}, node_labels=["zone"], ports=ports)
    made = by_templates(PUBLIC, STORAGE, shape=shape)
    assert sorted(made) == [
        "node1-hostfence",
        "node1-public-hostfence",
        "node1-storage-eth1-hostfence",
        "node1-storage-eth2-hostfence",
    ]
    common = {"node": "node1", "profiles": ["projectcalico-default-allow"], "ports": [ports[0].spec()]}
    assert made["node1-hostfence"]["spec"]["interfaceName"] == "*"
    assert made["node1-public-hostfence"]["spec"] == {**common, "expectedIPs": ["198.51.100.7"]}
    eth1 = made["node1-storage-eth1-hostfence"]
    assert eth1["spec"] == {**common, "interfaceName": "eth1", "expectedIPs": ["198.51.100.7"]}
    # An interface without an address is one by its name.
    assert made["node1-storage-eth2-hostfence"]["spec"] == {**common, "interfaceName": "eth2"}
    assert eth1["metadata"]["labels"] == {
        "zone": "a",
        "host-endpoint": "storage",
        "app.kubernetes.io/managed-by": "hostfence",
    }


def test_without_the_default_one_and_on_a_node_of_none_of_the_networks():
    assert sorted(by_templates(PUBLIC, create_default=False)) == ["node1-public-hostfence"]
    assert by_templates(PUBLIC, create_default=False, of=node()) == {}
    other = {**PUBLIC, "node_selector": "zone == 'b'"}
    assert sorted(by_templates(other)) == ["node1-hostfence"]


def test_the_middle_of_a_name_is_that_of_calicos_own():
    on = node(annotations={"projectcalico.org/Interfaces": INTERFACES})
    for options in (PUBLIC, STORAGE):
        config = AutoHostEndpoints(enabled=True, templates=tuple(templates_of([options])))
        calicos = {name.replace("-auto-hep", "-hostfence") for name in config.made(on)}
        assert set(by_templates(options, of=on)) == calicos


def test_a_name_of_two_is_refused():
    # Of node a one for the network b, of node a-b the default one.
    shape = HostEndpointTemplate()
    templates = templates_of([{"generate_name": "b", "interface_cidrs": ["10.99.0.0/16"]}])
    made = [
        hep
        for name in ("a", "a-b")
        for hep in desired_by_templates(node(name), shape, templates, "projectcalico.org/v3")
    ]
    with pytest.raises(BadInput, match=r"a-b-hostfence.*of a and of a-b"):
        refuse_names_of_two(made)
