# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Objects as Felix holds them, and what of them did not come through."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.model import (
    MISSING,
    SKIPPED,
    STALE,
    Misreading,
    Ports,
    Reference,
    Store,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.reader import read

from tests.unit import builders
from tests.unit.calico.stored.objects import gnp, policy


def test_an_object_is_named_by_kind_namespace_and_name() -> None:
    assert str(Reference("Tier", "t")) == "Tier t"
    assert str(Reference("NetworkPolicy", "p", "ns", stored_name="default.p")) == "NetworkPolicy ns/p"


def test_a_list_of_ports_that_was_not_given_is_empty() -> None:
    assert [bool(ports) for ports in (Ports(), Ports(((1, 2),)), Ports((), ("web",)))] == [False, True, True]


@pytest.mark.parametrize(
    ("spec", "bound"),
    [
        ({"selector": "has(a)"}, False),
        ({"namespaceSelector": "has(a)"}, True),
        ({"serviceAccountSelector": "has(a)"}, True),
    ],
)
def test_a_policy_of_namespaces_or_accounts_is_bound_to_pods(spec: dict[str, str], bound: bool) -> None:
    assert policy(gnp(**spec)).bound_to_pods is bound


def test_a_host_endpoint_is_named_as_its_object() -> None:
    (found,) = read([builders.host_endpoint("h", node="n")]).host_endpoints
    assert found.name == "h"


def test_misreadings_are_told_apart_by_how_far_they_reach() -> None:
    ref = Reference("Tier", "t")
    store = Store()
    for field, effect in (("kind", MISSING), ("spec.a", SKIPPED), ("spec.b", STALE), ("spec.c", MISSING)):
        store.misreadings.append((ref, Misreading(field, 1, effect, "why")))
    assert [found.field for _ref, found in store.stale()] == ["spec.b"]
    assert [found.field for _ref, found in store.unknown_kinds()] == ["kind"]
