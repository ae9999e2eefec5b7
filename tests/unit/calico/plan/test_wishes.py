# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What may be wished."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.wishes import AccessWish


@pytest.mark.parametrize("namespace", ["a", "host-fence", "0", "a" * 63])
@pytest.mark.parametrize("account", ["a", "a.b", "host-fence", "a" * 253])
def test_a_service_account_is_named_as_the_api_takes_it(namespace: str, account: str) -> None:
    assert AccessWish(namespace, account, []).user == f"system:serviceaccount:{namespace}:{account}"


@pytest.mark.parametrize("namespace", ["", "A", "a.b", "-a", "a-", "a" * 64, "a\n", "a b"])
def test_a_namespace_that_the_api_would_refuse(namespace: str) -> None:
    with pytest.raises(BadInput) as refused:
        AccessWish(namespace, "a", [])
    assert refused.value.field == "access_namespace"


@pytest.mark.parametrize("account", ["", "A", "a..b", ".a", "a.", "a.-b", "a" * 254, "a\n", "a_b"])
def test_an_account_that_the_api_would_refuse(account: str) -> None:
    with pytest.raises(BadInput) as refused:
        AccessWish("a", account, [])
    assert refused.value.field == "access_service_account"
