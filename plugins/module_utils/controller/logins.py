# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""New logins to nodes by OpenSSH, whatever connections Ansible itself keeps.

A connection that was kept open proves nothing: the kernel lets it live on after new ones are denied. So each
login is a process of its own, with multiplexing off whatever the user's arguments and configuration say, and
it only counts if the node says by ``SSH_CONNECTION`` that it came over a connection of its own.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Optional

CONCURRENCY = 64
# Whatever keeps or replaces an SSH connection: nobody comes from outside, or not by SSH.
SSH_CONNECTIONS = frozenset(("", "ssh", "smart", "paramiko", "paramiko_ssh", "libssh"))

_MARK, _LOOKED = "hostfence-login", "hostfence-looked"
# Names of Calico's chains in the kernel, where its rules may be read.
_LOOK = (
    'PATH="$PATH:/usr/sbin:/sbin"; as() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }; '
    "{ as iptables-nft-save; as iptables-legacy-save; as iptables-save; as nft list ruleset; } 2>/dev/null "
    "| grep -o 'cali-[A-Za-z0-9_./-]*' | sort -u; as true 2>/dev/null && echo " + f"{_LOOKED}; "
)
_TELL = f"printf '\\n{_MARK} %s\\n' \"$SSH_CONNECTION\""


@dataclass(frozen=True)
class Target:
    """A node, and how to log in to it.

    :ivar node: its name in Kubernetes
    :ivar connection: Ansible's name of the connection that it uses
    :ivar arguments: for ssh, as the user has set them
    :ivar present: a set of chain names a policy, one of which must be in the kernel
    :ivar gone: chain names that must not be there any more
    """

    node: str
    host: str
    port: Optional[int] = None
    user: str = ""
    private_key_file: str = ""
    connection: str = ""
    executable: str = "ssh"
    arguments: Sequence[str] = ()
    present: Sequence[frozenset[str]] = ()
    gone: frozenset[str] = frozenset()

    def problem(self) -> str:
        """Why no login from here would prove anything, or nothing."""
        name = self.connection.rpartition(".")[2]
        if name == "local":
            return "its connection is local: nobody logs in to it from outside"
        if name not in SSH_CONNECTIONS:
            return f"its connection is {self.connection}, and a login by SSH would prove nothing for that"
        return ""


@dataclass(frozen=True)
class Login:
    """How one try went.

    :ivar session: what ``SSH_CONNECTION`` holds on the node
    :ivar chains: names of Calico's chains in its kernel, None where they may not be read
    """

    reached: bool
    session: str = ""
    error: str = ""
    chains: Optional[frozenset[str]] = None


@dataclass(frozen=True)
class Proof:
    """What was proved of a node.

    :ivar logins: how many new logins worked
    :ivar programmed: whether its kernel holds the policy; None where nobody can look
    :ivar error: why it is not proved, or nothing
    """

    target: Target
    logins: int = 0
    session: str = ""
    programmed: Optional[bool] = None
    error: str = ""

    @property
    def proved(self) -> bool:
        return not self.error and self.logins > 0


@dataclass(frozen=True)
class Wanted:
    """What to prove.

    :ivar rounds: how many logins in a row must work
    :ivar pause: seconds before each round; the first one comes once the kernel holds the policy
    :ivar timeout: seconds for one login, whatever it hangs in
    :ivar patience: seconds to wait for the kernel
    """

    rounds: int = 1
    pause: float = 0
    timeout: float = 10
    patience: float = 30


def prove(targets: Sequence[Target], wanted: Wanted) -> list[Proof]:
    """Log in to all nodes, all at once, as often as wanted; after one has failed, no new login begins."""
    failed = threading.Event()
    with ThreadPoolExecutor(max_workers=min(CONCURRENCY, len(targets)) or 1) as pool:
        return list(pool.map(lambda target: _proved(target, wanted, failed), targets))


def _proved(target: Target, wanted: Wanted, failed: threading.Event) -> Proof:
    proof = Proof(target, error=target.problem())
    if proof.error:
        failed.set()
        return proof
    seen: set[str] = set()
    waited_until = time.monotonic() + wanted.patience
    looks = bool(target.present or target.gone)
    while proof.logins < wanted.rounds:
        if failed.wait(wanted.pause if wanted.pause else 0):
            return replace(proof, error="not tried to the end: another node took no login")
        login = log_in(target, wanted.timeout, look=looks)
        proof = _counted(proof, login, seen)
        if proof.error:
            failed.set()
            return proof
        missing = _missing(login, target) if looks else ""
        if missing and login.chains is not None:
            # What was logged in to before the kernel held the policy says nothing.
            proof = replace(proof, logins=0, programmed=False)
            if time.monotonic() > waited_until:
                failed.set()
                return replace(
                    proof, error=f"Felix has not programmed it in {wanted.patience:g} s: {missing}"
                )
            time.sleep(1)
        elif looks and login.chains is not None:
            proof = replace(proof, programmed=True)
    return proof


def _counted(proof: Proof, login: Login, seen: set[str]) -> Proof:
    if not login.reached:
        return replace(proof, error=login.error)
    client = " ".join(login.session.split()[:2])
    if not client:
        return replace(
            proof, error="the node does not say by which connection it was logged in to (SSH_CONNECTION)"
        )
    if client in seen:
        return replace(proof, error=f"the connection from {client} was kept open: it proves nothing")
    seen.add(client)
    return replace(proof, logins=proof.logins + 1, session=login.session)


def _missing(login: Login, target: Target) -> str:
    """What the kernel still lacks, or still has."""
    chains = login.chains or frozenset()
    lacking = [names for names in target.present if not _holds(chains, names)]
    stale = sorted(name for name in target.gone if _holds(chains, {name}))
    if lacking:
        return f"no chain {min(lacking[0], key=len)} in its kernel"
    return f"chain {stale[0]} is still in its kernel" if stale else ""


def _holds(chains: Collection[str], names: Collection[str]) -> bool:
    return any(name in chains for name in names)


def log_in(target: Target, timeout: float, *, look: bool = False) -> Login:
    """One login over a connection of its own."""
    command = (_LOOK if look else "") + _TELL
    try:
        done = subprocess.run(
            [*command_line(target, timeout), "sh", "-c", _quoted(command)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout + (20 if look else 5),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Login(False, error=f"no login in {timeout:g} s")
    except OSError as error:
        return Login(False, error=f"cannot start {target.executable}: {error.strerror}")
    lines = done.stdout.decode(errors="replace").splitlines()
    told = next((line.partition(" ")[2] for line in reversed(lines) if line.startswith(_MARK)), None)
    if told is None or done.returncode == 255:
        said = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        return Login(False, error=(said[-1].strip() if said else f"ssh ended with {done.returncode}")[:300])
    chains = frozenset(line for line in lines if line.startswith("cali-")) if _LOOKED in lines else None
    return Login(True, told.strip(), chains=chains)


def command_line(target: Target, timeout: float) -> list[str]:
    """OpenSSH's, up to the command: of an option it takes the first value, of ``-S`` the last."""
    own = {
        "ControlMaster": "no",
        "ControlPath": "none",
        "ControlPersist": "no",
        "BatchMode": "yes",
        "ConnectTimeout": str(max(1, int(timeout))),
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "1",
    }
    line = [target.executable, "-T", *(part for item in own.items() for part in ("-o", "=".join(item)))]
    line += target.arguments
    if target.port:
        line += ["-o", f"Port={target.port}"]
    if target.user:
        line += ["-o", f"User={target.user}"]
    if target.private_key_file:
        line += ["-o", f"IdentityFile={target.private_key_file}"]
    return [*line, "-S", "none", "--", target.host]


def _quoted(command: str) -> str:
    """For the shell of the login, which takes its arguments apart once more."""
    return "'" + command.replace("'", "'\\''") + "'"


def as_result(proof: Proof) -> dict[str, Any]:
    """The form in which the module returns it."""
    target = proof.target
    return {
        "node": target.node,
        "reached": proof.proved,
        "ssh_connection": proof.session,
        "host": target.host,
        "port": target.port or 22,
        "logins": proof.logins,
        "programmed": proof.programmed,
        "error": proof.error,
    }
