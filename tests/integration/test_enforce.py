# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The modules enforce, confirm and rollback against a real API server, on every flavour of Calico's API.

No Felix runs here: that the switch is exact, real packets show in tests/faults.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from builders import GNP, GNS, TIER, network_set, policy
from module_run import run_module

from testbed.api import ApiError

RECORD = "hostfence-transaction"


FROM_OFFICE = {"action": "Allow", "source": {"selector": "role == 'office'"}}


OLD, NEW = [policy("in", port=22), policy("more", port=23)], [policy("in", port=2222)]


@pytest.fixture
def protected_api(clean_api):
    if TIER not in clean_api.kinds:
        pytest.skip("before Calico 3.29 there are no tiers")
    return clean_api


def rehearsal(api, definitions, state="enforced", name="edge"):
    given = {"name": name, "state": state, "definitions": definitions, "lint": False, "reach": False}
    result = run_module("policies", api, check=True, **given)
    assert not result["failed"], result["msg"]
    return result["rehearsal"]


def enforce(api, definitions, check=False, **options):
    given = {"sets": ["edge"], "waves": ["all"], "watchdogs": 0, "settle": 0, "window": 30, **options}
    return run_module("enforce", api, check=check, writes=rehearsal(api, definitions), **given)


def stored(api, kind=GNP):
    """Spec by name, without what Calico itself brings."""
    found = {obj["metadata"]["name"]: obj.get("spec") or {} for obj in api.admin.list(api.path(kind))}
    return {name: spec for name, spec in found.items() if not name.startswith(("default", "kube-"))}


def ports(api):
    return {
        name: spec["ingress"][0]["destination"]["ports"]
        for name, spec in stored(api).items()
        if spec.get("ingress") and "destination" in spec["ingress"][0]
    }


def left(api):
    """What a transaction made, but the record of a settled one."""
    names = [*stored(api), *stored(api, TIER), *stored(api, GNS)]
    return [name for name in names if name not in ("hostfence", RECORD) and not name.startswith("hostfence.")]


def test_a_set_comes_into_force_changes_and_goes_back(protected_api):
    api = protected_api
    first = enforce(api, OLD)
    assert not first["failed"], first["msg"]
    assert sum("NO WATCHDOG" in remark for remark in first["remarks"]) == 1
    assert [step["event"] for step in first["timeline"]] == [
        "prepared", "armed", "switched", "proved", "confirmed", "settled",
    ]  # fmt: skip
    assert ports(api) == {"hostfence.in": [22], "hostfence.more": [23]}
    assert not left(api)
    second = enforce(api, NEW)
    assert second["changed"]
    assert ports(api) == {"hostfence.in": [2222]}
    assert not left(api)
    told = run_module("policies_info", api)["transaction"]
    assert (told["phase"], told["finished"] >= told["since"]) == ("settled", True)
    assert [(c["action"], c["kind"], c["name"]) for c in told["changes"]] == [
        ("changed", GNP, "hostfence.in"),
        ("removed", GNP, "hostfence.more"),
    ]
    assert [(rule["action"], rule["before"], rule["after"]) for rule in told["changes"][0]["rules"]] == [
        ("removed", 0, None),
        ("added", None, 0),
    ]
    back = run_module("rollback", api, settle=0)
    assert not back["failed"], back["msg"]
    assert ports(api) == {"hostfence.in": [22], "hostfence.more": [23]}
    assert not left(api)


def test_what_is_only_counted_is_not_switched(protected_api):
    """From audited to enforced, without the network set that copies refer to, and back to audited."""
    api = protected_api
    definitions = [
        policy("in", port=22),
        network_set("office", "192.0.2.0/24"),
        policy("by", port=25, ingress=[FROM_OFFICE]),
    ]
    given = {"name": "edge", "definitions": definitions, "lint": False, "reach": False, "settle": 0}
    audited = run_module("policies", api, state="audited", **given)
    assert not audited["failed"], audited["msg"]
    assert {name for name in stored(api) if name.startswith("audited-")} == {
        "audited-hostfence.in",
        "audited-hostfence.by",
        "audited-hostfence.end-of-tier-ingress-edge",
    }

    other = [policy("in", port=22), policy("by", port=25)]
    enforced = enforce(api, other)

    assert not enforced["failed"], enforced["msg"]
    assert enforced["without_switch"] == ""
    assert enforced["phase"] == "settled"
    assert set(stored(api)) == {"hostfence.in", "hostfence.by"}
    assert "audited-hostfence" not in stored(api, TIER)
    given = {"sets": ["edge"], "waves": ["all"], "watchdogs": 0, "settle": 0, "window": 30}
    back = run_module("enforce", api, writes=rehearsal(api, other, "audited"), **given)
    assert not back["failed"], back["msg"]
    assert not [name for name in stored(api) if not name.startswith("audited-")]
    assert "audited-hostfence" in stored(api, TIER)


def test_without_a_change_nothing_is_written(protected_api):
    api = protected_api
    assert enforce(api, OLD)["changed"]
    again = enforce(api, OLD)
    assert not again["changed"]
    assert again["writes"] == 0


def test_check_mode_writes_nothing_and_says_what_would_be(protected_api):
    api = protected_api
    before = (stored(api), stored(api, GNS), stored(api, TIER))
    told = enforce(api, OLD, check=True)
    assert told["changed"]
    assert told["writes"] == 0
    assert [wave["name"] for wave in told["waves"]] == ["all"]
    assert (stored(api), stored(api, GNS), stored(api, TIER)) == before


def test_a_wave_waits_for_whoever_confirms_it(protected_api):
    api = protected_api
    enforce(api, OLD)
    waiting = enforce(api, NEW, confirm="manual")
    assert waiting["phase"] == "running"
    assert "confirmed" not in [s["event"] for s in waiting["timeline"]]
    seen = run_module("policies_info", api)["transaction"]
    assert seen["phase"] == "running"
    assert seen["waves"][0]["phase"] == "switched"
    assert "@" in seen["who"]
    assert ports(api)["hostfence.in"] == [22]
    assert ports(api)["hostfence-next.in"] == [2222]
    others = {
        "name": "other",
        "state": "enforced",
        "definitions": [policy("x", port=1)],
        "lint": False,
        "reach": False,
    }
    assert "is under way" in run_module("policies", api, **others)["msg"]
    done = run_module("confirm", api, settle=0)
    assert not done["failed"], done["msg"]
    assert ports(api) == {"hostfence.in": [2222]}
    assert not left(api)
    assert run_module("policies_info", api)["transaction"]["phase"] == "settled"
    assert "no transaction is under way" in run_module("confirm", api)["msg"]


@pytest.mark.one_flavour
def test_what_others_write_too_is_told_before_and_noticed_meanwhile(protected_api):
    """As a GitOps controller does, which writes its own copy again."""
    api = protected_api
    enforce(api, OLD)
    assert not [remark for remark in enforce(api, NEW, check=True)["remarks"] if "others write" in remark]
    path = f"{api.path(GNP)}/hostfence.in"
    api.admin.patch(path, {"spec": {"order": 7}}, fieldManager="argocd-controller")
    for check in (True, False):
        told = enforce(api, NEW, check=check, confirm="manual")
        (remark,) = (remark for remark in told["remarks"] if "others write" in remark)
        assert f"{GNP} hostfence.in (by argocd-controller)" in remark

    moved = f"{api.path(GNP)}/hostfence-next.in"
    order = api.admin.get(moved)["spec"]["order"]
    api.admin.patch(moved, {"spec": {"order": 7}}, fieldManager="argocd-controller")
    refused = run_module("confirm", api, settle=0)

    assert refused["failed"]
    assert f"{GNP} hostfence-next.in was changed meanwhile by argocd-controller" in refused["msg"]
    assert run_module("policies_info", api)["transaction"]["waves"][0]["phase"] == "switched"
    api.admin.patch(moved, {"spec": {"order": order}}, fieldManager="argocd-controller")
    done = run_module("confirm", api, settle=0)
    assert not done["failed"], done["msg"]
    assert ports(api) == {"hostfence.in": [2222]}
    assert not left(api)


@pytest.mark.one_flavour
def test_what_is_taken_back_while_it_is_proved_is_not_confirmed(protected_api):
    """The run confirms by itself; a GitOps controller writes between its switch and its proof."""
    api = protected_api
    enforce(api, OLD)
    thread, written = written_once_switched(api, "hostfence-next.in", {"spec": {"order": 7}})

    refused = enforce(api, NEW, settle=1)

    thread.join()
    assert written == [True]
    assert refused["failed"]
    assert f"{GNP} hostfence-next.in was changed meanwhile by argocd-controller" in refused["msg"]
    assert "Every host has the policy that it had before" in refused["msg"]
    events = [step["event"] for step in refused["timeline"]]
    assert "switched" in events
    assert "confirmed" not in events
    assert ports(api) == {"hostfence.in": [22], "hostfence.more": [23]}
    assert not left(api)


@pytest.mark.one_flavour
def test_an_api_server_that_comes_back_is_waited_for(protected_api):
    """No watchdog runs: if the run gives up, new policy stays."""
    api = protected_api
    enforce(api, OLD)

    # The API server ends with the thread that started it, so this one starts it again.
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(enforce, api, NEW, settle=1)
        once_switched(api, api.kill)[0].join()
        time.sleep(4)
        api.restart()
        refused = run.result()

    assert "Every host has the policy that it had before" in refused["msg"]
    assert "rolled back" in [step["event"] for step in refused["timeline"]]
    assert ports(api) == {"hostfence.in": [22], "hostfence.more": [23]}
    assert not left(api)


@pytest.mark.one_flavour
def test_what_could_not_be_taken_back_is_told(protected_api):
    api = protected_api
    enforce(api, OLD)
    thread, _crashed = once_switched(api, api.kill)
    refused = enforce(api, NEW, settle=1)

    thread.join()
    api.restart()
    assert "This run could not take the wave back" in refused["msg"]
    assert "it STAYS SO, as no watchdog runs; run hostfence.calico.rollback" in refused["msg"]
    assert "rolled back" not in [step["event"] for step in refused["timeline"]]
    assert not run_module("rollback", api)["failed"]
    assert ports(api) == {"hostfence.in": [22], "hostfence.more": [23]}
    assert not left(api)


def written_once_switched(api, name, patch):
    """Write to a policy as a GitOps controller does, as soon as the first wave is switched."""
    return once_switched(
        api,
        lambda: api.admin.patch(f"{api.path(GNP)}/{name}", patch, fieldManager="argocd-controller"),
    )


def once_switched(api, act):
    """Do something as soon as the first wave is switched.

    :returns: the thread, and what it did: ``[True]`` once it was switched
    """
    path, done = f"{api.path(GNS)}/hostfence-switch-1", []

    def wait():
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if phase_of(api.admin, path) == "switched":
                act()
                done.append(True)
                return
            time.sleep(0.05)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread, done


def phase_of(admin, path):
    """Of a switch; empty where there is none."""
    try:
        return admin.get(path)["metadata"]["annotations"].get("hostfence.io/phase", "")
    except ApiError:
        return ""


def test_a_wave_that_went_back_cannot_be_confirmed(protected_api):
    api = protected_api
    enforce(api, OLD)
    enforce(api, NEW, confirm="manual")
    path = f"{api.path(GNS)}/hostfence-switch-1"
    noted = {"hostfence.io/phase": "rolled-back", "hostfence.io/by": "watchdog"}
    api.admin.patch(path, {"metadata": {"annotations": noted}, "spec": {"nets": ["0.0.0.0/0", "::/0"]}})
    assert "no wave waits" in run_module("confirm", api)["msg"]
    again = enforce(api, NEW)
    assert not again["failed"]
    assert "found a transaction" in again["remarks"][0]
    assert ports(api) == {"hostfence.in": [2222]}
    assert not left(api)


def test_roll_back_ends_what_waits(protected_api):
    api = protected_api
    enforce(api, OLD)
    enforce(api, NEW, confirm="manual")
    assert not run_module("rollback", api, settle=0)["failed"]
    assert ports(api) == {"hostfence.in": [22], "hostfence.more": [23]}
    assert not left(api)
    assert stored(api, GNS) == {}


@pytest.mark.one_flavour
def test_whoever_changes_policy_is_excluded_by_name_while_another_does(protected_api):
    """One Lease for policies, enforce, confirm and rollback; back to old policy goes without."""
    api = protected_api
    enforce(api, OLD)
    enforce(api, NEW, confirm="manual")
    collection = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
    spec = {
        "holderIdentity": "mary@desk, process 7",
        "leaseDurationSeconds": 120,
        "acquireTime": "2098-01-01T00:00:00.000000Z",
        "renewTime": "2098-01-01T00:00:00.000000Z",
    }
    api.admin.post(collection, {"metadata": {"name": "hostfence", "namespace": "kube-system"}, "spec": spec})
    try:
        held = "another run changes what is enforced: mary@desk, process 7"
        confirmed = run_module("confirm", api, settle=0)
        assert held in confirmed["msg"]
        assert confirmed["writes"] == 0
        assert held in enforce(api, NEW)["msg"]
        back = run_module("rollback", api, settle=0)
        assert held in back["msg"]
        assert "every host has the policy from before" in back["msg"]
        switch = api.admin.get(f"{api.path(GNS)}/hostfence-switch-1")
        assert switch["spec"]["nets"] == ["0.0.0.0/0", "::/0"]
    finally:
        api.admin.delete(f"{collection}/hostfence")
    again = run_module("rollback", api, settle=0)
    assert not again["failed"], again["msg"]
    assert not left(api)
    assert "hostfence" not in [lease["metadata"]["name"] for lease in api.admin.list(collection)]


def test_a_set_goes_out_of_force(protected_api):
    api = protected_api
    enforce(api, OLD)
    writes = rehearsal(api, [], state="absent")
    gone = run_module("enforce", api, writes=writes, waves=["all"], watchdogs=0, settle=0, window=30)
    assert not gone["failed"], gone["msg"]
    assert stored(api) == {}
    assert stored(api, TIER) == {}


def test_what_no_switch_can_do_is_told_and_not_written(protected_api):
    api = protected_api
    enforce(api, OLD)
    theirs = policy("hostfence.theirs", port=80, tier="hostfence")
    api.admin.post(api.path(GNP), {**theirs, "apiVersion": api.kinds[GNP].group_version})
    before = stored(api)
    told = enforce(api, NEW)
    assert "hostfence.theirs" in told["without_switch"]
    assert not told["changed"]
    assert stored(api) == before


@pytest.mark.parametrize(
    ("options", "message"), [({"window": 29}, "from 30 to 240"), ({"waves": ["has("]}, "waves[0]")]
)
def test_a_bad_wish_is_refused_before_anything_is_written(protected_api, options, message):
    api = protected_api
    refused = enforce(api, OLD, **options)
    assert refused["failed"]
    assert message in refused["msg"]
    assert stored(api) == {}
