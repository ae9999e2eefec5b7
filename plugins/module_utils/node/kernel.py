# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What this machine's kernel holds: rules of every back end, BPF maps, interfaces, Felix's environment.

Reads only. Nothing is listed that would load a kernel module: legacy tables are asked for only where they
exist.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ..calico.failsafe.ruleset import Ruleset
from . import iptables_save, nft_json

SYSTEM_PATH = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin:/usr/local/bin"
CHUNK = 256 * 1024
BPF_DIRECTORY = "/sys/fs/bpf/tc/globals"
BPF_MAPS = {4: "cali_v4_fsafes2", 6: "cali_v6_fsafes2"}
BPF_PINS = "/sys/fs/bpf/tcx"
FELIX_PROCESSES = ("calico-felix", "calico-node")
FELIX_CONFIG_FILE = "/etc/calico/felix.cfg"
MAX_CONFIG_FILE = 1024 * 1024

# Variables of Felix that say what its failsafes must be, and nothing secret.
FELIX_VARIABLES = (
    "FELIX_FAILSAFEINBOUNDHOSTPORTS",
    "FELIX_FAILSAFEOUTBOUNDHOSTPORTS",
    "FELIX_BPFENABLED",
    "FELIX_BPFDATAIFACEPATTERN",
    "FELIX_IPV6SUPPORT",
    "FELIX_INTERFACEPREFIX",
    "FELIX_FELIXHOSTNAME",
    "NODENAME",
)


class NodeError(Exception):
    """This machine could not be read; the message is one line and says what to do."""


def rulesets() -> list[Ruleset]:
    """The rules of every back end and family on this machine.

    :raises NodeError: not root, no tool to read with, or a tool that fails
    """
    if os.geteuid() != 0:
        raise NodeError("reading the kernel's rules needs root: set become to true for this task")
    commands = iptables_commands()
    nft = find("nft")
    if not commands and nft is None:
        raise NodeError(
            "neither iptables-save nor nft is on this node: install one of them, or check a dump that was "
            "taken in the calico-node container (option dump)"
        )
    # All dumps start at once: the kernel works on the next while this process reads the last.
    with contextlib.ExitStack() as running:
        started = [
            (family, backend, command, running.enter_context(_Output(command)))
            for family, backend, command in commands
        ]
        read = []
        for family, backend, command, output in started:
            read.append(iptables_save.parse(output.lines(), family, backend))
            output.check(command)
    if nft is not None:
        read.extend(_nftables(nft))
    return read


def find(name: str) -> Optional[str]:
    """Path of a system tool, whatever the user's PATH is."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}")


def iptables_commands() -> list[tuple[int, str, list[str]]]:
    """Family, back end and command of each dump of iptables rules that this machine can give."""
    commands = []
    for family, program, proc in ((4, "iptables", "ip_tables_names"), (6, "ip6tables", "ip6_tables_names")):
        native = find(f"{program}-nft-save")
        legacy = find(f"{program}-legacy-save")
        plain = find(f"{program}-save")
        if native:
            commands.append((family, "iptables-nft", [native]))
        if legacy and _has_legacy_tables(proc):
            commands.append((family, "iptables-legacy", [legacy]))
        if not native and not legacy and plain:
            commands.append((family, "iptables", [plain]))
    return commands


def _has_legacy_tables(name: str) -> bool:
    try:
        return bool(Path("/proc/net", name).read_text().strip())
    except OSError:
        return False  # the kernel's legacy tables are not loaded


def _nftables(nft: str) -> list[Ruleset]:
    reader = nft_json.Reader()
    for family, table in sorted(_nftables_tables(nft, reader)):
        command = [nft, "-j", "-t", "list", "table", family, table]
        with _Output(command) as output:
            reader.document(output.chunks())
            output.check(command)
    return list(reader.finish())


def _nftables_tables(nft: str, reader: nft_json.Reader) -> set[tuple[str, str]]:
    """Family and name of the tables with chains that iptables-save does not show.

    The chains are asked for, not the tables: to list the tables, nft reads every rule of the kernel.
    """
    command = [nft, "-j", "list", "chains"]
    found = set()
    try:
        with _Output(command) as output:
            for element in nft_json.elements(output.chunks()):
                if "chain" in element:
                    found.add((str(element["chain"]["family"]), str(element["chain"]["table"])))
                else:
                    reader.add(element)
            output.check(command)
    except ValueError as error:
        raise NodeError(f"{' '.join(command)}: {error}")
    return {
        (family, table)
        for family, table in found
        if family in nft_json.FAMILIES and not nft_json.is_iptables(family, table)
    }


class _Output:
    """A running command's output, read as it comes."""

    def __init__(self, command: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )

    def __enter__(self) -> _Output:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        if self.process.stdout:
            self.process.stdout.close()
        self.process.wait()

    def lines(self) -> Iterator[str]:
        return text_lines(_blocks(self.process))

    def chunks(self) -> Iterator[str]:
        for block in _blocks(self.process):
            yield block.decode("utf-8", "replace")

    def check(self, command: Sequence[str]) -> None:
        if self.process.wait() != 0:
            raise NodeError(
                f"{' '.join(command)} failed with status {self.process.returncode}: run it by hand to see why"
            )


def output_lines(command: Sequence[str]) -> Iterator[str]:
    """What a command prints, line by line.

    :raises NodeError: it failed
    """
    with _Output(command) as output:
        yield from output.lines()
        output.check(command)


def nftables_elements(nft: str, family: str, table: str) -> Iterator[Mapping[str, Any]]:
    """What ``nft`` lists of a table, without the elements of sets; nothing where there is no such table."""
    with _Output([nft, "-j", "-t", "list", "table", family, table]) as output:
        try:
            yield from nft_json.elements(output.chunks())
        except ValueError as error:
            if output.process.wait() == 0:
                raise NodeError(f"nft -j list table {family} {table}: {error}") from error


def _blocks(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    if process.stdout is None:
        return
    while True:
        block = os.read(process.stdout.fileno(), CHUNK)
        if not block:
            return
        yield block


def text_lines(blocks: Iterable[bytes], longest: int = 64 * 1024) -> Iterator[str]:
    """Lines of text from blocks of bytes; a line without end is cut into pieces, so that memory stays
    bounded."""
    rest = b""
    for block in blocks:
        pieces = (rest + block).split(b"\n")
        rest = pieces.pop()
        if len(rest) > longest:
            pieces.append(rest)
            rest = b""
        for piece in pieces:
            yield piece.decode("utf-8", "replace")
    if rest:
        yield rest.decode("utf-8", "replace")


def file_blocks(path: str, most: int = sys.maxsize) -> Iterator[bytes]:
    """A file in blocks, as far as ``most`` bytes.

    :raises NodeError: it cannot be read
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise NodeError(f"{path}: is not a file")
        with open(path, "rb") as file:
            while file.tell() < most:
                block = file.read(CHUNK)
                if not block:
                    return
                yield block
    except OSError as error:
        raise NodeError(f"{path}: {error.strerror}")


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        why = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise NodeError(f"{' '.join(command)}: {why[0] if why else f'status {done.returncode}'}")
    return done.stdout.decode("utf-8", "replace")


def bpf_failsafes(family: int) -> Optional[str]:
    """``bpftool -j map dump`` of Calico's failsafe map, or None where there is no such map.

    :raises NodeError: the map is there and bpftool is not
    """
    path = f"{BPF_DIRECTORY}/{BPF_MAPS[family]}"
    if not os.path.exists(path):
        return None
    bpftool = find("bpftool")
    if bpftool is None:
        raise NodeError(f"{path} is pinned, and bpftool is not on this node: install bpftool to read it")
    return _run([bpftool, "-j", "map", "dump", "pinned", path])


def bpf_programs() -> Any:
    """``bpftool -j net show``, and what Felix pinned; None where there is no bpftool."""
    bpftool = find("bpftool")
    if bpftool is None:
        return None
    # bpftool before 7.3 does not list programs that were attached by tcx; Felix pins their links.
    pins = []
    with contextlib.suppress(OSError):
        pins = os.listdir(BPF_PINS)
    return [*load_json(_run([bpftool, "-j", "net", "show"])), {"pins": pins}]


def masters() -> dict[str, str]:
    """Interfaces that belong to a bond or bridge, and the outermost one above each."""
    direct = {}
    for _index, name in socket.if_nameindex():
        with contextlib.suppress(OSError):
            direct[name] = os.path.basename(os.readlink(f"/sys/class/net/{name}/master"))
    found = {}
    for name in direct:
        top = direct[name]
        for _level in range(8):
            top = direct.get(top, top)
        found[name] = top
    return found


def interfaces() -> dict[str, list[str]]:
    """Interface names and their addresses with prefix length."""
    command = find("ip")
    if command is not None:
        listed = json.loads(_run([command, "-j", "addr"]) or "[]")
        return {
            str(link["ifname"]): [
                f"{entry['local']}/{entry['prefixlen']}"
                for entry in link.get("addr_info", [])
                if "local" in entry
            ]
            for link in listed
            if "ifname" in link
        }
    return {name: [*_ipv4(name), *_ipv6(name)] for _index, name in socket.if_nameindex()}


def _ipv4(name: str) -> list[str]:
    siocgifaddr = 0x8915
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe.fileno(), siocgifaddr, struct.pack("256s", name.encode()[:15]))
        except OSError:
            return []
    return [f"{socket.inet_ntoa(answer[20:24])}/32"]


def _ipv6(name: str) -> list[str]:
    found = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            words = line.split()
            if words[-1] == name:
                address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(words[0]))
                found.append(f"{address}/{int(words[2], 16)}")
    return found


@dataclass(frozen=True)
class RunningFelix:
    """How the running Felix is configured on this machine; empty where none runs, or it cannot be read.

    :ivar environment: its variables, in capitals
    :ivar config_file: settings of its configuration file, under the names of the variables
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    config_file: Mapping[str, str] = field(default_factory=dict)


def felix_settings() -> RunningFelix:
    """The settings of the running Felix that matter for failsafes.

    A Felix of another network namespace is not this node's.
    """
    own = _network_namespace("self")
    for process in processes():
        if process_name(process) in FELIX_PROCESSES and _network_namespace(process) == own:
            return RunningFelix(_environment(process), _config_file(process))
    return RunningFelix()


def _environment(process: str) -> dict[str, str]:
    pairs = (entry.partition("=") for entry in _strings(process, "environ"))
    return _relevant((name, value) for name, _equals, value in pairs)


def _config_file(process: str) -> dict[str, str]:
    """Felix's own view of its file: that of its container, under the name that it was started with."""
    named = FELIX_CONFIG_FILE
    words = _strings(process, "cmdline")
    for word, following in zip(words, [*words[1:], ""]):
        if word in ("-c", "--config-file"):
            named = following
        elif word.startswith("--config-file="):
            named = word.partition("=")[2]
    try:
        with open(f"/proc/{process}/root/{named.lstrip('/')}", errors="replace") as file:
            return felix_file(file.read(MAX_CONFIG_FILE))
    except OSError:
        return {}


def felix_file(text: str) -> dict[str, str]:
    """Settings of a felix.cfg that matter for failsafes, under the names of the variables.

    The file has sections, which Felix passes over, and ``Name = value`` or ``Name: value``.
    """
    pairs = []
    for line in text.splitlines():
        found = _SETTING.match(line)
        if found:
            pairs.append((f"FELIX_{found['name']}", found["value"].strip().strip("\"'`")))
    return _relevant(pairs)


_SETTING = re.compile(r"\s*(?P<name>\w+)\s*[=:]\s*(?P<value>.*?)(?:\s[#;].*)?$")


def _relevant(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Those that Felix reads here; it takes names in any case of letters."""
    named = {name.upper(): value for name, value in pairs}
    return {name: named[name] for name in FELIX_VARIABLES if name in named}


def _strings(process: str, file: str) -> list[str]:
    with contextlib.suppress(OSError):
        return Path("/proc", process, file).read_bytes().decode("utf-8", "replace").split("\0")
    return []


def processes() -> Iterator[str]:
    """Numbers of all processes."""
    return (name for name in os.listdir("/proc") if name.isdigit())


def process_name(process: str) -> str:
    try:
        return Path("/proc", process, "comm").read_text().strip()
    except OSError:
        return ""


def _network_namespace(process: str) -> str:
    try:
        return os.readlink(f"/proc/{process}/ns/net")
    except OSError:
        return ""


def hostname() -> str:
    """The name under which Calico knows this machine where nothing else is set: the kernel's, in lower
    case."""
    return socket.gethostname().lower()


def load_json(text: str) -> Any:
    """:raises NodeError: it is not JSON"""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise NodeError("bpftool's output is not JSON")
