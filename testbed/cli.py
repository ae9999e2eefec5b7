# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The testbed's commands."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import urllib3

from testbed import calico, state
from testbed.api import ApiError
from testbed.cluster import ALREADY_UP, Options, Testbed, check_given
from testbed.commands import PATH
from testbed.errors import TestbedError

_NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    options = _parser().parse_args(arguments)
    # Ended from outside, `up` cleans up as it does on Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return options.command(options) or 0
    except TestbedError as error:
        _say(f"testbed: {error}")
        return error.status
    except ApiError as error:
        _say(f"testbed: the API answered {error}")
        return 1
    except urllib3.exceptions.HTTPError as error:
        _say(f"testbed: the API does not answer: {error}")
        return 1
    except KeyboardInterrupt:
        _say("testbed: interrupted")
        return 130


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    """To stderr: stdout is for ``eval`` and for tables."""
    print(line, file=sys.stderr, flush=True)


def _testbed() -> Testbed:
    if os.geteuid() != 0:
        raise TestbedError("needs root: it makes network namespaces and mounts")
    return Testbed(state.run_directory(), _say)


def _up(options: argparse.Namespace) -> None:
    if given := _given(options):
        check_given(given)
        _print_environment(Path(given), None)
        return
    testbed = _testbed()
    try:
        testbed.up(
            Options(
                nodes=options.nodes,
                simulated=options.extra_node_objects,
                crds=options.crds,
                crds_version=options.crds_group,
                felix_backend=options.felix_backend,
                auto_host_endpoints=options.auto_host_endpoints,
                kubelets=options.kubelets,
            )
        )
    except TestbedError as error:
        if error.status != ALREADY_UP or not options.if_needed:
            raise
        if options.kubelets and not testbed.running().kubelets:
            raise TestbedError("the testbed that is up has no kubelets: run `python -m testbed down` first")
        _say("a testbed is up already")
    _print_own_environment(testbed)


def _down(options: argparse.Namespace) -> None:
    if _given(options):
        _say("a given kubeconfig is in use: nothing to take down")
        return
    was_there = _testbed().down()
    _say("testbed: down" if was_there else "testbed: nothing is up")


def _add_node(options: argparse.Namespace) -> None:
    node = _testbed().add_node(options.name or "")
    print(f"{node.name} {node.ipv4} {node.ipv6}")


def _remove_node(options: argparse.Namespace) -> None:
    _testbed().remove_node(options.name)


def _stop_kubelet(options: argparse.Namespace) -> None:
    _testbed().stop_kubelet(options.node)


def _start_kubelet(options: argparse.Namespace) -> None:
    _testbed().start_kubelet(options.node)


def _stop_api(_options: argparse.Namespace) -> None:
    _testbed().stop_api()


def _start_api(_options: argparse.Namespace) -> None:
    _testbed().start_api()


def _in_pod_network(options: argparse.Namespace) -> int:
    enter = _testbed().in_pod_network(options.namespace, options.pod)
    command = [*enter, options.program, *options.arguments]
    return subprocess.run(command, env={**os.environ, "PATH": PATH}, check=False).returncode


def _status(_options: argparse.Namespace) -> None:
    testbed = _testbed()
    record = testbed.running()
    print(f"API      https://127.0.0.1:{record.port}  KUBECONFIG={testbed.kubeconfig}")
    version = f" {record.crds_version}" if record.crds == "ours" else ""
    print(f"CRDs     {record.crds}{version}, Calico {record.calico_version}")
    print(f"Calico   {calico.description(record) if record.crds != 'none' else 'none: no CRDs'}")
    if record.kubelets:
        print(f"kubelets on each node, with the image {record.agent_image}")
    print(f"objects  {len(record.nodes)} nodes, {record.simulated} further Node objects")
    _table(["NODE", "IPV4", "IPV6", "ROLE", "STATE", "RULES"], testbed.rows())
    ended = [name for name, _pid, alive in testbed.processes() if not alive]
    if ended:
        raise TestbedError(f"ended: {', '.join(ended)} (logs in {testbed.run / 'logs'})")


def _env(options: argparse.Namespace) -> None:
    if given := _given(options):
        _print_environment(Path(given), None)
        return
    _print_own_environment(_testbed())


def _user_kubeconfig(options: argparse.Namespace) -> None:
    print(_testbed().client_kubeconfig(options.user, options.group))


def _given(options: argparse.Namespace) -> str:
    return options.kubeconfig or os.environ.get("HOSTFENCE_KUBECONFIG", "")


def _print_own_environment(testbed: Testbed) -> None:
    record = testbed.running()
    _print_environment(testbed.kubeconfig, testbed.run)
    if record.kubelets:
        print(f"export HOSTFENCE_AGENT_IMAGE={shlex.quote(record.agent_image)}")


def _print_environment(kubeconfig: Path, run: Path | None) -> None:
    print(f"export KUBECONFIG={shlex.quote(str(kubeconfig))}")
    print(f"export K8S_AUTH_KUBECONFIG={shlex.quote(str(kubeconfig))}")
    if run:
        print(f"export HOSTFENCE_TESTBED={shlex.quote(str(run))}")


def _table(head: list[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def _between(low: int, high: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r}: give a number from {low} to {high}")
        return int(text)

    return number


def _node_name(text: str) -> str:
    if not _NODE_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r}: give a DNS name of lower-case letters, digits, '-' and '.'"
        )
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m testbed", description="An embedded cluster on this machine."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    given = argparse.ArgumentParser(add_help=False)
    given.add_argument("--kubeconfig", default="", help="use this cluster instead (HOSTFENCE_KUBECONFIG)")

    up = commands.add_parser("up", parents=[given], help="start it; prints what `env` prints")
    up.add_argument("--nodes", type=_between(1, 200), default=3, help="machines (default 3)")
    up.add_argument(
        "--extra-node-objects",
        type=_between(0, 50000),
        default=0,
        help="further Node objects, no machine behind",
    )
    up.add_argument("--crds", default="ours", help="ours (default), none, or a directory of YAML files")
    up.add_argument("--crds-group", choices=["v1", "v3"], default="v1", help="API group of ours")
    up.add_argument(
        "--felix-backend", choices=calico.FELIX_BACKENDS, default="nft", help="what Felix programs"
    )
    up.add_argument(
        "--auto-host-endpoints",
        choices=["enabled", "disabled"],
        default="",
        help="set AUTO_HOST_ENDPOINTS of kube-controllers, which overrides its configuration",
    )
    up.add_argument("--kubelets", action="store_true", help="run pods: a kubelet and containerd on each node")
    up.add_argument("--if-needed", action="store_true", help="accept one that is up already")
    up.set_defaults(command=_up)

    down = commands.add_parser("down", parents=[given], help="end it and remove everything of it")
    down.set_defaults(command=_down)

    add = commands.add_parser("add-node", help="add a machine")
    add.add_argument(
        "name", nargs="?", type=_node_name, default=None, help="default: node and the next number"
    )
    add.set_defaults(command=_add_node)

    remove = commands.add_parser("remove-node", help="remove a machine and its Node object")
    remove.add_argument("name")
    remove.set_defaults(command=_remove_node)

    for name, command, text in (
        ("stop-kubelet", _stop_kubelet, "kill a node's kubelet; its pods go on"),
        ("start-kubelet", _start_kubelet, "start a killed kubelet again"),
    ):
        one = commands.add_parser(name, help=text)
        one.add_argument("node")
        one.set_defaults(command=command)
    commands.add_parser("stop-api", help="kill the API server").set_defaults(command=_stop_api)
    commands.add_parser("start-api", help="start the API server anew").set_defaults(command=_start_api)

    pod = commands.add_parser("in-pod-network", help="run a program of this machine in a pod's network")
    pod.add_argument("namespace")
    pod.add_argument("pod")
    pod.add_argument("program")
    pod.add_argument("arguments", nargs=argparse.REMAINDER)
    pod.set_defaults(command=_in_pod_network)

    commands.add_parser("status", help="what runs").set_defaults(command=_status)

    env = commands.add_parser("env", parents=[given], help="lines for eval")
    env.set_defaults(command=_env)

    user = commands.add_parser("user-kubeconfig", help="write a kubeconfig for another user; prints its path")
    user.add_argument("user")
    user.add_argument("--group", action="append", default=[])
    user.set_defaults(command=_user_kubeconfig)
    return parser
