# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role crds against an API server that begins without any of Calico's kinds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from conftest import UPSTREAM
from role_run import run_roles
from waiting import eventually

from testbed import binaries, crds
from testbed.api import ApiError
from testbed.control_plane import ControlPlane

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PLURALS = {
    "clusterinformations",
    "felixconfigurations",
    "globalnetworkpolicies",
    "globalnetworksets",
    "hostendpoints",
    "kubecontrollersconfigurations",
    "networksets",
    "stagedglobalnetworkpolicies",
    "tiers",
}
V1, V3 = "crd.projectcalico.org", "projectcalico.org"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    control_plane = ControlPlane(
        tmp_path_factory.mktemp("crds"), binaries.locate(binaries.CONTROL_PLANE, print), tied=True
    )
    try:
        control_plane.start()
        yield control_plane
    finally:
        control_plane.stop()


@pytest.fixture
def empty(server):
    """The server without any definition."""
    api = server.api()
    api.delete(DEFINITIONS)
    eventually(lambda: not api.list(DEFINITIONS) and not served(api, V1) and not served(api, V3), 30)
    return server


def served(api, group):
    return group in {g["name"] for g in api.get("/apis")["groups"]}


def stored(server):
    return {d["metadata"]["name"]: d for d in server.api().list(DEFINITIONS)}


def install(server, group, *kinds):
    version = "v1" if group == V1 else "v3"
    chosen = [d for d in crds.load("ours", version) if d["spec"]["names"]["kind"] in kinds]
    for definition in chosen:
        # As somebody else's: not ours to remove, and recognisable.
        definition["metadata"]["labels"] = {"made-by": "somebody"}
    crds.install(server.api(), chosen)


def run(server, *flags, **variables):
    return run_roles(str(server.kubeconfig), ["crds"], *flags, **variables)


@pytest.mark.parametrize(("group", "version"), [(V1, "v1"), (V3, "v3")])
def test_an_empty_cluster_gets_all_of_one_group(empty, group, version):
    looked = run(empty, "--check", crds_api_group=group)
    assert (looked.code, looked.changed) == (0, 1), looked.output
    assert stored(empty) == {}

    first = run(empty, crds_api_group=group)
    assert (first.code, first.changed) == (0, 1), first.output
    found = stored(empty)
    assert set(found) == {f"{plural}.{group}" for plural in PLURALS}
    for definition in found.values():
        assert [v["name"] for v in definition["spec"]["versions"]] == [version]
        assert definition["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "hostfence"}

    again = run(empty, crds_api_group=group)
    assert (again.code, again.changed) == (0, 0), again.output
    assert stored(empty) == found


@pytest.mark.parametrize(("there", "asked"), [(V1, V3), (V3, V1)])
def test_the_group_in_use_wins_and_what_exists_stays(empty, there, asked):
    install(empty, there, "HostEndpoint", "GlobalNetworkPolicy")
    before = stored(empty)
    done = run(empty, crds_api_group=asked)
    assert (done.code, done.changed) == (0, 1), done.output
    after = stored(empty)
    assert set(after) == {f"{plural}.{there}" for plural in PLURALS}
    for name, definition in before.items():
        assert after[name]["metadata"]["resourceVersion"] == definition["metadata"]["resourceVersion"]


def test_kinds_that_the_installed_calico_does_not_know_are_left_out(empty):
    install(empty, V1, "HostEndpoint", "ClusterInformation")
    empty.api().post(
        "/apis/crd.projectcalico.org/v1/clusterinformations",
        {
            "apiVersion": "crd.projectcalico.org/v1",
            "kind": "ClusterInformation",
            "metadata": {"name": "default"},
            "spec": {"calicoVersion": "v3.28.2", "datastoreReady": True},
        },
    )
    done = run(empty)
    assert (done.code, done.changed) == (0, 1), done.output
    assert set(stored(empty)) == {f"{p}.{V1}" for p in PLURALS - {"tiers", "stagedglobalnetworkpolicies"}}
    assert "Tier is not installed: it came with Calico 3.29, and this is v3.28.2" in done.text
    again = run(empty)
    assert (again.code, again.changed) == (0, 0), again.output


def test_a_definition_in_another_version_is_refused(empty):
    install(empty, V1, "FelixConfiguration")
    other = next(d for d in crds.load("ours", "v1") if d["spec"]["names"]["kind"] == "HostEndpoint")
    other["spec"]["versions"][0]["name"] = "v1beta1"
    empty.api().post(DEFINITIONS, other)
    before = set(stored(empty))
    done = run(empty)
    assert done.code != 0
    assert "does not serve crd.projectcalico.org/v1 of them: hostendpoints.crd.projectcalico.org" in done.text
    assert set(stored(empty)) == before


def test_a_source_with_other_things_in_it_is_refused(empty, tmp_path):
    source = tmp_path / "all.yaml"
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "calico-node"}}
    source.write_text(yaml.safe_dump_all([*crds.load("ours", "v1"), account]))
    done = run(empty, crds_source=str(source))
    assert done.code != 0
    assert "must hold CustomResourceDefinitions only, and not ServiceAccount" in done.text
    assert stored(empty) == {}


@pytest.mark.one_flavour
def test_a_source_that_does_not_exist_is_refused_even_where_nothing_is_absent(clean_api, tmp_path):
    done = run_roles(clean_api.kubeconfig, ["crds"], crds_source=str(tmp_path / "gone.yaml"))
    assert (done.code, done.changed) == (2, 0)
    assert f"crds_source: {tmp_path}/gone.yaml: no such file on the controller" in done.text


def test_a_source_of_the_other_group_is_refused(empty, tmp_path):
    source = tmp_path / "v3,native.yaml"
    source.write_text(yaml.safe_dump_all(crds.load("ours", "v3")))
    done = run(empty, crds_source=str(source))
    assert done.code != 0
    assert "has no definition of" in done.text
    assert stored(empty) == {}


@pytest.mark.parametrize(("directory", "group"), [("v1-3.32.1", V1), ("v3-3.32.1", V3)])
def test_the_vendors_definitions(empty, tmp_path, directory, group):
    files = sorted((UPSTREAM / directory).glob("*.yaml"))
    if not files:
        pytest.skip(
            f"no upstream CRDs at {UPSTREAM / directory}: set HOSTFENCE_CRDS to the directory that holds it"
        )
    source = Path(tmp_path / "vendor.yaml")
    source.write_text("\n---\n".join(file.read_text() for file in files))
    done = run(empty, crds_source=str(source), crds_api_group=group)
    assert (done.code, done.changed) == (0, 1), done.output
    assert set(stored(empty)) == {f"{plural}.{group}" for plural in PLURALS}
    again = run(empty, crds_source=str(source), crds_api_group=group)
    assert (again.code, again.changed) == (0, 0), again.output


def test_teardown_takes_empty_definitions_of_ours_when_asked(empty):
    install(empty, V3, "NetworkSet")
    made = run(empty)
    assert made.code == 0, made.output
    api = empty.api()
    body = {
        "apiVersion": f"{V3}/v3",
        "kind": "FelixConfiguration",
        "metadata": {"name": "default"},
        "spec": {},
    }
    api.post(f"/apis/{V3}/v3/felixconfigurations", body)
    # As text, which a command line gives.
    left = run_roles(str(empty.kubeconfig), ["teardown"], teardown_crds="false")
    assert (left.code, left.changed) == (0, 0), left.output
    assert set(stored(empty)) == {f"{plural}.{V3}" for plural in PLURALS}
    done = run_roles(str(empty.kubeconfig), ["teardown"], teardown_crds=True)
    assert (done.code, done.changed) == (0, 1), done.output
    assert set(stored(empty)) == {f"networksets.{V3}", f"felixconfigurations.{V3}"}
    assert f"felixconfigurations.{V3}: others have default stored under it" in done.text


RULE = {"action": "Allow", "protocol": "TCP"}
POLICY = {"types": ["Ingress"], "selector": "all()"}
REFUSED = [
    ("HostEndpoint", {"interfaceName": "*"}, "node must be set"),
    ("HostEndpoint", {"node": "", "interfaceName": "*"}, "node must be set"),
    ("HostEndpoint", {"node": "n"}, "interfaceName or expectedIPs"),
    ("HostEndpoint", {"node": "n", "interfaceName": "a-name-longer-than-15"}, "interfaceName"),
    (
        "HostEndpoint",
        {"node": "n", "interfaceName": "*", "ports": [{"name": "p", "protocol": "TCP", "port": 0}]},
        "port",
    ),
    ("GlobalNetworkPolicy", {**POLICY, "preDNAT": True}, "need applyOnForward"),
    ("GlobalNetworkPolicy", {**POLICY, "doNotTrack": True}, "need applyOnForward"),
    (
        "GlobalNetworkPolicy",
        {**POLICY, "preDNAT": True, "doNotTrack": True, "applyOnForward": True},
        "exclude each other",
    ),
    (
        "GlobalNetworkPolicy",
        {**POLICY, "preDNAT": True, "applyOnForward": True, "egress": [{"action": "Allow"}]},
        "has no egress rules",
    ),
    (
        "GlobalNetworkPolicy",
        {"types": ["Ingress", "Egress"], "preDNAT": True, "applyOnForward": True},
        "governs ingress only",
    ),
    ("GlobalNetworkPolicy", {**POLICY, "types": ["Both"]}, "types"),
    ("GlobalNetworkPolicy", {**POLICY, "ingress": [{**RULE, "action": "Drop"}]}, "action"),
    ("GlobalNetworkPolicy", {**POLICY, "ingress": [{**RULE, "source": {"nets": ["10.0.0.0/33"]}}]}, "nets"),
    ("GlobalNetworkPolicy", {**POLICY, "ingress": [{**RULE, "source": {"nets": ["10.0.0.256"]}}]}, "nets"),
    ("GlobalNetworkPolicy", {**POLICY, "ingress": [{**RULE, "source": {"nets": ["fd00::/129"]}}]}, "nets"),
    ("GlobalNetworkPolicy", {**POLICY, "ingress": [{**RULE, "destination": {"ports": [70000]}}]}, "ports"),
    ("GlobalNetworkPolicy", {**POLICY, "ingress": [{**RULE, "destination": {"ports": ["70000"]}}]}, "ports"),
    (
        "GlobalNetworkPolicy",
        {**POLICY, "ingress": [{**RULE, "destination": {"ports": ["1:70000"]}}]},
        "ports",
    ),
    (
        "GlobalNetworkPolicy",
        {**POLICY, "ingress": [{"action": "Allow", "destination": {"ports": [22]}}]},
        "ingress[0]",
    ),
    (
        "GlobalNetworkPolicy",
        {**POLICY, "egress": [{"action": "Allow", "protocol": "ICMP", "destination": {"notPorts": [22]}}]},
        "egress[0]",
    ),
    (
        "GlobalNetworkPolicy",
        {**POLICY, "ingress": [RULE, {"action": "Allow", "protocol": 1, "source": {"ports": [22]}}]},
        "ingress[1]",
    ),
    (
        "GlobalNetworkPolicy",
        {**POLICY, "ingress": [{"action": "Deny", "notProtocol": "TCP", "source": {"notPorts": [22]}}]},
        "ingress[0]",
    ),
    (
        "GlobalNetworkPolicy",
        {**POLICY, "ingress": [{"action": "Allow", "protocol": "ICMP", "notICMP": {"code": 1}}]},
        "notICMP",
    ),
    ("GlobalNetworkPolicy", {**POLICY, "ingress": [{"action": "Allow", "protocol": "tpc"}]}, "protocol"),
    ("GlobalNetworkPolicy", {**POLICY, "ingress": [{"action": "Allow", "protocol": 300}]}, "protocol"),
    ("StagedGlobalNetworkPolicy", {**POLICY, "preDNAT": True}, "need applyOnForward"),
    ("StagedGlobalNetworkPolicy", {**POLICY, "stagedAction": "Put"}, "stagedAction"),
    ("Tier", {"defaultAction": "Allow"}, "defaultAction"),
    ("GlobalNetworkSet", {"nets": ["10.0.0.0/33"]}, "nets"),
    ("FelixConfiguration", {"failsafeInboundHostPorts": [{"protocol": "SCTP", "port": 22}]}, "protocol"),
    ("FelixConfiguration", {"failsafeInboundHostPorts": [{"port": 22}]}, "protocol"),
    (
        "FelixConfiguration",
        {"failsafeOutboundHostPorts": [{"protocol": "tcp", "port": 1, "net": "abc"}]},
        "net",
    ),
    (
        "KubeControllersConfiguration",
        {"controllers": {"node": {"hostEndpoint": {"autoCreate": "on"}}}},
        "autoCreate",
    ),
]
ACCEPTED = [
    ("HostEndpoint", {"node": "n", "interfaceName": "*", "profiles": ["projectcalico-default-allow"]}),
    ("HostEndpoint", {"node": "n", "expectedIPs": ["10.0.0.1", "fd00::1"], "interfaceName": ""}),
    (
        "HostEndpoint",
        {"node": "n", "interfaceName": "eth0", "ports": [{"name": "a", "protocol": 6, "port": 1}]},
    ),
    ("GlobalNetworkPolicy", {}),
    ("GlobalNetworkPolicy", {**POLICY, "preDNAT": True, "applyOnForward": True, "order": -0.5}),
    (
        "GlobalNetworkPolicy",
        {
            **POLICY,
            "ingress": [
                {
                    "action": "Pass",
                    "protocol": "udp",
                    "ipVersion": 6,
                    "source": {
                        "nets": ["0.0.0.0/0", "::/0", "fd00::1", "::ffff:10.0.0.1/128"],
                        "notNets": ["10.1.1.1"],
                    },
                    "destination": {"ports": [1, "65535", "30000:32767", "name-1", "22x"]},
                    "metadata": {"annotations": {"why": "because"}},
                },
                {"action": "Allow", "protocol": "ICMPv6", "icmp": {"type": 135, "code": 0}},
                {"action": "Allow", "protocol": "ICMP", "icmp": {"type": 8}},
                {"action": "Allow", "protocol": 132, "source": {"ports": [1]}, "destination": {}},
                {"action": "Deny", "protocol": "Sctp", "source": {"notPorts": [1]}},
                {"action": "Log", "notProtocol": "SCTP", "http": {"methods": ["GET"]}},
            ],
        },
    ),
    ("StagedGlobalNetworkPolicy", POLICY),
    ("Tier", {"order": 100, "defaultAction": "Pass"}),
    ("Tier", {"order": 10.5}),
    ("GlobalNetworkSet", {"nets": ["192.0.2.1", "2001:db8::/32"]}),
    (
        "FelixConfiguration",
        {
            "failsafeInboundHostPorts": [{"protocol": "TCP", "port": 22, "net": "10.0.0.0/8"}],
            "failsafeOutboundHostPorts": [],
            "bpfLogLevel": "",
            "floatingIPs": "Disabled",
            "routeTableRanges": [{"min": 1, "max": 250}],
        },
    ),
    (
        "KubeControllersConfiguration",
        {"controllers": {"node": {"hostEndpoint": {"autoCreate": "Enabled"}, "leakGracePeriod": "15m0s"}}},
    ),
]


@pytest.fixture(scope="module")
def both_groups(server):
    """Both groups at once, as the schemas do not know of each other."""
    api = server.api()
    api.delete(DEFINITIONS)
    eventually(lambda: not api.list(DEFINITIONS), 30)
    found = {}
    for version in ("v1", "v3"):
        definitions = crds.load("ours", version)
        crds.install(api, definitions)
        found[version] = crds.kinds(definitions)
    return api, found


@pytest.mark.parametrize("version", ["v1", "v3"])
@pytest.mark.parametrize(("kind", "spec", "why"), REFUSED, ids=lambda value: json.dumps(value)[:60])
def test_the_api_refuses_what_felix_would_misread(both_groups, version, kind, spec, why):
    api, kinds = both_groups
    with pytest.raises(ApiError) as refused:
        post(api, kinds[version][kind], spec)
    assert refused.value.status == 422
    assert why in str(refused.value)


@pytest.mark.parametrize("version", ["v1", "v3"])
@pytest.mark.parametrize(("kind", "spec"), ACCEPTED, ids=lambda value: json.dumps(value)[:60])
def test_the_api_keeps_what_calico_writes(both_groups, version, kind, spec):
    api, kinds = both_groups
    kept = post(api, kinds[version][kind], spec)["spec"]
    assert {key: kept[key] for key in spec} == spec


def post(api, kind, spec):
    body = {
        "apiVersion": kind.group_version,
        "kind": kind.name,
        "metadata": {"generateName": "one-"},
        "spec": spec,
    }
    return api.post(kind.path, body, dryRun="All")


def test_definitions_have_no_field_that_the_api_drops(both_groups):
    api, _kinds = both_groups
    live = {d["metadata"]["name"]: d["spec"]["versions"][0] for d in api.list(DEFINITIONS)}
    for version in ("v1", "v3"):
        for definition in crds.load("ours", version):
            ours = definition["spec"]["versions"][0]
            assert live[definition["metadata"]["name"]]["schema"] == ours["schema"]
