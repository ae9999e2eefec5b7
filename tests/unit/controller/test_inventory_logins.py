# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How hosts of an inventory are logged in to."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.controller.inventory_logins import logins_of

DEFAULTS = {"ssh_args": "-C", "ssh_common_args": "", "ssh_extra_args": "", "remote_user": "admin"}
BARE = {
    "node": "w1",
    "host": "w1",
    "port": 0,
    "user": "admin",
    "private_key_file": "",
    "connection": "ssh",
    "executable": "ssh",
    "ssh_args": "-C",
}


def test_what_no_variable_says_is_as_configured():
    assert logins_of(["w1"], {"w1": {}}, DEFAULTS) == [BARE]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"failsafes_node": "worker-1"}, {"node": "worker-1"}),
        ({"ansible_host": "192.0.2.1", "ansible_ssh_host": "192.0.2.2"}, {"host": "192.0.2.1"}),
        ({"ansible_ssh_host": "192.0.2.2"}, {"host": "192.0.2.2"}),
        ({"ansible_port": "2222"}, {"port": 2222}),
        ({"ansible_ssh_user": "root"}, {"user": "root"}),
        ({"ansible_private_key_file": "/k"}, {"private_key_file": "/k"}),
        ({"ansible_ssh_common_args": "-J jump", "ansible_ssh_args": ""}, {"ssh_args": "-J jump"}),
        ({"ansible_connection": "local"}, {"connection": "local"}),
    ],
)
def test_what_a_hosts_variables_say_counts(given, said):
    assert logins_of(["w1"], {"w1": given}, DEFAULTS) == [{**BARE, **said}]


@pytest.mark.parametrize(
    ("given", "python", "become"),
    [
        ({}, "python3", False),
        ({"ansible_python_interpreter": "auto_silent", "ansible_become": "yes"}, "python3", True),
        (
            {"ansible_python_interpreter": "/opt/python", "ansible_become": True},
            "/opt/python",
            True,
        ),
    ],
)
def test_programs_need_an_interpreter_and_a_user(given, python, become):
    [login] = logins_of(["w1"], {"w1": given}, DEFAULTS, programs=True)
    assert (login["python"], login["become"]) == (python, become)
