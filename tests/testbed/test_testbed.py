# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The testbed itself: what it promises, tried on a testbed of its own beside any other."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from testbed.api import Api, ApiError  # noqa: E402
from testbed.commands import run  # noqa: E402
from testbed.fabric import Fabric  # noqa: E402
from testbed.process import Processes  # noqa: E402
from testbed.state import namespace_prefix  # noqa: E402

RUN = Path("/run/hostfence-testbed-test")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the testbed needs root")


def run_testbed(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "testbed", *arguments],
        cwd=ROOT,
        env={**os.environ, "HOSTFENCE_TESTBED": str(RUN), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def traces() -> dict[str, set[str]]:
    """What a testbed could leave on a machine, of any testbed."""
    netns = Path("/run/netns")
    return {
        "mounts": {line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()},
        "namespaces": {path.name for path in netns.iterdir()} if netns.is_dir() else set(),
        "processes": {
            entry.name
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and str(RUN) in command_line(entry)
        },
        "run": {str(RUN)} if RUN.exists() else set(),
        "interfaces": set(os.listdir("/sys/class/net")),
    }


def command_line(process: Path) -> str:
    try:
        # Empty for a zombie, which only waits for its parent.
        return (process / "cmdline").read_text()
    except OSError:
        return ""


def left_over(before: dict[str, set[str]]) -> dict[str, set[str]]:
    """What is there now and was not before, of this testbed."""
    now = traces()
    ours = {kind: now[kind] - before[kind] for kind in now}
    # Another testbed may have come up meanwhile; the names of its namespaces begin differently.
    prefix = namespace_prefix(RUN)
    ours["namespaces"] = {name for name in ours["namespaces"] if name.startswith(prefix)}
    ours["mounts"] = {point for point in ours["mounts"] if prefix in point or str(RUN) in point}
    return {kind: found for kind, found in ours.items() if found}


def node_names() -> set[str]:
    return {node["metadata"]["name"] for node in Api(RUN / "kubeconfig").list("/api/v1/nodes")}


def ssh(host: str, command: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["ssh", "-F", str(RUN / "ssh_config"), "-o", "BatchMode=yes", host, command],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture(scope="module")
def before():
    run_testbed("down")
    return traces()


@pytest.fixture(scope="module")
def up(before):
    done = run_testbed("up", "--nodes", "3", "--extra-node-objects", "5")
    assert done.returncode == 0, done.stderr
    yield done
    run_testbed("down")


def test_up_prints_only_what_a_shell_can_evaluate(up):
    assert all(line.startswith("export ") for line in up.stdout.splitlines())
    assert f"HOSTFENCE_TESTBED={RUN}" in up.stdout
    assert run_testbed("env").stdout == up.stdout


def test_a_login_finds_a_home_of_the_node_and_nothing_of_the_machines_owner(up):
    done = ssh("node1", "pwd; ls -A; printenv HOME SHELL PATH")

    machines = pwd.getpwnam("root").pw_dir
    home, *rest = done.stdout.splitlines()
    assert home != machines
    assert rest[:-1] == [home, "/bin/sh"]
    assert machines not in rest[-1]


def test_a_second_up_says_that_one_runs(up):
    second = run_testbed("up")

    assert second.returncode == 3
    assert len(second.stderr.splitlines()) == 1
    assert "already up" in second.stderr
    assert run_testbed("up", "--if-needed").returncode == 0


def test_kubelets_are_not_promised_where_none_run(up):
    assert "no kubelets" in run_testbed("up", "--if-needed", "--kubelets").stderr
    assert "without --kubelets" in run_testbed("stop-kubelet", "node1").stderr
    assert "without --kubelets" in run_testbed("in-pod-network", "default", "pod", "true").stderr


def test_status_names_every_node_and_which_felix_is_used(up):
    status = run_testbed("status")

    assert status.returncode == 0, status.stderr
    assert "stand-ins" in status.stdout or "real Felix" in status.stdout
    for name in ("node1", "node2", "node3"):
        assert name in status.stdout


def test_nodes_and_further_node_objects_are_ready(up):
    nodes = Api(RUN / "kubeconfig").list("/api/v1/nodes")
    addresses = [entry["address"] for node in nodes for entry in node["status"]["addresses"]]

    assert len(nodes) == 8
    assert len(addresses) == len(set(addresses))
    assert all(node["status"]["conditions"][0]["status"] == "True" for node in nodes)
    roles = {
        node["metadata"]["name"]
        for node in nodes
        if "node-role.kubernetes.io/control-plane" in node["metadata"]["labels"]
    }
    assert roles == {"node1"}


@pytest.mark.parametrize(
    ("host", "name"), [("node1", "node1"), ("10.99.0.12", "node2"), ("fd99::13", "node3")]
)
def test_ssh_reaches_nodes_by_name_and_both_address_families(up, host, name):
    done = ssh(host, "hostname; test -d /var/lib/dpkg && echo the machine is visible")

    assert done.stdout.split("\n")[0] == name, done.stderr
    assert "visible" not in done.stdout


def test_an_unknown_host_key_is_refused(up):
    known = RUN / "ssh" / "known_hosts"
    saved = known.read_text()
    try:
        known.write_text(saved.replace("node1,10.99.0.11", "node9,10.99.0.99"))
        assert ssh("node1", "true").returncode != 0
    finally:
        known.write_text(saved)


def test_a_node_reaches_the_api_and_its_neighbours_over_both_families(up):
    script = (
        "import socket\n"
        "for host, port in (('10.99.0.1', 6443), ('10.99.0.12', 22), ('fd99::12', 22)):\n"
        "    socket.create_connection((host, port), 5).close()\n"
        "print('reached')"
    )

    done = ssh("node1", f'python3 -c "{script}"')

    assert done.stdout.strip() == "reached", done.stderr


def test_nothing_listens_on_the_machine_but_on_loopback(before, up):
    new = traces()["interfaces"] - before["interfaces"]
    listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    ours = {process.pid for process in Processes(RUN).all()}
    addresses = [
        line.split()[3] for line in listening.splitlines() if any(f"pid={pid}," in line for pid in ours)
    ]

    assert not new
    assert addresses
    assert all(address.startswith("127.0.0.1:") for address in addresses)


def test_a_node_joins_and_leaves(up):
    added = run_testbed("add-node")
    assert added.returncode == 0, added.stderr
    name = added.stdout.split()[0]
    assert name == "node4"
    assert ssh(name, "hostname").stdout.strip() == name
    assert name in node_names()
    inventory = yaml.safe_load((RUN / "inventory.yml").read_text())
    assert name in inventory["all"]["children"]["nodes"]["hosts"]

    removed = run_testbed("remove-node", name)

    assert removed.returncode == 0, removed.stderr
    assert name not in node_names()
    assert not (Path("/run/netns") / f"{namespace_prefix(RUN)}-node-{name}").exists()
    assert run_testbed("remove-node", name).stderr.startswith(f"testbed: no node {name}: ")


def test_the_bridge_has_one_address_whichever_nodes_are_there(up):
    """Else nodes go on sending to the old one, and nobody can log in to them."""

    def link(*arguments: str) -> str:
        return run(["ip", "-n", Fabric(namespace_prefix(RUN)).netns, "-j", "link", *arguments])

    def address() -> str:
        return json.loads(link("show", "br0"))[0]["address"]

    before = address()
    # A bridge without an address of its own takes the lowest of its ports'.
    link("add", "lowest", "address", "02:00:00:00:00:00", "type", "veth")
    try:
        link("set", "lowest", "master", "br0", "up")
        assert address() == before
    finally:
        link("delete", "lowest")
    assert address() == before


def test_a_user_without_rights_gets_a_kubeconfig(up):
    path = run_testbed("user-kubeconfig", "somebody", "--group", "viewers").stdout.strip()

    with pytest.raises(ApiError, match="Forbidden"):
        Api(Path(path)).list("/api/v1/nodes")


def test_down_leaves_nothing_and_can_be_repeated(before, up):
    running = Processes(RUN).all()
    assert {"etcd", "kube-apiserver", "forwarder", "node-node1"} <= {process.name for process in running}

    first = run_testbed("down")

    assert first.returncode == 0, first.stderr
    assert not [process.name for process in running if process.alive()]
    assert left_over(before) == {}
    second = run_testbed("down")
    assert second.returncode == 0
    assert "nothing is up" in second.stderr
    assert run_testbed("status").stderr.strip().startswith("testbed: no testbed is up")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_up_cleans_up(before, number):
    starting = start_and_reach("node1")
    starting.send_signal(number)
    _out, err = starting.communicate(timeout=60)

    assert starting.returncode == 130
    assert "Traceback" not in err
    assert left_over(before) == {}


def test_after_a_killed_up_the_next_one_starts(before):
    starting = start_and_reach("node1")
    starting.kill()
    starting.communicate(timeout=60)

    again = run_testbed("up", "--nodes", "1")

    assert again.returncode == 0, again.stderr
    assert "interrupted" in again.stderr
    assert run_testbed("down").returncode == 0
    assert left_over(before) == {}


def test_a_killed_up_can_be_taken_down(before):
    starting = start_and_reach("node1")
    starting.kill()
    starting.communicate(timeout=60)

    assert run_testbed("down").returncode == 0
    assert left_over(before) == {}


def test_a_python_without_the_packages_is_told_in_one_line():
    done = subprocess.run(
        [sys.executable, "-S", "-m", "testbed", "up"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "make dev" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("up", "--nodes", "0"), "--nodes"),
        (("up", "--crds", "/nonexistent"), "/nonexistent"),
        (("up", "--kubeconfig", "/nonexistent"), "/nonexistent"),
        (("add-node", "Not_A_Name"), "Not_A_Name"),
    ],
)
def test_bad_input_is_one_line_and_starts_nothing(before, arguments, named):
    done = run_testbed(*arguments)

    assert done.returncode != 0
    assert named in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert left_over(before) == {}


def test_a_calico_directory_without_felix_is_refused(before, tmp_path):
    done = run_testbed("up", HOSTFENCE_CALICO_BIN=str(tmp_path))

    assert "calico-felix" in done.stderr
    assert left_over(before) == {}


def heed_ctrl_c() -> None:
    """A job in the background of a shell starts with SIGINT ignored, and so would what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start_and_reach(node: str) -> subprocess.Popen:
    """An `up` that has just begun to start a node."""
    starting = subprocess.Popen(
        [sys.executable, "-m", "testbed", "up"],
        cwd=ROOT,
        env={**os.environ, "HOSTFENCE_TESTBED": str(RUN)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    )
    deadline = time.monotonic() + 60
    while not (RUN / "nodes" / node).exists():
        assert starting.poll() is None, starting.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return starting
