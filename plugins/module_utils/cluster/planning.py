# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options in, one look at the cluster, a plan out. Nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Optional

from ..calico.audit.duration import seconds
from ..calico.audit.gate import parse_accepted
from ..calico.bad_input import BadInput
from ..calico.felix.configuration import OPTIONAL_FIELDS, changed_fields, wanted_spec
from ..calico.finding import WARNING, Finding
from ..calico.host_endpoint import (
    OWNER,
    OWNER_LABEL,
    HostEndpointTemplate,
    NamedPort,
    effective_labels,
    is_auto,
)
from ..calico.host_endpoint_auto import KIND as CONTROLLERS
from ..calico.host_endpoint_auto import NAME as CONTROLLERS_NAME
from ..calico.host_endpoint_auto import AutoHostEndpoints, is_enabled, is_enabled_by_us, templates_of
from ..calico.plan import wishes as wish
from ..calico.plan.access import objects_of
from ..calico.plan.builder import is_judged, make_plan
from ..calico.plan.definitions import VERSIONS, absent_kinds
from ..calico.plan.model import CREATE, DELETE, POLICIES, UPDATE, Plan, Write
from ..calico.plan.view import AutoView, Logins, View
from ..calico.policy import planner
from ..calico.policy.names import NETWORK_SET, POLICY
from ..calico.preflight import Facts, PreflightWanted, judge
from ..calico.transaction.state import RECORD
from ..calico.verdict.vital_flows import Networks, Surroundings, check_accepted
from . import (
    agent_objects,
    auto_host_endpoints,
    cluster_info,
    enforcement,
    felix_configuration,
    lease,
    permissions,
    reach,
)
from .client import CONCURRENCY, Cluster, Object
from .flavour import FlavourKind, refuse_migration
from .host_view import HostView
from .kube_controllers import KubeControllers
from .node_selector import match_expressions, selects
from .policies import namespaced_policies
from .policy_sets import checked, options_of, policy_set, refuse_sets_of_one_name, refuse_unlimited_log

Params = Mapping[str, Any]
LogIn = Callable[[], Sequence[Params]]

_ACCESS_PATHS = {
    "Namespace": "/api/v1/namespaces/{name}",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts/{name}",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{name}",
}
_JUDGED = ("HostEndpoint", "FelixConfiguration", "Node", "NetworkSet", "IPPool", *planner.KINDS)


@dataclass(frozen=True)
class Planned:
    """A plan, and what carries out its steps.

    :ivar sets_to_write: options of the module policies, of every set that has something to write, in the
        order in which they are written
    """

    plan: Plan
    sets_to_write: tuple[dict[str, Any], ...] = ()


def plan(cluster: Cluster, params: Params, log_in: LogIn) -> Planned:
    """The plan for what a module's options ask for.

    :param params: of the module plan
    :param log_in: tries all nodes, and returns logins as of its option; asked where they make a difference
    :raises BadInput: an option that cannot be fulfilled as it is written
    :raises ClusterError: the API cannot be used
    """
    return _Planning(cluster, params, log_in).plan()


def _set_options(policies: Optional[Params]) -> list[dict[str, Any]]:
    """The options of every policy set that is wanted, as of the module policies, in the order of the list.

    :param policies: the option of the module plan
    :raises BadInput: an option that a set does not have, or two sets of one name
    """
    if policies is None:
        return []
    listed = [*policies["sets"], *(options_of(entry, policies["common"]) for entry in policies["entries"])]
    found = [checked(one, f"policies.sets[{index}]") for index, one in enumerate(listed)]
    refuse_sets_of_one_name([one["name"] for one in found])
    return found


def _refuse_what_is_read_later(params: Params) -> None:
    """Options of what comes after the first write.

    :raises BadInput: the transaction or the audit could not make anything of one
    """
    enforce, audit = params["enforce"], params["audit"]
    if enforce:
        try:
            enforcement.options_of(enforce)
        except BadInput as bad:
            raise bad.within("enforce")
    if audit:
        for name in ("min_window", "max_age"):
            seconds(audit[name], f"audit.{name}")
        parse_accepted(audit["accepted"])


class _Planning:
    """One look, from many lists side by side."""

    def __init__(self, cluster: Cluster, params: Params, log_in: LogIn) -> None:
        self._cluster = cluster
        self._params = params
        self._log_in = log_in
        self._view = HostView(cluster)
        self._flavour = self._view.flavour

    def plan(self) -> Planned:
        _refuse_what_is_read_later(self._params)
        sets = _set_options(self._params["policies"])
        made = self._plan(sets)
        by_name = {one["name"]: one for one in sets}
        written = [step.subject for step in made.steps if step.name == POLICIES and step.writes]
        return Planned(made, tuple(by_name[name] for name in written))

    def _plan(self, sets: Sequence[Params]) -> Plan:
        self._view.begin(_JUDGED)
        preflight = self._params["preflight"] or {"permissions_for": None, "granted_to": ""}
        facts = cluster_info.read(
            self._cluster, preflight["permissions_for"], preflight["granted_to"], self._view
        )
        findings = self._findings(facts.facts)
        wishes = self._wishes(sets)
        bare = View(
            self._flavour.kind.value,
            self._flavour.group,
            self._flavour.version,
            facts.served,
            {},
            calico_version=facts.facts.calico_version,
            user=facts.user,
            findings=findings,
        )
        stopped = make_plan(bare, wish.Wishes(preflight_ignored=wishes.preflight_ignored))
        if stopped.refusals:
            return stopped
        refuse_migration(self._view.migration())
        view = self._seen(bare, wishes)
        if is_judged(view, wishes):
            view = replace(view, logins=self._logins(view))
        return self._with_tiers(view, wishes)

    def _findings(self, facts: Facts) -> tuple[Finding, ...]:
        given = self._params["preflight"]
        if given is None:
            return ()
        checked = given["permissions_for"] is not None
        return tuple(judge(facts, PreflightWanted(given["mode"], given["hosts"], checked)))

    def _with_tiers(self, view: View, wishes: wish.Wishes) -> Plan:
        """The plan; a tier that it would remove stays where namespaced policies are in it."""
        made = make_plan(view, wishes)
        leaving = {
            write.name
            for step in made.steps
            for write in step.writes
            if (write.action, write.kind) == (DELETE, "Tier")
        }
        used = frozenset(t for t in leaving if namespaced_policies(self._cluster, self._flavour, t))
        return make_plan(replace(view, tiers_in_use=used), wishes) if used else made

    # What is wanted.

    def _wishes(self, sets: Sequence[Params]) -> wish.Wishes:
        params = self._params
        return wish.Wishes(
            crds=params["crds"] is not None,
            access=self._access(),
            felix=self._felix(),
            host_endpoints=self._host_endpoints(),
            policies=self._policies(sets),
            prove=params["prove"],
            preflight_ignored=tuple((params["preflight"] or {"ignore": ()})["ignore"]),
        )

    def _access(self) -> Optional[wish.AccessWish]:
        given = self._params["access"]
        if given is None:
            return None
        needed = permissions.required(self._flavour, given["permissions_for"])
        return wish.AccessWish(given["namespace"], given["service_account"], permissions.rules(needed))

    def _felix(self) -> Optional[wish.FelixWish]:
        given = self._params["felix"]
        if given is None:
            return None
        fields = felix_configuration.wanted_of(given)
        wanted_spec(fields)
        return wish.FelixWish(fields, given["reach"], check_accepted(given["accept_denied"]))

    def _host_endpoints(self) -> Optional[wish.HostEndpointsWish]:
        given = self._params["host_endpoints"]
        if given is None:
            return None
        template = HostEndpointTemplate(
            labels=given["labels"],
            node_labels=given["node_labels"],
            interface=given["interface"],
            profiles=given["profiles"],
            ports=[NamedPort(**port) for port in given["ports"]],
        )
        match_expressions(given["node_selector"])
        networks = AutoHostEndpoints(
            enabled=True,
            create_default=given["create_default"],
            templates=tuple(templates_of(given["templates"])),
        )
        return wish.HostEndpointsWish(
            given["mode"],
            template,
            given["node_selector"],
            given["replace_auto"],
            given["reach"],
            networks,
            check_accepted(given["accept_denied"]),
        )

    def _policies(self, options: Sequence[Params]) -> Optional[wish.PoliciesWish]:
        given = self._params["policies"]
        if given is None:
            return None
        sets = [policy_set(one, self._view.api_slices, self._cluster.host) for one in options]
        for one in sets:
            refuse_unlimited_log(one, self._view.of("FelixConfiguration") if one.audit_log else ())
        return wish.PoliciesWish(sets, given["lint"], given["reach"])

    # What is seen.

    def _seen(self, bare: View, wishes: wish.Wishes) -> View:
        group = self._group(bare, wishes)
        with ThreadPoolExecutor(max_workers=CONCURRENCY) as pool:

            def start(work: Callable[..., Any], *arguments: Any) -> Future[Any]:
                return pool.submit(work, *arguments)

            access = start(self._access_objects, bare, wishes)
            unknown = start(self._unknown_felix_fields, wishes)
            slices = start(self._view.slices)
            kube_proxy_mode = start(lambda: self._view.kube_proxy_mode)
            auto = start(self._auto, wishes)
            agents = start(self._agents, wishes)
            objects: dict[str, Sequence[Object]] = {kind: self._view.of(kind) for kind in _JUDGED}
        objects = {**objects, **access.result()}
        objects["EndpointSlice"] = slices.result()
        objects["CustomResourceDefinition"] = self._definitions(bare, wishes)
        given = self._params["host_endpoints"]
        selected = self._selected(given["node_selector"]) if given else ()
        return replace(
            bare,
            group=group,
            version=VERSIONS[group],
            objects=objects,
            selected=selected,
            unknown_felix_fields=unknown.result(),
            auto=auto.result(),
            agents=agents.result(),
            transaction=self._transaction(objects[NETWORK_SET]),
            unproved=self._unproved(objects[POLICY]),
            environment=self._view.environment,
            kube_proxy_mode=kube_proxy_mode.result(),
        )

    def _transaction(self, network_sets: Sequence[Object]) -> dict[str, Any]:
        if not any(o["metadata"]["name"] == RECORD for o in network_sets):
            return {}
        return enforcement.description(self._cluster, self._flavour)

    def _unproved(self, policies: Sequence[Object]) -> dict[str, str]:
        ours = any(effective_labels(policy).get(OWNER_LABEL) == OWNER for policy in policies)
        return lease.unproved(self._cluster) if ours else {}

    def _group(self, bare: View, wishes: wish.Wishes) -> str:
        """The API group: that of definitions that are there but not served, else as asked for."""
        if self._flavour.kind is not FlavourKind.NONE or not wishes.crds:
            return self._flavour.group
        there = [d["spec"]["group"] for d in self._definitions(bare, wishes)]
        asked = str(self._params["crds"]["api_group"])
        return next((group for group in there if group in VERSIONS), asked)

    def _definitions(self, bare: View, wishes: wish.Wishes) -> Sequence[Object]:
        if not wishes.crds or not absent_kinds(bare.kinds, bare.calico_version):
            return ()
        return self._view.of("CustomResourceDefinition")

    def _access_objects(self, bare: View, wishes: wish.Wishes) -> dict[str, Sequence[Object]]:
        # Who is the ServiceAccount itself need not be able to see what it cannot write.
        if not wishes.access or bare.user == wishes.access.user:
            return {}
        found: dict[str, Sequence[Object]] = {}
        for wanted in objects_of(wishes.access):
            place = {"namespace": wishes.access.namespace, "name": wanted["metadata"]["name"]}
            stored = self._cluster.find(_ACCESS_PATHS[wanted["kind"]].format(**place))
            found[wanted["kind"]] = [stored] if stored else []
        return found

    def _unknown_felix_fields(self, wishes: wish.Wishes) -> Sequence[str]:
        """Asked of the API by a dry run, and only where such a field differs."""
        if not wishes.felix or self._flavour.kind is FlavourKind.NONE:
            return ()
        name = wishes.felix.fields.name
        live = next((o for o in self._view.of("FelixConfiguration") if o["metadata"]["name"] == name), None)
        changed = changed_fields((live or {}).get("spec") or {}, wanted_spec(wishes.felix.fields))
        if not {*changed} & {*OPTIONAL_FIELDS}:
            return ()
        return felix_configuration.unknown_fields(self._cluster, self._flavour, name, live, changed)

    def _selected(self, selector: str) -> list[str]:
        expressions = match_expressions(selector)
        return [
            str(node["metadata"]["name"])
            for node in self._view.of("Node")
            if selects(expressions, node["metadata"].get("labels") or {})
        ]

    def _auto(self, wishes: wish.Wishes) -> AutoView:
        given = self._params["host_endpoints"]
        if given is None or not self._flavour.serves(CONTROLLERS):
            return AutoView()
        configuration = self._view.single(CONTROLLERS)
        stands = AutoView(is_enabled(configuration), is_enabled_by_us(configuration))
        enabling = given["mode"] == wish.AUTO
        if not enabling and not stands.enabled:
            return stands
        if not enabling and not stands.ours and not given["replace_auto"]:
            return stands  # which is refused
        request = auto_host_endpoints.Request(
            state=auto_host_endpoints.ENABLED if enabling else "disabled",
            create_default=given["auto_create_default"] if enabling else None,
            templates=_templates(given["auto_templates"]) if enabling else None,
            node_labels=given["labels"] if enabling else {},
            node_selector=given["node_selector"] if enabling else "",
            allow_uncovered=True,
        )
        labelled = self._selected(given["node_selector"]) if enabling and given["labels"] else []
        seen = auto_host_endpoints.AutoSnapshot(
            KubeControllers(configuration, *self._view.deployment()),
            self._view.of("Node"),
            self._view.of("HostEndpoint"),
            frozenset(labelled),
        )
        planned, to_be, findings = auto_host_endpoints.plan_of(self._cluster, self._flavour, request, seen)
        return replace(
            stands,
            writes=_auto_writes(configuration, planned),
            host_endpoints=to_be if planned.changes else [o for o in seen.heps if is_auto(o)],
            findings=tuple(Finding("auto", WARNING, f.message, f.remedy) for f in findings),
        )

    def _agents(self, wishes: wish.Wishes) -> tuple[Write, ...]:
        """What agents of other modes leave behind goes, and what differs of this mode's is written."""
        given = self._params["host_endpoints"]
        if given is None:
            return ()
        both = [wish.DAEMONSET, agent_objects.JOB]
        modes = [agent_objects.JOB] if given["mode"] == wish.DAEMONSET else both
        parts = agent_objects.find(self._cluster, modes, self._view.readable("DaemonSet"))
        namespaces = agent_objects.find_namespaces(self._cluster) if modes == both else []
        gone = [
            Write(DELETE, part.kind, part.name, {"metadata": {"name": part.name}}, None, part.namespace)
            for part in (*parts, *namespaces)
        ]
        applied = agent_objects.apply(self._cluster, given["agents"], dry_run=True)
        return (*gone, *(_applied(one) for one in applied if one.changed))

    def _logins(self, view: View) -> Logins:
        """By which connections nodes are reached."""
        tried = self._log_in()
        given = tuple(reach.of_logins(tried))
        reached = frozenset(login["node"] for login in tried if login["reached"])
        nodes = [view.typed("Node", node) for node in view.of("Node")]
        assumed = reach.assumed_logins(nodes, tried)
        pools = [view.typed("IPPool", pool) for pool in view.of("IPPool")]
        slices = view.of("EndpointSlice")
        api = reach.of_api(self._cluster, nodes, slices)
        told = self._params["networks"]
        networks = Networks(
            tuple(told["nodes"]), tuple(told["cluster"]), tuple(told["ssh"]), told["ssh_port"]
        )
        ways = [*given, *(way for ways in assumed.values() for way in ways)]
        around = Surroundings(
            tuple(reach.uses_of(self._params["uses"])),
            networks=networks,
            controllers=reach.controllers_of(self._cluster, nodes, ways),
        )
        return Logins(
            given,
            assumed,
            reached,
            frozenset(login["node"] for login in tried),
            tuple(api),
            around,
            check_accepted(self._params["accept_denied"]),
            tuple(reach.unjudged(self._cluster, [*nodes, *pools], given, api)),
        )


def _applied(one: agent_objects.Applied) -> Write:
    after = agent_objects.meaning(one.after)
    metadata = after["metadata"]
    return Write(
        UPDATE if one.before else CREATE,
        str(after["kind"]),
        str(metadata["name"]),
        {**agent_objects.meaning(one.before), "kind": after["kind"]} if one.before else None,
        after,
        str(metadata.get("namespace", "")),
    )


def _templates(given: Any) -> Any:
    return None if given is None else templates_of(given)


def _auto_writes(configuration: Optional[Object], planned: auto_host_endpoints.AutoPlan) -> tuple[Write, ...]:
    writes = []
    if planned.patch:
        action = UPDATE if configuration else CREATE
        writes.append(Write(action, CONTROLLERS, CONTROLLERS_NAME, configuration, dict(planned.patch)))
    writes += [
        Write(
            UPDATE,
            "Node",
            name,
            {"metadata": {"name": name, "labels": dict(planned.labels_before.get(name, {}))}},
            {"metadata": {"name": name, "labels": dict(labels)}},
        )
        for name, labels in planned.labels.items()
    ]
    return tuple(writes)
