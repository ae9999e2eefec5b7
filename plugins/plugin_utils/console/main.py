# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command ``hostfence``: answers about a snapshot, files or the live cluster, without Ansible."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from ...module_utils.calico.bad_input import BadInput
from . import source

# What a caller can go by; docs/command.md says so to users.
FINE, FOUND, USAGE, NO_CLUSTER, UNDETERMINED = range(5)
_SEVERITIES = ("error", "warning", "info")
_EXIT_OF_VERDICT = {"allow": FINE, "deny": FOUND, "undetermined": UNDETERMINED}


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command.

    :returns: the exit code
    """
    given = parser().parse_args(arguments)
    try:
        code: int = given.run(given)
    except BadInput as refused:
        print(f"hostfence: {refused}", file=sys.stderr)
        return USAGE
    except source.Unreachable as error:
        print(f"hostfence: {error}", file=sys.stderr)
        return NO_CLUSTER
    except BrokenPipeError:
        # The reader of the output has closed it.
        sys.stderr.close()
        return FINE
    return code


def parser() -> argparse.ArgumentParser:
    """All that the command takes."""
    top = argparse.ArgumentParser(
        prog="hostfence",
        description="Answers about host protection with Calico, from a snapshot, files or the live cluster.",
        epilog="Exit: 0 fine or allowed, 1 something found or denied, 2 wrong usage or input, "
        "3 no answer from the cluster, 4 undetermined.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    where = argparse.ArgumentParser(add_help=False)
    group = where.add_argument_group("what to look at (the live cluster, unless --snapshot is given)")
    group.add_argument("--snapshot", metavar="PATH", help="a snapshot, or a file or directory of objects")
    group.add_argument("--kubeconfig", metavar="FILE", help="default: K8S_AUTH_KUBECONFIG, ~/.kube/config")
    group.add_argument("--context", metavar="NAME", help="a context of the kubeconfig")
    _explain(commands.add_parser("explain", parents=[where], help="what happens to a packet, and why"))
    _lint(commands.add_parser("lint", parents=[where], help="traps in policies and host endpoints"))
    _diff(commands.add_parser("diff", parents=[where], help="what changes between two sets of objects"))
    _report(commands.add_parser("report", parents=[where], help="the report, as files"))
    _snapshot(commands.add_parser("snapshot", parents=[where], help="keep what the live cluster holds"))
    complete = commands.add_parser(
        "completion", help='completion for a shell: eval "$(hostfence completion bash)"'
    )
    complete.add_argument("shell", choices=["bash", "zsh"])
    complete.set_defaults(run=_run_completion)
    return top


def _looked_at(given: argparse.Namespace, *, with_pods: bool = False) -> source.Snapshot:
    if given.snapshot:
        return source.read(given.snapshot)
    return source.live({"kubeconfig": given.kubeconfig, "context": given.context}, with_pods=with_pods)


# -- explain ---------------------------------------------------------------------------------------


def _explain(command: argparse.ArgumentParser) -> None:
    command.add_argument("node", metavar="NODE", help="at which node")
    command.add_argument("peer", metavar="PEER", help="address of the other side")
    command.add_argument("service", metavar="PROTOCOL/PORT", help="such as tcp/10250, or a protocol alone")
    command.add_argument("--outbound", action="store_true", help="from the node to the peer")
    command.add_argument("--address", help="the node's own address; default: the one that the cluster knows")
    command.add_argument("--interface", help="where the packet comes in, or goes out")
    command.add_argument("--json", action="store_true", help="the whole verdict as JSON")
    command.set_defaults(run=_run_explain)


def _run_explain(given: argparse.Namespace) -> int:
    from .explain import explain, flow_of, lines

    snapshot = _looked_at(given)
    flow = flow_of(
        snapshot,
        given.node,
        given.peer,
        given.service,
        outbound=given.outbound,
        address=given.address,
        interface=given.interface,
    )
    verdict, dataplane = explain(snapshot, flow)
    if given.json:
        print(json.dumps({"flow": flow, "dataplane": dataplane, **verdict}, indent=1))
    else:
        print(*map(_safe, lines(flow, verdict, dataplane)), sep="\n")
    return _EXIT_OF_VERDICT[verdict["verdict"]]


# -- lint ------------------------------------------------------------------------------------------


def _lint(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "path", metavar="PATH", nargs="?", help="a file or directory of objects, instead of --snapshot"
    )
    command.add_argument("--fail-on", choices=["none", *reversed(_SEVERITIES)], default="error")
    command.add_argument("--format", choices=["text", "json", "sarif"], default="text")
    command.set_defaults(run=_run_lint)


def _run_lint(given: argparse.Namespace) -> int:
    from ...module_utils.calico.lint.run import RULES, as_dicts
    from ...module_utils.calico.plan.judgement import traps
    from ..collection import version

    path = given.path or given.snapshot
    snapshot = source.read(path) if path else _looked_at(given)
    findings = as_dicts(traps(snapshot.objects, snapshot.options(), dataplanes=snapshot.dataplanes))
    if findings and path and snapshot.origin == path:
        from ...module_utils.cluster.policy_files import SUFFIXES
        from .locations import Locations

        locations = Locations(path, SUFFIXES)
        findings = [locations.placed(finding) for finding in findings]
    if given.format == "json":
        print(json.dumps(findings, indent=1))
    elif given.format == "sarif":
        from ..report.sarif import sarif

        print(sarif({"lint": findings, "hostfence_version": version()}, dict(RULES)), end="")
    else:
        for finding in findings:
            print(_safe(_lint_line(finding)))
    refused = _SEVERITIES[: _SEVERITIES.index(given.fail_on) + 1] if given.fail_on != "none" else ()
    return FOUND if any(finding["severity"] in refused for finding in findings) else FINE


def _lint_line(finding: dict[str, Any]) -> str:
    place = f"{finding['file']}:{finding['line']}: " if "file" in finding else ""
    field = f" {finding['field']}" if finding["field"] else ""
    what = f"{finding['severity']}: {finding['id']}: {finding['object']}{field}"
    return f"{place}{what}: {finding['message']} -> {finding['remedy']}"


# -- diff ------------------------------------------------------------------------------------------


def _diff(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "path", metavar="PATH", help="what would be written, or with --whole the other snapshot"
    )
    command.add_argument(
        "--whole", action="store_true", help="PATH is a whole cluster, not an addition to one"
    )
    command.add_argument("--flows", metavar="FILE", help="packets whose verdicts to compare: docs/command.md")
    command.set_defaults(run=_run_diff)


def _run_diff(given: argparse.Namespace) -> int:
    from .difference import objects_differ, overlaid, verdicts_differ

    before, other = _looked_at(given), source.read(given.path)
    after = other if given.whole else overlaid(before, other)
    found = list(objects_differ(before, after))
    if given.flows:
        found += verdicts_differ(before, after, _flows(given.flows))
    for line in found:
        print(_safe(line))
    return FOUND if found else FINE


# -- report, snapshot, completion ------------------------------------------------------------------


def _report(command: argparse.ArgumentParser) -> None:
    command.add_argument("--dir", metavar="DIRECTORY", default="report", help="where to (default: report)")
    command.add_argument("--formats", metavar="LIST", default="html,json", help="default: html,json")
    command.add_argument("--flows", metavar="FILE", help="packets to explain: docs/command.md")
    command.add_argument(
        "--from", dest="report", metavar="REPORT", help="a report.json to write in other forms"
    )
    command.add_argument("--at", metavar="TIME", help="time of the report, such as 2026-11-28T16:30:00Z")
    command.set_defaults(run=_run_report)


def _run_report(given: argparse.Namespace) -> int:
    from ..report.files import write_files
    from .report import of_file, of_snapshot

    if given.report:
        document = of_file(given.report)
    else:
        flows = _flows(given.flows) if given.flows else None
        document = of_snapshot(_looked_at(given), flows, given.at)
    for file in write_files(document, given.formats.split(","), given.dir):
        print(_safe(file["path"]))
    print(_safe(document["verdict"]["sentence"]))
    return FOUND if document["verdict"]["status"] == "failed" else FINE


def _snapshot(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", help="where to; - for the terminal")
    command.set_defaults(run=_run_snapshot)


def _run_snapshot(given: argparse.Namespace) -> int:
    text = _looked_at(given, with_pods=True).as_json()
    if given.file == "-":
        print(text, end="")
        return FINE
    try:
        Path(given.file).expanduser().write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput("FILE", given.file, f"cannot be written: {error.strerror}")
    return FINE


def _run_completion(given: argparse.Namespace) -> int:
    from .completion import script

    print(script(parser(), given.shell), end="")
    return FINE


def _flows(path: str) -> list[Any]:
    from ...module_utils.cluster.policy_files import read_path

    values = [document.value for document in read_path(path)]
    return values[0] if len(values) == 1 and isinstance(values[0], list) else values


def _safe(text: str) -> str:
    """A name in the API may hold what moves a terminal's cursor."""
    from ..report.shown import visible

    return visible(text).replace("\n", "\\n")
