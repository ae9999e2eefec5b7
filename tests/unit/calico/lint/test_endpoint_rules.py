# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules about host endpoints: each fires on its trap, and is silent on what is none."""

from __future__ import annotations

import pytest

from tests.unit.builders import Object
from tests.unit.calico.lint.objects import Case, gnp, hep, ids_of, rules_found, staged

CASES: list[Case] = [
    ("wildcard-collision", [hep("a"), hep("b")], [hep("a"), hep("b", node="n2")]),
    ("wildcard-collision", [hep("a"), hep("b")], [hep("a"), hep("b", interfaceName="eth0")]),
    (
        "interface-collision",
        [hep("a", interfaceName="eth0"), hep("b", interfaceName="eth0")],
        [hep("a"), hep("b")],
    ),
    ("endpoint-without-profile", [hep(profiles=None)], [hep()]),
    ("endpoint-profile-missing", [hep(profiles=["gone"])], [hep(profiles=["kns.default"])]),
    ("endpoint-unselected", [hep(), gnp(selector="role == 'web'")], [hep(), gnp()]),
    ("endpoint-unselected", [hep(), staged()], [hep(), staged(), gnp()]),
]


@pytest.mark.parametrize(("name", "fires", "silent"), CASES, ids=ids_of(CASES))
def test_rule(name: str, fires: list[Object], silent: list[Object]) -> None:
    assert name in rules_found(fires)
    assert name not in rules_found(silent)
