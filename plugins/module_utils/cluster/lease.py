# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run at a time changes what is enforced: a Lease that says who it is.

Conflicts on single objects are seen by their resourceVersion. But two runs that each judge the cluster
without the other's policy could cut off a node together, each harmless alone.

The Lease also remembers what was enforced and not proved since: a run may end, or be killed, before anybody
has logged in to the nodes. It goes once someone has.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from threading import Lock
from typing import Any, Callable, Optional, TypeVar

from ..calico.host_endpoint import OWNER, OWNER_LABEL
from .client import ApiError, Cluster, ClusterError, Object

NAMESPACE, NAME = "kube-system", "hostfence"
COLLECTION = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
SECONDS = 120
_PLACE, _PROCESS, _UNPROVED = "hostfence.io/place", "hostfence.io/process", "hostfence.io/unproved"
_TRIES = 3

T = TypeVar("T")


class Held(ClusterError):
    """Another run is about to change what is enforced."""


@dataclass(frozen=True)
class Unproved:
    """What was enforced, and nobody has logged in to the nodes since.

    :ivar subject: name of the policy set
    :ivar since: when the writes began, RFC 3339 in UTC
    :ivar who: enforced it, ``user@host, process``
    """

    subject: str
    since: str
    who: str

    def __str__(self) -> str:
        return f"not proved since {self.who} enforced it at {self.since}"


class Lease:
    """The Lease while this process holds it."""

    def __init__(self, cluster: Cluster, stored: Object, before: Optional[Object]) -> None:
        self._cluster = cluster
        self._stored = stored
        self._marks_before = _marks(before or {})
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

    def needs_no_proof(self, *subjects: str) -> None:
        """Sets that are enforced no more; without a name, all."""
        marks = _marks(self._stored) if subjects else {}
        left = {name: told for name, told in marks.items() if name not in subjects}
        self._stored = _with_marks(self._stored, left)

    def wrote_nothing(self) -> None:
        """There is no more to be proved than before."""
        self._stored = _with_marks(self._stored, self._marks_before)

    def release(self) -> None:
        """Let the next one have it; where that fails, it runs out by itself.

        It stands, held by nobody, as long as it remembers what is to be proved.
        """
        with suppress(ClusterError):
            if _marks(self._stored):
                self._cluster.replace(f"{COLLECTION}/{NAME}", {**self._stored, "spec": {}})
            else:
                self._cluster.delete(f"{COLLECTION}/{NAME}", self._stored["metadata"]["uid"])


class Marks:
    """What is to be proved, as it is when this is made; read before a proof, and taken away after it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._stored = cluster.find(f"{COLLECTION}/{NAME}")

    @property
    def unproved(self) -> list[Unproved]:
        """In order of their names."""
        return [
            Unproved(name, str(told.get("since", "")), str(told.get("who", "")))
            for name, told in sorted(_marks(self._stored or {}).items())
        ]

    def take_away(self) -> bool:
        """All of it is proved.

        :returns: whether there was anything; what another run enforced meanwhile is left to that run
        """
        if not self._stored or not self.unproved:
            return False
        metadata = self._stored["metadata"]
        try:
            return self._cluster.delete(f"{COLLECTION}/{NAME}", metadata["uid"], metadata["resourceVersion"])
        except ApiError as error:
            if error.conflict:
                return False
            raise


def unproved(cluster: Cluster) -> dict[str, str]:
    """Since when and by whom policy sets were enforced and nobody logged in to the nodes, by their names."""
    return {mark.subject: str(mark) for mark in Marks(cluster).unproved}


@contextmanager
def held(cluster: Cluster, enforcing: str = "") -> Iterator[Lease]:
    """Hold the Lease as long as the block runs.

    :param enforcing: a policy set that the block enforces, which is then to be proved
    :raises Held: another run has it; says who, and since when
    :raises ClusterError: it cannot be had for another reason
    """
    lease = Lease(cluster, *_acquired(cluster, enforcing))
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


def _acquired(cluster: Cluster, enforcing: str) -> tuple[Object, Optional[Object]]:
    """The Lease, and what stood before it."""
    for _attempt in range(_TRIES):
        wanted = _wanted()
        marks = _marks_of(wanted, enforcing)
        wanted = _with_marks(wanted, marks)
        try:
            return cluster.create(COLLECTION, wanted), None
        except ApiError as error:
            if not error.conflict:
                raise
        live = cluster.find(f"{COLLECTION}/{NAME}")
        if live is None:
            continue  # released this moment
        if (live.get("spec") or {}).get("holderIdentity") == wanted["spec"]["holderIdentity"]:
            return live, None  # the answer to our own first try was lost
        if _until(live) > _now() and not _has_died(live):
            raise Held(_who(live))
        try:
            metadata = {**live["metadata"], "annotations": wanted["metadata"]["annotations"]}
            ours = _with_marks({**wanted, "metadata": metadata}, {**_marks(live), **marks})
            return cluster.replace(f"{COLLECTION}/{NAME}", ours), live
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


def _marks_of(wanted: Object, enforcing: str) -> dict[str, Mapping[str, str]]:
    if not enforcing:
        return {}
    return {enforcing: {"since": f"{_now():%Y-%m-%dT%H:%M:%SZ}", "who": wanted["spec"]["holderIdentity"]}}


def _marks(stored: Object) -> dict[str, Mapping[str, str]]:
    text: Any = ((stored.get("metadata") or {}).get("annotations") or {}).get(_UNPROVED, "")
    # Anybody may have written it.
    with suppress(TypeError, ValueError, AttributeError):
        return {str(name): told for name, told in json.loads(text).items() if isinstance(told, dict)}
    return {}


def _with_marks(stored: Object, marks: Mapping[str, Mapping[str, str]]) -> Object:
    metadata = stored["metadata"]
    others = {k: text for k, text in (metadata.get("annotations") or {}).items() if k != _UNPROVED}
    annotations = {**others, _UNPROVED: json.dumps(marks, sort_keys=True)} if marks else others
    return {**stored, "metadata": {**metadata, "annotations": annotations}}


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
    with suppress(KeyError, TypeError, ValueError):
        renewed = datetime.strptime(spec["renewTime"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
        return renewed + timedelta(seconds=int(spec.get("leaseDurationSeconds") or SECONDS))
    return datetime.min.replace(tzinfo=timezone.utc)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _now() -> datetime:
    return datetime.now(timezone.utc)
