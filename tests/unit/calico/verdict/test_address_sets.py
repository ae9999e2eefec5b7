# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which addresses selectors, named ports and services stand for, and what is not known of them."""

from __future__ import annotations

from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.reader import read
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.address_sets import AddressSets
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.rule_match import match_rule

from tests.unit.calico.verdict.matched import PODS, WORLD, matches, packet, rules_of


def test_labels_of_pods_that_nobody_described_are_unknown() -> None:
    world = [*WORLD, *PODS]
    web = {"source": {"selector": "app == 'web'"}}
    assert matches(web, packet(source="10.244.0.5"), world=world) is True
    assert matches(web, packet(source="10.244.0.6"), world=world) is None
    assert matches(web, packet(source="10.243.0.6"), world=world) is False
    assert (
        matches({"source": {"notSelector": "app == 'web'"}}, packet(source="10.244.0.6"), world=world) is None
    )
    env = {"source": {"namespaceSelector": "env == 'prod'"}}
    assert matches(env, packet(source="10.244.0.5"), world=world) is None
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "ns", "labels": {"env": "prod"}},
    }
    assert matches(env, packet(source="10.244.0.5"), world=[*world, namespace]) is True


def test_where_all_pods_are_known_nothing_is_unknown() -> None:
    store = read([*WORLD, *PODS])
    (rule,) = rules_of({"source": {"selector": "app == 'web'"}})
    assert match_rule(rule, packet(source="10.244.0.6"), AddressSets(store, complete=True)) is False
