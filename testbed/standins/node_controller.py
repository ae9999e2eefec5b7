# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stand-in for the node controller of kube-controllers: makes auto host endpoints.

It differs from the real one where that is slow or restarts: a change of its configuration takes effect at
once, and Nodes that join are served without delay.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

from testbed.api import Api, ApiError, Json, in_parallel
from testbed.standins.auto_host_endpoints import Wanted, body, current, running_config, wanted
from testbed.standins.watching import Mirror, calico_group_version, say

Objects = dict[str, dict[str, Json]]


class NodeController:
    """Keeps one cluster's auto host endpoints.

    :param group_version: Calico's API
    :param override: environment variable AUTO_HOST_ENDPOINTS, or empty
    """

    def __init__(self, api: Api, group_version: str, override: str) -> None:
        self._api = api
        self._group_version = group_version
        self._override = override
        self._base = f"/apis/{group_version}"

    def run(self) -> None:
        paths = {
            "nodes": "/api/v1/nodes",
            "endpoints": f"{self._base}/hostendpoints",
            "configurations": f"{self._base}/kubecontrollersconfigurations",
        }
        Mirror(self._api, paths).run(self.look)

    def look(self, objects: Objects) -> None:
        """Makes the cluster what its configuration says, once."""
        configuration = objects["configurations"].get("default")
        if configuration is None:
            return
        config = running_config(configuration.get("spec", {}), self._override)
        self._report(configuration, config)
        ours = {name: found for name, item in objects["endpoints"].items() if (found := current(item))}
        keep = set()
        writes = []
        for name, node in objects["nodes"].items():
            endpoints, delete_others = wanted(node, config)
            keep |= {endpoint.name for endpoint in endpoints}
            if not delete_others:
                keep |= {endpoint.name for endpoint in ours.values() if endpoint.node == name}
            for endpoint in endpoints:
                there = ours.get(endpoint.name)
                if there is None or not endpoint.same(there):
                    stored = objects["endpoints"][endpoint.name] if there else None
                    writes.append(partial(self._write, endpoint, stored))
        in_parallel([*writes, *(partial(self._delete, name) for name in ours.keys() - keep)])

    def _write(self, endpoint: Wanted, stored: Json | None) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        item = body(endpoint, self._group_version, now)
        path = f"{self._base}/hostendpoints"
        try:
            if stored is None:
                self._api.post(path, item)
            else:
                item["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"]
                self._api.put(f"{path}/{endpoint.name}", item)
        except ApiError as error:
            # Of the same name but not ours, or changed meanwhile: the real one logs it and goes on, too.
            say(f"{endpoint.name}: {error}")
            return
        say(f"{'updated' if stored else 'created'} {endpoint.name}")

    def _delete(self, name: str) -> None:
        try:
            self._api.delete(f"{self._base}/hostendpoints/{name}")
        except ApiError as error:
            if error.status != 404:
                raise
        say(f"deleted {name}")

    def _report(self, configuration: Json, config: Json | None) -> None:
        """Writes the running configuration, by which others see that theirs has arrived."""
        environment = {"DATASTORE_TYPE": "kubernetes", "ENABLED_CONTROLLERS": "node"}
        if self._override:
            environment["AUTO_HOST_ENDPOINTS"] = self._override
        node: Json = {"syncLabels": "Disabled", **({"hostEndpoint": config} if config else {})}
        status = {"environmentVars": environment, "runningConfig": {"controllers": {"node": node}}}
        if configuration.get("status") == status:
            return
        path = f"{self._base}/kubecontrollersconfigurations/default"
        replacement = {**configuration, "status": status}
        try:
            self._api.put(f"{path}/status", replacement)
        except ApiError as error:
            if error.status != 404:
                raise
            # Calico's CRDs before v3.30 have no status of its own.
            self._api.put(path, replacement)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--auto-host-endpoints", choices=["enabled", "disabled"], default="")
    options = parser.parse_args()
    api = Api(options.kubeconfig)
    NodeController(api, calico_group_version(api), options.auto_host_endpoints).run()


if __name__ == "__main__":
    main()
