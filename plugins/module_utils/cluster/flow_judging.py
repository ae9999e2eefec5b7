# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Observed flows judged by as many processes as there are cores: judging is work of the processor alone."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from ..calico.audit.audit import Audit, Seen
from ..calico.bad_input import BadInput
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
    children = [(share, *_start(audit, share)) for share in shares[1:]]
    try:
        _add(audit, shares[0])
    finally:
        answers = [(share, _answer(child, reading)) for share, child, reading in children]
    for share, seen in answers:
        if seen is None:
            # What ended a child, a file that is no document for example, ends this process in words.
            _add(audit, share)
        else:
            audit.merge(seen)


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


def _start(audit: Audit, share: Sequence[Path]) -> tuple[BaseProcess, Connection]:
    """A child that judges a share, and where its answer is read."""
    # A copy of this process: what Ansible sends as an archive and the objects need not be read again.
    forking = multiprocessing.get_context("fork")
    reading, writing = forking.Pipe(duplex=False)
    child = forking.Process(target=_judge, args=(audit, share, reading, writing))
    child.start()
    writing.close()
    return child, reading


def _judge(audit: Audit, share: Sequence[Path], reading: Connection, answer: Connection) -> None:
    # Else nobody would notice that the parent is gone.
    reading.close()
    with contextlib.suppress(BadInput):
        _add(audit, share)
        answer.send(audit.seen())


def _answer(child: BaseProcess, reading: Connection) -> Seen | None:
    """What a child judged, or None where it ended before."""
    with reading:
        try:
            seen: Seen = reading.recv()
            return seen
        except EOFError:
            return None
        finally:
            child.join()
