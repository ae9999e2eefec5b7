# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fields that only Calico's commercial editions have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.commercial import is_commercial
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.known_fields import SPEC_FIELDS


@pytest.mark.parametrize(
    "field", ["domains", "egressGateway", "dnsTrustedServers", "flowLogsFileEnabled", "l7LogsFlushInterval"]
)
def test_a_field_of_the_commercial_editions(field: str) -> None:
    # Some of them begin like fields of the open edition.
    assert is_commercial(field)


def fields_of(fields: Mapping[str, object]) -> Iterator[str]:
    for name, inner in fields.items():
        yield name
        if isinstance(inner, Mapping):
            yield from fields_of(inner)


def test_policies_and_endpoints_of_the_open_edition_have_none_of_them() -> None:
    kinds = [kind for kind in SPEC_FIELDS if kind != "FelixConfiguration"]
    assert [name for kind in kinds for name in fields_of(SPEC_FIELDS[kind]) if is_commercial(name)] == []
