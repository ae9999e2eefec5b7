#!/usr/bin/env python3
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Time of the failsafe check beside the time of iptables-save, on the same rules, in a namespace of its own.

    sudo python bench/failsafe.py [--rules 50000] [--rounds 5]

Loads recorded rules of Felix and as many rules as kube-proxy would write, then times in turns: iptables-save
of both families alone, the check as the module does it (a process of its own), and an interpreter that only
imports what the check needs. Nothing outside the namespace is touched, and it ends with this program.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / "tests" / "unit" / "recordings" / "felix" / "dumps" / "classes-iptables-nft" / "11-eth0hep-all"
CASES = ROOT / "tests" / "unit" / "recordings" / "cases" / "classes-iptables-nft.json"
TARGET_RATIO, TARGET_MIB = 1.2, 100
CLONE_NEWNET = 0x40000000
RULES_A_SERVICE = 8

IMPORTS = """
import json, sys
from ansible_collections.hostfence.calico.plugins.module_utils.node import failsafe_check
"""
CHECK = (
    IMPORTS
    + """
given = json.load(open(sys.argv[1]))
result = failsafe_check.check(given["objects"], None, given["node"], given["interfaces"], None)
sys.path.append(sys.argv[2])
import memory, os
print(json.dumps({"ok": result["ok"], "summary": result["summary"], "mib": memory.high_water(os.getpid())}))
"""
)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rules", type=int, default=50_000)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench/failsafe.py needs root: it makes a network namespace and loads rules into it")
    enter_namespace()
    load(given.rules)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as question:
        json.dump(recorded_question(), question)
        question.flush()
        return compare(question.name, given.rules, given.rounds)


def enter_namespace() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        sys.exit(f"cannot make a network namespace: {os.strerror(ctypes.get_errno())}")


def load(rules: int) -> None:
    """Felix's rules and, beside them, kube-proxy's."""
    # A kernel takes a rule only with the sets that it names.
    run(["ipset", "restore"], (STATE / "ipset-save.txt").read_text())
    run(["iptables-nft-restore"], (STATE / "iptables-save.txt").read_text())
    run(["ip6tables-nft-restore"], (STATE / "ip6tables-save.txt").read_text())
    run(["iptables-nft-restore", "--noflush"], kube_proxy(rules))


def kube_proxy(rules: int) -> str:
    """Rules of the shape that kube-proxy writes for services with three endpoints each."""
    services = rules // RULES_A_SERVICE
    chains, lines = [":KUBE-SERVICES - [0:0]"], []
    for number in range(services):
        address = f"10.{96 + number // 65536}.{number // 256 % 256}.{number % 256}"
        service = f"KUBE-SVC-{number:016d}"
        chains.append(f":{service} - [0:0]")
        note = f'-m comment --comment "default/service-{number}:http cluster IP"'
        lines.append(f"-A KUBE-SERVICES -d {address}/32 -p tcp {note} -m tcp --dport 80 -j {service}")
        lines.append(
            f"-A {service} ! -s 10.244.0.0/16 -d {address}/32 -p tcp {note} -m tcp --dport 80 -j RETURN"
        )
        for member in range(3):
            endpoint = f"KUBE-SEP-{number:014d}{member:02d}"
            chains.append(f":{endpoint} - [0:0]")
            pod = f"10.244.{number % 250}.{member + 1}"
            lines.append(f"-A {service} {note} -j {endpoint}")
            lines.append(f"-A {endpoint} -p tcp {note} -m tcp -j DNAT --to-destination {pod}:8080")
    return "\n".join(["*nat", *chains, *lines, "COMMIT", ""])


def recorded_question() -> dict:
    document = json.loads(CASES.read_text())
    case = next(item for item in document["cases"] if item["name"] == STATE.name)
    node = case["nodes"][0]
    return {"objects": case["objects"], "node": node["name"], "interfaces": node["interfaces"]}


def compare(question: str, rules: int, rounds: int) -> int:
    floor, ours, start = [], [], []
    answer: dict = {}
    for _ in range(rounds):
        floor.append(timed(["iptables-nft-save"])[0] + timed(["ip6tables-nft-save"])[0])
        start.append(timed([sys.executable, "-c", IMPORTS])[0])
        seconds, output = timed([sys.executable, "-c", CHECK, question, str(ROOT / "bench")])
        ours.append(seconds)
        answer = json.loads(output)
    save, whole, began = map(statistics.median, (floor, ours, start))
    ratio = (whole - began) / save
    print(f"{rules} rules beside Felix's, {rounds} rounds, medians, {os.cpu_count()} cores")
    print(f"iptables-save and ip6tables-save alone  {save * 1000:8.0f} ms")
    print(f"interpreter and imports alone           {began * 1000:8.0f} ms")
    print(f"the check, whole process                {whole * 1000:8.0f} ms")
    print(f"the check without start and imports     {(whole - began) * 1000:8.0f} ms")
    print(f"ratio to iptables-save                  {ratio:8.2f}     (at most {TARGET_RATIO})")
    print(f"memory of the check                     {answer['mib']:8.0f} MiB (at most {TARGET_MIB})")
    print(f"result                                  {answer['summary']}")
    return 0 if answer["ok"] and ratio <= TARGET_RATIO and answer["mib"] <= TARGET_MIB else 1


def timed(command: list[str]) -> tuple[float, str]:
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.perf_counter() - began, done.stdout


def run(command: list[str], text: str) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip().splitlines()[0]}")


if __name__ == "__main__":
    sys.exit(main())
