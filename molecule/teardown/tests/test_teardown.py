# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What teardown left: in the API, and on the nodes."""

from __future__ import annotations

import pytest

from testbed.api import Api
from testbed.state import run_directory

testinfra_hosts = ["ansible://nodes"]
CALICO = "/apis/crd.projectcalico.org/v1"
TIERS = {"default", "kube-admin", "kube-baseline"}


@pytest.fixture(scope="module")
def api() -> Api:
    return Api(run_directory() / "kubeconfig")


@pytest.mark.parametrize(
    ("plural", "names"),
    [
        ("hostendpoints", {"by-hand"}),
        ("globalnetworkpolicies", {"by-hand"}),
        ("stagedglobalnetworkpolicies", set()),
        ("globalnetworksets", set()),
        ("tiers", TIERS),
    ],
)
def test_only_what_others_made_is_there(host, api, plural, names):
    assert {o["metadata"]["name"] for o in api.list(f"{CALICO}/{plural}")} == names


def test_felix_configuration_stays(host, api):
    assert api.get(f"{CALICO}/felixconfigurations/default")


def test_the_definitions_stay_unless_asked(host, api):
    definitions = api.list("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    assert len([d for d in definitions if d["spec"]["group"] == "crd.projectcalico.org"]) == 9


def test_the_account_is_gone(host, api):
    accounts = api.list("/api/v1/serviceaccounts")
    assert "hostfence" not in {a["metadata"]["name"] for a in accounts}


def test_the_node_takes_a_login(host):
    assert host.check_output("hostname").startswith("node")
