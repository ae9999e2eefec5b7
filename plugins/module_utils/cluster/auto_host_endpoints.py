# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Let kube-controllers make the HostEndpoints: configure it, wait for it, and say why it does not.

Success is judged by what kube-controllers says it runs with and by the HostEndpoints that are there,
never by the configuration that was written: an environment variable silently wins over it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Optional

from ..calico.bad_input import BadInput
from ..calico.host_endpoint import (
    ALL_INTERFACES,
    AUTO_CREATED_BY,
    AUTO_CREATED_BY_LABEL,
    FIELD_MANAGER,
    HostEndpointTemplate,
    desired,
    is_auto,
)
from ..calico.host_endpoint_auto import (
    ENVIRONMENT_OVERRIDE,
    KIND,
    NAME,
    AutoCoverage,
    AutoHostEndpoints,
    Template,
    check_labels,
    coverage,
    host_endpoint_config,
    is_enabled,
    is_enabled_by_us,
    left_uncovered,
    note_of_ownership,
    refuse_equal_names,
)
from . import lease, reach
from .bulk import write_all
from .client import APPLY, ApiError, Cluster, ClusterError, Object
from .flavour import Flavour, list_stored, require
from .host_endpoints import NODES, select_nodes
from .host_view import HostView
from .kube_controllers import WORKLOAD, Advice, KubeControllers, read_configuration, read_deployment, reasons

# A manager of its own: server-side apply takes away every label that the same manager set before and
# does not name again, so no other part of Hostfence may label Nodes under this name.
LABELS_MANAGER = f"{FIELD_MANAGER}-node-labels"

ENABLED, ABSENT = "enabled", "absent"

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
_SHOWN = 5
_ATTEMPTS = 5


@dataclass(frozen=True)
class Request:
    """What is wanted.

    :ivar state: ``enabled``, ``disabled``, or ``absent``: disabled if Hostfence enabled them
    :ivar create_default: None leaves it as it is
    :ivar templates: None leaves them as they are
    :ivar node_labels: put on the selected Nodes; kube-controllers copies a node's labels
    :ivar node_selector: Kubernetes label selector of the nodes that get ``node_labels``
    :ivar allow_uncovered: switch them off even where a node has no other HostEndpoint
    :ivar wait_timeout: seconds without any progress after which waiting ends
    :ivar reach: this, and what follows it, are for the gate (:data:`reach.OPTIONS`)
    """

    state: str
    create_default: Optional[bool] = None
    templates: Optional[Sequence[Template]] = None
    node_labels: Mapping[str, str] = field(default_factory=dict)
    node_selector: str = ""
    allow_uncovered: bool = False
    wait: bool = True
    wait_timeout: float = 120
    reach: bool = True
    logins: Sequence[Object] = ()
    uses: Sequence[Object] = ()
    networks: Mapping[str, object] = field(default_factory=lambda: reach.NO_NETWORKS)
    accept_denied: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_labels("node_labels", self.node_labels)
        if self.wait_timeout <= 0:
            raise BadInput("wait_timeout", self.wait_timeout, "must be a number of seconds above 0")


@dataclass(frozen=True)
class AutoSnapshot:
    """The cluster at one moment.

    :ivar labelled: names of the nodes that are to carry ``node_labels``
    """

    kube_controllers: KubeControllers
    nodes: Sequence[Object]
    heps: Sequence[Object]
    labelled: frozenset[str]

    @property
    def autos(self) -> list[str]:
        """HostEndpoints that kube-controllers holds for its own, and deletes when they are disabled."""
        return sorted(h["metadata"]["name"] for h in self.heps if is_auto(h))


@dataclass(frozen=True)
class AutoPlan:
    """What has to be written.

    :ivar patch: JSON merge patch of the configuration, empty where it is right
    :ivar labels: Node -> labels that Hostfence puts there, for Nodes on which they differ
    :ivar labels_before: the labels of Hostfence on those Nodes as they are
    :ivar hands_off: they are not ours, and only what is ours is to go
    """

    config: AutoHostEndpoints
    patch: Object
    labels: Mapping[str, Mapping[str, str]]
    labels_before: Mapping[str, Mapping[str, str]]
    hands_off: bool = False

    @property
    def changes(self) -> bool:
        return bool(self.patch or self.labels)

    @property
    def switches_off(self) -> bool:
        return "autoCreate" in _fields(self.patch) and not self.config.enabled


@dataclass
class Report:
    """What was done and how it stands.

    :ivar progress: how far kube-controllers has come; None where it has nothing to do
    """

    plan: AutoPlan
    before: AutoSnapshot
    after: AutoSnapshot
    findings: list[Advice]
    progress: Optional[AutoCoverage] = None
    ahead: reach.Outlook = field(default_factory=reach.Outlook)

    def result(self) -> Object:
        """What the module returns."""
        return {
            "changed": self.plan.changes,
            "enabled": self.plan.config.enabled,
            "enabled_by_us": self._noted(self.plan.patch),
            "nodes": sorted(n["metadata"]["name"] for n in self.after.nodes),
            "host_endpoints": self.after.autos,
            "summary": self.summary(),
            "findings": [asdict(f) for f in self.findings],
            **self.ahead.result(),
        }

    def summary(self) -> str:
        if self.plan.hands_off:
            return "Hostfence did not enable automatic HostEndpoints; they stay as they are"
        if self.progress is None:
            return "automatic HostEndpoints are disabled"
        covered, total = len(self.progress.covered), len(self.after.nodes)
        return f"{covered} of {total} nodes have an active HostEndpoint"

    def stand(self) -> str:
        """How far kube-controllers is, while it is waited for."""
        return self.summary() if self.progress else f"{len(self.after.autos)} HostEndpoints remain"

    def diff(self) -> Object:
        """Before and after, of what we write only."""
        stored = host_endpoint_config(self.before.kube_controllers.controllers)
        return {
            "before": {
                "hostEndpoint": stored,
                "enabled_by_us": self._noted({}),
                "node_labels": {n: dict(labels) for n, labels in self.plan.labels_before.items()},
            },
            "after": {
                "hostEndpoint": {**stored, **_fields(self.plan.patch)},
                "enabled_by_us": self._noted(self.plan.patch),
                "node_labels": {n: dict(labels) for n, labels in self.plan.labels.items()},
            },
        }

    def _noted(self, patch: Object) -> bool:
        """Whether Hostfence has enabled them, before the patch or (with it) after."""
        note = (patch.get("metadata") or {}).get("annotations")
        if note:
            return self.plan.config.enabled
        return is_enabled_by_us(self.before.kube_controllers.configuration)


class Stalled(ClusterError):
    """kube-controllers did not do what was asked of it; the message says why.

    :param report: what was done until then
    """

    def __init__(self, message: str, report: Report) -> None:
        super().__init__(message)
        self.report = report


def _show_nothing(_line: str) -> None:
    pass


def reconcile(
    cluster: Cluster, request: Request, *, dry_run: bool = False, show: Callable[[str], None] = _show_nothing
) -> Report:
    """Bring the configuration, and with it the HostEndpoints, to what is wanted.

    A HostEndpoint without the labels that policies select by protects nothing. So the labels are on the
    nodes before kube-controllers copies them, and stay there until its HostEndpoints are gone.

    :param dry_run: only say what would be written
    :param show: is given a line on how it stands, each time that there is more to wait for
    :raises BadInput: kube-controllers would misread it, or this API does not know a field; nothing written
    :raises Stalled: written, but kube-controllers did not follow
    :raises ClusterError: the API cannot be used, or a node would be left without a HostEndpoint
    """
    flavour = require(cluster)
    if flavour.serves(KIND):
        return _Run(cluster, flavour, request, show).reconcile(dry_run)
    if request.state == ENABLED:
        raise ClusterError(
            f"this cluster does not serve Calico's {KIND}: install Calico with all its CRDs, or use the "
            "mode 'direct'"
        )
    nothing = AutoSnapshot(KubeControllers(None, None), (), (), frozenset())
    return Report(AutoPlan(AutoHostEndpoints(), {}, {}, {}), nothing, nothing, [])


def plan_of(
    cluster: Cluster, flavour: Flavour, request: Request, seen: AutoSnapshot
) -> tuple[AutoPlan, list[Object], list[Advice]]:
    """What would be written, the HostEndpoints that kube-controllers would then hold, and what to know.

    :raises BadInput: kube-controllers would misread it, or this API does not know a field
    :raises ClusterError: a node would be left without a HostEndpoint
    """
    run = _Run(cluster, flavour, request)
    planned = run.plan(seen)
    return planned, run.host_endpoints_to_be(seen, planned), _findings(seen, seen, planned)


class _Run:
    """One run over one cluster."""

    def __init__(
        self,
        cluster: Cluster,
        flavour: Flavour,
        request: Request,
        show: Callable[[str], None] = _show_nothing,
    ) -> None:
        self._cluster = cluster
        self._flavour = flavour
        self._request = request
        self._show = show
        self._lease: Optional[lease.Lease] = None

    def reconcile(self, dry_run: bool) -> Report:
        def writes(report: Report) -> bool:
            return report.plan.changes and not dry_run

        with lease.planned(self._cluster, self._report, changes=writes) as (report, self._lease):
            if dry_run:
                return report
            # The Lease is held while kube-controllers follows: before, nobody can judge what there will be.
            if report.plan.config.enabled:
                self._label(report.before, report.plan)
                self._configure(report.before, report.plan)
                return self._wait(report)
            self._configure(report.before, report.plan)
            return self._clear_labels(self._wait(report))

    def _report(self) -> Report:
        """What is to be done, judged, before anything is written."""
        seen = self._look()
        plan = self.plan(seen)
        ahead = self._look_ahead(seen, plan)
        report = Report(plan, seen, seen, _findings(seen, seen, plan), ahead=ahead)
        report.progress = self._progress(report)
        return report

    def _look(self) -> AutoSnapshot:
        with ThreadPoolExecutor(max_workers=5) as pool:
            configuration = pool.submit(read_configuration, self._cluster, self._flavour)
            deployment = pool.submit(read_deployment, self._cluster)
            nodes = pool.submit(lambda: list(self._cluster.list(NODES)))
            heps = pool.submit(list_stored, self._cluster, self._flavour, "HostEndpoint")
            labelled = pool.submit(self._select)
            return AutoSnapshot(
                KubeControllers(configuration.result(), *deployment.result()),
                nodes.result(),
                heps.result(),
                labelled.result(),
            )

    def _select(self) -> frozenset[str]:
        """Names of the nodes that are to carry our labels.

        :raises BadInput: the API cannot read the selector, labels or not, or it selects nobody to carry them
        """
        if self._request.state != ENABLED:
            return frozenset()
        selector = self._request.node_selector
        if not self._request.node_labels:
            next(select_nodes(self._cluster, selector, limit="1"), None)
            return frozenset()
        names = frozenset(str(n["metadata"]["name"]) for n in select_nodes(self._cluster, selector))
        if not names:
            raise BadInput("node_selector", selector, "selects no node of this cluster")
        return names

    def plan(self, seen: AutoSnapshot) -> AutoPlan:
        """What is to be written, after the API has said that it would take it."""
        plan = self._plan(seen)
        _refuse(seen, plan, self._request.allow_uncovered)
        self._try_out(seen, plan)
        return plan

    def _plan(self, seen: AutoSnapshot) -> AutoPlan:
        hands_off = self._request.state == ABSENT and not is_enabled_by_us(
            seen.kube_controllers.configuration
        )
        config = self._wanted(seen) if self._request.state == ENABLED else AutoHostEndpoints()
        if hands_off:
            config = AutoHostEndpoints(enabled=is_enabled(seen.kube_controllers.configuration))
        ours = {n["metadata"]["name"]: _labels_of_ours(n) for n in seen.nodes}
        wanted = {name: dict(self._request.node_labels) if name in seen.labelled else {} for name in ours}
        differing = {name: labels for name, labels in wanted.items() if labels != ours[name]}
        return AutoPlan(
            config,
            patch={} if hands_off else _patch(seen, config),
            labels=differing,
            labels_before={name: ours[name] for name in differing},
            hands_off=hands_off,
        )

    def _wanted(self, seen: AutoSnapshot) -> AutoHostEndpoints:
        """The stored configuration with what is asked for put over it."""
        stored = host_endpoint_config(seen.kube_controllers.controllers)
        stored["autoCreate"] = "Enabled"
        if self._request.create_default is not None:
            stored["createDefaultHostEndpoint"] = "Enabled" if self._request.create_default else "Disabled"
        if self._request.templates is not None:
            stored["templates"] = [template.spec() for template in self._request.templates]
        return AutoHostEndpoints.of_controllers({"node": {"hostEndpoint": stored}})

    def _try_out(self, seen: AutoSnapshot, plan: AutoPlan) -> None:
        """Ask the API what it would store: whether it knows every field, and whether we may write.

        :raises BadInput: a field that this version of Calico does not have
        """
        if plan.patch:
            would_be = self._write_configuration(seen, plan, dry_run=True)
            _refuse_unknown(_fields(plan.patch), host_endpoint_config(would_be["spec"].get("controllers")))
        for name in list(plan.labels)[:1]:
            self._write_labels(seen, plan, name, dry_run=True)

    def _look_ahead(self, seen: AutoSnapshot, plan: AutoPlan) -> reach.Outlook:
        """A HostEndpoint puts a node under all policy that is enforced, from the moment it is there.

        :raises CutOff: before anything is written
        """
        if not plan.changes or not reach.enforces(self._cluster, self._flavour):
            return reach.Outlook()
        to_be = self.host_endpoints_to_be(seen, plan)
        params = {name: getattr(self._request, name) for name in reach.OPTIONS}
        return reach.outlook(
            HostView(self._cluster, self._flavour),
            params,
            "the change of automatic HostEndpoints",
            lambda objects: [o for o in objects if o["kind"] != "HostEndpoint" or not is_auto(o)] + to_be,
        )

    def host_endpoints_to_be(self, seen: AutoSnapshot, plan: AutoPlan) -> list[Object]:
        """What kube-controllers will make.

        One for a named interface is told by its addresses: by which interface a node is reached, nobody says.
        """
        if not plan.config.enabled:
            return []
        to_be = []
        for node in seen.nodes:
            name = node["metadata"]["name"]
            before = plan.labels_before.get(name, {})
            stays = {k: v for k, v in (node["metadata"].get("labels") or {}).items() if k not in before}
            labels = {**stays, **plan.labels.get(name, {}), AUTO_CREATED_BY_LABEL: AUTO_CREATED_BY}
            for hep_name, made in plan.config.made(node).items():
                host_endpoint = desired(node, HostEndpointTemplate(), self._flavour.api_version)
                host_endpoint["metadata"] = {"name": hep_name, "labels": {**labels, **made.labels}}
                if made.interface != ALL_INTERFACES:
                    host_endpoint["spec"].update(interfaceName="", expectedIPs=list(made.expected_ips))
                to_be.append(host_endpoint)
        return to_be

    def _configure(self, seen: AutoSnapshot, plan: AutoPlan) -> None:
        if plan.patch:
            self._write_configuration(seen, plan)

    def _write_configuration(self, seen: AutoSnapshot, plan: AutoPlan, dry_run: bool = False) -> Object:
        path = self._flavour.path(KIND)
        if seen.kube_controllers.configuration is not None:
            return self._change_configuration(seen.kube_controllers.configuration, plan.patch, dry_run)
        # Without ENABLED_CONTROLLERS in its environment, kube-controllers runs only those that are named.
        others: Object = {name: {} for name in ("namespace", "policy", "serviceAccount", "workloadEndpoint")}
        created = {
            "apiVersion": self._flavour.api_version,
            "kind": KIND,
            "metadata": {"name": NAME, **plan.patch.get("metadata", {})},
            "spec": {"controllers": {**others, **plan.patch["spec"]["controllers"]}},
        }
        return self._cluster.create(path, created, dry_run)

    def _change_configuration(self, live: Object, patch: Object, dry_run: bool) -> Object:
        """Only in the version that the plan was made from; kube-controllers may write its status meanwhile.

        :raises ClusterError: someone else changed what the plan rests on
        """
        path = self._flavour.path(KIND, NAME)
        for _attempt in range(_ATTEMPTS):
            metadata = {**patch.get("metadata", {}), "resourceVersion": live["metadata"]["resourceVersion"]}
            try:
                return self._cluster.merge(path, {**patch, "metadata": metadata}, dry_run)
            except ApiError as error:
                if not error.conflict:
                    raise
            now = self._cluster.find(path)
            # A write whose answer was lost is sent again by the client, and then conflicts with itself.
            if now is not None and _holds(now, patch):
                return now
            if now is None or _planned_from(now) != _planned_from(live):
                break
            live = now
        raise ClusterError(f"{KIND} {NAME} was changed by someone else while this run planned: run it again")

    def _label(self, seen: AutoSnapshot, plan: AutoPlan) -> None:
        outcomes = write_all(plan.labels, lambda name: self._write_labels(seen, plan, name))
        failed = [o for o in outcomes if not o.done]
        if failed:
            raise ClusterError(
                f"{len(failed)} of {len(outcomes)} Nodes could not be labelled, the first: {failed[0].error}"
            )

    def _write_labels(self, seen: AutoSnapshot, plan: AutoPlan, name: str, dry_run: bool = False) -> None:
        """Own exactly these labels of a Node.

        Not forced: a value that someone else set meanwhile is theirs. The uid keeps a Node that has gone
        from being created again by the apply.
        """
        uid = next(n["metadata"]["uid"] for n in seen.nodes if n["metadata"]["name"] == name)
        body: Object = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "uid": uid, "labels": dict(plan.labels[name])},
        }
        params = {"fieldManager": LABELS_MANAGER, **({"dryRun": "All"} if dry_run else {})}
        self._cluster.request("PATCH", f"{NODES}/{name}", body, params, APPLY)

    def _clear_labels(self, report: Report) -> Report:
        if report.plan.hands_off or not report.after.autos:
            self._label(report.before, report.plan)
        elif report.plan.labels:
            report.plan = replace(report.plan, labels={}, labels_before={})
            report.findings.append(
                Advice(
                    "the labels on the nodes stay while Calico's HostEndpoints carry them",
                    "run again with wait: true",
                )
            )
        return report

    def _progress(self, report: Report) -> Optional[AutoCoverage]:
        if not report.plan.config.enabled or report.plan.hands_off:
            return None
        # A node that joined meanwhile was not labelled in this run.
        labels = dict.fromkeys(report.before.labelled, self._request.node_labels)
        return coverage(report.plan.config, report.after.nodes, report.after.heps, labels)

    def _wait(self, report: Report) -> Report:
        """Look again until kube-controllers has followed.

        :raises Stalled: nothing moved for ``wait_timeout`` seconds
        """
        if not self._request.wait or report.plan.hands_off:
            return report
        if report.plan.changes:
            report.after = self._look()
        patience = _Patience(self._request.wait_timeout)
        while True:
            if self._lease:
                self._lease.renew()
            report.progress = self._progress(report)
            left = _left_to_do(report)
            if not left:
                report.findings = _findings(report.before, report.after, report.plan)
                return report
            self._show(report.stand())
            if patience.spent(left, len(report.after.autos)):
                raise self._stalled(report)
            report.after = self._look()

    def _stalled(self, report: Report) -> Stalled:
        why = reasons(self._cluster, report.after.kube_controllers)
        progress = report.progress
        if progress and progress.in_the_way:
            why.append(
                Advice(
                    f"HostEndpoints of others are in its way ({_some(progress.in_the_way)})", "delete them"
                )
            )
        if not why:
            log = f"{report.after.kube_controllers.kubectl} logs deployment/{WORKLOAD}"
            lacking = f", {_some(list(progress.missing))} missing" if progress and progress.missing else ""
            why = [Advice(f"it runs and does not say why{lacking}", f"read its log: {log}")]
        others = _findings(report.before, report.after, report.plan)
        report.findings = [*why, *(f for f in others if f not in why)]
        return Stalled(
            f"kube-controllers has not moved for {self._request.wait_timeout:g} s ({report.stand()}): "
            + "; ".join(map(str, why)),
            report,
        )


class _Patience:
    """Waits as long as there is progress, and for so many seconds without any."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._pause = _SHORTEST_PAUSE
        self._best: Optional[tuple[int, int]] = None
        self._deadline = time.monotonic() + seconds

    def spent(self, left: int, made: int) -> bool:
        """Wait a moment, unless nothing has moved for too long.

        :param left: how much is left to do; it also grows while nodes join
        :param made: how much has been made, which grows even while more is left
        :returns: whether it is time to give up
        """
        fewest, most = self._best or (left + 1, made)
        if left < fewest or made > most:
            self._deadline = time.monotonic() + self._seconds
            self._pause = _SHORTEST_PAUSE
        self._best = (min(left, fewest), max(made, most))
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            return True
        time.sleep(min(self._pause, remaining))
        self._pause = min(self._pause * 1.5, _LONGEST_PAUSE)
        return False


def _patch(seen: AutoSnapshot, config: AutoHostEndpoints) -> Object:
    """JSON merge patch that brings the stored configuration to what is wanted."""
    found = seen.kube_controllers
    fields = config.difference(found.controllers)
    note: Object = {}
    if "autoCreate" in fields or not config.enabled:
        note = note_of_ownership(found.configuration, ours=config.enabled)
    patch: Object = {}
    if fields:
        patch["spec"] = {"controllers": {"node": {"hostEndpoint": fields}}}
    if note:
        patch["metadata"] = {"annotations": note}
    return patch


def _planned_from(configuration: Object) -> tuple[object, object]:
    return configuration.get("spec"), configuration["metadata"].get("annotations")


def _holds(stored: Object, patch: Object) -> bool:
    """Whether a JSON merge patch would change nothing."""
    for key, value in patch.items():
        known = stored.get(key)
        if isinstance(value, dict) and isinstance(known, dict):
            if not _holds(known, value):
                return False
        elif known != value:
            return False
    return True


def _fields(patch: Object) -> Object:
    return host_endpoint_config((patch.get("spec") or {}).get("controllers"))


def _refuse(seen: AutoSnapshot, plan: AutoPlan, allow_uncovered: bool) -> None:
    """Everything that must be known before anything is written."""
    if plan.hands_off:
        return
    if plan.changes:
        _refuse_override(seen, plan)
    if plan.config.enabled:
        refuse_equal_names(plan.config, seen.nodes)
        _refuse_foreign_names(seen, plan)
        _refuse_taken_labels(seen, plan)
    uncovered = left_uncovered(seen.nodes, seen.heps) if plan.switches_off else []
    if uncovered and not allow_uncovered:
        raise ClusterError(
            f"disabling automatic HostEndpoints would leave {len(uncovered)} nodes without any "
            f"({_some(uncovered)}): give them HostEndpoints first (mode 'direct'), or set allow_uncovered if "
            "they are to be unprotected"
        )


def _refuse_override(seen: AutoSnapshot, plan: AutoPlan) -> None:
    override = seen.kube_controllers.override
    if not override:
        return
    forced = AutoHostEndpoints(
        enabled=seen.kube_controllers.environment[ENVIRONMENT_OVERRIDE].lower() == "enabled"
    )
    # While disabled, nothing else of the configuration counts.
    if plan.config != forced and (plan.config.enabled or forced.enabled):
        raise ClusterError(str(override))


def _refuse_foreign_names(seen: AutoSnapshot, plan: AutoPlan) -> None:
    in_the_way = coverage(plan.config, seen.nodes, seen.heps, {}).in_the_way
    if in_the_way:
        raise ClusterError(
            "HostEndpoints that kube-controllers did not make have names that it needs "
            f"({_some(in_the_way)}), and it would leave them as they are: delete or rename them"
        )


def _refuse_taken_labels(seen: AutoSnapshot, plan: AutoPlan) -> None:
    for node in seen.nodes:
        name = node["metadata"]["name"]
        labels = node["metadata"].get("labels") or {}
        ours = _labels_of_ours(node)
        for key, value in plan.labels.get(name, {}).items():
            if key not in ours and labels.get(key, value) != value:
                raise BadInput(
                    f"node_labels.{key}",
                    value,
                    f"Node {name} has it already as {labels[key]!r}, set by someone else: choose another "
                    "key, or remove that label",
                )


def _refuse_unknown(sent: Object, stored: Object) -> None:
    """:raises BadInput: a field that the API dropped, because its definition lacks it"""

    def refuse(option: str, value: object, since: str) -> None:
        raise BadInput(
            option,
            value,
            f"this cluster's API has no such field: upgrade Calico, with its CRDs, to {since} or newer",
        )

    if "createDefaultHostEndpoint" in sent and "createDefaultHostEndpoint" not in stored:
        refuse("create_default", sent["createDefaultHostEndpoint"] == "Enabled", "3.30")
    templates = sent.get("templates") or []
    if templates and "templates" not in stored:
        refuse("templates", [t["generateName"] for t in templates], "3.30")
    for index, (template, kept) in enumerate(zip(templates, stored.get("templates") or [])):
        if "interfacePattern" in template and "interfacePattern" not in kept:
            refuse(f"templates[{index}].interface_pattern", template["interfacePattern"], "3.31")


def _left_to_do(report: Report) -> int:
    """How much kube-controllers has still to do; 0 when it has done all of it."""
    running = report.after.kube_controllers.running
    differs = bool(report.plan.config.difference(running))
    progress = report.progress
    if progress is None:
        # One that never ran has nothing to confirm.
        return len(report.after.autos) + (running is not None and differs)
    waiting = len(progress.missing) + len(progress.unlabelled) + len(progress.in_the_way)
    return waiting + (running is None or differs)


def _findings(before: AutoSnapshot, after: AutoSnapshot, plan: AutoPlan) -> list[Advice]:
    """What the user should know even when all goes well."""
    override = after.kube_controllers.override
    findings = [override] if override else []
    if before.autos and plan.switches_off:
        findings.append(
            Advice(
                "Calico deletes every HostEndpoint that carries its label projectcalico.org/created-by, also "
                f"one made by hand: {_some(before.autos)}",
                "take that label off those that are to stay",
            )
        )
    if plan.config.enabled and not plan.hands_off:
        without = coverage(plan.config, after.nodes, after.heps, {}).without
        if without:
            findings.append(
                Advice(
                    f"no template fits {_some(without)}, so they get no HostEndpoint",
                    "widen a template, or set create_default",
                )
            )
    return findings


def _labels_of_ours(node: Object) -> dict[str, str]:
    """The labels that our manager has applied to a Node, with their present values."""
    entries = (m for m in node["metadata"].get("managedFields") or [] if m.get("manager") == LABELS_MANAGER)
    fields = [((m.get("fieldsV1") or {}).get("f:metadata") or {}).get("f:labels") or {} for m in entries]
    labels = node["metadata"].get("labels") or {}
    keys = sorted({key[2:] for names in fields for key in names if key.startswith("f:")})
    return {key: labels[key] for key in keys if key in labels}


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
