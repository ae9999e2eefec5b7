# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A watchdog as a pod: what it is given, and what it may not do."""

from __future__ import annotations

import json

from ansible_collections.hostfence.calico.plugins.module_utils.cluster.watchdog_pods import (
    config_map,
    deployment,
    options_of,
)

GIVEN = {"server": "https://10.0.0.1:6443", "token": "secret", "seconds": 60}


def test_the_token_is_the_kubelets_and_no_object_holds_one() -> None:
    assert options_of(GIVEN) == {
        "server": "https://10.0.0.1:6443",
        "seconds": 60,
        "token_file": "/token/token",
    }
    made = config_map("w-1", "kube-system", {}, GIVEN)
    assert "secret" not in json.dumps(made)
    assert json.loads(made["data"]["options.json"]) == options_of(GIVEN)
    compile(made["data"]["watchdog.py"], "watchdog.py", "exec")


def test_it_runs_as_nobody_without_any_right_and_beside_no_other() -> None:
    made = deployment("w-1", "kube-system", {"a": "b"}, "image", 3600)
    spec = made["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert not spec["automountServiceAccountToken"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    [apart] = spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert apart["labelSelector"]["matchLabels"].items() <= labels.items()
    assert made["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_no_policy_of_pods_stands_between_it_and_the_api() -> None:
    assert deployment("w-1", "kube-system", {}, "image", 3600)["spec"]["template"]["spec"]["hostNetwork"]
