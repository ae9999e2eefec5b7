# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Selectors of peers: the narrowest that their labels allow, of the fewest labels."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.address import parse_net
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.labelled import Labelled
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.reader import read

from tests.unit import builders


def hep(number: int, **labels: str):
    given = {"managed": "yes", "arch": "amd64", "host": f"n{number}", **labels}
    name = f"n{number}"
    return builders.host_endpoint(name, node=name, labels=given, expectedIPs=[f"10.0.0.{number}"])


OBJECTS = [
    hep(1, role="master", zone="a"),
    hep(2, role="master", zone="b"),
    hep(3, role="worker", zone="a"),
    hep(4, role="worker", zone="a"),
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "p",
            "namespace": "shop",
            "labels": {"app": "x' || all() || 'x", "pod-template-hash": "1"},
        },
        "spec": {"nodeName": "n1"},
        "status": {"podIPs": [{"ip": "10.244.0.9"}]},
    },
    builders.network_set("office", labels={"site": "office"}, nets=["192.0.2.0/24"]),
]


@pytest.mark.parametrize(
    ("peers", "selector"),
    [
        (["10.0.0.1", "10.0.0.2"], "role == 'master'"),
        (["10.0.0.3", "10.0.0.4"], "role == 'worker'"),
        (["10.0.0.1", "10.0.0.3"], "zone == 'a'"),
        (["10.0.0.2", "10.0.0.3"], "arch == 'amd64'"),
        (["10.0.0.1"], "host == 'n1'"),
        # Neither by what would end the selector's text, nor by what the next roll-out changes.
        (["10.244.0.9"], "projectcalico.org/namespace == 'shop'"),
        (["192.0.2.7", "192.0.2.9"], "site == 'office'"),
        (["10.0.0.1", "192.0.2.9"], ""),
        (["10.0.0.1", "198.51.100.1"], ""),
        ([], ""),
    ],
)
def test_the_narrowest_selector_of_the_fewest_labels(peers, selector):
    nets = [net for net in map(parse_net, peers) if net]

    assert Labelled(read(OBJECTS, native_v3=False)).selector(nets) == selector
