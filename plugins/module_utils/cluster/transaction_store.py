# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stored half of a transaction: reading it, writing its objects, and turning its switches by compare-
and-swap.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional

from ..calico.policy.definition import normal_spec
from ..calico.policy.names import NETWORK_SET
from ..calico.transaction import state as states
from ..calico.transaction import writers
from ..calico.transaction.state import Contents, Switch, TransactionState
from ..calico.transaction.steps import WantedObject
from .bulk import write_all
from .client import ApiError, Cluster, ClusterError, Object
from .flavour import Flavour, list_stored


class Busy(ClusterError):
    """Somebody else's transaction is under way."""


class Lost(ClusterError):
    """A switch was written by someone else between our reading and our writing it."""


class Stored:
    """Reads and writes of one cluster's transaction.

    :ivar writes: how many were sent
    """

    def __init__(self, cluster: Cluster, served: Flavour) -> None:
        self.cluster = cluster
        self.served = served
        self.writes = 0

    # The record.

    def record(self) -> Optional[tuple[TransactionState, Contents, Contents]]:
        """The transaction that is under way or was the last one, or None.

        :raises ClusterError: there is a record that cannot be read
        """
        obj = self.cluster.find(self._path(states.RECORD))
        if obj is None:
            return None
        found = states.read_record(obj)
        if found is None:
            raise ClusterError(
                f"GlobalNetworkSet {states.RECORD} cannot be read as a transaction: if no "
                "transaction runs, delete "
                "it, and see that no policy of a tier ending in -next is left"
            )
        return found

    def begin(self, state: TransactionState, old: Contents, new: Contents) -> None:
        """Create the record, or take that of a settled transaction: whoever does is the only one.

        :raises Busy: there is one that is not settled
        """
        obj = states.record_object(self.served.api_version, state, old, new)
        last = self.cluster.find(self._path(states.RECORD))
        ended = states.read_record(last) if last else None
        self.writes += 1
        try:
            if last and ended and ended[0].phase == states.SETTLED:
                obj["metadata"]["resourceVersion"] = last["metadata"]["resourceVersion"]
                self.cluster.replace(self._path(states.RECORD), obj)
            else:
                self.cluster.create(self.served.path(NETWORK_SET), obj)
        except ApiError as error:
            if not error.conflict:
                raise
            found = self.record()
            if found and found[0].id == state.id:
                return  # our own, whose answer was lost
            raise Busy(f"another transaction has just begun, by {found[0].who if found else 'someone'}")

    def keep(self, state: TransactionState, old: Contents, new: Contents) -> None:
        """Write the record again."""
        obj = states.record_object(self.served.api_version, state, old, new)
        self.writes += 1
        self.cluster.apply(self._path(states.RECORD), obj)

    def forget(self) -> None:
        self.writes += 1
        self.cluster.delete(self._path(states.RECORD))

    # The switches.

    def switches(self) -> list[Switch]:
        """All switches, by number."""
        found = list_stored(self.cluster, self.served, NETWORK_SET)
        mine = [obj for obj in found if obj["metadata"]["name"].startswith(states.SWITCH_PREFIX)]
        numbered = [obj for obj in mine if obj["metadata"]["name"][len(states.SWITCH_PREFIX) :].isdigit()]
        return sorted((states.read_switch(obj) for obj in numbered), key=lambda switch: switch.number)

    def switch(self, number: int) -> Optional[Switch]:
        obj = self.cluster.find(self._path(states.switch_name(number)))
        return states.read_switch(obj) if obj else None

    def create_switch(self, number: int, transaction: str, wave: str) -> None:
        """Make a switch that is off, or leave the one that is there."""
        noted = {
            states.TRANSACTION_LABEL: transaction,
            states.WAVE: wave,
            states.PHASE: states.PREPARED,
        }
        obj = states.switch_object(self.served.api_version, number, noted, on=False)
        self.writes += 1
        self.cluster.apply(self._path(states.switch_name(number)), obj)

    def turn(
        self, seen: Switch, phase: str, noted: Mapping[str, str], *, on: Optional[bool] = None
    ) -> Switch:
        """One compare-and-swap of phase and members, at the version that was seen.

        :param on: None leaves the members as they are
        :raises Lost: someone else wrote it meanwhile
        """
        annotations = {states.PHASE: phase, **noted}
        patch: Object = {"metadata": {"resourceVersion": seen.resource_version, "annotations": annotations}}
        if on is not None:
            patch["spec"] = {"nets": [] if on else list(states.EVERYTHING)}
        path = self._path(states.switch_name(seen.number))
        self.writes += 1
        try:
            return states.read_switch(self.cluster.merge(path, patch))
        except ApiError as error:
            if not error.conflict:
                raise
        # A write whose answer was lost is sent again by the client, and then conflicts with itself.
        now = self.switch(seen.number)
        mine = (
            now and now.phase == phase and noted.get(states.BY) == now.by and now.at == noted.get(states.AT)
        )
        if now and mine and (on is None or now.on is on):
            return now
        raise Lost(
            f"{states.switch_name(seen.number)} was changed meanwhile"
            + (f": it is {now.phase}, by {now.by or 'someone'}" if now else ": it is gone")
        )

    def drop_switches(self) -> None:
        for switch in self.switches():
            self.writes += 1
            self.cluster.delete(self._path(states.switch_name(switch.number)))

    # Everything else.

    def put(self, writes: Sequence[WantedObject]) -> int:
        """Bring objects into the state wanted, those that are not there yet; several at a time.

        :returns: how many were written
        :raises ClusterError: one could not be
        """
        live = {
            (kind, obj["metadata"]["name"]): obj
            for kind in dict.fromkeys(write.kind for write in writes)
            for obj in list_stored(self.cluster, self.served, kind)
        }
        due = [write for write in writes if not _is_so(live.get((write.kind, write.name)), write.wanted)]
        self.writes += len(due)
        outcomes = write_all(due, lambda write: self._write(write, live.get((write.kind, write.name))))
        failed = [outcome for outcome in outcomes if not outcome.done]
        if failed:
            write = failed[0].item
            raise ClusterError(
                f"{write.kind} {write.name}: {failed[0].error}"
                + (f" (and {len(failed) - 1} more)" if len(failed) > 1 else "")
            )
        return len(due)

    def undone(self, writes: Sequence[WantedObject]) -> str:
        """What of these writes someone took back since, and who; empty where all is as written."""
        for kind in dict.fromkeys(write.kind for write in writes):
            live = {obj["metadata"]["name"]: obj for obj in list_stored(self.cluster, self.served, kind)}
            for write in writes:
                found = live.get(write.name)
                if write.kind != kind or _is_so(found, write.wanted):
                    continue
                by = f" by {', '.join(writers.others(found))}" if found and writers.others(found) else ""
                return f"{kind} {write.name} was {'changed' if found else 'removed'} meanwhile{by}"
        return ""

    def labelled(self, kind: str) -> list[Object]:
        """Objects of transactions that are left, of one kind."""
        found = list_stored(self.cluster, self.served, kind)
        return [o for o in found if states.TRANSACTION_LABEL in (o["metadata"].get("labels") or {})]

    def _write(self, write: WantedObject, live: Optional[Object]) -> None:
        path = self.served.path(write.kind, write.name)
        if write.wanted is None:
            self.cluster.delete(path)
            return
        if live and set(normal_spec(live.get("spec") or {})) - set(write.wanted["spec"]):
            # Somebody added a field, which apply would leave.
            metadata = {k: v for k, v in live["metadata"].items() if k != "managedFields"}
            for what in ("labels", "annotations"):
                metadata[what] = {**(metadata.get(what) or {}), **(write.wanted["metadata"].get(what) or {})}
            self.cluster.replace(path, {**write.wanted, "metadata": metadata})
            return
        self.cluster.apply(path, write.wanted)

    def _path(self, name: str) -> str:
        return self.served.path(NETWORK_SET, name)


def now() -> str:
    """RFC 3339, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _is_so(live: Optional[Object], wanted: Optional[Object]) -> bool:
    if wanted is None:
        return live is None
    if live is None or normal_spec(live.get("spec") or {}) != normal_spec(wanted["spec"]):
        return False
    return all(
        _has(live["metadata"].get(what), wanted["metadata"].get(what)) for what in ("labels", "annotations")
    )


def _has(live: Any, wanted: Any) -> bool:
    pairs: Iterable[tuple[str, str]] = (wanted or {}).items()
    return all((live or {}).get(key) == value for key, value in pairs)
