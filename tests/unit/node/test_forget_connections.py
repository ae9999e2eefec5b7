# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which connections a kernel is made to forget; with a real kernel where one may be had."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.node import forget_connections
from ansible_collections.hostfence.calico.plugins.module_utils.node.forget_connections import wanted

HOST, PEER, POD, SERVICE = "10.0.0.1", "10.0.0.2", "10.244.1.5", "10.96.0.1"

# In a network of its own: a connection, and then what the kernel knows of it.
_TRY = """
import json, socket, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
# Without a rule that asks for it, the kernel tracks nothing.
subprocess.run(["nft", "add table t; add chain t c { type filter hook input priority 0; }; "
                "add rule t c ct state established accept"], check=True)
server = socket.create_server(("127.0.0.1", 7777))
client = socket.create_connection(("127.0.0.1", 7777))
accepted, _ = server.accept()
open("/proc/self/comm", "w").write(sys.argv[2])
program = compile(open(sys.argv[1]).read(), "program", "exec")
def run(**parameters):
    from contextlib import redirect_stdout
    from io import StringIO
    with redirect_stdout(StringIO()) as said:
        exec(program, {"__name__": "__main__", "PARAMETERS": parameters})
    return json.loads(said.getvalue())
found = [run(dry=dry, spare_felix=spare) for dry, spare in json.loads(sys.argv[3])]
client.send(b"x")
print(json.dumps([found, accepted.recv(1).decode()]))
"""


def in_a_network_of_its_own(name: str, runs: list[tuple[bool, bool]]) -> tuple[list[dict[str, object]], str]:
    program = str(Path(forget_connections.__file__))
    command = ["unshare", "--net", sys.executable, "-c", _TRY, program, name, json.dumps(runs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    found, arrived = json.loads(done.stdout)
    return found, arrived


needs_network = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("nft") or not shutil.which("unshare"),
    reason="a network of its own takes root and nft",
)


@needs_network
def test_the_kernel_forgets_and_takes_up_what_goes_on() -> None:
    (looked, done, again), arrived = in_a_network_of_its_own(
        "python", [(True, False), (False, False), (False, False)]
    )
    assert (looked["forgotten"], done["forgotten"], again["forgotten"]) == (1, 1, 0)
    assert arrived == "x"


@needs_network
def test_connections_of_felix_are_spared() -> None:
    (done,), _arrived = in_a_network_of_its_own("calico-felix", [(False, True)])
    assert (done["forgotten"], done["problem"]) == (0, "")


@needs_network
def test_without_a_felix_to_spare_nothing_is_forgotten() -> None:
    (done,), _arrived = in_a_network_of_its_own("python", [(False, True)])
    assert done["forgotten"] == 0
    assert "no process of Felix's" in str(done["problem"])


@pytest.mark.parametrize(
    ("original", "reply", "goes"),
    [
        (((PEER, 4000), (HOST, 22)), ((HOST, 22), (PEER, 4000)), True),
        (((HOST, 4000), (PEER, 6443)), ((PEER, 6443), (HOST, 4000)), True),
        (((HOST, 4000), (SERVICE, 443)), ((PEER, 6443), (HOST, 4000)), True),
        # A NodePort, and a pod behind the node's address: their translation would be lost.
        (((PEER, 4000), (HOST, 30001)), ((POD, 8080), (PEER, 4000)), False),
        (((POD, 4000), (PEER, 443)), ((PEER, 443), (HOST, 4000)), False),
        # Felix's own.
        (((HOST, 5000), (PEER, 5473)), ((PEER, 5473), (HOST, 5000)), False),
    ],
)
def test_what_ends_at_the_host_goes(original: object, reply: object, goes: bool) -> None:
    spared = {((HOST, 5000), (PEER, 5473))}
    assert wanted(original, reply, {HOST}, spared) is goes  # type: ignore[arg-type]
