# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is left after a node came and went."""

from __future__ import annotations

from testbed.api import Api
from testbed.state import run_directory

testinfra_hosts = ["ansible://nodes"]


def test_the_nodes_that_stayed_have_their_host_endpoints(host):
    heps = Api(run_directory() / "kubeconfig").list("/apis/crd.projectcalico.org/v1/hostendpoints")
    names = {h["metadata"]["name"] for h in heps}
    assert f"{host.check_output('hostname')}-hostfence" in names
    assert "node4-hostfence" not in names
