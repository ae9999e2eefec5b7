# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run at a time changes what is enforced: a Lease that says who it is.

Conflicts on single objects are seen by their resourceVersion. But two runs that each judge the cluster
without the other's policy could cut off a node together, each harmless alone.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from threading import Lock
from typing import Callable, Optional, TypeVar

from ..calico.host_endpoint import OWNER, OWNER_LABEL
from .client import ApiError, Cluster, ClusterError, Object

NAMESPACE, NAME = "kube-system", "hostfence"
COLLECTION = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
SECONDS = 120
_PLACE, _PROCESS = "hostfence.io/place", "hostfence.io/process"
_TRIES = 3

T = TypeVar("T")


class Held(ClusterError):
    """Another run is about to change what is enforced."""


class Lease:
    """The Lease while this process holds it."""

    def __init__(self, cluster: Cluster, stored: Object) -> None:
        self._cluster = cluster
        self._stored = stored
        self._renewing = Lock()

    def renew(self) -> None:
        """Hold it for another while, where half of the time has gone. Many threads may ask for it.

        :raises Held: someone took it, since it had run out
        """
        with self._renewing:
            self._renew()

    def _renew(self) -> None:
        if _until(self._stored) - _now() > timedelta(seconds=SECONDS / 2):
            return
        spec = {**self._stored["spec"], "renewTime": _text(_now())}
        try:
            self._stored = self._cluster.replace(f"{COLLECTION}/{NAME}", {**self._stored, "spec": spec})
        except ApiError as error:
            if error.conflict or error.not_found:
                raise Held(
                    "another run has taken over, as this one took too long: see what stands, and run again"
                )
            raise

    def release(self) -> None:
        """Let the next one have it; where that fails, it runs out by itself."""
        with suppress(ClusterError):
            self._cluster.delete(f"{COLLECTION}/{NAME}", self._stored["metadata"]["uid"])


@contextmanager
def held(cluster: Cluster) -> Iterator[Lease]:
    """Hold the Lease as long as the block runs.

    :raises Held: another run has it; says who, and since when
    :raises ClusterError: it cannot be had for another reason
    """
    lease = Lease(cluster, _acquired(cluster))
    try:
        yield lease
    finally:
        lease.release()


@contextmanager
def planned(
    cluster: Cluster, plan: Callable[[], T], *, changes: Callable[[T], bool]
) -> Iterator[tuple[T, Optional[Lease]]]:
    """A plan, and the Lease as long as the block runs where the plan is to be carried out.

    :param plan: reads, judges, and writes nothing; asked again once the Lease is held, as another run may
        have written until it gave it back
    :param changes: whether a plan has to be carried out by who holds the Lease
    :raises Held: as :func:`held`
    """
    found = plan()
    if not changes(found):
        yield found, None
        return
    with held(cluster) as ours:
        yield plan(), ours


def _acquired(cluster: Cluster) -> Object:
    for _attempt in range(_TRIES):
        wanted = _wanted()
        try:
            return cluster.create(COLLECTION, wanted)
        except ApiError as error:
            if not error.conflict:
                raise
        live = cluster.find(f"{COLLECTION}/{NAME}")
        if live is None:
            continue  # released this moment
        if (live.get("spec") or {}).get("holderIdentity") == wanted["spec"]["holderIdentity"]:
            return live  # the answer to our own first try was lost
        if _until(live) > _now() and not _has_died(live):
            raise Held(_who(live))
        try:
            metadata = {**live["metadata"], "annotations": wanted["metadata"]["annotations"]}
            return cluster.replace(f"{COLLECTION}/{NAME}", {**wanted, "metadata": metadata})
        except ApiError as error:
            if not (error.conflict or error.not_found):
                raise
    raise Held("other runs keep changing what is enforced: run again when they have ended")


def _wanted() -> Object:
    now = _text(_now())
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "labels": {OWNER_LABEL: OWNER},
            "annotations": {_PLACE: _place(), _PROCESS: str(os.getpid())},
        },
        "spec": {
            "holderIdentity": f"{operator()}, process {os.getpid()}",
            "leaseDurationSeconds": SECONDS,
            "acquireTime": now,
            "renewTime": now,
        },
    }


def operator() -> str:
    """Who runs this, as ``user@host``."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return f"uid {os.getuid()}@{socket.gethostname()}"


def _place() -> str:
    """Where numbers of processes mean the same."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _has_died(live: Object) -> bool:
    """Whether the holder was a process of this machine that is there no more, as after a kill."""
    told = live["metadata"].get("annotations") or {}
    process = str(told.get(_PROCESS, ""))
    if not (process.isdigit() and told.get(_PLACE) and told[_PLACE] == _place()):
        return False
    return not Path("/proc", process).exists()


def _who(live: Object) -> str:
    spec = live.get("spec") or {}
    return (
        f"another run changes what is enforced: {spec.get('holderIdentity')}, since "
        f"{spec.get('acquireTime')}; nothing was written. Run again when it has ended; if it was killed, "
        "it counts as ended at "
        f"{_until(live):%H:%M:%S} UTC (Lease {NAMESPACE}/{NAME})"
    )


def _until(lease: Object) -> datetime:
    spec = lease.get("spec") or {}
    with suppress(TypeError, ValueError):
        renewed = datetime.strptime(spec["renewTime"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
        return renewed + timedelta(seconds=int(spec.get("leaseDurationSeconds") or SECONDS))
    return datetime.min.replace(tzinfo=timezone.utc)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _now() -> datetime:
    return datetime.now(timezone.utc)
