# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A program that outlives the login, and who ends it."""

from __future__ import annotations

import json
import re
import shutil
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.node import start_program
from ansible_collections.hostfence.calico.plugins.module_utils.node.lifeline import note

NAME = "hostfence-lifeline"
# It shows what it was given, and ends.
PROGRAM = """
import sys
print(open(sys.argv[1]).read(), flush=True)
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(start_program, "DIRECTORY", str(tmp_path / "run"))
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    return tmp_path / "run"


def printed(log: Path) -> dict[str, Any]:
    for _attempt in range(200):
        if log.exists() and log.read_text().endswith("\n"):
            found: dict[str, Any] = json.loads(log.read_text())
            return found
        time.sleep(0.05)
    raise AssertionError("the program printed nothing")


def test_it_runs_with_its_options_which_nobody_else_can_read(directory: Path) -> None:
    given = {"name": NAME, "program": PROGRAM, "options": {"token": "secret"}}
    assert start_program.start(given) == {"mode": "session"}
    files = {end: directory / f"{NAME}.{end}" for end in ("py", "json", "log")}
    assert printed(files["log"]) == {
        "token": "secret",
        "acted": str(directory / f"{NAME}.acted"),
        "remove": [str(files[end]) for end in ("py", "json", "log")],
    }
    assert {stat.S_IMODE(files[end].stat().st_mode) for end in ("py", "json")} == {0o600}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_where_systemd_runs_it_is_a_unit_without_a_secret_in_its_command_line(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(start_program.os.path, "isdir", lambda _path: True)
    monkeypatch.setattr(start_program.subprocess, "run", lambda command, **_more: ran.append(command))
    directory.mkdir()
    given = {"name": NAME, "program": PROGRAM, "options": {"token": "secret"}}
    assert start_program.start(given) == {"mode": "systemd"}
    [command] = ran
    assert command[0] == "systemd-run"
    assert command[-3:] == [sys.executable, f"{directory}/{NAME}.py", f"{directory}/{NAME}.json"]
    assert "secret" not in " ".join(command)


def test_ending_it_takes_its_options(directory: Path) -> None:
    directory.mkdir()
    (directory / f"{NAME}.json").write_text("{}")
    assert start_program.stop(NAME) == {"acted": ""}
    assert list(directory.iterdir()) == []


def test_whoever_ends_it_learns_once_that_it_acted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_program, "DIRECTORY", str(tmp_path))
    assert start_program.stop("hostfence-lifeline") == {"acted": ""}
    note(str(tmp_path / "hostfence-lifeline.acted"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", start_program.stop("hostfence-lifeline")["acted"])
    assert start_program.stop("hostfence-lifeline") == {"acted": ""}
