# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Watchdogs as pods, for clusters whose nodes nobody logs in to: a Deployment and a ConfigMap each.

Each is a Deployment of its own, as each has an account and a Lease of its own, and may write no other's.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any

from ..node import watchdog
from .client import Object

APP_LABEL = "app.kubernetes.io/name"
APP = "hostfence-watchdog"
_MOUNT, _TOKEN_MOUNT = "/watchdog", "/token"
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
_NOBODY = 65532


def options_of(options: Mapping[str, Any]) -> Object:
    """Of a pod, whose token the kubelet renews, what a watchdog on a node is given."""
    return {**{key: options[key] for key in options if key != "token"}, "token_file": f"{_TOKEN_MOUNT}/token"}


def config_map(name: str, namespace: str, labels: Mapping[str, str], options: Mapping[str, Any]) -> Object:
    """The program, and what it is given. There is no secret in it."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "data": {"watchdog.py": inspect.getsource(watchdog), "options.json": json.dumps(options_of(options))},
    }


def deployment(
    name: str, namespace: str, labels: Mapping[str, str], image: str, token_seconds: int
) -> Object:
    """One watchdog: in its node's network, on a control-plane node where there is one, no two on one node."""
    own = {APP_LABEL: APP, "hostfence.io/watchdog": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": {**labels, APP_LABEL: APP}},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": own},
            "template": {
                "metadata": {"labels": {**labels, **own}},
                "spec": _pod(name, image, token_seconds),
            },
        },
    }


def _pod(name: str, image: str, token_seconds: int) -> Object:
    program = [f"{_MOUNT}/watchdog.py", f"{_MOUNT}/options.json"]
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": token_seconds}}
    return {
        "serviceAccountName": name,
        "automountServiceAccountToken": False,
        # No policy of pods, and no service's address, stands between it and the API.
        "hostNetwork": True,
        "dnsPolicy": "Default",
        "priorityClassName": "system-cluster-critical",
        "terminationGracePeriodSeconds": 1,
        "tolerations": [{"operator": "Exists"}],
        "affinity": _affinity(),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _NOBODY,
            "runAsGroup": _NOBODY,
            "fsGroup": _NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "watchdog",
                "image": image,
                "command": ["python3", *program],
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": "watchdog", "mountPath": _MOUNT, "readOnly": True},
                    {"name": "token", "mountPath": _TOKEN_MOUNT, "readOnly": True},
                ],
            }
        ],
        "volumes": [
            {"name": "watchdog", "configMap": {"name": name}},
            {"name": "token", "projected": {"sources": [token]}},
        ],
    }


def _affinity() -> Object:
    control_plane = {"matchExpressions": [{"key": _CONTROL_PLANE, "operator": "Exists"}]}
    apart = {
        "labelSelector": {"matchLabels": {APP_LABEL: APP}},
        "topologyKey": "kubernetes.io/hostname",
    }
    return {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": control_plane}]
        },
        "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]},
    }
