# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Has programs run by the warm Python that listens at HOSTFENCE_WARM_PYTHON; see warm_python.py.

What is run:

- ``arguments``: what follows ``python`` on a command line
- ``program``: without arguments, its text, for example of a module that Ansible has packed
- ``imported``: modules (comma-separated) that who runs it shall have imported, for Ansible's configuration as
  the environment has it
"""

import contextlib
import marshal
import os
import socket
import zlib


def run(arguments, program=None, imported=""):
    """Run a program with this process's standard streams; its exit status."""
    with _begin(os.environ, arguments, program, imported, [0, 1, 2]) as server:
        return _end(server)


def run_captured(environment, arguments=(), program=None, imported="", given=b""):
    """Run a program with ``given`` as standard input; its exit status, standard output and standard error."""
    with contextlib.ExitStack() as stack:
        names = ("stdin", "stdout", "stderr")
        source, output, errors = (stack.enter_context(open(os.memfd_create(n), "w+b")) for n in names)
        source.write(given)
        source.seek(0)
        streams = [stream.fileno() for stream in (source, output, errors)]
        with _begin(environment, arguments, program, imported, streams) as server:
            status = _end(server)
        # One position in each, which the program has moved.
        output.seek(0)
        errors.seek(0)
        return status, output.read(), errors.read()


def _begin(environment, arguments, program, imported, streams):
    """The connection to the Python that runs it."""
    address = environment["HOSTFENCE_WARM_PYTHON"]
    wanted = {"environment": dict(environment), "directory": os.getcwd(), "arguments": arguments}
    alike = b""
    if program is not None:
        wanted["program"] = program
        alike = program.partition(b"zip_data='")[2].partition(b"'")[0]
    elif imported:
        wanted["imported"] = imported
        alike = imported.encode() + _configuration(environment)
    if alike:
        # Who has imported what is needed for just that listens beside the one who knows nothing.
        wanted["alike"] = alike
        wanted["prepared"] = prepared = f"{os.path.dirname(address)}/{len(alike):x}-{zlib.crc32(alike):x}"
        if os.path.exists(prepared):
            address = prepared
    # In a form that every Python 3 reads.
    message = marshal.dumps(wanted, 2)
    server = socket.socket(socket.AF_UNIX)
    server.connect(address)
    socket.send_fds(server, [len(message).to_bytes(8, "big")], streams)
    server.sendall(message)
    return server


def _end(server):
    status = server.recv(16)
    return int(status) if status else 1


def _configuration(environment):
    """All of Ansible's configuration that may differ between two playbooks of one run."""
    text = ""
    with contextlib.suppress(OSError), open(environment.get("ANSIBLE_CONFIG", "ansible.cfg")) as file:
        text = file.read()
    names = ("ANSIBLE_", "LC_", "LANG")
    ours = {name: value for name, value in environment.items() if name.startswith(names)}
    return repr((os.getcwd(), text, sorted(ours.items()))).encode()
