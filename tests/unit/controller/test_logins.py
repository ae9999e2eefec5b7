# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Only a new login proves anything: against a real OpenSSH server on loopback."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import replace

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.controller.logins import (
    Target,
    Wanted,
    as_result,
    prove,
)

from tests.unit.controller.ssh_server import needs_sshd


@needs_sshd
def test_each_round_is_a_login_of_its_own(server):
    (proof,) = prove([server.target()], Wanted(rounds=3))
    assert proof.proved, proof.error
    result = as_result(proof)
    assert (result["logins"], result["reached"], result["programmed"]) == (3, True, None)
    assert result["ssh_connection"].split()[2:] == ["127.0.0.1", str(server.port)]


@needs_sshd
@pytest.mark.parametrize("way", ["option", "flag", "persist"])
def test_a_connection_that_is_kept_open_proves_nothing(server, tmp_path, way):
    kept = str(tmp_path / "kept")
    arguments = {
        "option": ["-o", "ControlMaster=auto", "-o", f"ControlPath={kept}"],
        "flag": ["-M", "-S", kept],
        "persist": ["-o", "ControlMaster=auto", "-o", "ControlPersist=300s", "-o", f"ControlPath={kept}"],
    }[way]
    plain = server.target()
    line = ["ssh", *plain.arguments, "-o", f"Port={server.port}", "-i", plain.private_key_file]
    master = subprocess.Popen([*line, "-o", f"User={plain.user}", "-M", "-S", kept, "-N", "127.0.0.1"])
    try:
        deadline = time.monotonic() + 20
        while not os.path.exists(kept) and time.monotonic() < deadline:
            time.sleep(0.1)
        server.stop_listening()
        # What Ansible would do: the kept connection still works.
        still = subprocess.run([*line, "-S", kept, "127.0.0.1", "true"], check=False, timeout=20)
        assert still.returncode == 0
        (proof,) = prove([server.target(*arguments)], Wanted(timeout=5))
    finally:
        master.kill()
        master.wait()
    assert not proof.proved
    assert "refused" in proof.error


@needs_sshd
def test_a_node_that_takes_no_login_ends_it_and_the_others_are_not_tried_to_the_end(server):
    dead = replace(server.target(), node="node2", port=1)
    first, second = prove([server.target(), dead], Wanted(rounds=50, pause=0.5, timeout=5))
    assert (first.proved, second.proved) == (False, False)
    assert first.error.startswith("not tried to the end")
    assert first.logins < 50


# Stands for OpenSSH and a node whose kernel may be read: a chain comes with the third login.
_SSH = """#!/bin/sh
number=$(cat {place}/count 2>/dev/null || echo 0); number=$((number + 1)); echo $number > {place}/count
case "$*" in *list*table*)
  printf '{chains}'; [ $number -lt 3 ] || printf '{late}'; echo hostfence-looked;; esac
printf '\\nhostfence-login 192.0.2.1 %s 100.64.0.1 22\\n' $((40000 + number))
"""


def node_with(place, chains, late=""):
    program = place / "ssh"
    program.write_text(_SSH.format(place=place, chains=chains, late=late))
    program.chmod(0o755)
    wanted = {"present": (frozenset({"cali-pi-mine", "cali-po-mine"}),), "gone": frozenset({"cali-pi-old"})}
    return Target("node1", "node1", executable=str(program), **wanted)


def test_logins_count_once_the_kernel_holds_the_policy(tmp_path):
    node = node_with(tmp_path, "cali-INPUT\\n", "cali-po-mine\\n")
    (proof,) = prove([node], Wanted(rounds=2, patience=20))
    assert (proof.programmed, proof.logins, proof.error) == (True, 2, "")
    assert (tmp_path / "count").read_text().strip() == "4"


@pytest.mark.parametrize(
    ("chains", "says"),
    [
        ("cali-INPUT\\n", "no chain cali-pi-mine in its kernel"),
        ("cali-po-mine\\ncali-pi-old\\n", "chain cali-pi-old is still in its kernel"),
    ],
)
def test_a_felix_that_does_not_follow_counts_as_failed(tmp_path, chains, says):
    (proof,) = prove([node_with(tmp_path, chains)], Wanted(patience=1))
    assert (proof.proved, proof.programmed) == (False, False)
    assert proof.error == f"Felix has not programmed it in 1 s: {says}"


def test_a_kernel_without_any_chain_of_calico_is_not_waited_for_and_proves_nothing(tmp_path):
    (proof,) = prove([node_with(tmp_path, "")], Wanted(rounds=2, patience=20))
    assert (proof.without_felix, proof.programmed, proof.logins) == (True, False, 2)


@needs_sshd
def test_the_kernel_of_this_machine_is_read(server):
    (proof,) = prove([server.target(present=(frozenset({"cali-pi-none"}),))], Wanted(patience=1))
    assert (proof.programmed, proof.without_felix) == (False, True)


@pytest.mark.parametrize(
    ("connection", "says"),
    [
        ("local", "takes no login from outside"),
        ("ansible.builtin.local", "takes no login from outside"),
        ("kubernetes.core.kubectl", "would prove nothing"),
        ("community.aws.aws_ssm", "would prove nothing"),
    ],
)
def test_a_connection_that_is_no_ssh_is_never_proved(connection, says):
    (proof,) = prove([Target("node1", "127.0.0.1", connection=connection)], Wanted())
    assert not proof.proved
    assert says in proof.error


def test_a_program_that_tells_no_session_is_not_believed(tmp_path):
    fake = tmp_path / "ssh"
    fake.write_text("#!/bin/sh\nprintf '\\nhostfence-login %s\\n' \"$FAKE\"\n")
    fake.chmod(0o755)
    (proof,) = prove([Target("node1", "node1", executable=str(fake))], Wanted())
    assert "does not say by which connection" in proof.error
    fake.write_text("#!/bin/sh\nprintf '\\nhostfence-login 192.0.2.1 4000 192.0.2.2 22\\n'\n")
    (proof,) = prove([Target("node1", "node1", executable=str(fake))], Wanted(rounds=2))
    assert "the connection from 192.0.2.1 4000 was kept open" in proof.error
