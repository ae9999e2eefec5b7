# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Start a program on this node that outlives the login and leaves nothing behind, or ask it to end.

One file, standard library only, Python 3.9: sent over SSH, with ``PARAMETERS``: ``name``, ``program``,
``options``, or ``stop``: the name of the one whose options are to go; it returns what that one noted. A token
goes into a file of mode 0600 on tmpfs, never into a command line.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from typing import Any, Optional

DIRECTORY = "/run/hostfence"


def start(parameters: dict[str, Any]) -> dict[str, Any]:
    """:returns: ``mode``: by what it was started"""
    os.makedirs(DIRECTORY, mode=0o700, exist_ok=True)
    name = parameters["name"]
    program, options, log_file = (os.path.join(DIRECTORY, f"{name}.{end}") for end in ("py", "json", "log"))
    _write(program, parameters["program"])
    given = {**parameters["options"], "acted": _noted(name), "remove": [program, options, log_file]}
    _write(options, json.dumps(given))
    command = [sys.executable, program, options]
    if os.path.isdir("/run/systemd/system") and shutil.which("systemd-run"):
        unit = ["systemd-run", "--quiet", "--collect", f"--unit={name}", "--property=Restart=on-failure"]
        subprocess.run([*unit, *command], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return {"mode": "systemd"}
    with open(log_file, "ab") as log:
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )
    return {"mode": "session"}


def stop(name: str) -> dict[str, Any]:
    """A program that watches its own options ends when they are gone.

    :returns: ``acted``: when it acted, where it noted that; nobody is told a second time
    """
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(DIRECTORY, f"{name}.json"))
    try:
        with open(_noted(name), encoding="ascii") as file:
            acted = file.read()
        os.unlink(_noted(name))
    except OSError:
        acted = ""
    return {"acted": acted}


def _noted(name: str) -> str:
    return os.path.join(DIRECTORY, f"{name}.acted")


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)


PARAMETERS: Optional[dict[str, Any]] = globals().get("PARAMETERS")
if PARAMETERS is not None:
    sys.stdout.write(json.dumps(stop(PARAMETERS["stop"]) if "stop" in PARAMETERS else start(PARAMETERS)))
