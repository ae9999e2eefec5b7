# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real API server for the integration tests, one for each flavour of Calico's API.

``api`` runs a test on every flavour; ``clean_api`` does so on a cluster that holds only what an
installation of Calico leaves behind. Choose flavours with ``-k``, for example ``-k ours-v1``.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import kubernetes
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from testbed import binaries, calico_apiserver, crds, installation, node_objects  # noqa: E402
from testbed.api import Api  # noqa: E402
from testbed.control_plane import ControlPlane  # noqa: E402

UPSTREAM = Path(os.environ.get("HOSTFENCE_CRDS") or ROOT.parent / "shared" / "crds")
FLAVOURS = ["ours-v1", "ours-v3", "v1-3.28.2", "v1-3.32.1", "v3-3.32.1", "aggregated-3.32.1"]
# Each group, each age and Calico's own API server once: the playbooks take minutes on each, and the modules
# that they call are tried on all.
FEW_FLAVOURS = ["ours-v1", "v1-3.28.2", "v3-3.32.1", "aggregated-3.32.1"]
OWNED = "app.kubernetes.io/managed-by=hostfence"
OWNED_COLLECTIONS = (
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "one_flavour: the same on every flavour, so one is enough")
    config.addinivalue_line("markers", "few_flavours: long, and by modules that are tried on every flavour")


# First: xdist reads the groups in the same hook.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Runs what does not depend on the flavour on the first one only, and what takes long on few.

    Of several processes each takes a flavour whole, or a file on the first one, which has most of the tests.
    """

    def flavour_of(item: pytest.Item) -> str | None:
        return getattr(item, "callspec", None) and item.callspec.params.get("api")

    def elsewhere(item: pytest.Item) -> bool:
        if item.get_closest_marker("one_flavour"):
            return flavour_of(item) not in (None, FLAVOURS[0])
        return bool(item.get_closest_marker("few_flavours")) and flavour_of(item) not in (None, *FEW_FLAVOURS)

    repeated = [item for item in items if elsewhere(item)]
    if repeated:
        config.hook.pytest_deselected(items=repeated)
        items[:] = [item for item in items if not elsewhere(item)]
    for item in items:
        if flavour := flavour_of(item):
            group = item.path.stem if flavour == FLAVOURS[0] else flavour
            item.add_marker(pytest.mark.xdist_group(group))


class TestApi:
    """One API server with Calico's kinds.

    :ivar flavour: one of ``FLAVOURS``
    :ivar kubeconfig: path of the administrator's kubeconfig
    :ivar admin: :class:`testbed.api.Api` of the administrator (get, list, post, put, patch, delete as JSON)
    :ivar kinds: kind name -> :class:`testbed.crds.Kind` with ``path`` and ``group_version``, for clients
    :ivar stored_kinds: the same beneath Calico's own API server, which keeps some objects from deletion
    """

    __test__ = False

    def __init__(
        self, flavour: str, control_plane: ControlPlane, source: str, version: str, aggregate: Path | None
    ) -> None:
        self.flavour = flavour
        self.control_plane = control_plane
        self.kubeconfig = str(control_plane.kubeconfig)
        self.admin: Api = control_plane.api()
        self.calico_version = installation.version_of(source)
        definitions = crds.load(source, version)
        self.stored_kinds = self.kinds = crds.kinds(definitions)
        crds.install(self.admin, definitions)
        installation.create_defaults(self.admin, self.stored_kinds, self.calico_version)
        self._create_placeholders()
        self._clean: dict[str, int] = {}
        if aggregate:
            calico_apiserver.start(control_plane, aggregate)
            self.kinds = calico_apiserver.kinds(self.admin, self.stored_kinds)

    def client(self) -> kubernetes.client.ApiClient:
        """The kubernetes package's client, with the administrator's rights."""
        return kubernetes.config.new_client_from_config(self.kubeconfig)

    def client_kubeconfig(self, user: str, groups: tuple[str, ...] = ()) -> str:
        """A kubeconfig for another user; one without any RBAC binding may do nothing."""
        return str(self.control_plane.client_kubeconfig(user, groups))

    def add_nodes(self, count: int, first: int = 1) -> list[str]:
        """Creates Node objects ``sim-0001`` and up; returns their names."""
        nodes = node_objects.simulated(count, first)
        node_objects.create(self.admin, nodes)
        return [node["metadata"]["name"] for node in nodes]

    def path(self, kind: str, name: str = "") -> str:
        """URL path of a Calico kind, or of one of its objects (cluster-wide kinds)."""
        return self.kinds[kind].path + (f"/{name}" if name else "")

    def create(self, kind: str, name: str, spec: dict, **metadata: object) -> dict:
        """Creates a Calico object as raw JSON."""
        known = self.kinds[kind]
        body = {"apiVersion": known.group_version, "kind": kind, "metadata": {"name": name, **metadata}}
        return self.admin.post(known.path, {**body, "spec": spec})

    def reset(self) -> None:
        """Back to a cluster on which Calico has just been installed: no Nodes, HostEndpoints or policies.

        What has not been written to since the last reset is left as it is.
        """
        written = {key for key, _revision in self.control_plane.stored().items() ^ self._clean.items()}

        def touched(*collections: str) -> bool:
            places = tuple(f"/registry/{name}/" for name in collections)
            return any(key.startswith(places) for key in written)

        kinds = {name: kind for name, kind in self.stored_kinds.items() if touched(_key_of(kind))}
        for kind in kinds.values():
            self._empty(kind)
        if touched("minions"):
            self.admin.delete(node_objects.PATH)
        for owned in OWNED_COLLECTIONS:
            if touched(owned.rpartition("/")[2]):
                self.admin.delete(owned, labelSelector=OWNED)
        if touched("namespaces"):
            for namespace in self.admin.list("/api/v1/namespaces", labelSelector=OWNED):
                self.end_namespace(namespace)
        if "/registry/leases/kube-system/hostfence" in self.control_plane.stored():
            self.admin.delete("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/hostfence")
        installation.create_defaults(self.admin, kinds, self.calico_version)
        if touched("namespaces", "deployments", "daemonsets"):
            self._create_placeholders()
        self._clean = self.control_plane.stored()

    def end_namespace(self, namespace: dict) -> None:
        """Deletes a namespace whole, as kube-controller-manager would, which does not run here."""
        path = f"/api/v1/namespaces/{namespace['metadata']['name']}"
        for plural in ("serviceaccounts", "configmaps"):
            self.admin.delete(f"{path}/{plural}")
        # No kubelet is there to say that they have ended.
        self.admin.delete(f"{path}/pods", gracePeriodSeconds="0")
        for collection in ("apps/v1/namespaces/{}/daemonsets", "batch/v1/namespaces/{}/jobs"):
            self.admin.delete("/apis/" + collection.format(namespace["metadata"]["name"]))
        if not namespace["metadata"].get("deletionTimestamp"):
            self.admin.delete(path)
        last = {**self.admin.get(path), "spec": {"finalizers": []}}
        self.admin.put(f"{path}/finalize", last)

    def kill(self) -> None:
        """Kills the API server, as a crash would."""
        self.control_plane.kill()

    def restart(self) -> None:
        """Starts the API server again on its old port and data."""
        self.control_plane.restart()

    def _create_placeholders(self) -> None:
        installation.create_placeholders(self.admin, self.calico_version)
        installation.set_placeholder_status(self.admin, 0)

    def _empty(self, kind: crds.Kind) -> None:
        if not kind.namespaced:
            self.admin.delete(kind.path)
            return
        # Such a kind can be listed over all namespaces, but not deleted over them.
        group, _slash, plural = kind.path.rpartition("/")
        for namespace in {item["metadata"]["namespace"] for item in self.admin.list(kind.path)}:
            self.admin.delete(f"{group}/namespaces/{namespace}/{plural}")


def _key_of(kind: crds.Kind) -> str:
    """Where etcd has a custom resource."""
    group, _version, plural = kind.path.split("/")[2:]
    return f"{group}/{plural}"


@pytest.fixture(scope="session", params=FLAVOURS)
def api(request: pytest.FixtureRequest) -> Iterator[TestApi]:
    """A cluster of one flavour, started when the first test wants it, ended with the last."""
    flavour: str = request.param
    ours, version = flavour.startswith("ours-"), flavour.split("-")[1 if flavour.startswith("ours-") else 0]
    aggregate = _calico_apiserver() if flavour.startswith("aggregated-") else None
    source = "ours" if ours else str(UPSTREAM / flavour.replace("aggregated-", "v1-"))
    if not ours and not Path(source).is_dir():
        pytest.skip(f"no upstream CRDs at {source}: set HOSTFENCE_CRDS to the directory that holds {flavour}")
    found = binaries.locate(binaries.CONTROL_PLANE, lambda line: print(line, file=sys.__stderr__))
    with tempfile.TemporaryDirectory(prefix="hostfence-api-") as run:
        # Tied: the servers die with pytest even if pytest is killed.
        control_plane = ControlPlane(Path(run), found, tied=True)
        try:
            control_plane.start()
            yield TestApi(flavour, control_plane, source, version, aggregate)
        finally:
            control_plane.stop()


def _calico_apiserver() -> Path:
    binary = Path(os.environ.get("HOSTFENCE_CALICO_BIN", ""), calico_apiserver.PROGRAM)
    if not os.access(binary, os.X_OK):
        pytest.skip(f"HOSTFENCE_CALICO_BIN has no {calico_apiserver.PROGRAM}")
    return binary


@pytest.fixture
def clean_api(api: TestApi) -> TestApi:
    """The flavour's cluster as if Calico had just been installed."""
    api.reset()
    return api
