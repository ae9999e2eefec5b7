# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The fixture the other integration tests stand on."""

from __future__ import annotations

import pytest
import urllib3

from testbed.api import Api, ApiError


def test_a_reset_leaves_what_an_installation_leaves(clean_api):
    clean_api.add_nodes(3)
    clean_api.create("HostEndpoint", "one", {"node": "sim-0001", "interfaceName": "*"})
    clean_api.admin.delete(clean_api.stored_kinds["ClusterInformation"].path)
    felix = clean_api.path("FelixConfiguration", "default")
    clean_api.admin.patch(felix, {"spec": {"failsafeInboundHostPorts": []}})

    clean_api.reset()

    assert clean_api.admin.list("/api/v1/nodes") == []
    assert clean_api.admin.list(clean_api.path("HostEndpoint")) == []
    information = clean_api.admin.get(clean_api.path("ClusterInformation", "default"))
    assert information["spec"]["datastoreReady"] is True
    assert "failsafeInboundHostPorts" not in clean_api.admin.get(felix)["spec"]


@pytest.mark.one_flavour
def test_another_user_may_do_nothing(clean_api):
    stranger = Api(clean_api.control_plane.client_kubeconfig("stranger"))

    with pytest.raises(ApiError) as refused:
        stranger.list("/api/v1/nodes")

    assert refused.value.status == 403


@pytest.mark.one_flavour
def test_a_killed_server_comes_back_with_its_data(clean_api):
    names = clean_api.add_nodes(2)

    clean_api.kill()
    with pytest.raises(urllib3.exceptions.HTTPError):
        clean_api.admin.list("/api/v1/nodes")
    clean_api.restart()

    assert [node["metadata"]["name"] for node in clean_api.admin.list("/api/v1/nodes")] == names
