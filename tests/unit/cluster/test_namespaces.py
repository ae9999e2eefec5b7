# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A namespace with others' things in it is not removed."""

from __future__ import annotations

from ansible_collections.hostfence.calico.plugins.module_utils.cluster.namespaces import inhabitants

from tests.unit.cluster.answers import Answers, named

HERE = "/api/v1/namespaces/agents"


def test_what_kubernetes_put_there_and_what_goes_too_does_not_count() -> None:
    held = {
        f"{HERE}/serviceaccounts": [named("default"), named("ours"), named("theirs")],
        f"{HERE}/configmaps": [named("kube-root-ca.crt"), named("default")],
        f"{HERE}/pods": [named("ours")],
    }
    found = inhabitants(Answers(held), "agents", lambda obj: obj["metadata"]["name"] == "ours")
    assert found == ["serviceaccounts/theirs", "configmaps/default"]


def test_an_empty_one_has_none() -> None:
    assert inhabitants(Answers({}), "agents", lambda _obj: False) == []
