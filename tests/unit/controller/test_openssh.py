# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How OpenSSH is started: each connection new, and nothing of a node's name is an option."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.controller.openssh import (
    Done,
    Login,
    command_line,
    login_fields,
    run,
    run_here,
)


def test_our_options_stand_where_openssh_takes_them():
    line = command_line(Login("node1", "host", arguments=["-S", "/kept", "-o", "ControlPath=/kept"]), 5)
    assert line.index("ControlPath=none") < line.index("ControlPath=/kept")
    assert line[-4:] == ["-S", "none", "--", "host"]


def test_what_is_set_of_a_node_is_said_and_what_is_not_is_left_to_ssh():
    plain = Login("node1", "host")
    assert not any(part.startswith(("Port=", "User=", "IdentityFile=")) for part in command_line(plain, 5))
    whole = replace(plain, port=2222, user="admin", private_key_file="/key", executable="/opt/ssh")
    line = command_line(whole, 0.2)
    assert line[0] == "/opt/ssh"
    assert {"Port=2222", "User=admin", "IdentityFile=/key", "ConnectTimeout=1"} <= {*line}


@pytest.mark.parametrize("host", ["-oProxyCommand=id", "a b", "a\tb", "a\nb"])
def test_a_host_that_would_be_an_option_is_refused(host):
    with pytest.raises(BadInput, match=r"nodes\[0\]\.host"):
        login_fields({"node": "n", "host": host}, "nodes[0]")


def test_arguments_are_read_as_a_shell_reads_them():
    given = login_fields({"node": "n", "ssh_args": "-o 'ProxyCommand=nc %h %p' -v"}, "nodes[0]")
    assert given["arguments"] == ("-o", "ProxyCommand=nc %h %p", "-v")
    assert (given["host"], given["port"], given["executable"]) == ("n", None, "ssh")
    with pytest.raises(BadInput, match="No closing quotation"):
        login_fields({"node": "n", "ssh_args": "'"}, "nodes[0]")


@pytest.mark.parametrize(
    ("connection", "says"),
    [
        *(("ssh", ""), ("ansible.builtin.ssh", ""), ("smart", ""), ("paramiko", ""), ("", "")),
        ("local", "local"),
        ("kubernetes.core.kubectl", "would prove nothing"),
    ],
)
def test_only_ssh_is_a_login_from_outside(connection, says):
    problem = Login("n", "h", connection=connection).problem()
    assert says in problem
    assert bool(problem) == bool(says)


def test_words_of_a_command_reach_the_node_as_they_are(tmp_path):
    """OpenSSH hands one line to the node's shell."""
    fake = tmp_path / "ssh"
    fake.write_text('#!/bin/sh\nfor last; do :; done\nsh -c "$last"\n')
    fake.chmod(0o755)
    login = Login("n", "h", executable=str(fake))
    words = ["printf", "%s|", "a b", "$HOME", "'", ";id"]
    assert run(login, words, connect=1, seconds=10).output == "a b|$HOME|'|;id|"


def test_how_a_connection_ended_is_one_line():
    done = run_here([sys.executable, "-c", "import sys; sys.exit('first\\nlast ')"], seconds=10)
    assert (done.status, done.last_words) == (1, "last")
    assert Done(status=3).last_words == "it ended with 3"
    assert run_here(["/absent"], seconds=1).error == "cannot start /absent: No such file or directory"
    assert run_here(["sleep", "60"], seconds=0.2).error == "no answer in 0.2 s"


def test_what_is_given_is_read_by_the_command():
    assert run_here(["cat"], seconds=10, given="text").output == "text"
