# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What somebody who has taken over an agent's pod would try, with the token that is there.

Runs beside the package ``agent``, in a pod or as a process, with NODE_NAME and OTHER_NODE in its environment.
Prints one JSON line an attempt and ``refused``, ``of``; exit code 0 if every one was refused as forbidden.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agent import configuration
from agent.api import CREDENTIALS, AgentApiError, Api
from agent.host_endpoint import OWNER_LABEL, desired
from agent.metadata_annotation import METADATA_ANNOTATION

FORBIDDEN = 403
GROUPS = ("crd.projectcalico.org/v1", "projectcalico.org/v3")


class Attempts:
    def __init__(self, api: Api, settings: configuration.Configuration, node: str, other: str) -> None:
        self._api = api
        self._all = settings.host_endpoints
        self._node, self._other = node, other
        self._mine = api.get(f"{self._all}/{node}-hostfence") or {}
        self._settings = settings
        self._fresh = desired(api.get(f"/api/v1/nodes/{node}") or {}, settings.template, settings.api_version)

    def allowed(self) -> None:
        """Its own work: without it, that all the rest is refused would prove nothing."""
        self._api.replace(self._path(self._node), self._mine)

    def host_endpoints(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """On HostEndpoints, all of them refused by admission or by the verbs that are absent."""
        theirs = self._api.get(self._path(self._other)) or {}
        for name, obj in (
            ("another node's, of its name and node", self._new(f"{self._other}-x", self._other)),
            ("a second one for its own node", self._new(f"{self._node}-second", self._node)),
            ("one that sorts before its own", self._new(f"{self._node}-a", self._node)),
        ):
            yield f"create {name}", self._creates(obj)
        yield "change another node's", self._replaces(self._other, {**theirs})
        yield (
            "hijack another node's for its own",
            self._replaces(self._other, theirs, spec={"node": self._node}),
        )
        yield "spec.node of another", self._replaces(self._node, self._mine, spec={"node": self._other})
        for name, change in (
            ("an interface that does not exist", {"interfaceName": "none0"}),
            ("profiles", {"profiles": ["open"]}),
            ("ports", {"ports": [{"name": "all", "protocol": "TCP", "port": 1}]}),
        ):
            yield f"change {name}", self._replaces(self._node, self._mine, spec=change)
        for name, labels in (
            ("drop the owner label", {OWNER_LABEL: None}),
            ("change the owner label", {OWNER_LABEL: "me"}),
            ("drop the label that policies select by", {"host-endpoint": None}),
            ("change the label that policies select by", {"host-endpoint": "none"}),
            ("add a label", {"exempt": "yes"}),
            ("drop somebody else's label", {"enforced": None}),
            ("change somebody else's label", {"enforced": "no"}),
            ("drop a protected label of the Node", {"node-role.kubernetes.io/control-plane": None}),
            ("change a protected label of the Node", {"node-role.kubernetes.io/control-plane": "no"}),
        ):
            yield name, self._replaces(self._node, self._mine, labels=labels)
        hidden = json.dumps({"labels": {"host-endpoint": "none"}})
        owner = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": "gone",
            "uid": "00000000-0000-0000-0000-000000000000",
        }
        for name, metadata in (
            ("hide labels in Calico's annotation", {"annotations": {METADATA_ANNOTATION: hidden}}),
            ("name an owner that does not exist, for the garbage collector", {"ownerReferences": [owner]}),
            ("keep it from being deleted", {"finalizers": ["me.example/never"]}),
        ):
            yield name, self._replaces(self._node, self._mine, metadata=metadata)
        yield "delete its own", self._asks("DELETE", self._path(self._node))
        yield "delete another node's", self._asks("DELETE", self._path(self._other))
        yield "delete all", self._asks("DELETE", self._all)

    def elsewhere(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """On everything else, refused by RBAC."""
        policy = {"kind": "GlobalNetworkPolicy", "metadata": {"name": "open"}, "spec": {"order": 1}}
        for group in GROUPS:
            policies = f"/apis/{group}/globalnetworkpolicies"
            yield f"write a policy in {group}", self._asks("POST", policies, {"apiVersion": group, **policy})
            yield f"read policies in {group}", self._asks("GET", policies)
            yield f"delete policies in {group}", self._asks("DELETE", policies)
            if f"/apis/{group}/" not in self._all:
                heps = f"/apis/{group}/hostendpoints"
                yield f"read HostEndpoints in {group}", self._asks("GET", heps)
                yield (
                    f"write HostEndpoints in {group}",
                    self._asks("POST", heps, {**self._fresh, "apiVersion": group}),
                )
        yield "read all secrets", self._asks("GET", "/api/v1/secrets")
        yield "read secrets of kube-system", self._asks("GET", "/api/v1/namespaces/kube-system/secrets")
        yield "list Nodes", self._asks("GET", "/api/v1/nodes")
        node = self._api.get(f"/api/v1/nodes/{self._node}")
        yield "change its Node", self._asks("PUT", f"/api/v1/nodes/{self._node}", node)
        yield "list pods", self._asks("GET", "/api/v1/pods")
        own = "/api/v1/namespaces/hostfence-agents"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        yield "make itself a token", self._asks("POST", f"{own}/serviceaccounts/hep-sa/token", request)
        yield "change its own program", self._asks("PUT", f"{own}/configmaps/hep-cm", {"kind": "ConfigMap"})
        admission = "/apis/admissionregistration.k8s.io/v1"
        yield (
            "lift the policy",
            self._asks("DELETE", f"{admission}/validatingadmissionpolicybindings/hep-vap"),
        )
        role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/hep-cr"
        yield (
            "widen its rights",
            self._asks("PUT", role, {"kind": "ClusterRole", "metadata": {"name": "hep-cr"}}),
        )

    def _path(self, node: str) -> str:
        return f"{self._all}/{node}-hostfence"

    def _new(self, name: str, node: str) -> dict[str, Any]:
        made = copy.deepcopy(self._fresh)
        made["metadata"]["name"] = name
        made["spec"]["node"] = node
        return made

    def _creates(self, obj: dict[str, Any]) -> Callable[[], object]:
        return self._asks("POST", self._all, obj)

    def _replaces(
        self,
        node: str,
        stored: dict[str, Any],
        spec: dict[str, Any] | None = None,
        labels: dict[str, str | None] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Callable[[], object]:
        changed = copy.deepcopy(stored)
        changed["metadata"].update(metadata or {})
        changed["spec"].update(spec or {})
        merged = {**changed["metadata"].get("labels", {}), **(labels or {})}
        changed["metadata"]["labels"] = {k: v for k, v in merged.items() if v is not None}
        return self._asks("PUT", self._path(node), changed)

    def _asks(self, method: str, path: str, body: dict[str, Any] | None = None) -> Callable[[], object]:
        # Whatever is let through by mistake must not spoil the attempts that follow.
        return lambda: self._api._request(method, path, {} if method == "GET" else {"dryRun": "All"}, body)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--credentials", type=Path, default=CREDENTIALS)
    options = parser.parse_args()
    settings = configuration.read(Path(configuration.__file__).with_name("config.json"))
    attempts = Attempts(Api(options.credentials), settings, os.environ["NODE_NAME"], os.environ["OTHER_NODE"])
    attempts.allowed()
    answers = {}
    for name, attempt in (*attempts.host_endpoints(), *attempts.elsewhere()):
        try:
            attempt()
            answers[name] = (200, "")
        except AgentApiError as error:
            answers[name] = (error.status, str(error))
    for name, (status, said) in answers.items():
        print(json.dumps({"attempt": name, "status": status, "said": said}))
    refused = sum(status == FORBIDDEN for status, _said in answers.values())
    print(json.dumps({"refused": refused, "of": len(answers)}))
    return 0 if refused == len(answers) else 1


if __name__ == "__main__":
    sys.exit(main())
