# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Programs on nodes, each over a connection of its own, on a real OpenSSH server."""

from __future__ import annotations

import sys

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.controller.node_programs import logins, run_on

from tests.unit.controller.ssh_server import needs_sshd


@needs_sshd
def test_a_program_runs_on_a_node_and_nothing_of_it_is_in_a_list_of_processes(server):
    given = server.node("node1", sys.executable)
    program = "import json; print(json.dumps({'own': open('/proc/self/cmdline').read(), **PARAMETERS}))"
    answer = run_on(logins([given]).values(), program, lambda node: {"secret": f"of {node}"})["node1"]
    assert answer.document["secret"] == "of node1", answer.error
    assert "secret" not in answer.document["own"]
    broken = run_on(logins([given]).values(), "raise SystemExit('no kernel')", lambda _node: {})["node1"]
    assert broken.error == "node1: SSH to 127.0.0.1: no kernel"


def test_programs_run_here_where_this_machine_is_the_node():
    local = logins([{"node": "node1", "connection": "local", "python": sys.executable}])
    (answer,) = run_on(local.values(), "print('[1]')", lambda _node: {}).values()
    assert (answer.document, answer.error) == ([1], "")


def test_no_program_runs_over_what_is_no_ssh():
    pod = logins([{"node": "node1", "connection": "kubernetes.core.kubectl"}])
    (answer,) = run_on(pod.values(), "", lambda _node: {}).values()
    assert "a login by SSH would prove nothing" in answer.error


def test_what_prints_no_document_is_said():
    local = logins([{"node": "node1", "connection": "local", "python": sys.executable}])
    for program, says in (("print('no json')", "no JSON but 'no json"), ("", "no JSON but ''")):
        (answer,) = run_on(local.values(), program, lambda _node: {}).values()
        assert says in answer.error


def test_a_program_that_does_not_end_is_ended():
    local = logins([{"node": "node1", "connection": "local", "python": sys.executable}])
    waits = "import time; time.sleep(60)"
    (answer,) = run_on(local.values(), waits, lambda _node: {}, seconds=0.5).values()
    assert answer.error == "node1: no answer in 0.5 s"


def test_without_nodes_nothing_runs():
    assert run_on([], "raise SystemExit(1)", lambda _node: {}) == {}


def test_where_root_is_needed_sudo_asks_for_no_password():
    [login] = logins([{"node": "n", "become": True, "python": "/usr/bin/python3"}]).values()
    assert login.command[:4] == ["sudo", "-n", "/usr/bin/python3", "-c"]


def test_a_login_that_cannot_be_used_is_named_by_its_place():
    with pytest.raises(BadInput, match=r"nodes\[1\]\.host"):
        logins([{"node": "a"}, {"node": "b", "host": "-oProxyCommand=x"}])
