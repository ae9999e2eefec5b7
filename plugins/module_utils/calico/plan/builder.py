# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wanted, and what was seen, become a plan: every step judged on what the steps before it leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Optional

from ..bad_input import BadInput
from ..felix.configuration import (
    INBOUND_FIELD,
    OUTBOUND_FIELD,
    FelixFields,
    changed_fields,
    edited_lists,
    remarks,
    wanted_spec,
)
from ..finding import ERROR, INFO, WARNING, Finding
from ..host_endpoint import is_auto, is_ours
from ..host_endpoint_auto import desired_by_templates, refuse_names_of_two
from ..host_endpoint_plan import HostEndpointChange
from ..host_endpoint_plan import plan as plan_host_endpoints
from ..policy import overview, planner
from ..policy.names import STAGED_POLICY, TIER
from ..transaction.state import SETTLED
from ..verdict.judge import Options
from ..verdict.reach import Connection, Obstacle, obstacles
from ..verdict.vital_flows import Loss, losses
from . import access, definitions, gates
from .judgement import (
    open_without_policy,
    refusal,
    traps,
    with_felix,
    with_host_endpoints,
)
from .model import (
    ACCESS,
    CRDS,
    CREATE,
    FELIX,
    HOST_ENDPOINTS,
    POLICIES,
    UNPROVED,
    UNSEEN,
    UPDATE,
    Object,
    Plan,
    Programmed,
    State,
    Step,
    Write,
)
from .programmed import programmed
from .protection import protection_of
from .seen import seen_of
from .view import View, nodes_of
from .way_back import as_before, only_staged
from .wishes import AUTO, FelixWish, HostEndpointsWish, PoliciesWish, Wishes

NOT_COUNTED = "the playbook hostfence.calico.audit judges it by what the nodes see"


def make_plan(view: View, wishes: Wishes) -> Plan:
    """The plan.

    Where preflight stops, there are no steps: what they would rest on may not even be readable.

    :raises BadInput: a wish that cannot be fulfilled as it is written
    """
    stops = [
        f"{stop.id}: {stop.message}: {stop.remedy}."
        for stop in view.findings
        if stop.severity == ERROR and stop.id not in wishes.preflight_ignored
    ]
    if stops:
        return Plan(findings=view.findings, refusals=(f"Nothing was written. {' '.join(stops)}",))
    return _Builder(view, wishes).plan()


def is_judged(view: View, wishes: Wishes) -> bool:
    """Whether the plan will judge who comes in, so that it needs the connections of the view.

    :param view: without them
    :raises BadInput: as :func:`make_plan`
    """
    return any(step.judged for step in _Builder(view, wishes, judging=False).steps())


class _Builder:
    """Goes through the steps, and keeps what the cluster holds once the steps so far are done.

    :param judging: whether to find out what the steps mean for connections
    """

    def __init__(self, view: View, wishes: Wishes, *, judging: bool = True) -> None:
        self.view = view
        self.wishes = wishes
        self.judging = judging
        self.now = view.around()
        self.around = view.around()
        self.options = Options(
            calico_version=view.calico_version,
            environment=view.environment,
            native_v3=view.flavour == "v3-native",
            kube_proxy_mode=view.kube_proxy_mode,
        )
        self.absent = definitions.absent_kinds(view.kinds, view.calico_version) if wishes.crds else []
        served = view.kinds | {known.kind for known in self.absent}
        self.inventory = planner.inventory_of(
            {kind: view.of(kind) for kind in planner.KINDS},
            frozenset(served & {*planner.KINDS}) or frozenset(planner.KINDS),
            view.api_version,
            raw_v1=view.flavour == "v1",
            calico_version=view.calico_version,
        )

        # What the plan finds; what its steps leave is in the inventory.
        self.stored = self.inventory

    def steps(self) -> list[Step]:
        steps: list[Step] = []
        wishes = self.wishes
        if wishes.crds:
            steps.append(self._crds())
        if wishes.access:
            steps.append(self._access())
        if wishes.felix:
            steps.append(self._felix(wishes.felix))
        if wishes.host_endpoints:
            steps.append(self._host_endpoints(wishes.host_endpoints))
        if wishes.policies:
            steps += self._policies(wishes.policies)
        return steps

    def plan(self) -> Plan:
        steps = self.steps()
        unproved = overview.still_unproved(self.stored, self.view.unproved)
        made = Plan(
            tuple(steps),
            (
                *self.view.findings,
                *self._left_unproved(unproved, steps),
                *self._unproved_on_purpose(steps),
                *self._unjudged(steps),
            ),
            unproved=tuple(unproved),
            prepared=self._programmed(self.stored),
            programmed=self._programmed(self.inventory),
            seen=seen_of(self.view),
            way_back=as_before(self.stored, steps),
            stage_all=only_staged(self.stored),
            protection=self._protection(),
            stays_enforced=any(o.enforces and o.set_name for o in self.inventory.objects),
            is_pending=self.view.transaction.get("phase", SETTLED) != SETTLED,
            unproved_on_purpose=not self.wishes.prove,
        )
        return self._with_gates(made)

    def _left_unproved(self, unproved: Mapping[str, str], steps: Sequence[Step]) -> list[Finding]:
        proves = self.wishes.prove and any(step.name == POLICIES and step.judged for step in steps)
        remedy = "this run proves it" if proves else "run hostfence.calico.policies, which logs in"
        return [_warning("unproved", f"set {name} is {text}", remedy) for name, text in unproved.items()]

    def _unproved_on_purpose(self, steps: Sequence[Step]) -> list[Finding]:
        if self.wishes.prove or not any(step.judged for step in steps):
            return []
        return [_warning("prove", UNPROVED, "")]

    def _unjudged(self, steps: Sequence[Step]) -> list[Finding]:
        if not any(step.judged for step in steps):
            return []
        return [_warning("place", sentence, "") for sentence in self.view.logins.unjudged]

    def _programmed(self, inventory: planner.Inventory) -> Programmed:
        uses = {use.node: use for use in self.view.logins.around.uses}
        return programmed(self.stored, inventory, self.around, self.options, uses)

    def _protection(self) -> Mapping[str, Any]:
        if not self.wishes.host_endpoints or self.view.flavour == "none":
            return {}
        return protection_of(self.view, self.stored)

    def _with_gates(self, plan: Plan) -> Plan:
        """Nobody is cut off unseen: a change of policy waits for nodes that cannot be logged in to."""
        policies = [step for step in plan.steps if step.name == POLICIES and step.judged]
        if not policies:
            return plan
        logins = self.view.logins
        enforcing = any(wanted.state == planner.ENFORCED for wanted in self._sets())
        unreached = gates.unreached(plan.governed, logins.reached)
        # A HostEndpoint of whatever host, which is no Node, does not keep policy from being loosened.
        nodes = {str(node["metadata"]["name"]) for node in self.view.of("Node")}
        known = [name for name in plan.governed if name in nodes]
        refused = unreached if enforcing else gates.unreached(known, logins.tried)
        if not self.wishes.prove or not refused:
            return replace(plan, unreached=unreached)
        enforced = sorted({o.set_name for o in self.stored.objects if o.enforces and o.set_name})
        told = gates.unreached_refusal(refused, enforced)
        return replace(plan, unreached=unreached, refusals=(*plan.refusals, told))

    def _sets(self) -> Sequence[planner.PolicySet]:
        sets = self.wishes.policies.sets if self.wishes.policies else ()
        return [planner.settled(self.stored, wanted) for wanted in sets]

    def _state(self) -> State:
        policies = self.inventory.objects
        return State(
            nodes=nodes_of(self.around),
            enforced=tuple(sorted(o.stored_name for o in policies if o.enforces)),
            staged=tuple(sorted(o.stored_name for o in policies if o.kind == STAGED_POLICY)),
        )

    # The steps.

    def _crds(self) -> Step:
        view = self.view
        absent = self.absent if view.flavour != "aggregated" else []
        existing = view.of("CustomResourceDefinition")
        taken = definitions.refused_definitions(absent, view.group, existing)
        refusals = [
            f"These definitions exist but the API does not serve {view.api_version} of them: "
            f"{', '.join(taken)}. Repair them with the manifests of your Calico version; no existing "
            "definition is changed."
        ]
        return Step(
            CRDS,
            writes=tuple(definitions.definition_writes(absent, view.group, existing)),
            refusals=tuple(refusals if taken else ()),
            after=self._state(),
        )

    def _access(self) -> Step:
        wish = self.wishes.access
        if wish is None:
            raise AssertionError("a step is only planned where it is wished for")
        # It may not widen what it is allowed to do, and has no need to.
        if self.view.user == wish.user:
            return Step(ACCESS, after=self._state())
        wanted = {(o["kind"], o["metadata"]["name"]) for o in access.objects_of(wish)}
        stored = {
            kind: obj
            for kind, name in wanted
            for obj in self.view.of(kind)
            if obj["metadata"]["name"] == name
            and obj["metadata"].get("namespace", wish.namespace) == wish.namespace
        }
        return Step(ACCESS, writes=tuple(access.access_writes(wish, stored)), after=self._state())

    def _felix(self, wish: FelixWish) -> Step:
        name, spec = wish.fields.name, self._felix_spec(wish.fields)
        live = self.view.find("FelixConfiguration", name)
        changed = changed_fields((live or {}).get("spec") or {}, spec)
        fields = {k: v for k, v in changed.items() if k not in self.view.unknown_felix_fields}
        findings = [
            _warning(
                "felix", f"this cluster's API does not know FelixConfiguration.spec.{field}", "it is left out"
            )
            for field in changed
            if field not in fields
        ]
        findings += [
            _warning("felix", what, cost)
            for what, cost in remarks(wish.fields, spec, self.view.calico_version)
        ]
        before = self.around
        if fields:
            self.around = with_felix(before, name, fields, self.view.api_version)
        judged = bool({INBOUND_FIELD, OUTBOUND_FIELD} & {*fields}) and bool(nodes_of(self.around))
        step = Step(FELIX, writes=_felix_writes(self.view, name, live, fields), findings=tuple(findings))
        return self._judged(
            step, f"FelixConfiguration {name}", judged=judged, reach=wish.reach, accepted=wish.accepted
        )

    def _felix_spec(self, fields: FelixFields) -> Object:
        """The fields to be, single entries put into the lists that apply now."""
        node = self.view.find("Node", fields.node) if fields.node else None
        labels = ((node or {}).get("metadata") or {}).get("labels") or {}
        stored = self.view.of("FelixConfiguration")
        return {**wanted_spec(fields), **edited_lists(fields, stored, labels, self.view.calico_version)}

    def _host_endpoints(self, wish: HostEndpointsWish) -> Step:
        return self._auto(wish) if wish.mode == AUTO else self._own(wish)

    def _auto(self, wish: HostEndpointsWish) -> Step:
        auto = self.view.auto
        # Those of Hostfence go once Calico's are there, which sort first and so are the active ones.
        gone = [
            HostEndpointChange("delete", str(o["spec"].get("node")), o["metadata"]["name"], live=o)
            for o in self.around
            if o["kind"] == "HostEndpoint" and is_ours(o)
        ]
        self._set_auto(auto.host_endpoints)
        self.around = with_host_endpoints(self.around, gone)
        writes = (*auto.writes, *self.view.agents, *(_of_change(change) for change in gone))
        step = Step(HOST_ENDPOINTS, writes=writes, findings=auto.findings)
        judged = bool(writes) and self._enforces() and bool(nodes_of(self.around))
        return self._judged(
            step,
            "the change of automatic HostEndpoints",
            judged=judged,
            reach=wish.reach,
            accepted=wish.accepted,
        )

    def _own(self, wish: HostEndpointsWish) -> Step:
        view = self.view
        if view.auto.enabled and not view.auto.ours and not wish.replace_auto:
            refusal = (
                f"host_endpoints_mode is '{wish.mode}', but someone has switched on Calico's automatic "
                "HostEndpoints, which would stay the active ones. Set host_endpoints_mode to 'auto' to use "
                "them, or host_endpoints_replace_auto to true to replace them."
            )
            return Step(HOST_ENDPOINTS, refusals=(refusal,), after=self._state())
        chosen = {*view.selected}
        nodes = [node for node in view.of("Node") if node["metadata"]["name"] in chosen]
        if not nodes:
            raise BadInput("node_selector", wish.node_selector, "selects no node of this cluster")
        wanted = [
            hep
            for node in nodes
            for hep in desired_by_templates(
                node,
                wish.template,
                wish.networks.templates,
                view.api_version,
                create_default=wish.networks.create_default,
            )
        ]
        refuse_names_of_two(wanted)
        planned = plan_host_endpoints(
            wanted,
            [str(node["metadata"]["name"]) for node in view.of("Node")],
            view.of("HostEndpoint"),
        )
        self.around = with_host_endpoints(self.around, [_typed(view, change) for change in planned.changes])
        if view.auto.enabled:
            self._set_auto(())
        writes = (*view.agents, *map(_of_change, planned.changes), *view.auto.writes)
        written = [change.wanted for change in planned.changes if change.wanted]
        decides = bool(planned.changes or view.auto.writes) and (
            self._enforces() or not all(map(open_without_policy, written))
        )
        findings = [
            _warning(
                "HostEndpoints",
                f"{foreign.node}: Felix uses {foreign.name} of {foreign.made_by}: its name sorts first",
                "delete one of the two",
            )
            for foreign in planned.foreign
            if foreign.active_instead_of_ours and not (view.auto.enabled and foreign.made_by == "calico")
        ]
        step = Step(HOST_ENDPOINTS, writes=writes, findings=tuple(findings))
        judged = decides and bool(nodes_of(self.around))
        return self._judged(
            step, "the change of HostEndpoints", judged=judged, reach=wish.reach, accepted=wish.accepted
        )

    def _set_auto(self, host_endpoints: Optional[Sequence[Object]]) -> None:
        if host_endpoints is None:
            return
        kept = [o for o in self.around if o["kind"] != "HostEndpoint" or not is_auto(o)]
        self.around = [*kept, *(self.view.typed("HostEndpoint", o) for o in host_endpoints)]

    def _policies(self, wish: PoliciesWish) -> list[Step]:
        """What allows stands before what denies in the list, so it is taken away after it."""
        raised = any(wanted.state in (planner.KEPT, planner.ENFORCED) for wanted in wish.sets)
        sets = self._sets() if raised else reversed(self._sets())
        return [self._set(wish, wanted) for wanted in sets]

    def _set(self, wish: PoliciesWish, wanted: planner.PolicySet) -> Step:
        planned, kept = self._planned(wanted)
        what = f"set {wanted.name}"
        findings = [_warning(what, text, "") for text in planned.warnings]
        findings += [Finding(what, INFO, remark, "") for remark in wanted.remarks]
        findings += [_warning(what, f"not counted: {text}", NOT_COUNTED) for text in planned.left_out]
        findings += [
            _warning(
                what,
                f"tier {tier} stays",
                "policies of others are in it, and would deny without it",
            )
            for tier in kept
        ]
        hosts = nodes_of(self.around)
        refusals: list[str] = []
        if wanted.state == planner.ENFORCED and wanted.missing:
            refusals.append(
                f"{what} is not enforced: {', '.join(wanted.missing)}: must not be empty, or it would cut "
                'off the cluster or its administrators. For anybody, write [0.0.0.0/0, "::/0"].'
            )
        if self.judging and wish.lint and planned.writes and wanted.state != planner.ABSENT:
            bites = wanted.state == planner.ENFORCED and bool(hosts)
            found, trapped = self._traps(what, wanted, bites=bites)
            findings += found
            refusals += trapped
        before = self.inventory
        decides = planner.changes_enforcement(before, planned)
        self.inventory = planner.inventory_after(before, planned)
        step = Step(
            POLICIES,
            wanted.name,
            tuple(
                Write(w.action, w.kind, w.name, w.live, w.wanted, interim=w.interim) for w in planned.writes
            ),
            decides,
            findings=tuple(findings),
            refusals=tuple(refusals),
            enforced=wanted.state == planner.ENFORCED,
        )
        return self._judged(
            step,
            what,
            # What is enforced already is judged as well: whoever wrote it may have been interrupted.
            judged=(decides or wanted.state == planner.ENFORCED) and bool(hosts),
            changes=decides,
            reach=wish.reach,
            inventory=before,
            only_tried=True,
        )

    def _planned(self, wanted: planner.PolicySet) -> tuple[planner.WritePlan, list[str]]:
        """The writes, without the removal of tiers that hold policies of kinds Hostfence does not manage."""
        planned = planner.plan(self.inventory, wanted)
        leaving = [w.name for w in planned.writes if w.kind == TIER and w.action == "delete"]
        kept = [tier for tier in leaving if tier in self.view.tiers_in_use]
        return (planner.plan(self.inventory, wanted, frozenset(kept)) if kept else planned), kept

    # What they mean.

    def _enforces(self) -> bool:
        return any(o.enforces for o in self.inventory.objects)

    def _judged(
        self,
        step: Step,
        what: str,
        *,
        judged: bool,
        reach: bool,
        accepted: frozenset[str] = frozenset(),
        changes: bool = True,
        inventory: Optional[planner.Inventory] = None,
        only_tried: bool = False,
    ) -> Step:
        """The step with what it means for connections, and with what it leaves.

        :param what: is changed
        :param accepted: kinds of vital flows whose loss is accepted in this step, besides those of the plan
        :param changes: whether what is enforced changes, where it is judged
        :param inventory: the policies before it, where it changes them
        :param only_tried: whether nodes that nobody tried to log in to are left out, if any was tried
        """
        changed = step.changes_enforcement or (judged and changes)
        step = replace(step, changes_enforcement=changed, judged=judged, after=self._state())
        if not (judged and self.judging):
            return step
        if not reach:
            return replace(step, unseen=UNSEEN, findings=(*step.findings, _warning(what, UNSEEN, "")))
        accepted |= self.view.logins.accepted
        blocking, lost = self._meaning(inventory or self.inventory, accepted, only_tried=only_tried)
        told = refusal(what, blocking, lost)
        return replace(
            step,
            at_risk=tuple(blocking),
            losses=tuple(lost),
            refusals=(*step.refusals, *([told] if told else [])),
        )

    def _meaning(
        self, before: planner.Inventory, accepted: frozenset[str], *, only_tried: bool
    ) -> tuple[list[Obstacle], list[Loss]]:
        nothing = planner.WritePlan()
        now = [*planner.objects_after(before, nothing), *self.now]
        then = [*planner.objects_after(self.inventory, nothing), *self.around]
        seen = self.view.logins
        ssh = self._logins(only_tried=only_tried)
        uses = {use.node: use for use in seen.around.uses}
        blocking = obstacles(now, then, [*ssh, *seen.api], self.options, uses)
        addresses = tuple((login.node, login.destination) for login in ssh)
        around = replace(seen.around, addresses=addresses)
        return blocking, losses(now, then, around, self.options, accepted)

    def _logins(self, *, only_tried: bool) -> list[Connection]:
        logins = self.view.logins
        assumed = [
            connection
            for node in nodes_of(self.around)
            if node not in logins.tried
            for connection in logins.assumed.get(node, ())
        ]
        return [*logins.given, *([] if only_tried and logins.tried else assumed)]

    def _traps(self, what: str, wanted: planner.PolicySet, *, bites: bool) -> tuple[list[Finding], list[str]]:
        """Traps in a set once it is enforced; an error refuses it where it ``bites``, and warns elsewhere."""
        enforced = planner.plan(self.inventory, replace(wanted, state=planner.ENFORCED))
        final = [w.wanted for w in enforced.writes if w.wanted and not w.interim]
        focus = {f"{obj['kind']} {planner.calico_name(obj)}" for obj in final}
        found = traps([*planner.objects_after(self.inventory, enforced), *self.around], self.options, focus)
        errors = [finding for finding in found if finding.severity == ERROR]
        refusals = [
            str(BadInput(e.field or e.id, e.message, f"{e.remedy} ({e.id})", e.object)) for e in errors
        ]
        shown = [
            Finding(
                what,
                ERROR if finding in errors and bites else WARNING,
                f"{finding.object}: {finding.field}: {finding.message} ({finding.id})",
                finding.remedy,
            )
            for finding in found
            if finding.severity != "info"
        ]
        return shown, refusals if bites else []


def _felix_writes(view: View, name: str, live: Optional[Object], fields: Object) -> tuple[Write, ...]:
    if not fields:
        return ()
    after = {
        "apiVersion": view.api_version,
        "kind": "FelixConfiguration",
        "metadata": {"name": name},
        "spec": {**((live or {}).get("spec") or {}), **fields},
    }
    return (Write(UPDATE if live else CREATE, "FelixConfiguration", name, live, after),)


def _of_change(change: HostEndpointChange) -> Write:
    return Write(change.action, "HostEndpoint", change.name, change.live, change.wanted)


def _typed(view: View, change: HostEndpointChange) -> HostEndpointChange:
    if change.wanted is None:
        return change
    return replace(change, wanted=view.typed("HostEndpoint", change.wanted))


def _warning(check: str, message: str, remedy: str) -> Finding:
    return Finding(check, WARNING, message, remedy)
