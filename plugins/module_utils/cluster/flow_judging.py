# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Observed flows judged by as many processes as there are cores: judging is work of the processor alone."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path

from ..calico.audit.audit import Audit
from .flow_documents import documents

# Fewer bytes are judged sooner than a process is there.
WORTH_BYTES = 4 * 1024 * 1024
_MOST_PROCESSES = 8


def judge(audit: Audit, paths: Sequence[Path], processes: int = 0) -> None:
    """Judge the documents of files.

    :param processes: how many; 0 is as many as there are cores, and one where there is little to judge
    :raises BadInput: a file that is no such document
    """
    shares = _shares(paths, processes or _worth(paths))
    children = [(share, *_fork(audit, share)) for share in shares[1:]]
    try:
        _add(audit, shares[0])
    finally:
        answers = [(share, _answer(pid, reading)) for share, pid, reading in children]
    for share, seen in answers:
        if seen is None:
            # What ended a child, a file that is no document for example, ends this process in words.
            _add(audit, share)
        else:
            audit.merge(pickle.loads(seen))


def _worth(paths: Sequence[Path]) -> int:
    # Elsewhere a forked process may not use the system's libraries.
    if sys.platform != "linux" or sum(path.stat().st_size for path in paths) < WORTH_BYTES:
        return 1
    return min(len(os.sched_getaffinity(0)), _MOST_PROCESSES)


def _shares(paths: Sequence[Path], processes: int) -> list[list[Path]]:
    """Of each process, so that none has all of the large files: in turns, by size."""
    by_size = sorted(paths, key=lambda path: (-path.stat().st_size, path.name))
    return [sorted(by_size[number::processes]) for number in range(max(min(processes, len(paths)), 1))]


def _add(audit: Audit, paths: Sequence[Path]) -> None:
    for document in documents(list(paths)):
        audit.add(document)


def _fork(audit: Audit, share: Sequence[Path]) -> tuple[int, int]:
    """A child that judges a share: its id, and where its answer is read."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    status = 1
    try:
        os.close(reading)
        _add(audit, share)
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(audit.seen(), pipe, pickle.HIGHEST_PROTOCOL)
        status = 0
    finally:
        # Nothing of the parent's is to be written or closed a second time.
        os._exit(status)


def _answer(pid: int, reading: int) -> bytes | None:
    """What a child judged, or None where it ended before."""
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    _pid, status = os.waitpid(pid, 0)
    return answer if status == 0 else None
