# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Enforcement as a transaction: prepare, arm, switch, prove, confirm or roll back, settle.

Whatever ends a run ends it in a state that the next one takes up: every step says what shall be, the record
says which step, and only compare-and-swap turns a switch.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ..calico.address import parse_net
from ..calico.bad_input import BadInput
from ..calico.policy.names import POLICY, TIER
from ..calico.transaction import state as states
from ..calico.transaction.change import Change, change_of, is_guard
from ..calico.transaction.kernel_view import Expected
from ..calico.transaction.state import Contents, Switch, TransactionState, Wave
from ..calico.transaction.steps import Script, WantedObject
from ..controller.node_programs import ProgramLogin
from .client import Cluster, ClusterError
from .flavour import Flavour, list_stored
from .lease import Lease, operator
from .transaction_nodes import Observer
from .transaction_proof import WaveProof
from .transaction_store import Busy, Lost, Stored, now
from .watchdogs import MOST, Watchdogs, endpoints, revoke

AUTO, MANUAL = "auto", "manual"
NODE, POD = "node", "pod"
_ACKNOWLEDGE_SECONDS = 20
_POD_SECONDS = 90
_PROGRAM_SECONDS = 20
_FAREWELL_SECONDS = 1.5
# After the window, watchdogs need a moment, and Felix another one.
_LAST_RESORT_SECONDS = 4
# The switch must be seen in the kernels, and proved, before the window ends.
_SHARE_OF_WINDOW = 0.8
_RENEW_SECONDS = 20
_SECONDS_BETWEEN_TRIES = 1


class RolledBack(ClusterError):
    """A wave went back; says why, and what every host has now."""


@dataclass(frozen=True)
class TransactionOptions:
    """How to go about it.

    :ivar window: seconds until an unconfirmed wave goes back
    :ivar bake: seconds to wait after a wave before the next
    :ivar watchdogs: how many; 0 goes without
    :ivar watchdog_mode: ``node`` or ``pod``
    :ivar watchdog_image: of pods
    :ivar last_resort: nodes that no API server answers open their own way at the end of the window, where
        they can be logged in to
    :ivar admin_sources: networks from which administrators log in, beside this machine
    :ivar flush_conntrack: the first wave's hosts forget their connections before the proof
    :ivar keep: hours for which the policy from before is kept
    :ivar settle: seconds within which Felix sees a write, where no node can be looked at
    """

    window: int = 120
    bake: int = 0
    confirm: str = AUTO
    watchdogs: int = 2
    watchdog_mode: str = NODE
    watchdog_image: str = ""
    proofs: Sequence[Mapping[str, Any]] = ()
    last_resort: bool = True
    admin_sources: Sequence[str] = ()
    flush_conntrack: bool = False
    settle: float = 1
    keep: float = 24

    def __post_init__(self) -> None:
        if not 30 <= self.window <= 240:
            raise BadInput("window", self.window, "from 30 to 240 seconds")
        for name in ("bake", "keep", "settle"):
            if not 0 <= getattr(self, name) < math.inf:
                raise BadInput(name, getattr(self, name), "a number, not below 0")
        if not 0 <= self.watchdogs <= MOST:
            raise BadInput("watchdogs", self.watchdogs, f"from 0 to {MOST}")
        if self.watchdog_mode == POD and self.watchdogs and not self.watchdog_image:
            raise BadInput("watchdog_image", "", "an image with Python 3.9 or later, for the mode pod")
        for index, network in enumerate(self.admin_sources):
            if parse_net(network) is None:
                raise BadInput(f"admin_sources[{index}]", network, "an address or a network")
        for index, proof in enumerate(self.proofs):
            if not 0 < proof["port"] < 65536:
                raise BadInput(f"proofs[{index}].port", proof["port"], "from 1 to 65535")


@dataclass
class Timeline:
    """What happened, for the result.

    :ivar events: ``{event, wave, seconds, at}``, seconds since the run began, and RFC 3339
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def note(self, event: str, wave: str = "") -> None:
        seconds = round(time.monotonic() - self.began, 1)
        self.events.append({"event": event, "wave": wave, "seconds": seconds, "at": now()})


class Transaction:
    """One run.

    :param logins: by node
    :param host_endpoints: all of the cluster
    """

    def __init__(
        self,
        cluster: Cluster,
        served: Flavour,
        logins: Mapping[str, ProgramLogin],
        host_endpoints: Sequence[states.Object],
        options: TransactionOptions,
    ) -> None:
        self.stored = Stored(cluster, served)
        self.options = options
        self.timeline = Timeline()
        self.nodes = Observer(cluster, logins, host_endpoints, options.settle)
        self._cluster = cluster
        self._served = served
        self.state: Optional[TransactionState] = None
        self._watchdogs: Optional[Watchdogs] = None
        self._is_watched = False
        self._is_own = False
        self._lease: Optional[Lease] = None

    def hold(self, lease: Lease) -> None:
        """What keeps others from writing; renewed as the run goes on."""
        self._lease = lease

    # -- from outside ---------------------------------------------------------------------------------

    def take_up(self) -> Optional[tuple[TransactionState, Contents, Contents]]:
        """Bring what an earlier run left into an end, unless waves of it are confirmed.

        :returns: the transaction whose confirmed waves go on, or None
        :raises Busy: someone may still confirm
        """
        found = self.stored.record()
        if found is None:
            return None
        state, old, new = found
        if state.phase == states.SETTLED:
            return None
        self._refuse_busy(state)
        self.timeline.remarks.append(
            f"found a transaction of {state.who}, begun {state.since}, in phase {state.phase}"
        )
        switches = self.stored.switches()
        if state.phase == states.SETTLING:
            self.settle(state, old, new)
            return None
        confirmed = [s for s in switches if s.phase == states.CONFIRMED and s.on]
        for switch in switches:
            if switch.on and switch.phase != states.CONFIRMED:
                self._back(switch.number, "the run that switched it is gone", even_confirmed=False)
        if state.phase == states.RUNNING and confirmed:
            return found
        self.undo(state, old, new)
        return None

    def run(self, state: TransactionState, old: Contents, new: Contents) -> TransactionState:
        """All of it, from the record to the end.

        :raises NoSwitch: before anything is written
        :raises RolledBack: a wave was not proved or not confirmed
        """
        change = self._change(old, new)
        self._is_own = True
        self.stored.begin(state, old, new)
        try:
            self._prepare(state, change)
            self._start_watchdogs(state)
            state = self._phase(state, old, new, states.RUNNING)
        except (ClusterError, KeyboardInterrupt) as problem:
            raise self._never_switched(state, old, new, problem)
        return self.go_on(state, old, new)

    def go_on(self, state: TransactionState, old: Contents, new: Contents) -> TransactionState:
        """The waves that are not confirmed yet, then the end.

        :raises RolledBack: a wave was not proved or not confirmed
        """
        if not self._is_watched:
            self._start_watchdogs(state)
        for number, wave in enumerate(state.waves, start=1):
            switch = self._need(number)
            if switch.phase == states.CONFIRMED and switch.on:
                continue
            try:
                confirmed = self._wave(state, self._change(old, new), number, wave)
            except (ClusterError, KeyboardInterrupt) as problem:
                raise self._stopped(state, old, new, number, problem)
            if not confirmed:
                return state
            if number < len(state.waves):
                self._bake()
        return self.settle(state, old, new)

    def confirm(self, state: TransactionState, old: Contents, new: Contents) -> TransactionState:
        """Confirm the wave that waits for it; after the last one, settle.

        :raises BadInput: none waits
        :raises Lost: it went back meanwhile
        """
        waiting = [switch for switch in self.stored.switches() if switch.phase == states.SWITCHED]
        if not waiting:
            raise BadInput("confirm", state.phase, "no wave waits for a confirmation")
        self._refuse_undone(self._script(state, self._change(old, new)))
        self._confirmed(waiting[0], state.waves[waiting[0].number - 1])
        left = [s for s in self.stored.switches() if not (s.phase == states.CONFIRMED and s.on)]
        return state if left else self.settle(state, old, new)

    def switch_back(self, reason: str) -> None:
        """Every wave back to old policy, confirmed or not."""
        for switch in self.stored.switches():
            if switch.on:
                self._back(switch.number, reason, even_confirmed=True)

    def settle(self, state: TransactionState, old: Contents, new: Contents) -> TransactionState:
        """Bring the tiers themselves to new policy while nobody evaluates them, and remove the rest."""
        state = self._phase(state, old, new, states.SETTLING)
        script = self._script(state, self._change(old, new))
        everywhere = _nodes_of(state)
        if any(switch.on for switch in self.stored.switches()):
            self._put(script.tiers())
            self._put(script.settle_guards())
            self._see(everywhere, Expected(present=script.settle_guards()))
            self._put(script.policies())
            self._put([_deleted(write) for write in script.old_guards()])
            self._see(everywhere, Expected(absent=script.old_guards(), present=script.settle_guards()))
            for switch in self.stored.switches():
                if switch.on:
                    self.stored.turn(switch, states.SETTLED, self._noted("settled"), on=False)
            self._see(everywhere, Expected(guards=[*script.new_guards(), *script.settle_guards()]))
        self._dismantle(script)
        self._put(script.last())
        state = replace(state, phase=states.SETTLED, finished=now())
        self._end(state, old, new, keep=state.keep > 0)
        self.timeline.note("settled")
        return state

    def undo(self, state: TransactionState, old: Contents, new: Contents) -> None:
        """Remove all that the transaction made, while every switch is off."""
        state = self._phase(state, old, new, states.UNDOING)
        script = self._script(state, self._change(old, new))
        self._dismantle(script)
        self._put([WantedObject(write.kind, write.name) for write in script.sets()])
        self._end(state, old, new, keep=False)
        self.timeline.note("undone")

    # -- steps ----------------------------------------------------------------------------------------

    def _prepare(self, state: TransactionState, change: Change) -> None:
        script = self._script(state, change)
        everywhere = _nodes_of(state)
        for number, wave in enumerate(state.waves, start=1):
            self.stored.create_switch(number, state.id, wave.name)
        self._put(script.sets())
        self._put(script.next_tiers_open())
        time.sleep(self.options.settle)
        # While Felix does not know the switch, a guard of old policy would let everything pass.
        self._put(script.new_guards())
        self._see(everywhere, Expected(present=script.new_guards(), guards=script.new_guards()))
        if not script.new_guards():
            time.sleep(self.options.settle)
        self._put([*script.old_guards(), *script.moved()])
        self._put(script.next_tiers())
        self._see(
            everywhere,
            Expected(
                present=[*script.new_guards(), *script.old_guards(), *script.moved()],
                guards=[*script.new_guards(), *script.old_guards()],
            ),
        )
        self._refuse_forward(change, everywhere)
        self.timeline.note("prepared")

    def _refuse_forward(self, change: Change, nodes: Sequence[str]) -> None:
        """Without any forward policy Calico accepts what is forwarded; with some that passes, the kernel
        decides.
        """
        if change.forward_before == change.forward_after:
            return
        for node, found in self.nodes.facts(nodes).items():
            if found and found["kernel"]["forward_drops"]:
                raise NoSwitchHere(
                    f"node {node}: its FORWARD chain drops by default, and the change has "
                    "applyOnForward policies "
                    "on one side only: while it is prepared, forwarded packets would be dropped. Set "
                    "enforce_without_switch, or add such policies to both sides"
                )

    def _start_watchdogs(self, state: TransactionState) -> None:
        self._is_watched = True
        count = self.options.watchdogs
        if not count:
            self.timeline.remarks.append(
                "NO WATCHDOG runs: if this run dies after a switch, new policy stays until someone rolls back"
            )
            return
        watchdogs = Watchdogs(self._cluster, self._served, state.id, count, len(state.waves))
        if self.options.watchdog_mode == POD:
            self._start_pods(watchdogs, state)
        else:
            self._start_on_nodes(watchdogs, state)
        self._watchdogs = watchdogs

    def _start_pods(self, watchdogs: Watchdogs, state: TransactionState) -> None:
        watchdogs.grant()
        watchdogs.start_pods(self.options.watchdog_image, self._life(state))
        living = watchdogs.alive(_POD_SECONDS)
        if len(living) < self.options.watchdogs:
            raise ClusterError(
                f"{len(living)} of {self.options.watchdogs} watchdogs run after {_POD_SECONDS} s: look at "
                "the pods of the Deployments kube-system/hostfence-watchdog-*, and at watchdog_image"
            )

    def _start_on_nodes(self, watchdogs: Watchdogs, state: TransactionState) -> None:
        chosen = self._hosts_of_watchdogs(state, self.options.watchdogs)
        watchdogs.grant()
        seen = self.nodes.facts([login.node for login in chosen])
        servers = [pair for found in seen.values() if found for pair in found["targets"]["api"]]
        problems = watchdogs.start_on(chosen, self._life(state), servers)
        if problems:
            raise ClusterError(f"a watchdog did not start: {problems[0]}")

    def _hosts_of_watchdogs(self, state: TransactionState, count: int) -> list[ProgramLogin]:
        """Control-plane nodes first, which are in the last waves."""
        late_first = list(dict.fromkeys(node for wave in reversed(state.waves) for node in wave.nodes))
        others = [node for node in self.nodes.logins if node not in late_first]
        found = [self.nodes.logins[n] for n in [*late_first, *others] if n in self.nodes.logins]
        if len(found) < count:
            raise ClusterError(
                f"{count} watchdogs are wanted, and {len(found)} nodes can be logged in to: add nodes, lower "
                "enforce_watchdogs, or set it to 0 to go without"
            )
        return found[:count]

    def _life(self, state: TransactionState) -> int:
        rounds = len(state.waves)
        return rounds * (self.options.window + self.options.bake + 120) + 600

    def _wave(self, state: TransactionState, change: Change, number: int, wave: Wave) -> bool:
        """One wave; whether it is confirmed."""
        script = self._script(state, change)
        proof = self._proof_of(number, wave)
        arming = uuid.uuid4().hex
        self._arm(number, wave, arming)
        self._arm_nodes(number, wave, script)
        self._renew()
        window = self.options.window
        noted = {states.DEADLINE: f"{time.time() + window:.0f}", states.WINDOW: str(window)}
        end = time.monotonic() + window * _SHARE_OF_WINDOW
        switch = self.stored.turn(
            self._need(number), states.SWITCHED, {**self._noted("switched"), **noted}, on=True
        )
        self.timeline.note("switched", wave.name)
        self._see(
            wave.nodes,
            Expected(guards=[w for w in script.new_guards() if _is_of(w, number)], full=False),
            patient=False,
            seconds=max(1, min(_PROGRAM_SECONDS, end - time.monotonic())),
        )
        if self._flushes(number):
            self.timeline.remarks.append(proof.forget_connections(spare_felix=True, dry=False))
        self.timeline.remarks.append(proof.look_again())
        self._refuse_undone(script)
        self.timeline.note("proved", wave.name)
        if self.options.confirm == MANUAL:
            self.timeline.remarks.append(
                f"wave {wave.name} waits for hostfence.calico.confirm until {time.ctime(switch.deadline)}"
            )
            return False
        if self._watchdogs and len(self._watchdogs.alive()) < self.options.watchdogs:
            raise ClusterError("a watchdog has stopped, so nobody would have rolled back: not confirmed")
        self._confirmed(switch, wave)
        return True

    def _proof_of(self, number: int, wave: Wave) -> WaveProof:
        proof = WaveProof(self.stored, self.nodes, wave, self.options.proofs, is_canary=number == 1)
        self.timeline.remarks += proof.look_before()
        if self._flushes(number):
            proof.forget_connections(spare_felix=not self.options.last_resort, dry=True)
        return proof

    def _flushes(self, number: int) -> bool:
        return number == 1 and self.options.flush_conntrack

    def _arm(self, number: int, wave: Wave, arming: str) -> None:
        noted = {states.ARMING: arming, states.WINDOW: str(self.options.window)}
        self.stored.turn(self._need(number), states.ARMED, {**self._noted("armed"), **noted}, on=False)
        if self._watchdogs:
            seen = self._watchdogs.wait_for(arming, _ACKNOWLEDGE_SECONDS)
            if len(seen) < self.options.watchdogs:
                raise ClusterError(
                    f"{len(seen)} of {self.options.watchdogs} watchdogs acknowledged within "
                    f"{_ACKNOWLEDGE_SECONDS} s, so nothing was switched"
                )
        self.timeline.note("armed", wave.name)

    def _arm_nodes(self, number: int, wave: Wave, script: Script) -> None:
        """The last resort of each node of the wave.

        :raises ClusterError: it does not start on one of them
        """
        if not self.options.last_resort:
            return
        guards = [w for w in (*script.old_guards(), *script.new_guards()) if _is_of(w, number)]
        seconds = self.options.window + _LAST_RESORT_SECONDS
        problems, unable = self.nodes.start_lifelines(
            wave.nodes, endpoints(self._cluster), guards, seconds, self.options.admin_sources
        )
        if problems:
            raise ClusterError(f"the last resort did not start: {problems[0]}")
        if unable:
            more = f" and {len(unable) - 3} more" if len(unable) > 3 else ""
            self.timeline.remarks.append(
                f"NO LAST RESORT on {', '.join(unable[:3])}{more}: a node that the new policy cuts off from "
                "the API keeps it until someone logs in there"
            )

    def _confirmed(self, switch: Switch, wave: Wave) -> None:
        self.stored.turn(switch, states.CONFIRMED, {**self._noted("confirmed"), states.DEADLINE: "0"})
        self.nodes.stop_lifelines(wave.nodes)
        self.timeline.note("confirmed", wave.name)

    def _refuse_undone(self, script: Script) -> None:
        """What was proved is what is confirmed.

        :raises ClusterError: someone, such as a GitOps controller, took back what the transaction wrote
        """
        written = [*script.new_guards(), *script.old_guards(), *script.moved(), *script.next_tiers()]
        undone = self.stored.undone(written)
        if undone:
            raise ClusterError(f"{undone}: what writes it again has to be stopped first")

    # -- back -----------------------------------------------------------------------------------------

    def _never_switched(
        self, state: TransactionState, old: Contents, new: Contents, problem: BaseException
    ) -> ClusterError:
        """Remove what was prepared, and say so."""
        why = str(problem) or "interrupted"
        try:
            self.undo(state, old, new)
        except ClusterError as lost:
            return ClusterError(
                f"nothing was switched: {why}. What was prepared decides nothing and is left, as it "
                f"could not be removed: {lost}. The next run removes it"
            )
        return ClusterError(f"nothing was switched, and nothing is left: {why}")

    def _stopped(
        self, state: TransactionState, old: Contents, new: Contents, number: int, problem: BaseException
    ) -> ClusterError:
        """Switch the wave back, and say what every host has now."""
        reason = str(problem) or type(problem).__name__
        why = f"wave {state.waves[number - 1].name}: {reason}"
        try:
            self._back(number, reason, even_confirmed=False)
            on = {switch.number for switch in self.stored.switches() if switch.on}
        except ClusterError as lost:
            return ClusterError(f"{why}. {self._not_taken_back(lost)}")
        done = [wave for n, wave in enumerate(state.waves, 1) if n in on]
        if not done:
            self.undo(state, old, new)
            return RolledBack(
                f"{why}. Every host has the policy that it had before, and nothing else is left"
            )
        hosts = sum(len(wave.nodes) for wave in done)
        return RolledBack(
            f"{why}. The {hosts} hosts of the waves {', '.join(w.name for w in done)} keep the "
            "new policy, all others "
            "have the one from before. Fix the cause and enforce again, or run hostfence.calico.rollback"
        )

    def _not_taken_back(self, lost: ClusterError) -> str:
        if self._watchdogs:
            who = f"If it was switched, a watchdog takes it back within {self.options.window} s"
        else:
            who = "If it was switched, it STAYS SO, as no watchdog runs"
        return (
            f"This run could not take the wave back, as the API server did not take it: {lost}. {who}; run "
            "hostfence.calico.rollback as soon as the API server answers"
        )

    def _back(self, number: int, reason: str, *, even_confirmed: bool) -> None:
        """Old policy again; a watchdog may be quicker, and then it is done as well.

        :raises ClusterError: the API server did not take it, for as long as a window is
        """
        noted = {**self._noted("rolled back"), states.REASON: reason[:200]}
        end = time.monotonic() + self.options.window
        while True:
            try:
                seen = self.stored.switch(number)
                if seen and seen.on and (even_confirmed or seen.phase != states.CONFIRMED):
                    seen = self.stored.turn(seen, states.ROLLED_BACK, noted, on=False)
                if seen and seen.phase == states.ROLLED_BACK:
                    self.timeline.note("rolled back", states.switch_name(number))
                return
            except ClusterError as problem:
                if time.monotonic() > end:
                    raise
                # Who lost against another writer looks again at once.
                time.sleep(0 if isinstance(problem, Lost) else _SECONDS_BETWEEN_TRIES)

    def _dismantle(self, script: Script) -> None:
        """Remove guards, neighbours and switches, in the order in which each step changes no verdict."""
        everywhere = [node for wave in script.waves for node in wave.nodes]
        there = {o["metadata"]["name"] for o in self.stored.labelled(TIER)}
        self._put([write for write in script.next_tiers_open() if write.name in there])
        new_guards = script.new_guards()
        own = {write.name for write in new_guards}
        left = [o["metadata"]["name"] for o in self.stored.labelled(POLICY)]
        self._put([WantedObject(POLICY, name) for name in left if name not in own])
        gone = [*script.moved(), *script.old_guards(), *script.settle_guards()]
        self._see(everywhere, Expected(absent=gone))
        self._put([WantedObject(POLICY, name) for name in left if name in own])
        self._see(everywhere, Expected(absent=new_guards))
        self._put([WantedObject(TIER, name) for name in sorted(there)])
        self.stored.drop_switches()

    def _end(self, state: TransactionState, old: Contents, new: Contents, *, keep: bool) -> None:
        self._end_lifelines(state)
        # Watchdogs that see the switches gone end by themselves, while they still may look.
        time.sleep(_FAREWELL_SECONDS if self._watchdogs else 0)
        revoke(self._cluster)
        if keep:
            self.stored.keep(state, old, new)
        else:
            self.stored.forget()

    def _end_lifelines(self, state: TransactionState) -> None:
        """Whoever ran out of the window says so now, be it of a run that is gone."""
        acted = self.nodes.stop_lifelines(_nodes_of(state), of_earlier_runs=not self._is_own)
        for node, at in acted.items():
            missing = self.nodes.tell_of_lifeline(node, at)
            self.timeline.remarks.append(
                f"node {node} was cut off from every API server, and its last resort opened a way at {at}"
                + (f" (no event: {missing})" if missing else "")
            )

    # -- small ----------------------------------------------------------------------------------------

    def _see(
        self, nodes: Sequence[str], expected: Expected, *, seconds: float = 20, patient: bool = True
    ) -> None:
        late = self.nodes.wait(nodes, expected, seconds=seconds, patient=patient)
        if late:
            node, why = next(iter(late.items()))
            more = f" (and {len(late) - 1} more nodes)" if len(late) > 1 else ""
            raise ClusterError(f"node {node}: {why}{more}")

    def _put(self, writes: Sequence[WantedObject]) -> None:
        self._renew()
        if writes:
            self.stored.put(writes)

    def _renew(self) -> None:
        if self._lease:
            self._lease.renew()

    def _bake(self) -> None:
        end = time.monotonic() + self.options.bake
        while time.monotonic() < end:
            self._renew()
            time.sleep(min(_RENEW_SECONDS, max(0, end - time.monotonic())))

    def _change(self, old: Contents, new: Contents) -> Change:
        return change_of(
            old, new, [t for t in list_stored(self._cluster, self._served, TIER) if not is_guard(t)]
        )

    def _script(self, state: TransactionState, change: Change) -> Script:
        return Script(state.id, self._served.api_version, change, state.waves)

    def _phase(self, state: TransactionState, old: Contents, new: Contents, phase: str) -> TransactionState:
        if state.phase == phase:
            return state
        self._renew()
        changed = replace(state, phase=phase)
        self.stored.keep(changed, old, new)
        return changed

    def _need(self, number: int) -> Switch:
        switch = self.stored.switch(number)
        if switch is None:
            raise ClusterError(f"{states.switch_name(number)} is gone: someone removed it")
        return switch

    def _noted(self, _event: str) -> dict[str, str]:
        return {states.BY: operator(), states.AT: now(), states.REASON: ""}

    def _refuse_busy(self, state: TransactionState) -> None:
        for switch in self.stored.switches():
            left = switch.deadline - time.time()
            if switch.phase == states.SWITCHED and left > 0 and state.who != operator():
                raise Busy(
                    f"{state.who} has until {time.ctime(switch.deadline)} to confirm a "
                    f"transaction begun {state.since}; "
                    "hostfence.calico.rollback ends it"
                )


class NoSwitchHere(ClusterError):
    """What a node's kernel says forbids a switch."""


def begin(sets: Sequence[str], waves: Sequence[Wave], options: TransactionOptions) -> TransactionState:
    """A transaction that begins now."""
    return TransactionState(
        id=uuid.uuid4().hex[:12],
        who=operator(),
        since=now(),
        sets=tuple(sets),
        waves=tuple(waves),
        window=options.window,
        keep=options.keep,
    )


def _nodes_of(state: TransactionState) -> list[str]:
    return [node for wave in state.waves for node in wave.nodes]


def _deleted(write: WantedObject) -> WantedObject:
    return WantedObject(write.kind, write.name)


def _is_of(write: WantedObject, number: int) -> bool:
    return f"-{number}-" in write.name.rpartition(".")[2]
