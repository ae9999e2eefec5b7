# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the testbed fails: in one line."""

from __future__ import annotations


class TestbedError(Exception):
    """A failure the user can act on; its text is the one line that is printed.

    :param status: exit code of the command
    """

    # pytest would otherwise take the name for a class of tests.
    __test__ = False

    def __init__(self, message: str, status: int = 1) -> None:
        self.status = status
        super().__init__(message)
