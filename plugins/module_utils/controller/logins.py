# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""New logins to nodes, whatever connections Ansible itself keeps.

A login only counts if the node says by ``SSH_CONNECTION`` that it came over a connection of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Optional

from ..calico.felix.chains import PREFIX
from . import openssh

CONCURRENCY = 64
_MARK, _LOOKED = "hostfence-login", "hostfence-looked"
# Names of Calico's chains in the kernel, where its rules may be read.
_LOOK = (
    'PATH="$PATH:/usr/sbin:/sbin"; as() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }; '
    # Reading tables of iptables-legacy that nobody uses would load its module.
    "{ as iptables-nft-save; as cat /proc/net/ip_tables_names | grep -q . && as iptables-legacy-save; "
    "command -v iptables-nft-save || as iptables-save; "
    "as nft list table ip calico; as nft list table ip6 calico; } 2>/dev/null "
    f"| grep -o '{PREFIX}[A-Za-z0-9_./-]*' | sort -u; as true 2>/dev/null && echo " + f"{_LOOKED}; "
)
_TELL = f"printf '\\n{_MARK} %s\\n' \"$SSH_CONNECTION\""


@dataclass(frozen=True)
class Target(openssh.Login):
    """A node, and what is to be seen there.

    :ivar present: a set of chain names a policy, one of which must be in the kernel
    :ivar gone: chain names that must not be there any more
    """

    present: Sequence[frozenset[str]] = ()
    gone: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Attempt:
    """How one try went.

    :ivar session: what ``SSH_CONNECTION`` holds on the node
    :ivar chains: names of Calico's chains in its kernel, None where they may not be read
    """

    reached: bool
    session: str = ""
    error: str = ""
    chains: Optional[frozenset[str]] = None


@dataclass(frozen=True)
class LoginProof:
    """What was proved of a node.

    :ivar logins: how many new logins worked
    :ivar programmed: whether its kernel holds the policy; None where it cannot be read
    :ivar without_felix: whether its kernel holds no chain of Calico at all, so that there is nothing to prove
    :ivar error: why it is not proved, or nothing
    """

    target: Target
    logins: int = 0
    session: str = ""
    programmed: Optional[bool] = None
    without_felix: bool = False
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


def prove(
    targets: Sequence[Target], wanted: Wanted, logged_in: Callable[[], object] = lambda: None
) -> list[LoginProof]:
    """Log in to all nodes, all at once, as often as wanted; after one has failed, no new login begins.

    :param logged_in: called after each login that counts, from any thread
    """
    failed = threading.Event()
    with ThreadPoolExecutor(max_workers=min(CONCURRENCY, len(targets)) or 1) as pool:
        return list(pool.map(lambda target: _proved(target, wanted, failed, logged_in), targets))


def _proved(
    target: Target, wanted: Wanted, failed: threading.Event, logged_in: Callable[[], object]
) -> LoginProof:
    proof = LoginProof(target, error=target.problem())
    if proof.error:
        failed.set()
        return proof
    seen: set[str] = set()
    waited_until = time.monotonic() + wanted.patience
    while proof.logins < wanted.rounds:
        if failed.wait(wanted.pause if wanted.pause else 0):
            return replace(proof, error="not tried to the end: another node took no login")
        looks = bool(target.present or target.gone) and not (proof.programmed or proof.without_felix)
        login = log_in(target, wanted.timeout, look=looks)
        proof = _counted(proof, login, seen)
        if proof.error:
            failed.set()
            return proof
        missing = _missing(login, target) if looks else ""
        if missing and login.chains == frozenset():
            proof = replace(proof, programmed=False, without_felix=True)
        elif missing and login.chains is not None:
            # What was logged in to before the kernel held the policy says nothing.
            proof = replace(proof, logins=0, programmed=False)
            if time.monotonic() > waited_until:
                failed.set()
                return replace(
                    proof, error=f"Felix has not programmed it in {wanted.patience:g} s: {missing}"
                )
            time.sleep(1)
            continue
        elif looks and login.chains is not None:
            proof = replace(proof, programmed=True)
        logged_in()
    return proof


def _counted(proof: LoginProof, login: Attempt, seen: set[str]) -> LoginProof:
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


def _missing(login: Attempt, target: Target) -> str:
    """What is still missing in the kernel, or still there."""
    chains = login.chains or frozenset()
    lacking = [names for names in target.present if not _holds(chains, names)]
    stale = sorted(name for name in target.gone if _holds(chains, {name}))
    if lacking:
        return f"no chain {min(sorted(lacking[0]), key=len)} in its kernel"
    return f"chain {stale[0]} is still in its kernel" if stale else ""


def _holds(chains: Collection[str], names: Collection[str]) -> bool:
    return any(name in chains for name in names)


def log_in(target: Target, timeout: float, *, look: bool = False) -> Attempt:
    """One login over a connection of its own."""
    command = (_LOOK if look else "") + _TELL
    done = openssh.run(target, ["sh", "-c", command], connect=timeout, seconds=timeout + (20 if look else 5))
    if done.error:
        return Attempt(False, error=done.error)
    lines = done.output.splitlines()
    told = next((line.partition(" ")[2] for line in reversed(lines) if line.startswith(_MARK)), None)
    if told is None or done.status == 255:
        return Attempt(False, error=done.last_words)
    chains = frozenset(line for line in lines if line.startswith(PREFIX)) if _LOOKED in lines else None
    return Attempt(True, told.strip(), chains=chains)


def as_result(proof: LoginProof) -> dict[str, Any]:
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
        "without_felix": proof.without_felix,
        "error": proof.error,
    }
