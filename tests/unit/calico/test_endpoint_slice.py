# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which service an EndpointSlice belongs to."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.endpoint_slice import service_of

from tests.unit import builders


def test_its_label_says_it_and_not_its_name() -> None:
    made = builders.endpoint_slice("kubernetes", "10.0.0.1", port=443)
    made["metadata"]["name"] = "calico-typha-abcde"
    assert service_of(made) == "kubernetes"


@pytest.mark.parametrize(
    "item",
    [{}, {"metadata": None}, {"metadata": {}}, {"metadata": {"labels": None}}, {"metadata": {"labels": []}}],
)
def test_one_without_labels_belongs_to_none(item: dict[str, Any]) -> None:
    assert service_of(item) == ""
