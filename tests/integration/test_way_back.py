# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Going back while the API forbids deletes, keeps objects, dies, or is written to by somebody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from builders import GNP, LEASE, lease_held_elsewhere, policy
from module_run import run_module

from testbed.api import ApiError

pytestmark = pytest.mark.one_flavour

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
NAME = "no-deletes"
DEFINITIONS = [
    policy("allow", ingress=[{"action": "Allow"}]),
    policy("deny", order=20, ingress=[{"action": "Deny"}]),
]


def run_set(api: Any, state: str, **options: Any) -> dict[str, Any]:
    definitions = [] if state == "absent" else DEFINITIONS
    given = {"name": "edge", "state": state, "definitions": definitions, "settle": 0, "lint": False}
    return run_module("policies", api, **{**given, "without_switch": True, **options})


def specs(api: Any) -> dict[str, dict[str, Any]]:
    return {item["metadata"]["name"]: item["spec"] for item in api.admin.list(api.path(GNP))}


def in_force(api: Any) -> list[str]:
    return [name for name, spec in specs(api).items() if spec.get("selector") != "!all()"]


def state_of(api: Any) -> str:
    [found] = run_module("policies_info", api)["sets"]
    return str(found["state"])


@pytest.fixture
def deletes_forbidden(clean_api: Any) -> Iterator[Any]:
    """A real admission policy; it is in force once a delete has been refused."""
    rule = {
        "apiGroups": ["crd.projectcalico.org", "projectcalico.org"],
        "apiVersions": ["*"],
        "operations": ["DELETE"],
        "resources": ["globalnetworkpolicies", "tiers"],
    }
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "false", "message": "policy stays, says the auditor"}],
    }
    clean_api.admin.post(
        f"{ADMISSION}/validatingadmissionpolicies",
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": NAME},
            "spec": spec,
        },
    )
    clean_api.admin.post(
        f"{ADMISSION}/validatingadmissionpolicybindings",
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": NAME},
            "spec": {"policyName": NAME, "validationActions": ["Deny"]},
        },
    )
    try:
        while not refuses_deletes(clean_api):
            time.sleep(0.2)
        yield clean_api
    finally:
        allow_deletes(clean_api)


def refuses_deletes(api: Any) -> bool:
    spec = {"selector": "!all()", "types": ["Ingress"]}
    name = "probe" if "probe" in specs(api) else api.create(GNP, "probe", spec)["metadata"]["name"]
    try:
        api.admin.delete(api.path(GNP, name))
    except ApiError:
        return True
    return False


def allow_deletes(api: Any) -> None:
    present = [
        item["metadata"]["name"] for item in api.admin.list(f"{ADMISSION}/validatingadmissionpolicies")
    ]
    if NAME in present:
        api.admin.delete(f"{ADMISSION}/validatingadmissionpolicybindings/{NAME}")
        api.admin.delete(f"{ADMISSION}/validatingadmissionpolicies/{NAME}")
    while refuses_deletes(api):
        time.sleep(0.2)


@pytest.mark.parametrize("state", ["staged", "absent"])
def test_an_admission_policy_that_forbids_deletes_keeps_nothing_in_force(
    deletes_forbidden: Any, state: str
) -> None:
    api = deletes_forbidden
    assert not run_set(api, "enforced")["failed"]
    assert len(in_force(api)) == 2
    back = run_set(api, state)
    assert not back["failed"], back["msg"]
    assert back["changed"]
    assert in_force(api) == []
    [tier] = [t for t in api.admin.list(api.path("Tier")) if t["metadata"]["name"] == "hostfence"]
    assert tier["spec"]["defaultAction"] == "Pass"
    for name in ("hostfence.allow", "hostfence.deny"):
        [remark] = [text for text in back["left"] if f"GlobalNetworkPolicy {name} stands" in text]
        assert "policy stays, says the auditor" in remark
        assert f"kubectl delete globalnetworkpolicies.{api.path(GNP).split('/')[2]} {name}" in remark
        assert remark in back["warnings"]
    assert not any(w["done"] for w in back["writes"] if w["action"] == "delete" and w["kind"] == GNP)
    assert state_of(api) == ("staged" if state == "staged" else "not stored")
    # Once it may be deleted, the next run does so, and the one after it has nothing to do.
    allow_deletes(api)
    cleared = run_set(api, state)
    assert cleared["changed"]
    assert not cleared["decides"]
    assert cleared["left"] == []
    assert specs(api).keys() <= {"probe"}
    assert not run_set(api, state)["changed"]


def test_what_could_not_be_deleted_is_enforced_again(deletes_forbidden: Any) -> None:
    api = deletes_forbidden
    run_set(api, "enforced")
    before = specs(api)
    run_set(api, "staged")
    again = run_set(api, "enforced")
    assert not again["failed"]
    assert specs(api) == before


def test_a_finalizer_of_others_keeps_nothing_in_force(clean_api: Any) -> None:
    run_set(clean_api, "enforced")
    path = clean_api.path(GNP, "hostfence.deny")
    clean_api.admin.patch(path, {"metadata": {"finalizers": ["example.com/keep"]}})
    try:
        assert not run_set(clean_api, "absent")["failed"]
        assert "hostfence.deny" in specs(clean_api)
        assert in_force(clean_api) == []
    finally:
        clean_api.admin.patch(path, {"metadata": {"finalizers": None}})


def test_all_sets_go_out_of_force_where_deletes_are_forbidden(deletes_forbidden: Any) -> None:
    run_set(deletes_forbidden, "enforced")
    gone = run_module("policies_absent", deletes_forbidden, settle=0)
    assert not gone["failed"], gone["msg"]
    assert in_force(deletes_forbidden) == []
    assert len([text for text in gone["left"] if GNP in text]) == 2


def test_an_api_server_that_comes_back_is_asked_again(clean_api: Any) -> None:
    run_set(clean_api, "enforced")
    clean_api.kill()
    with ThreadPoolExecutor(max_workers=1) as pool:
        going_back = pool.submit(run_set, clean_api, "staged", patience=120)
        time.sleep(2)
        # Here and not in a thread: the server dies with the thread that started it.
        clean_api.restart()
        back = going_back.result()
    assert not back["failed"], back["msg"]
    assert any("was asked again" in warning for warning in back["warnings"])
    assert in_force(clean_api) == []


def test_one_that_stays_away_is_given_up_on_in_one_line(clean_api: Any) -> None:
    clean_api.kill()
    try:
        refused = run_set(clean_api, "staged", patience=1)
    finally:
        clean_api.restart()
    assert refused["failed"]
    assert "no answer from the API server" in refused["msg"]


def test_a_removal_is_planned_again_when_somebody_else_writes(clean_api: Any) -> None:
    run_set(clean_api, "enforced")
    tier, over = clean_api.path("Tier", "hostfence"), threading.Event()

    def keep_writing() -> None:
        number = 0
        while not over.is_set():
            number += 1
            try:
                clean_api.admin.patch(tier, {"metadata": {"annotations": {"example.com/n": str(number)}}})
            except ApiError:
                return  # it is gone
            time.sleep(0.3)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        gone = run_module("policies_absent", clean_api, settle=0.4)
    finally:
        over.set()
        writer.join()
    assert not gone["failed"], gone["msg"]
    assert specs(clean_api) == {}


@pytest.mark.parametrize(
    ("module", "options", "kind"),
    [
        ("felix_configuration", {"failsafe_inbound_host_ports": [{"protocol": "tcp", "port": 22}]}, None),
        ("host_endpoints", {}, "HostEndpoint"),
        ("auto_host_endpoints", {"wait": False}, None),
    ],
)
def test_whoever_changes_what_decides_waits_for_the_lease(
    clean_api: Any, module: str, options: dict[str, Any], kind: str | None
) -> None:
    clean_api.add_nodes(1)
    clean_api.admin.post(LEASE.rpartition("/")[0], lease_held_elsewhere())
    try:
        refused = run_module(module, clean_api, **options)
        assert "another run changes what is enforced: elsewhere, process 7" in refused["msg"]
        tried = run_module(module, clean_api, check=True, **options)
        assert not tried["failed"], tried
        assert tried["changed"], "a rehearsal needs no Lease, and nothing was written"
    finally:
        clean_api.admin.delete(LEASE)
    assert run_module(module, clean_api, **options)["changed"]
    assert "hostfence" not in [
        item["metadata"]["name"] for item in clean_api.admin.list(LEASE.rpartition("/")[0])
    ]
    assert not run_module(module, clean_api, **options)["changed"]
    if kind:
        assert clean_api.admin.list(clean_api.path(kind))
