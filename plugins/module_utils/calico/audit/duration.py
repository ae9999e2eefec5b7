# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long a window is: ``10m``, ``1d12h``, ``2w``, or a number of seconds."""

from __future__ import annotations

import re

from ..bad_input import BadInput

_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile("".join(rf"(?:([0-9]{{1,9}}){unit})?" for unit in _SECONDS))
_UNITS = tuple(_SECONDS.items())


def seconds(value: object, field: str) -> int:
    """A duration in seconds.

    :raises BadInput: no such duration
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    text = value.strip() if isinstance(value, str) else ""
    if re.fullmatch(r"[0-9]{1,12}", text):
        return int(text)
    match = _DURATION.fullmatch(text)
    if not text or not match:
        raise BadInput(field, value, "a duration is 10m, 1d12h or 2w (units w, d, h, m, s), or seconds")
    return sum(int(count) * size for count, (_unit, size) in zip(match.groups(), _UNITS) if count)


def in_words(duration: float) -> str:
    """A number of seconds as it would be written: ``90`` is ``1m30s``."""
    rest, found = int(duration), []
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            found.append(f"{count}{unit}")
    return "".join(found) or "0s"
