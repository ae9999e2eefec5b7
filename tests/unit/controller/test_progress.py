# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Long work says how far it is, and a playbook shows it."""

from __future__ import annotations

import threading

from ansible_collections.hostfence.calico.plugins.module_utils.controller import progress
from ansible_collections.hostfence.calico.plugins.plugin_utils.progress import shown


def test_the_file_says_how_far_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_EVERY_SECONDS", 0)
    told = progress.Progress(str(tmp_path / "file"), "logins", 3)
    told.step()
    told.step()
    assert (tmp_path / "file").read_text() == "2 of 3 logins"


def test_it_is_written_now_and_then_only(tmp_path):
    told = progress.Progress(str(tmp_path / "file"), "HostEndpoints", 5000)
    for _each in range(5000):
        told.step()
    assert (tmp_path / "file").read_text() == "1 of 5000 HostEndpoints"


def test_a_line_as_it_is(tmp_path):
    line = progress.Line(str(tmp_path / "file"))
    line.show("1 of 3 nodes have an active HostEndpoint")
    line.show("2 of 3 nodes have an active HostEndpoint")
    assert (tmp_path / "file").read_text() == "1 of 3 nodes have an active HostEndpoint"


def test_a_file_that_cannot_be_written_ends_nothing(tmp_path):
    told = progress.Progress(str(tmp_path / "absent" / "file"), "logins", 3)
    told.step()
    told.step()
    progress.Progress(None, "logins", 3).step()


def test_a_line_is_shown_once_for_as_long_as_it_stays():
    lines: list[str] = []
    seen = threading.Event()

    def show(line: str) -> None:
        lines.append(line)
        seen.set()

    with shown(show, 0.01) as path:
        for text in ("1 of 3 logins", "2 of 3 logins"):
            path.with_suffix(".new").write_text(text)
            path.with_suffix(".new").replace(path)
            assert seen.wait(10)
            seen.clear()
    assert lines == ["  1 of 3 logins", "  2 of 3 logins"]
    assert not path.exists()
