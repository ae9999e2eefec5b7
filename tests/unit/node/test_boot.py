# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A start of the machine has a number of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.node import boot
from ansible_collections.hostfence.calico.plugins.module_utils.node.boot import boot_id


def test_it_is_the_kernels_and_stays_until_the_next_start() -> None:
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", boot_id())
    assert boot_id() == boot_id()


def test_a_kernel_that_does_not_say_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot, "Path", lambda _path: tmp_path / "absent")
    assert boot_id() == ""
