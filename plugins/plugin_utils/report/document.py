# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report as one JSON document: the contract from which every other form is made.

docs/report.schema.json describes it. Pure: what was found goes in, the document comes out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Optional

from ...module_utils.calico.bad_input import BadInput
from .checks import (
    CHECKS,
    COVERAGE,
    FAIL,
    IDS,
    KERNEL,
    NOT_CHECKED,
    PASS,
    PROBES,
    STATUSES,
    WARNING,
    check_of,
)

SCHEMA = "hostfence.report/1"
OK, ATTENTION, FAILED = "ok", "attention", "failed"

Json = dict[str, Any]
_STATUS_OF_SEVERITY = {"error": FAIL, "warning": WARNING}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", re.ASCII)
# What is raised by reading something that is not what it should be.
UNFIT = (AttributeError, IndexError, KeyError, TypeError, ValueError)


@dataclass(frozen=True)
class Found:
    """What a run found. A part that is None was not looked at, and the report says so.

    :ivar nodes: ``nodes`` as host_endpoints_info returns them
    :ivar failsafes: results of failsafe_info by the node's name; one with ``msg`` only is a node that could
        not be checked
    :ivar probes: by the node's name, ``ok`` and ``summary`` of new connections to it
    :ivar sets: ``sets`` of policies_info; ``foreign`` likewise
    :ivar lint: ``findings`` of policy_lint, each with ``file`` and ``line`` where known
    :ivar flows: pairs of a flow and its verdict, as flow_verdict takes and returns them
    :ivar audit: would-be denials, as :func:`.audited.audit` tells them
    :ivar transaction: the last change of what is enforced, as :func:`.transactions.transaction` tells it
    :ivar pending: what enforcing the staged policies changes, as policies_info returns it
    :ivar unseen: what nobody looked at in the same run, because it was switched off, or nobody can judge
    :ivar cluster: ``server``, ``calico_version``, ``dataplane``, as far as known
    """

    nodes: Optional[Sequence[Json]] = None
    failsafes: Optional[Mapping[str, Json]] = None
    probes: Mapping[str, Json] = field(default_factory=dict)
    sets: Optional[Sequence[Json]] = None
    foreign: Sequence[Json] = ()
    lint: Optional[Sequence[Json]] = None
    flows: Optional[Sequence[tuple[Json, Json]]] = None
    audit: Optional[Json] = None
    transaction: Optional[Json] = None
    pending: Optional[Sequence[Json]] = None
    unseen: Sequence[str] = ()
    cluster: Mapping[str, str] = field(default_factory=dict)


def build(found: Found, generated_at: str, version: str) -> Json:
    """Put together the document.

    :param generated_at: time of the report, RFC 3339 in UTC; the only thing that differs between two reports
        of the same findings
    :param version: of Hostfence
    :raises BadInput: no such time, or a part that is not what the module for it returned
    """
    checked_time("generated_at", generated_at)
    try:
        return _put_together(found, generated_at, version)
    except UNFIT as unfit:
        # Each part alone, so that the message names the one to look at.
        for part in fields(Found):
            _fits(part.name, getattr(found, part.name))
        raise BadInput("report", str(unfit), "cannot be put together of these parts")


def checked_time(name: str, text: str) -> str:
    """A time of a report.

    :param name: what the caller calls it
    :raises BadInput: not a time in UTC as RFC 3339 writes it
    """
    try:
        if _TIME.fullmatch(text):
            datetime.fromisoformat(text.replace("Z", "+00:00"))
            return text
    except ValueError:
        pass
    raise BadInput(name, text, "must be a time in UTC such as 2026-11-28T16:30:00Z")


def _fits(name: str, value: Any) -> None:
    try:
        _put_together(Found(**{name: value}), "", "")
    except UNFIT as unfit:
        remedy = "must be what the module that is documented for it returned"
        raise BadInput(name, f"{type(unfit).__name__}: {unfit}", remedy)


def _put_together(found: Found, generated_at: str, version: str) -> Json:
    nodes = _nodes(found)
    counts = _counts(found, nodes)
    document: Json = {
        "schema": SCHEMA,
        "generated_at": generated_at,
        "hostfence_version": version,
        "cluster": {key: str(value) for key, value in sorted(found.cluster.items()) if value},
        "counts": counts,
        "checks": [{"id": c.id, "title": c.title, "question": c.question} for c in CHECKS],
        "nodes": nodes,
        "failsafes": _failsafes(found.failsafes or {}),
        "policy_sets": [_set(item) for item in found.sets or ()],
        "foreign_policies": [dict(item) for item in found.foreign],
        "lint": [dict(item) for item in found.lint or ()],
        "flows": [{"flow": dict(flow), **verdict} for flow, verdict in found.flows or ()],
        "assumptions": _assumptions(found),
        "not_looked_at": _not_looked_at(found),
    }
    if found.audit is not None:
        document["audit"] = found.audit
    if found.transaction is not None:
        document["transaction"] = found.transaction
    if found.pending is not None:
        document["difference"] = {
            **_STAGED_AND_ENFORCED,
            "changes": [dict(change) for change in found.pending],
        }
    document["verdict"] = _verdict(document)
    return document


# -- nodes -----------------------------------------------------------------------------------------


def _nodes(found: Found) -> list[Json]:
    failsafes = found.failsafes or {}
    known = {str(node["name"]): node for node in found.nodes or ()}
    names = sorted({*known, *failsafes})
    return [_node(name, known.get(name), failsafes.get(name), found.probes.get(name)) for name in names]


def _node(name: str, covered: Optional[Json], checked: Optional[Json], probed: Optional[Json]) -> Json:
    findings = list(_findings(checked or {}))
    results = dict.fromkeys(IDS, NOT_CHECKED)
    if checked and "summary" in checked:
        results.update((check, PASS) for check in IDS if check not in (COVERAGE, PROBES))
    if covered is not None:
        results[COVERAGE] = PASS if covered.get("host_endpoint") else FAIL
        if results[COVERAGE] == FAIL:
            findings.insert(0, _finding(COVERAGE, "node.uncovered", "error", *_UNCOVERED))
    if checked is not None and "summary" not in checked:
        results[KERNEL] = FAIL
        why = str(checked.get("msg") or "the node was not reached, or failed before")
        findings.append(_finding(KERNEL, "node.unchecked", "error", why, _UNCHECKED))
    if probed:
        results[PROBES] = PASS if probed.get("ok") else FAIL
        if not probed.get("ok"):
            findings.append(_finding(PROBES, "probe.failed", "error", str(probed.get("summary", "")), _PROBE))
    for finding in findings:
        status = _STATUS_OF_SEVERITY.get(finding["severity"], PASS)
        results[finding["check"]] = min(results[finding["check"]], status, key=STATUSES.index)
    node: Json = {
        "name": name,
        "host_endpoint": str((covered or {}).get("host_endpoint") or ""),
        "made_by": str((covered or {}).get("made_by") or ""),
        "dataplane": str((checked or {}).get("dataplane") or ""),
        "checks": results,
        "findings": findings,
    }
    return node


_UNCOVERED = (
    "no HostEndpoint covers this node: no host policy applies to it",
    "run hostfence.calico.site, or take the node out of the selection",
)
_UNCHECKED = "make sure that the node can be reached and that Ansible may become root there, and verify again"
_PROBE = "look for what drops the connection on the way: a cloud's security group, a switch, another firewall"


def _findings(checked: Json) -> Iterable[Json]:
    for found in checked.get("findings") or ():
        place = "/".join(str(found[key]) for key in ("family", "table", "chain") if found.get(key))
        yield {
            **_finding(
                check_of(str(found["id"])),
                str(found["id"]),
                str(found["severity"]),
                str(found["message"]),
                str(found.get("remedy") or ""),
            ),
            **({"place": place} if place else {}),
        }


def _finding(check: str, name: str, severity: str, message: str, remedy: str) -> Json:
    return {"check": check, "id": name, "severity": severity, "message": message, "remedy": remedy}


# -- failsafes -------------------------------------------------------------------------------------


def _failsafes(results: Mapping[str, Json]) -> list[Json]:
    """What is declared and what is live, once for all nodes of which it is the same."""
    groups: dict[str, Json] = {}
    for name in sorted(results):
        result = results[name]
        if "expected" not in result:
            continue
        state = _failsafe_state(result)
        groups.setdefault(repr(state), {"nodes": [], **state})["nodes"].append(name)
    return sorted(groups.values(), key=lambda group: (-len(group["nodes"]), group["nodes"]))


def _failsafe_state(result: Json) -> Json:
    expected = result["expected"]
    live = [
        {"backend": seen["backend"], "family": seen["family"], "chain": chain, "rules": list(rules)}
        for seen in result.get("observed") or ()
        for chain, rules in sorted((seen.get("failsafes") or {}).items())
    ]
    paths = [
        {
            **{key: path[key] for key in ("name", "direction", "protocol", "port", "peer", "status")},
            "open_to_everybody": bool(path.get("open_to_everybody")),
        }
        for path in result.get("vital_paths") or ()
    ]
    return {
        "active": bool(result.get("protected")),
        "inbound": list(expected.get("inbound") or ()),
        "inbound_source": str(expected.get("inbound_source") or ""),
        "outbound": list(expected.get("outbound") or ()),
        "outbound_source": str(expected.get("outbound_source") or ""),
        "live": live,
        "vital_paths": paths,
    }


# -- counts, verdict -------------------------------------------------------------------------------


def _counts(found: Found, nodes: Sequence[Json]) -> Json:
    statuses = Counter(status for node in nodes for status in node["checks"].values())
    severities = Counter(str(item["severity"]) for item in found.lint or ())
    counts: Json = {
        "nodes": len(nodes),
        "covered": sum(node["checks"][COVERAGE] == PASS for node in nodes),
        "failsafes_verified": sum(_is_verified(node) for node in nodes),
        "checks": {status: statuses[status] for status in STATUSES},
        "lint": {severity: severities[severity] for severity in ("error", "warning", "info")},
        "sets": dict(sorted(Counter(str(item["state"]) for item in found.sets or ()).items())),
        "flows": dict(sorted(Counter(str(v["verdict"]) for _flow, v in found.flows or ()).items())),
    }
    if found.audit is not None:
        groups = found.audit.get("groups") or ()
        counts["would_be_denials"] = sum(
            int(g.get("connections", 0)) for g in groups if g["verdict"] == "deny"
        )
    return counts


def _is_verified(node: Json) -> bool:
    """The kernel was read, and no check of it failed."""
    checks = [node["checks"][check] for check in IDS if check != COVERAGE]
    return node["checks"][KERNEL] == PASS and FAIL not in checks


def _set(item: Json) -> Json:
    return {
        "name": str(item["name"]),
        "state": str(item["state"]),
        "objects": [f"{o['kind']} {o['name']}" for o in item.get("objects") or ()],
        "unproved": str(item.get("unproved") or ""),
    }


def _verdict(document: Json) -> Json:
    counts = document["counts"]
    status = _status(document)
    return {"status": status, "sentence": _sentence(document, status), "next": _next_steps(document, counts)}


def _status(document: Json) -> str:
    counts, transaction = document["counts"], document.get("transaction") or {}
    if counts["checks"][FAIL] or transaction.get("state") == "rolled-back":
        return FAILED
    doubts = (
        counts["checks"][WARNING],
        counts["lint"]["error"],
        counts.get("would_be_denials"),
        counts["sets"].get("mixed"),
        any(item["unproved"] for item in document["policy_sets"]),
        not counts["nodes"],
        counts["failsafes_verified"] < counts["nodes"],
        (document.get("audit") or {}).get("gate", "pass") != "pass",
        transaction.get("state") in ("pending", "live"),
    )
    return ATTENTION if any(doubts) else OK


def _sentence(document: Json, status: str) -> str:
    counts = document["counts"]
    total = counts["nodes"]
    if not total:
        return "No node was looked at."
    covered = f"{counts['covered']} of {total} nodes have a HostEndpoint"
    verified = f"the failsafes of {counts['failsafes_verified']} of {total} were verified in the kernel"
    parts = [
        "HostEndpoints were not looked at" if _missing(document, "nodes") else covered,
        "no kernel was read" if _missing(document, "failsafes") else verified,
        "policy sets were not looked at" if _missing(document, "sets") else _policy_clause(document),
    ]
    sentence = f"{parts[0]}, {parts[1]}, and {parts[2]}."
    if status == FAILED and counts["checks"][FAIL]:
        failing = sum(FAIL in node["checks"].values() for node in document["nodes"])
        sentence += f" {failing} of {total} nodes {'fails' if failing == 1 else 'fail'} a check."
    return sentence


_STAGED_AND_ENFORCED = {"before": "what is enforced", "after": "the staged policies as well"}


def _policy_clause(document: Json) -> str:
    states = document["counts"]["sets"]
    if not states:
        return "no policy set is stored"
    if states.get("mixed"):
        return "a policy set is half written"
    if states.get("enforced"):
        return f"{states['enforced']} of {sum(states.values())} policy sets are enforced"
    return "policy is only staged: it denies nothing yet"


def _next_steps(document: Json, counts: Json) -> list[str]:
    steps = []
    if counts["covered"] < counts["nodes"] and not _missing(document, "nodes"):
        steps.append("Cover the nodes without a HostEndpoint: run hostfence.calico.site.")
    if counts["checks"][FAIL]:
        steps.append("Fix what failed, group by group in the table below, before anything is enforced.")
    if _missing(document, "failsafes"):
        steps.append("Run hostfence.calico.verify with an inventory of the nodes: no kernel was read.")
    if counts["lint"]["error"]:
        number = counts["lint"]["error"]
        steps.append(f"Fix what lint calls an error ({number}): it can lock hosts out, or open them.")
    if counts.get("would_be_denials"):
        steps.append(
            "Decide about the traffic that would be denied; each group names the rule that allows it."
        )
    if (document.get("audit") or {}).get("gate") == "inconclusive":
        steps.append("Audit for longer before you enforce: too little traffic was seen to judge by.")
    if counts["sets"].get("mixed"):
        steps.append("Run hostfence.calico.policies again: it goes on from the interrupted state.")
    unproved = [item["name"] for item in document["policy_sets"] if item["unproved"]]
    if unproved:
        steps.append(
            f"Run hostfence.calico.policies: it proves what is enforced without a proof, "
            f"{', '.join(unproved)}."
        )
    if not steps and counts["sets"] and not counts["sets"].get("enforced"):
        steps.append("When the staged policy is what you want, run hostfence.calico.enforce.")
    return steps or ["Nothing. Run hostfence.calico.verify again after nodes join or configuration changes."]


def _missing(document: Json, subject: str) -> bool:
    return any(item["subject"] == subject for item in document["not_looked_at"])


# -- what the report does not say ------------------------------------------------------------------


def _assumptions(found: Found) -> list[str]:
    said = {text for _flow, verdict in found.flows or () for text in verdict.get("assumptions") or ()}
    said |= {str(text) for text in (found.audit or {}).get("assumptions") or ()}
    return sorted(said)


_GATES = "Leave out what switches it off, or settle what it depends on, and run the same again."
_PARTS = {
    "nodes": ("HostEndpoints of the nodes", "Run hostfence.calico.report or hostfence.calico.verify."),
    "failsafes": ("Rules in the kernels of the nodes", "Run hostfence.calico.verify."),
    "sets": ("Policy sets", "Run hostfence.calico.report."),
    "lint": (
        "Traps in stored policy",
        "Run hostfence.calico.report with report_lint: true, or hostfence lint.",
    ),
    "flows": ("The way of single packets", "List packets in report_flows, or run hostfence explain."),
    "audit": ("Traffic that staged policy would deny", "Run hostfence.calico.audit with report_dir."),
    "pending": ("What enforcing the staged policies changes", "Run hostfence.calico.report."),
    "transaction": ("Changes of what is enforced", "Run hostfence.calico.report."),
}


def _not_looked_at(found: Found) -> list[Json]:
    parts = [
        {"subject": name, "what": what, "how": how}
        for name, (what, how) in _PARTS.items()
        if getattr(found, name) is None
    ]
    return [*parts, *({"subject": "gates", "what": what, "how": _GATES} for what in found.unseen)]
