# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Signals that a test sends have to be heeded by what it starts."""

from __future__ import annotations

import signal


def heed_signals() -> None:
    """A job in the background of a shell, or under nohup, starts with these ignored, and so would what it
    starts.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
