# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a watchdog's token can do beside what it is for: nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from testbed.api import Api, ApiError
from tests.faults.lab import GROUP, Lab, allow, policy

A = [policy("in", 10, ingress=[allow(22, 10250)])]
B = [policy("in", 10, ingress=[allow(22, 9999)])]
_SWITCH = f"{GROUP}/globalnetworksets/hostfence-switch-1"
_EVERYTHING = ["0.0.0.0/0", "::/0"]
_BACK = {"hostfence.io/phase": "rolled-back"}


def main(lab: Lab) -> bool:
    """:returns: whether all was refused, and the one thing allowed"""
    lab.directly(A)
    options = {"sets": ["edge"], "waves": ["all"], "window": 240, "confirm": "manual", "nodes": lab.logins}
    lab.must(lab.module("enforce", writes=lab.rehearsal(B), **options))
    account = "/api/v1/namespaces/kube-system/serviceaccounts/hostfence-watchdog-1"
    asked = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 600},
    }
    token = lab.api.post(f"{account}/token", asked)["status"]["token"]
    watchdog = _as(lab, token)
    refused = [_is_refused(watchdog, *attempt) for attempt in ATTEMPTS]
    for attempt, was in zip(ATTEMPTS, refused):
        if not was:
            print(f"ALLOWED: {attempt[0]} {attempt[1]} {json.dumps(attempt[2])[:150]}")
    print(f"attempts with a watchdog's token refused: {sum(refused)}/{len(refused)}")
    patch = {"metadata": {"annotations": {**_BACK, "hostfence.io/by": "test"}}, "spec": {"nets": _EVERYTHING}}
    back = not _is_refused(watchdog, "PATCH", _SWITCH, patch)
    print(f"switching an unconfirmed wave back is allowed: {back}")
    lab.must(lab.module("rollback", nodes=lab.logins))
    gone = _is_refused(watchdog, "GET", _SWITCH, None)
    print(f"the token is void afterwards: {gone}")
    lab.directly([])
    return all(refused) and back and gone


def _patch(
    annotations: dict[str, str] | None = None, nets: list[str] | None = None, **metadata: Any
) -> dict[str, Any]:
    body: dict[str, Any] = {"metadata": {**metadata}}
    if annotations is not None:
        body["metadata"]["annotations"] = annotations
    if nets is not None:
        body["spec"] = {"nets": nets}
    return body


_LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
ATTEMPTS: list[tuple[str, str, Any]] = [
    ("PATCH", _SWITCH, _patch({"hostfence.io/phase": "confirmed"})),
    ("PATCH", _SWITCH, _patch({"hostfence.io/phase": "confirmed"}, _EVERYTHING)),
    ("PATCH", _SWITCH, _patch(_BACK, [])),
    ("PATCH", _SWITCH, _patch(_BACK)),
    ("PATCH", _SWITCH, _patch(None, _EVERYTHING)),
    ("PATCH", _SWITCH, _patch(_BACK, ["0.0.0.0/0"])),
    ("PATCH", _SWITCH, _patch(_BACK, ["10.0.0.0/8"])),
    ("PATCH", _SWITCH, _patch({**_BACK, "hostfence.io/arming": "mine"}, _EVERYTHING)),
    ("PATCH", _SWITCH, _patch({**_BACK, "hostfence.io/window": None}, _EVERYTHING)),
    ("PATCH", _SWITCH, _patch({**_BACK, "note": "x"}, _EVERYTHING)),
    ("PATCH", _SWITCH, _patch(_BACK, _EVERYTHING, labels={"hostfence.io/switch": None})),
    ("PATCH", _SWITCH, _patch(_BACK, _EVERYTHING, labels={"role": "admin"})),
    ("PATCH", _SWITCH, _patch(_BACK, _EVERYTHING, finalizers=["example.com/stay"])),
    ("DELETE", _SWITCH, None),
    ("PUT", _SWITCH, {"apiVersion": "crd.projectcalico.org/v1", "kind": "GlobalNetworkSet"}),
    ("GET", f"{GROUP}/globalnetworksets", None),
    ("GET", f"{GROUP}/globalnetworksets/hostfence-transaction", None),
    ("PATCH", f"{GROUP}/globalnetworksets/hostfence-transaction", _patch({"hostfence.io/state": ""})),
    ("POST", f"{GROUP}/globalnetworksets", {"metadata": {"name": "hostfence-switch-2"}}),
    ("GET", f"{GROUP}/globalnetworkpolicies", None),
    ("DELETE", f"{GROUP}/globalnetworkpolicies/hostfence.in", None),
    ("PATCH", f"{GROUP}/tiers/hostfence", {"spec": {"defaultAction": "Pass"}}),
    ("GET", f"{GROUP}/hostendpoints", None),
    ("PATCH", f"{_LEASE}/hostfence-watchdog-2", {"metadata": {"annotations": {"hostfence.io/seen": "x"}}}),
    ("DELETE", f"{_LEASE}/hostfence-watchdog-1", None),
    ("GET", _LEASE, None),
    ("GET", "/api/v1/nodes", None),
    ("GET", "/api/v1/secrets", None),
    ("GET", "/api/v1/namespaces/kube-system/pods", None),
    ("POST", "/api/v1/namespaces/kube-system/serviceaccounts/hostfence-watchdog-2/token", {}),
    ("PATCH", f"{_RBAC}/clusterroles/hostfence-watchdog", {"rules": []}),
    (
        "DELETE",
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/hostfence-watchdog",
        None,
    ),
]


def _is_refused(api: Api, method: str, path: str, body: Any) -> bool:
    try:
        content = "application/merge-patch+json" if method == "PATCH" else "application/json"
        api._json(method, path, body, {}, content)
    except ApiError as error:
        # A void request shows nothing about rights, and 409 that it would have been one.
        return error.status in (401, 403, 422)
    return False


def _as(lab: Lab, token: str) -> Api:
    document = yaml.safe_load(Path(lab.kubeconfig).read_text())
    api = Api(Path(lab.kubeconfig))
    cluster = document["clusters"][0]["cluster"]
    import base64
    import ssl

    import urllib3

    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    api._pool = urllib3.PoolManager(
        ssl_context=ssl.create_default_context(cadata=authority), headers={"Authorization": f"Bearer {token}"}
    )
    send = api._pool.request

    def with_token(method: str, url: str, **more: Any) -> Any:
        headers = {**(more.pop("headers", None) or {}), "Authorization": f"Bearer {token}"}
        return send(method, url, headers=headers, **more)

    api._pool.request = with_token  # type: ignore[method-assign]
    return api
