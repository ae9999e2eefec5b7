# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A Python that has imported what modules import from others, and forks for each program it is given.

Importing the kubernetes package takes longer than most modules work, and the tests run some two thousand.
What is run is what would be: the same file or module, in a process of its own, with the caller's arguments,
environment, directory and standard streams. What Ansible packs with a module is imported for its first run,
and from there those fork that have just the same packed; likewise ansible-playbook and ansible-inventory,
each for one configuration.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import fcntl
import functools
import gc
import hashlib
import importlib
import marshal
import os
import re
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zipimport
from pathlib import Path
from typing import Any, NoReturn

# Ansible's configuration lies here.
ROOT = Path(__file__).resolve().parent.parent.parent
SOCKET = "HOSTFENCE_WARM_PYTHON"

_compile_source = zipimport._compile_source


@functools.cache
def address() -> str:
    """Path of the socket of a warm Python: of tests/run's, or of one that ends with this process."""
    if SOCKET in os.environ:
        return os.environ[SOCKET]
    # What is in this directory nobody else can reach.
    path = os.path.join(tempfile.mkdtemp(prefix="hostfence-warm-"), "socket")
    # Its standard input is never written to: it ends when nobody holds the other end any more.
    serving = subprocess.Popen(
        [sys.executable, __file__, path], cwd=ROOT, stdin=subprocess.PIPE, process_group=0
    )
    while not os.path.exists(path):
        assert serving.poll() is None, "the warm Python did not start"
        time.sleep(0.01)
    return path


def _serve(listening: socket.socket, prepared: bytes = b"") -> None:
    """Answer until standard input ends.

    :param prepared: for whom something has been imported beforehand, if only those are served who are alike
    """
    # Nobody waits for those who answer.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        ready, _none, _none = select.select([listening, 0], [], [])
        if 0 in ready:
            return
        connection, _none = listening.accept()
        if os.fork():
            connection.close()
            continue
        listening.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            _answer(connection, prepared)
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(1)


def _answer(connection: socket.socket, prepared: bytes) -> NoReturn:
    """Run what is asked for, tell its exit status, and end it if nobody wants to know any more."""
    wanted, streams = _receive(connection)
    assert prepared in (b"", wanted.get("alike")), "two programs that differ have one checksum"
    if wanted.get("alike") and _is_first(wanted):
        _prepare(wanted, [connection.fileno(), *streams])
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    _end_with(connection)
    status = _status_of(wanted)
    fcntl.fcntl(connection, fcntl.F_SETFL, 0)
    connection.sendall(b"%d" % status)
    os._exit(0)


def _end_with(connection: socket.socket) -> None:
    """Have this process ended (by SIGIO) as soon as nobody is at the other end any more."""
    fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(connection, fcntl.F_SETFL, os.O_ASYNC)
    # It may have been so before.
    if select.select([connection], [], [], 0)[0]:
        os._exit(1)


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    size, streams, _flags, _address = socket.recv_fds(connection, 8, 3)
    missing = int.from_bytes(size, "big")
    message = bytearray()
    while len(message) < missing:
        message += connection.recv(missing - len(message))
    wanted: dict[str, Any] = marshal.loads(message)
    return wanted, streams


def _is_first(wanted: dict[str, Any]) -> bool:
    """Whether nobody has begun yet to import what this program needs."""
    try:
        Path(wanted["prepared"] + ".begun").open("xb").close()
    except FileExistsError:
        return False
    return True


def _prepare(wanted: dict[str, Any], streams: list[int]) -> None:
    """Import what a program needs; a process that has done so stays, for those who need just the same."""
    try:
        if "program" in wanted:
            _import_packed(wanted)
        else:
            _take_over(wanted)
            for module in wanted["imported"].split(","):
                importlib.import_module(module)
    except Exception:
        # The program itself will tell.
        traceback.print_exc()
        return
    listening = _listen(wanted["prepared"])
    gc.freeze()
    if os.fork():
        for stream in streams:
            os.close(stream)
        _serve(listening, wanted["alike"])
        os._exit(0)
    listening.close()


def _import_packed(wanted: dict[str, Any]) -> None:
    """Import what a module imports, from what is packed with it."""
    packed = Path(wanted["prepared"] + ".zip")
    packed.write_bytes(base64.b64decode(wanted["alike"]))
    sys.path[0] = str(packed)
    importlib.import_module("ansible.module_utils._internal._ansiballz._loader")
    named = re.search(rb"module_fqn='([\w.]+)'", wanted["program"])
    if named:
        # Itself it is run, each time anew.
        importlib.import_module(named[1].decode())
        del sys.modules[named[1].decode()]


def _status_of(wanted: dict[str, Any]) -> int:
    """Run what is wanted; its exit status.

    Ended as Python ends, but what was imported is not taken apart: that takes longer than most modules work.
    """
    status: object = 0
    try:
        _become(wanted)
    except SystemExit as ended:
        status = ended.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    if not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def _take_over(wanted: dict[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(wanted["environment"])
    os.chdir(wanted["directory"])


def _become(wanted: dict[str, Any]) -> None:
    _take_over(wanted)
    if "program" in wanted:
        sys.path[0], sys.argv = "", [""]
        exec(compile(wanted["program"], "<stdin>", "exec"), {"__name__": "__main__"})
        return
    first, *rest = wanted["arguments"]
    if first == "-m":
        sys.path[0] = wanted["directory"]
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = os.path.dirname(first)
        sys.argv = [first, *rest]
        runpy.run_path(first, run_name="__main__")


def _compiled_before(directory: Path, path: str, source: bytes) -> Any:
    """Stands for what compiles a packed module's text, as Ansible packs no byte code.

    :param directory: keeps what was compiled, by its text
    """
    kept = directory / hashlib.sha256(source).hexdigest()
    with contextlib.suppress(FileNotFoundError):
        return marshal.loads(kept.read_bytes())
    code = _compile_source(path, source)
    # Others may be at it in this moment.
    written = kept.with_suffix(f".{os.getpid()}")
    written.write_bytes(marshal.dumps(code))
    written.rename(kept)
    return code


def _listen(path: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path + ".new")
    listening.listen(64)
    # Who sees it can connect.
    os.rename(path + ".new", path)
    return listening


if __name__ == "__main__":
    place = Path(sys.argv[1]).parent
    with _listen(sys.argv[1]) as listening:
        importlib.import_module("kubernetes.dynamic")
        zipimport._compile_source = functools.partial(_compiled_before, place)
        # Those who fork need not look through it for garbage, nor have pages of their own because they did.
        gc.freeze()
        _serve(listening)
    # Who started it may have been quicker.
    shutil.rmtree(place, ignore_errors=True)
