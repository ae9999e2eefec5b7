# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An API as far as logic needs one: what is asked of a real one, tests/integration shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Optional

from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import ApiError, Cluster
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.flavour import (
    PLURALS,
    Flavour,
    FlavourKind,
)

from tests.unit.builders import Object

V3_NATIVE = Flavour(FlavourKind.V3_NATIVE, "projectcalico.org", "v3", frozenset(PLURALS))
CALICO = "/apis/projectcalico.org/v3"


class Answers(Cluster):
    """Answers with what it holds by path, lists with lists, and counts what it is asked.

    :param refused: paths that this user may not read
    """

    def __init__(self, held: dict[str, Any], refused: tuple[str, ...] = ()) -> None:
        self.held = held
        self.refused = refused
        self.asked: Counter[str] = Counter()

    @property
    def host(self) -> str:
        return "https://127.0.0.1:6443"

    def _answer(self, path: str) -> Any:
        self.asked[path] += 1
        if path in self.refused:
            raise ApiError(403, "Forbidden", "this user may not", "GET", path)
        return self.held.get(path)

    def list(self, path: str, **_selectors: str) -> Iterator[Object]:
        return iter(self._answer(path) or ())

    def get(self, path: str) -> Object:
        found: Optional[Object] = self._answer(path)
        if found is None:
            raise ApiError(404, "NotFound", "there is none", "GET", path)
        return found


def named(name: str, **more: Any) -> Object:
    return {"metadata": {"name": name}, **more}
