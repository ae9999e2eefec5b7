# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Calico's own API server behind kube-apiserver: the flavour ``projectcalico.org/v3`` over v1 definitions."""

from __future__ import annotations

import base64
import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from testbed.api import Api, ApiError
from testbed.control_plane import ControlPlane
from testbed.crds import Kind
from testbed.errors import TestbedError

PROGRAM = "calico-apiserver"
_GROUP_VERSION = "projectcalico.org/v3"
_NAMESPACE, _SERVICE = "kube-system", "calico-api"
_READY_SECONDS = 60


def start(control_plane: ControlPlane, binary: Path) -> None:
    """Starts it beside a control plane that has Calico's v1 definitions, and waits until it serves.

    :raises TestbedError: it does not
    """
    api = control_plane.api()
    # It makes default tiers when it starts, and answers nothing before it could.
    port = control_plane.launch_calico_apiserver(binary, f"{_SERVICE}.{_NAMESPACE}.svc")
    service = {
        "metadata": {"name": _SERVICE},
        # Nothing routes a service's own address here.
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }
    api.post(f"/api/v1/namespaces/{_NAMESPACE}/services", service)
    registration: dict[str, Any] = {
        "metadata": {"name": "v3.projectcalico.org"},
        "spec": {
            "group": "projectcalico.org",
            "version": "v3",
            "groupPriorityMinimum": 1500,
            "versionPriority": 200,
            "service": {"namespace": _NAMESPACE, "name": _SERVICE, "port": port},
            "caBundle": base64.b64encode(control_plane.authority.read_bytes()).decode(),
        },
    }
    api.post("/apis/apiregistration.k8s.io/v1/apiservices", registration)
    deadline = time.monotonic() + _READY_SECONDS
    while not _serves(api):
        if time.monotonic() > deadline:
            raise TestbedError(
                f"{_GROUP_VERSION} is not served after {_READY_SECONDS} s: {_why_unavailable(api)}"
            )
        time.sleep(0.2)


def kinds(api: Api, stored: Mapping[str, Kind]) -> dict[str, Kind]:
    """The kinds as clients see them: those that it serves in its group, the others as they are stored."""
    plurals = {
        resource["kind"]: resource["name"]
        for resource in api.get(f"/apis/{_GROUP_VERSION}")["resources"]
        if "/" not in resource["name"]
    }
    return {
        name: dataclasses.replace(
            kind, group_version=_GROUP_VERSION, path=f"/apis/{_GROUP_VERSION}/{plurals[name]}"
        )
        if name in plurals
        else kind
        for name, kind in stored.items()
    }


def _why_unavailable(api: Api) -> str:
    """What kube-apiserver says of the API server behind it."""
    registered = api.get("/apis/apiregistration.k8s.io/v1/apiservices/v3.projectcalico.org")
    conditions = registered.get("status", {}).get("conditions") or []
    said = [c.get("message", "") for c in conditions if c["type"] == "Available" and c["status"] != "True"]
    return "; ".join(filter(None, said)) or "kube-apiserver gives no reason"


def _serves(api: Api) -> bool:
    try:
        api.get(f"/apis/{_GROUP_VERSION}/clusterinformations", limit="1")
    except ApiError:
        return False
    return True
