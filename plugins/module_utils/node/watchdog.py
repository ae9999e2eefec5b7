# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The watchdog of a transaction: switches a wave back that nobody confirmed in time.

One file, standard library only, Python 3.9: it is handed to a node over standard input, or runs in a pod. It
reads one JSON document from a file (its first argument) or, without one, from standard input:

``endpoints``: list of [address, port], the nearest first; ``ca``: PEM; ``token`` or ``token_file``;
``switches``: paths of the switches; ``lease``: path of its own Lease; ``name``: its own name;
``until``: seconds to live at most; ``remove``: files to remove in the end.

It reads, and writes only two things: its own Lease, and a switch whose window is over: all addresses in it,
and the phase rolled-back. It decides by the monotonic clock from the moment it first saw the switch; one
that was started in the middle of a window uses the deadline in the switch, which is never later than a whole
window.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import ssl
import sys
import time
from typing import Any, Optional

PREFIX = "hostfence.io/"
EVERYTHING = ["0.0.0.0/0", "::/0"]
SECONDS_A_REQUEST = 4
SECONDS_BETWEEN = 0.7
# After a transaction its accounts go; an API server that has just started refuses for a while as well.
SECONDS_REFUSED = 30
NAMES = ("kubernetes.default.svc", "kubernetes")
Json = dict[str, Any]


class Refused(Exception):
    """The API answered with a status that is not success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}")
        self.status = status


class Api:
    """The API servers, one new connection a request: what is kept open proves nothing, and can hang."""

    def __init__(self, options: Json) -> None:
        self.endpoints = _nearest_first([(str(host), int(port)) for host, port in options["endpoints"]])
        self.options = options
        # Without a CA of the cluster's own, those of the system.
        self.tls = ssl.create_default_context(cadata=options.get("ca") or None)

    def request(self, method: str, path: str, body: Optional[Json] = None) -> Json:
        """Ask each server in turn until one answers.

        :raises Refused: one answered, and not with success
        :raises OSError: none answered
        """
        last: Exception = OSError("no endpoint")
        for endpoint in list(self.endpoints):
            try:
                return self._ask(endpoint, method, path, body)
            except (OSError, http.client.HTTPException, ValueError) as error:
                last = error
                self.endpoints.append(self.endpoints.pop(0))
        raise OSError(str(last))

    def _ask(self, endpoint: tuple[str, int], method: str, path: str, body: Optional[Json]) -> Json:
        connection = self._connect(endpoint)
        try:
            headers = {"Authorization": f"Bearer {self._token()}", "Accept": "application/json"}
            data = None
            if body is not None:
                data = json.dumps(body)
                headers["Content-Type"] = "application/merge-patch+json"
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status >= 500 or answer.status == 429:
            raise OSError(f"{answer.status} from {endpoint[0]}")
        if answer.status >= 400:
            raise Refused(answer.status, text[:200].decode("utf-8", "replace"))
        found: Json = json.loads(text)
        return found

    def _connect(self, endpoint: tuple[str, int]) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(*endpoint, timeout=SECONDS_A_REQUEST)
        last: Optional[Exception] = None
        for name in (endpoint[0], *NAMES):
            raw = socket.create_connection(endpoint, timeout=SECONDS_A_REQUEST)
            try:
                connection.sock = self.tls.wrap_socket(raw, server_hostname=name)
                return connection
            except ssl.SSLCertVerificationError as error:
                raw.close()
                last = error
            except BaseException:
                raw.close()
                raise
        raise OSError(str(last))

    def _token(self) -> str:
        if self.options.get("token_file"):
            with open(self.options["token_file"], encoding="utf-8") as file:
                return file.read().strip()
        return str(self.options["token"])


def _nearest_first(endpoints: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(endpoints, key=lambda endpoint: not _is_own(endpoint[0]))


def _is_own(address: str) -> bool:
    """Whether this machine has the address: it can only be bound to then."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
        return True
    except OSError:
        return False


class Watch:
    """One switch, as this watchdog has come to know it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.arming = ""
        self.known_since_arming = False
        self.deadline: Optional[float] = None

    def look(self, obj: Json, now: float, wall: float) -> None:
        """Take in what is stored; sets the monotonic deadline when a window begins."""
        noted = obj["metadata"].get("annotations") or {}
        phase, arming = noted.get(f"{PREFIX}phase", ""), noted.get(f"{PREFIX}arming", "")
        if arming != self.arming:
            self.arming, self.deadline = arming, None
            self.known_since_arming = phase == "armed"
        if phase == "switched" and self.deadline is None:
            self.deadline = now + self._left(noted, wall)
        if phase not in ("switched", "rolled-back"):
            self.deadline = None

    def _left(self, noted: Json, wall: float) -> float:
        window = _number(noted.get(f"{PREFIX}window"))
        if self.known_since_arming:
            return window
        return max(0.0, min(window, _number(noted.get(f"{PREFIX}deadline")) - wall))

    def due(self, obj: Json, now: float) -> bool:
        """Whether it is to be switched back: unconfirmed after the window, or on again after it went back."""
        noted = obj["metadata"].get("annotations") or {}
        phase, is_on = noted.get(f"{PREFIX}phase", ""), not (obj.get("spec") or {}).get("nets")
        if phase == "rolled-back":
            return is_on
        return phase == "switched" and self.deadline is not None and now >= self.deadline


def way_back(obj: Json, name: str) -> Json:
    """The patch to old policy, at the version that was read: if someone confirmed meanwhile, it loses."""
    noted = {
        f"{PREFIX}phase": "rolled-back",
        f"{PREFIX}by": name,
        f"{PREFIX}at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        f"{PREFIX}reason": "nobody confirmed within the window",
    }
    version = {"resourceVersion": obj["metadata"]["resourceVersion"]}
    return {"metadata": {**version, "annotations": noted}, "spec": {"nets": EVERYTHING}}


class Watchdog:
    def __init__(self, options: Json) -> None:
        self.api = Api(options)
        self.name = str(options["name"])
        self.lease = str(options["lease"])
        self.watches = [Watch(path) for path in options["switches"]]
        self.started = time.monotonic()
        self.until = float(options.get("until") or 86400)
        self.said = ""

    def run(self) -> None:
        """Until all switches are gone, or the time to live is over."""
        seen = False
        refused_since: Optional[float] = None
        while time.monotonic() - self.started < self.until:
            try:
                found = [self._round(watch) for watch in self.watches]
                seen = seen or any(found)
                if seen and not any(found):
                    self._say("the transaction is over")
                    return
                self._acknowledge()
                refused_since = None
            except Refused as error:
                self._say(f"refused: {error}")
                refused_since = refused_since or time.monotonic()
                waiting = any(watch.deadline is not None for watch in self.watches)
                if not waiting and time.monotonic() - refused_since > SECONDS_REFUSED:
                    self._say("its rights are gone, and no window is open")
                    return
            except OSError as error:
                self._say(f"no API server answers: {error}")
            time.sleep(self._pause())
        self._say("ends: its time is over")

    def _pause(self) -> float:
        """Until the next round; the end of a window is not slept over."""
        left = [w.deadline - time.monotonic() for w in self.watches if w.deadline is not None]
        usual = SECONDS_BETWEEN * (0.8 + 0.4 * random.random())
        return max(0.05, min([usual, *(seconds for seconds in left if seconds > 0)]))

    def _round(self, watch: Watch) -> bool:
        """One look at a switch; whether it exists."""
        try:
            obj = self.api.request("GET", watch.path)
        except Refused as error:
            if error.status == 404:
                return False
            raise
        watch.look(obj, time.monotonic(), time.time())
        if watch.due(obj, time.monotonic()):
            self._switch_back(watch, obj)
        return True

    def _switch_back(self, watch: Watch, obj: Json) -> None:
        try:
            self.api.request("PATCH", watch.path, way_back(obj, self.name))
            self._say(f"switched back: {watch.path.rpartition('/')[2]}")
        except Refused as error:
            if error.status != 409:
                raise

    def _acknowledge(self) -> None:
        """Say in the own Lease which armings were seen, and that this program lives."""
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
        seen = ",".join(watch.arming for watch in self.watches if watch.arming)
        self.api.request(
            "PATCH",
            self.lease,
            {
                "metadata": {"annotations": {f"{PREFIX}seen": seen}},
                "spec": {"holderIdentity": self.name, "renewTime": now},
            },
        )

    def _say(self, text: str) -> None:
        if text != self.said:
            sys.stderr.write(f"hostfence watchdog {self.name}: {text}\n")
            sys.stderr.flush()
            self.said = text


def _number(text: object) -> float:
    try:
        return float(str(text))
    except ValueError:
        return 0.0


def main() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if len(sys.argv) > 1:
        with open(sys.argv[1], encoding="utf-8") as file:
            options = json.load(file)
    else:
        options = json.load(sys.stdin)
    try:
        Watchdog(options).run()
    finally:
        for path in options.get("remove") or ():
            with contextlib.suppress(OSError):
                os.unlink(path)


if __name__ == "__main__":
    main()
