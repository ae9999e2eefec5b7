# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The way from the machine's own 127.0.0.1 to the API server in the fabric.

A socket stays in the namespace it was made in. So the listening one is made outside, and the process that
accepts from it and connects onwards lives in the fabric: no route, no address, no rule on the machine.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress

from testbed.fabric import API_ADDRESS, API_PORT
from testbed.process import Processes

_CHUNK = 1 << 18


def start(processes: Processes, netns: str) -> int:
    """Starts a forwarder; returns the port of 127.0.0.1 it listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        port: int = listener.getsockname()[1]
        descriptor = listener.fileno()
        processes.spawn_python(
            "forwarder", "testbed.forwarder", str(descriptor), netns=netns, pass_fds=[descriptor]
        )
        return port


async def _serve(descriptor: int) -> None:
    server = await asyncio.start_server(_forward, sock=socket.socket(fileno=descriptor))
    await server.serve_forever()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        onwards_reader, onwards_writer = await asyncio.open_connection(API_ADDRESS, API_PORT)
    except OSError:
        # The caller sees what it would see without us: a connection that is refused or breaks.
        writer.close()
        return
    await asyncio.gather(_copy(reader, onwards_writer), _copy(onwards_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
