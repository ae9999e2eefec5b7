# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The modules policies and policies_info against a real API server, on every flavour of Calico's API."""

from __future__ import annotations

import threading
import time

import pytest
import yaml
from builders import GNP, GNS, SGNP, TIER, network_set, policy
from module_run import run_module

KINDS = (GNP, SGNP, GNS, TIER)


SET = [policy("ssh"), policy("rest", "Deny", 20), network_set("office", "192.0.2.0/24")]


def run_set(api, state="enforced", definitions=SET, **options):
    """What the set says matters little here, so lint is off unless asked for."""
    given = {
        "name": "edge",
        "state": state,
        "definitions": definitions,
        "settle": 0,
        "lint": False,
        "without_switch": True,
        **options,
    }
    return run_module("policies", api, **given)


def stored(api):
    """All policy in the cluster but Calico's own tiers: (kind, name) -> object."""
    found = {}
    for kind in (k for k in KINDS if k in api.kinds):
        for obj in api.admin.list(api.path(kind)):
            name = obj["metadata"]["name"]
            if kind != TIER or name not in ("default", "kube-admin", "kube-baseline"):
                found[kind, name] = obj
    return found


def versions(api):
    return {key: obj["metadata"]["resourceVersion"] for key, obj in stored(api).items()}


def stored_name(api, name):
    """Where a policy of the set's tier is stored: before tiers were, in the tier default."""
    return f"hostfence.{name}" if TIER in api.kinds else f"default.{name}"


def expected(api, kind):
    keys = {(GNS, "office")}
    if kind in api.kinds:
        keys |= {(kind, stored_name(api, name)) for name in ("ssh", "rest")}
    if TIER in api.kinds:
        keys.add((TIER, "hostfence"))
    return keys


def ok(result):
    assert not result["failed"], result["msg"]
    return result


def test_enforced(clean_api):
    result = ok(run_set(clean_api))
    assert result["changed"]
    found = stored(clean_api)
    assert set(found) == expected(clean_api, GNP)
    ssh = found[GNP, stored_name(clean_api, "ssh")]
    assert ssh["spec"]["types"] == ["Ingress"]
    assert ssh["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "hostfence"
    assert ssh["metadata"]["labels"]["hostfence.io/set"] == "edge"
    if TIER in clean_api.kinds:
        assert found[TIER, "hostfence"]["spec"] == {"order": 100, "defaultAction": "Deny"}
        assert ssh["spec"]["tier"] == "hostfence"


def test_staged(clean_api):
    result = ok(run_set(clean_api, "staged"))
    assert set(stored(clean_api)) == expected(clean_api, SGNP)
    if SGNP in clean_api.kinds:
        assert result["not_stored"] == []
        assert stored(clean_api)[SGNP, "hostfence.ssh"]["spec"]["stagedAction"] == "Set"
        assert stored(clean_api)[TIER, "hostfence"]["spec"]["defaultAction"] == "Pass"
    else:
        assert result["not_stored"] == ["ssh", "rest"]
        assert "no staged policies" in result["warnings"][0]


COPIES = {
    (TIER, "audited-hostfence"),
    (GNP, "audited-hostfence.ssh"),
    (GNP, "audited-hostfence.rest"),
    (GNP, "audited-hostfence.end-of-tier-ingress-edge"),
}


def test_every_state_after_every_other_and_each_twice(clean_api):
    copies = COPIES if TIER in clean_api.kinds else set()
    walk = ("staged", "enforced", "staged", "audited", "absent", "enforced", "audited", "enforced", "absent")
    for state in (*walk, "audited", "staged"):
        ok(run_set(clean_api, state))
        kind = {"staged": SGNP, "audited": SGNP, "enforced": GNP}.get(state)
        found = expected(clean_api, kind) if kind else set()
        assert set(stored(clean_api)) == found | (copies if state == "audited" else set())
        before = versions(clean_api)
        again = ok(run_set(clean_api, state, diff=True))
        assert not again["changed"]
        assert again["writes"] == again["diff"] == []
        assert versions(clean_api) == before


@pytest.mark.one_flavour
def test_what_would_be_denied_is_logged_only_where_felix_limits_it(clean_api):
    refused = run_set(clean_api, "audited", audit_log=True)
    assert refused["failed"]
    assert "audit_log: True: Felix has no limit for it" in refused["msg"]
    assert not stored(clean_api)

    limited = {"spec": {"logActionRateLimit": "10/minute"}}
    clean_api.admin.patch(clean_api.path("FelixConfiguration", "default"), limited)
    ok(run_set(clean_api, "audited", audit_log=True))

    # The rule that denies, and the end of the tier.
    logging = [name for (kind, name), obj in stored(clean_api).items() if kind == GNP and "'Log'" in str(obj)]
    assert sorted(logging) == ["audited-hostfence.end-of-tier-ingress-edge", "audited-hostfence.rest"]
    assert not ok(run_set(clean_api, "audited", audit_log=True))["changed"]


def test_audited_decides_nothing_and_says_what_it_cannot_count(clean_api):
    """Judged by the verdict engine on what is stored: before, audited, and after it is gone."""
    node = clean_api.add_nodes(1)[0]
    spec = {"node": node, "interfaceName": "*", "profiles": ["projectcalico-default-allow"]}
    labels = {"host-endpoint": "ingress"}
    clean_api.create("HostEndpoint", "hep", spec, labels=labels)
    flows = [
        {
            "direction": "ingress",
            "protocol": "tcp",
            "source": "192.0.2.9",
            "destination": "192.0.2.1",
            "destination_port": port,
            "node": node,
            "interface": "eth0",
        }
        for port in (80, 8080, 30000)
    ]

    def verdicts(**options):
        found = ok(run_module("flow_verdict", clean_api, flows=flows, **options))["verdicts"]
        return [answer["verdict"] for answer in found]

    candidate = [*SET, policy("raw", doNotTrack=True, applyOnForward=True)]
    ok(run_set(clean_api, "enforced", [policy("web", "Deny", 1)], name="other", reach=False))
    before = verdicts()

    told = ok(run_set(clean_api, "audited", candidate))

    assert not told["decides"]
    assert not told["enforced"]
    assert verdicts() == before
    (found,) = [s for s in ok(run_module("policies_info", clean_api))["sets"] if s["name"] == "edge"]
    assert sorted(found["left_out"]) == sorted(told["left_out"]) or SGNP not in clean_api.kinds
    if TIER not in clean_api.kinds:
        assert all("no tiers" in text for text in told["left_out"])
        assert len(told["left_out"]) == 3
        return
    assert found["state"] == "audited"
    assert any(text.startswith("hostfence.raw: doNotTrack") for text in told["left_out"])
    assert any("hostfence.web" in text for text in told["left_out"])
    ok(run_set(clean_api, "absent"))
    assert verdicts() == before


def test_check_mode_tells_what_will_be_written_and_writes_nothing(clean_api):
    before = versions(clean_api)
    told = ok(run_set(clean_api, check=True, diff=True))
    assert told["changed"]
    assert versions(clean_api) == before
    done = ok(run_set(clean_api, diff=True))
    assert told["diff"] == done["diff"]
    assert [{**w, "done": True} for w in told["writes"]] == done["writes"]
    assert not ok(run_set(clean_api, check=True))["changed"]


@pytest.mark.one_flavour
def test_diff_shows_only_what_is_ours_and_changed(clean_api):
    ok(run_set(clean_api))
    changed = [policy("ssh", order=11), *SET[1:]]
    (diff,) = ok(run_set(clean_api, definitions=changed, diff=True))["diff"]
    assert diff["before_header"] == f"GlobalNetworkPolicy {stored_name(clean_api, 'ssh')}"
    assert diff["before"]["spec"]["order"] == 10
    assert diff["after"]["spec"]["order"] == 11
    assert diff["before"]["labels"] == diff["after"]["labels"]


def test_what_is_no_longer_in_the_set_goes(clean_api):
    ok(run_set(clean_api))
    ok(run_set(clean_api, definitions=SET[:1]))
    assert {name for _kind, name in stored(clean_api)} - {"hostfence"} == {stored_name(clean_api, "ssh")}


@pytest.mark.one_flavour
def test_what_opens_hosts_for_a_moment_is_asked_for(clean_api):
    ok(run_set(clean_api))
    before = versions(clean_api)
    refused = run_set(clean_api, definitions=SET[:1], without_switch=False)
    assert refused["failed"]
    assert "hostfence.edge-changing would allow all that they select" in refused["msg"]
    assert "change it with hostfence.calico.enforce" in refused["msg"]
    assert versions(clean_api) == before


def test_a_field_that_someone_added_is_taken_out(clean_api):
    ok(run_set(clean_api))
    path = clean_api.path(GNP, stored_name(clean_api, "rest"))
    clean_api.admin.patch(path, {"spec": {"namespaceSelector": "has(nothing)"}})
    result = ok(run_set(clean_api))
    assert [w["name"] for w in result["writes"]] == [stored_name(clean_api, "rest")]
    assert "namespaceSelector" not in clean_api.admin.get(path)["spec"]
    assert not ok(run_set(clean_api))["changed"]


def test_a_foreign_object_of_the_same_name_is_refused_before_any_write(clean_api):
    spec = {"selector": "all()", "types": ["Ingress"]}
    clean_api.create(GNP, stored_name(clean_api, "rest"), spec)
    before = versions(clean_api)
    for state in ("enforced", "staged"):
        result = run_set(clean_api, state)
        assert result["failed"]
        assert "was made by someone else" in result["msg"]
        assert stored_name(clean_api, "rest") in result["msg"]
    assert versions(clean_api) == before


@pytest.mark.one_flavour
def test_an_object_of_another_set_is_refused(clean_api):
    ok(run_set(clean_api))
    before = versions(clean_api)
    result = run_module(
        "policies", clean_api, name="other", state="enforced", definitions=SET, settle=0, lint=False
    )
    assert "belongs to the set edge" in result["msg"]
    assert versions(clean_api) == before


def test_a_foreign_tier_is_refused_and_can_be_used_by_name(clean_api):
    if TIER not in clean_api.kinds:
        pytest.skip("Calico before 3.29 has no tiers")
    clean_api.create(TIER, "hostfence", {"order": 5, "defaultAction": "Pass"})
    before = versions(clean_api)
    assert "exists and is not managed by Hostfence" in run_set(clean_api)["msg"]
    assert versions(clean_api) == before
    ok(run_set(clean_api, definitions=[policy("ssh", tier="hostfence")], tier={"name": "elsewhere"}))
    ok(run_set(clean_api, "absent"))
    assert versions(clean_api) == before


def test_a_tier_denies_as_long_as_one_of_its_sets_wants_it(clean_api):
    if TIER not in clean_api.kinds:
        pytest.skip("Calico before 3.29 has no tiers")

    def other(state):
        return ok(
            run_module(
                "policies",
                clean_api,
                name="other",
                state=state,
                definitions=[policy("dns")],
                default_action="Pass",
                lint=False,
                settle=0,
            )
        )

    def action():
        return clean_api.admin.get(clean_api.path(TIER, "hostfence"))["spec"]["defaultAction"]

    other("enforced")
    assert action() == "Pass"
    ok(run_set(clean_api))
    assert action() == "Deny"
    other("staged")
    assert action() == "Deny"
    ok(run_set(clean_api, "staged"))
    assert action() == "Pass"
    ok(run_set(clean_api, "absent"))
    other("absent")
    assert stored(clean_api) == {}


@pytest.mark.parametrize("prefix", ["", "default."])
def test_names_of_every_version_are_one_policy(clean_api, prefix):
    """A policy of the tier default that another version of Calico stored is changed, not doubled."""
    definitions = [policy("ssh", tier="default")]
    ok(run_set(clean_api, definitions=definitions))
    ((kind, name),) = stored(clean_api)
    made = clean_api.admin.get(clean_api.path(kind, name))
    clean_api.admin.delete(clean_api.path(kind, name))
    labels = made["metadata"]["labels"]
    clean_api.create(GNP, f"{prefix}ssh", made["spec"], labels=labels)
    assert not ok(run_set(clean_api, definitions=definitions))["changed"]
    ok(run_set(clean_api, definitions=[policy("ssh", order=12, tier="default")]))
    assert list(stored(clean_api)) == [(GNP, f"{prefix}ssh")]


BAD = {
    "net": ({"source": {"nets": ["10.0.0.0/33"]}}, "spec.ingress[0].source.nets[0]: '10.0.0.0/33'"),
    "port": ({"protocol": "TCP", "destination": {"ports": [70000]}}, "ports[0]: 70000"),
    "no protocol": ({"destination": {"ports": [22]}}, "needs protocol TCP, UDP or SCTP"),
    "selector": ({"source": {"selector": "a = b"}}, "spec.ingress[0].source.selector"),
    "field": ({"from": "x"}, "Calico has no such field"),
    "commercial field": ({"destination": {"domains": ["a.example"]}}, "only the commercial editions do"),
    "port name": ({"protocol": "TCP", "destination": {"ports": ["HTTP"]}}, "as in Kubernetes"),
    "long label": ({"source": {"namespaceSelector": f"has({'a' * 508})"}}, "source.namespaceSelector"),
    "account twice": (
        {"source": {"serviceAccounts": {"names": ["a", "a"]}}},
        "names[1]: 'a': is listed twice",
    ),
}


@pytest.mark.one_flavour
@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_definitions_write_nothing(clean_api, case):
    rule, expected_text = BAD[case]
    good = policy("good")
    bad = policy("bad", ingress=[{"action": "Allow", **rule}])
    result = run_set(clean_api, definitions=[good, bad])
    assert result["failed"]
    assert expected_text in result["msg"]
    assert "definitions[1], GlobalNetworkPolicy bad" in result["msg"]
    assert stored(clean_api) == {}


FILES = {
    "not YAML": ("a: [1,\nb: 2", "broken.yml: line 2"),
    "key twice": ("kind: Tier\nkind: Tier", "the key 'kind' stands twice"),
    "a tag": ("!!python/object/apply:os.system ['true']", "broken.yml: line 1"),
    "wrong group": (
        "apiVersion: crd.projectcalico.org/v2\nkind: GlobalNetworkPolicy\nmetadata: {name: x}",
        "write proj",
    ),
    "unknown kind": ("apiVersion: v1\nkind: Pod\nmetadata: {name: x}", "left alone: 1 Pod (x)"),
    "miscased kind": (
        "apiVersion: projectcalico.org/v3\nkind: hostendpoint\nmetadata: {name: x}",
        "'hostendpoint': must be one of",
    ),
}


MIXED = """
apiVersion: v1
kind: List
items:
  - apiVersion: crd.projectcalico.org/v1
    kind: GlobalNetworkPolicy
    metadata:
      name: default.old
      uid: abc
      creationTimestamp: null
      annotations: {projectcalico.org/metadata: "{}"}
    spec: {selector: has(host-endpoint), ingress: [{action: Allow}]}
  - {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: node1-eth1, labels: {net: public}}
spec: {node: node1, interfaceName: eth1}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: pods, namespace: shop}
spec: {selector: all()}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: new}
spec: {selector: has(host-endpoint), types: [Ingress], ingress: [{action: Allow}]}
"""


@pytest.mark.one_flavour
def test_a_mixed_folder_is_taken_as_it_is(clean_api, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "all.yml").write_text(MIXED)
    result = run_set(clean_api, "staged", [], src=str(tmp_path))
    assert not result["failed"], result
    assert [remark.partition(" (")[0] for remark in result["remarks"][:3]] == [
        "left alone: 1 HostEndpoint",
        "left alone: 1 Namespace",
        "left alone: 1 NetworkPolicy",
    ]
    assert "GlobalNetworkPolicy default.old: crd.projectcalico.org/v1 read as" in result["remarks"][3]
    assert "types Ingress and Egress" in result["remarks"][3]
    assert result["host_endpoints_templates"] == [
        {"generate_name": "eth1", "interface_pattern": "^eth1$", "labels": {"net": "public"}}
    ]
    kept = {name: obj["spec"] for (kind, name), obj in stored(clean_api).items() if kind != TIER}
    assert sorted(kept) == [stored_name(clean_api, "new"), stored_name(clean_api, "old")]
    assert kept[stored_name(clean_api, "old")]["types"] == ["Ingress", "Egress"]
    assert not run_set(clean_api, "staged", [], src=str(tmp_path))["changed"]

    result = run_set(clean_api, "staged", [], src=str(tmp_path), strict=True)
    assert result["failed"]
    assert "items[1]: kind: 'Namespace': a set cannot hold it, and policies_strict" in result["msg"]


@pytest.mark.one_flavour
@pytest.mark.parametrize("case", sorted(FILES))
def test_bad_files_write_nothing(clean_api, tmp_path, case):
    text, expected_text = FILES[case]
    (tmp_path / "broken.yml").write_text(text)
    result = run_set(clean_api, definitions=[], src=str(tmp_path))
    assert result["failed"]
    assert expected_text in result["msg"]
    assert "\n" not in result["msg"]
    assert stored(clean_api) == {}


@pytest.mark.one_flavour
def test_files_that_hold_nothing_take_no_set_away(clean_api, tmp_path):
    (tmp_path / "1.yml").write_text(yaml.safe_dump(policy("ssh")))
    ok(run_set(clean_api, definitions=[], src=str(tmp_path)))
    before = stored(clean_api)
    (tmp_path / "1.yml").write_text("# all of it commented out\n")
    result = run_set(clean_api, definitions=[], src=str(tmp_path))
    assert result["failed"]
    assert "holds no document of a set; to take it away, set state: absent" in result["msg"]
    assert stored(clean_api) == before


@pytest.mark.one_flavour
def test_a_directory_is_a_set_and_a_bare_port_range_stays_one(clean_api, tmp_path):
    (tmp_path / "1.yml").write_text(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: range}\n"
        "spec:\n  ingress:\n  - {action: Allow, protocol: TCP, destination: {ports: [20:22]}}\n---\n"
    )
    (tmp_path / "notes.txt").write_text("not YAML: [")
    ok(run_set(clean_api, definitions=[], src=str(tmp_path)))
    spec = clean_api.admin.get(clean_api.path(GNP, stored_name(clean_api, "range")))["spec"]
    assert spec["ingress"][0]["destination"]["ports"] == ["20:22"]


@pytest.mark.one_flavour
def test_a_tier_that_nobody_makes_is_refused(clean_api):
    if TIER not in clean_api.kinds:
        pytest.skip("Calico before 3.29 has no tiers")
    result = run_set(clean_api, definitions=[policy("ssh", tier="nowhere")])
    assert "spec.tier: 'nowhere': no such tier" in result["msg"]


@pytest.mark.one_flavour
def test_an_api_that_dies_half_way_is_told_and_the_next_run_converges(clean_api):
    many = [policy(f"p{n:03}", order=n) for n in range(400)]
    watcher = threading.Thread(target=kill_after, args=(clean_api, 10))
    watcher.start()
    result = run_set(clean_api, definitions=many)
    watcher.join()
    clean_api.restart()
    assert result["failed"]
    done = [w["name"] for w in result["writes"] if w["done"]]
    left = [w["name"] for w in result["writes"] if not w["done"] and not w["interim"] and w["kind"] == GNP]
    assert done
    assert left
    assert "a second run does the rest" in result["msg"]
    there = {name for _kind, name in stored(clean_api)}
    # The write in flight when the server died may have been stored.
    assert {n for n in done if not n.endswith("-changing")} <= there
    assert not there & set(left[1:])
    ok(run_set(clean_api, definitions=many))
    assert len([key for key in stored(clean_api) if key[0] == GNP]) == 400
    assert not ok(run_set(clean_api, definitions=many))["changed"]


def kill_after(api, count):
    while len([key for key in stored(api) if key[0] == GNP]) < count:
        time.sleep(0.02)
    api.kill()


def test_info(clean_api):
    clean_api.create(
        "HostEndpoint",
        "node1",
        {"node": "node1", "interfaceName": "*"},
        labels={"host-endpoint": "ingress"},
    )
    clean_api.create(GNP, "theirs", {"selector": "has(host-endpoint)", "types": ["Ingress"], "order": 3})
    clean_api.create(GNP, "pods", {"selector": "app == 'x'", "types": ["Ingress"]})
    ok(run_set(clean_api, "staged"))
    found = run_module("policies_info", clean_api)
    assert [s["name"] for s in found["sets"]] == ["edge"]
    assert found["sets"][0]["state"] == ("staged" if SGNP in clean_api.kinds else "not stored")
    ok(run_set(clean_api))
    found = run_module("policies_info", clean_api)
    assert found["sets"][0]["state"] == "enforced"
    assert {o["name"] for o in found["sets"][0]["objects"]} >= {stored_name(clean_api, "ssh"), "office"}
    assert [(f["name"], f["order"], f["host_endpoints"]) for f in found["foreign"]] == [("theirs", 3, 1)]
    if TIER in clean_api.kinds:
        assert found["sets"][0]["tiers"] == [{"name": "hostfence", "wants": "Deny"}]


@pytest.mark.one_flavour
def test_a_trap_is_refused_when_enforced_and_told_when_staged(clean_api):
    spec = {"node": "node1", "interfaceName": "*", "profiles": ["projectcalico-default-allow"]}
    clean_api.create("HostEndpoint", "node1", spec, labels={"host-endpoint": "ingress"})
    refused = run_set(clean_api, lint=True)
    assert refused["failed"]
    assert "deny-covers-loopback" in refused["msg"]
    assert stored(clean_api) == {}
    staged = ok(run_set(clean_api, "staged", lint=True))
    assert "deny-covers-loopback" in {f["id"] for f in staged["findings"]}
    assert any("deny-covers-loopback" in str(w) for w in staged["warnings"])


@pytest.mark.one_flavour
@pytest.mark.parametrize(
    ("before", "kind"), [("enforced", GNP), ("staged", f"Staged{GNP}"), (None, f"Staged{GNP}")]
)
def test_kept_raises_and_lowers_nothing(clean_api, before, kind):
    given = {"definitions": [policy("edge")], "settle": 0, "lint": False}
    if before:
        assert not run_module("policies", clean_api, name="edge", state=before, **given)["failed"]
    kept = run_module("policies", clean_api, name="edge", state="kept", **given)
    assert not kept["failed"], kept.get("msg")
    assert (kept["changed"], kept["state"]) == (before is None, before or "staged")
    assert [key[0] for key in stored(clean_api) if key[0].endswith(GNP)] == [kind]
