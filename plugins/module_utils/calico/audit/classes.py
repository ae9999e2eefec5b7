# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Addresses that no object tells apart: a verdict for one of them holds for all.

Objects name finitely many nets. Their borders cut the addresses into stretches, and every net holds a stretch
whole or not at all. So a million clients are judged once for each stretch and port, not a million times.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..address import BITS, Address, parse_net

_LIKE_A_NET = re.compile(r"[0-9a-fA-F:.]{2,45}(/\d{1,3})?\Z")
_IN_FAILSAFES = re.compile(r"(?:^|[,:\s\[])([0-9a-fA-F:.]{2,45}/\d{1,3})")
# Those that Felix knows by itself.
_ALWAYS = ("0.0.0.0/32", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255", "::1", "fe80::/10", "ff00::/8")


class AddressClasses:
    """The stretches that a set of objects leaves.

    :param objects: all that verdicts rest on
    :param environment: of Felix, in which failsafes are written as ``tcp:10.0.0.0/8:22``
    """

    def __init__(self, objects: Iterable[Mapping[str, Any]], environment: Mapping[str, str]) -> None:
        borders: dict[int, set[int]] = {4: {0}, 6: {0}}
        failsafes = (net for value in environment.values() for net in _IN_FAILSAFES.findall(value))
        for text in (*_ALWAYS, *failsafes, *(text for item in objects for text in strings(item))):
            net = parse_net(text) if _LIKE_A_NET.match(text) else None
            if net:
                borders[net.version].add(net.number)
                borders[net.version].add(net.number + (1 << BITS[net.version] - net.prefix))
        self._borders = {version: sorted(found) for version, found in borders.items()}

    def of(self, address: Address) -> tuple[int, int]:
        """A key that two addresses share only if no object tells them apart."""
        return address.version, bisect_right(self._borders[address.version], address.number)

    def split(self, address: Address, bits: int) -> bool:
        """Whether objects tell apart the addresses of the net that has this prefix length."""
        shift = BITS[address.version] - bits
        first = address.number >> shift << shift
        last = first + (1 << shift) - 1
        return self.of(Address(address.version, first)) != self.of(Address(address.version, last))


def strings(value: object) -> Iterator[str]:
    """Every text in a decoded object."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from strings(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from strings(part)
