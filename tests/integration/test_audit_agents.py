# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What audit_mode daemonset puts into a cluster, by who may do just that; tests/audit runs the agents."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from module_run import run_module
from role_run import ON_THE_CONTROLLER, end_of, run_roles, start_playbook

NAMESPACE = "hostfence-audit"
KINDS = (
    "/apis/apps/v1/daemonsets",
    "/apis/rbac.authorization.k8s.io/v1/roles",
    "/apis/rbac.authorization.k8s.io/v1/rolebindings",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
    "/api/v1/serviceaccounts",
    "/api/v1/configmaps",
)


def account_for(api, task: str, directory: Path) -> str:
    """A kubeconfig of who may do a task only."""
    granted = run_roles(api.kubeconfig, ["access"], access_permissions_for=[task])
    assert granted.code == 0, granted.output
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = "/api/v1/namespaces/hostfence/serviceaccounts/hostfence/token"
    config = yaml.safe_load(Path(api.kubeconfig).read_text())
    token = api.admin.post(path, request)["status"]["token"]
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    (directory / "kubeconfig").write_text(yaml.safe_dump(config))
    return str(directory / "kubeconfig")


@pytest.mark.one_flavour
def test_who_may_do_just_that_puts_the_agents_there_and_takes_them_away(clean_api, tmp_path):
    account = account_for(clean_api, "audit_daemonset", tmp_path)
    role = {"name": "hostfence.calico.audit", "tasks_from": "agents"}
    play = tmp_path / "play.json"
    play.write_text(json.dumps([{**ON_THE_CONTROLLER, "tasks": [{"ansible.builtin.include_role": role}]}]))

    def there() -> set[str]:
        return {kind for kind in KINDS if clean_api.admin.list(kind, labelSelector="hostfence.io/mode=audit")}

    def put(*options: str):
        done = end_of(start_playbook(account, play, *options))
        assert done.code == 0, done.output
        return done

    assert put("--check").changed
    assert not there()
    assert put().changed
    assert there() == set(KINDS)
    assert not put().changed

    limited = SimpleNamespace(kubeconfig=account)
    gone = {"state": "absent", "modes": ["audit"], "wait_timeout": 1}
    assert run_module("host_endpoint_agents", limited, check=True, **gone)["changed"]
    assert there() == set(KINDS)
    removed = run_module("host_endpoint_agents", limited, **gone)["objects"]
    assert removed[0] == f"RoleBinding {NAMESPACE}/{NAMESPACE}"
    assert not there()
