# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reconciling HostEndpoints: ours beside the bare API, kubectl and kubernetes.core.k8s, in one run.

    python bench/reconcile.py --nodes 1000 --nodes 5000

Every way is a process of its own against the same real API server; what counts are the ratios. The floor
sends the same writes, already encoded, over 8 keep-alive connections, and reads one paged list.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint import (  # noqa: E402
    HostEndpointTemplate,
    desired,
)
from memory import high_water  # noqa: E402

from testbed import binaries, crds, node_objects  # noqa: E402
from testbed.api import Api  # noqa: E402
from testbed.control_plane import ControlPlane  # noqa: E402

MODULE = "ansible_collections.hostfence.calico.plugins.modules.host_endpoints"
# The module, and behind what it prints the seconds that it worked.
TIMED = f"""\
import time
from {MODULE} import main
begun = time.monotonic()
try:
    main()
finally:
    print(time.monotonic() - begun)
"""
HEPS = "/apis/crd.projectcalico.org/v1/hostendpoints"
NODE_LABELS = [
    "kubernetes.io/hostname",
    "node-role.kubernetes.io/control-plane",
    "topology.kubernetes.io/zone",
]
LOOP_SAMPLE = 100


@dataclass
class Measured:
    """One way of doing one thing.

    :ivar seconds: wall time
    :ivar requests: that the server counted, ``writes`` of them writing
    :ivar mebibytes: peak of the memory
    :ivar work: seconds of it without interpreter and imports, their start and end, where the module is ours
    """

    seconds: float
    requests: int
    writes: int
    mebibytes: float
    work: float = 0.0


class Bench:
    """An API server with a number of Node objects, and the ways to give each its HostEndpoint."""

    def __init__(self, run: Path, nodes: int, definitions: str) -> None:
        self.run = run
        found = binaries.locate(binaries.CONTROL_PLANE, lambda line: print(line, file=sys.stderr))
        self.control_plane = ControlPlane(run, found, tied=True)
        self.control_plane.start()
        self.api: Api = self.control_plane.api()
        crds.install(self.api, crds.load(definitions, "v1"))
        node_objects.create(self.api, [_as_in_use(node) for node in node_objects.simulated(nodes)])
        template = HostEndpointTemplate(labels={"host-endpoint": "ingress"}, node_labels=NODE_LABELS)
        stored = self.api.list(node_objects.PATH)
        self.node_kibibytes = len(json.dumps(stored[0])) / 1024
        self.wanted = [desired(node, template, "crd.projectcalico.org/v1") for node in stored]
        self.file = run / "heps.yml"
        self.file.write_text(yaml.safe_dump_all(self.wanted, sort_keys=False))
        self.nodes = nodes

    def clear(self) -> None:
        self.api.delete(HEPS)

    def measure(self, command: Sequence[str], text: str = "", **env: str) -> Measured:
        """Runs a command and asks the server what it was asked meanwhile."""
        before = self._counted()
        begun = time.monotonic()
        with tempfile.TemporaryFile("w+") as stdin, tempfile.TemporaryFile("w+") as output:
            stdin.write(text)
            stdin.seek(0)
            process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "KUBECONFIG": str(self.control_plane.kubeconfig), **env},
            )
            ended = threading.Event()
            with ThreadPoolExecutor(1) as pool:
                peak = pool.submit(_watch_memory, process.pid, ended)
                try:
                    process.wait()
                    seconds = time.monotonic() - begun
                finally:
                    ended.set()
            output.seek(0)
            self.output = output.read()
        if process.returncode:
            sys.exit(f"{' '.join(command)} failed: {self.output[-2000:]}")
        after = self._counted()
        reads, writes = (after[kind] - before[kind] for kind in ("reads", "writes"))
        return Measured(seconds, reads + writes, writes, peak.result())

    def ours(self, **options: object) -> Measured:
        arguments = {"kubeconfig": str(self.control_plane.kubeconfig), **options}
        run = self.measure([sys.executable, "-c", TIMED], json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
        return replace(run, work=float(self.output.splitlines()[-1]))

    def floor(self, what: str, requests: list[tuple[str, str, str]] | None = None) -> tuple[float, Measured]:
        """The bare API; returns the seconds inside the process (without its start), and the process."""
        job = {"kubeconfig": str(self.control_plane.kubeconfig), "what": what, "requests": requests or []}
        measured = self.measure([sys.executable, str(ROOT / "bench" / "floor.py")], json.dumps(job))
        return float(self.output), measured

    def wait_until_quiet(self) -> None:
        """Until the server takes further pages from etcd, as it does some minutes after the last write."""
        in_a_row = 0
        for _ in range(80):
            before = self._read_from_etcd()
            self.floor("list-heps")
            # Once in a while the server compares its memory with etcd, and that is a list, too.
            in_a_row = in_a_row + 1 if self._read_from_etcd() > before else 0
            if in_a_row == 3:
                return
            time.sleep(0 if in_a_row else 15)
        sys.exit("the server still has all pages in its memory; are its settings others than usual?")

    def _read_from_etcd(self) -> float:
        """HostEndpoints that the server has read from etcd for lists so far."""
        counted = r'^apiserver_storage_list_evaluated_objects_total\{.*resource="hostendpoints".*\} (\S+)$'
        return sum(map(float, re.findall(counted, self._metrics(), re.M)))

    def _metrics(self) -> str:
        return self.api._request("GET", "/metrics", None, {}, "").data.decode()

    def _counted(self) -> dict[str, int]:
        """Requests for nodes and HostEndpoints so far, by the server's own metrics."""
        counted = {"reads": 0, "writes": 0}
        for labels, value in re.findall(r"^apiserver_request_total\{(.*)\} (\S+)$", self._metrics(), re.M):
            if re.search(r'resource="(nodes|hostendpoints)"', labels) and 'subresource=""' in labels:
                verb = re.search(r'verb="(\w+)"', labels)
                if verb and verb[1] in ("GET", "LIST"):
                    counted["reads"] += int(float(value))
                elif verb and verb[1] in ("POST", "PUT", "PATCH", "APPLY", "DELETE"):
                    counted["writes"] += int(float(value))
        return counted


def _as_in_use(node: dict) -> dict:
    """A Node of the size that it has in a cluster in use: a kubelet tells of 50 images (nodeStatusMaxImages),
    each by digest and by tag, and of four conditions with their times."""
    digest = hashlib.sha256(node["metadata"]["name"].encode()).hexdigest()
    images = [f"registry.example.com/platform/component-{number:02d}" for number in range(50)]
    node["status"]["images"] = [
        {"names": [f"{image}@sha256:{digest}", f"{image}:v1.20.0"], "sizeBytes": 10_000_000}
        for image in images
    ]
    (ready,) = node["status"]["conditions"]
    times = {"lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    healthy = [
        {"type": kind, "status": "False", "reason": f"KubeletHasNo{kind}", "message": f"no {kind}", **times}
        for kind in ("MemoryPressure", "DiskPressure", "PIDPressure")
    ]
    node["status"]["conditions"] = [*healthy, {**ready, **times}]
    return node


def _watch_memory(pid: int, ended: threading.Event) -> float:
    """The most memory of a process, or of one that it started, in MiB: looked at 50 times a second."""
    peak = 0.0
    while not ended.wait(0.02):
        peak = max([peak, *map(high_water, _family_of(pid))])
    return peak


def _family_of(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(member for child in children for member in _family_of(int(child)))]


def median(runs: Iterable[Measured]) -> Measured:
    """The run whose time is the middle one."""
    ordered = sorted(runs, key=lambda m: m.work)
    return ordered[len(ordered) // 2]


def run_size(nodes: int, repeat: int, others: bool, definitions: str) -> None:
    with tempfile.TemporaryDirectory(prefix="hostfence-bench-") as run:
        bench = Bench(Path(run), nodes, definitions)
        try:
            ours_unchanged = _ours(bench, repeat)
            if others:
                _others(bench, ours_unchanged)
        finally:
            bench.control_plane.stop()


def _ours(bench: Bench, repeat: int) -> Measured:
    """Prints the table of ours beside the floor; returns an unchanged run."""
    print(f"\n### {bench.nodes:,} Nodes of {bench.node_kibibytes:.0f} KiB\n")
    print("Interpreter and imports, their start and end, are in 'wall', not in 'work'.\n")
    print("| what | floor | ours: work | ratio | wall | requests | writes | peak MiB |")
    print("|---|---|---|---|---|---|---|---|")

    def row(what: str, floor: float, ours: Measured) -> None:
        print(
            f"| {what} | {floor:.2f} s | {ours.work:.2f} s | **{ours.work / floor:.2f}** | "
            f"{ours.seconds:.2f} s | {ours.requests:,} | {ours.writes:,} | {ours.mebibytes:.0f} |",
            flush=True,
        )

    firsts, lists, floors = [], [], []
    for _ in range(repeat):
        bench.clear()
        lists.append(bench.floor("list-nodes")[0])
        floors.append(bench.floor("write", [("POST", HEPS, json.dumps(w)) for w in bench.wanted])[0])
        bench.clear()
        firsts.append(bench.ours())
    first, writes, list_of_nodes = median(firsts), statistics.median(floors), statistics.median(lists)
    row("first run, beside the same writes", writes, first)
    row("first run, beside one paged list of the Nodes and the same writes", list_of_nodes + writes, first)

    def unchanged(when: str) -> tuple[Measured, float]:
        rounds = [
            (*(bench.floor(what)[0] for what in ("list-nodes", "list-heps", "list-both")), bench.ours())
            for _ in range(repeat + 4)
        ]
        nodes, heps, both = (statistics.median(r[i] for r in rounds) for i in range(3))
        ours = median(r[3] for r in rounds)
        row(f"unchanged {when}, beside one paged list of the Nodes", nodes, ours)
        row(f"unchanged {when}, beside one paged list of the HostEndpoints", heps, ours)
        row(f"unchanged {when}, beside the two paged lists, which it needs", both, ours)
        return ours, both

    _just_written, two_lists = unchanged("just after they were written")

    def replacements(every: int) -> list[tuple[str, str, str]]:
        stored = bench.api.list(HEPS)[::every]
        return [("PUT", f"{HEPS}/{s['metadata']['name']}", json.dumps(_relabelled(s))) for s in stored]

    for what, every in (("1 % changed", 100), ("all changed", 1)):
        rounds = [(bench.floor("write", replacements(every))[0], bench.ours()) for _ in range(repeat)]
        row(what, statistics.median(r[0] for r in rounds) + two_lists, median(r[1] for r in rounds))
    bench.wait_until_quiet()
    ours, _two_lists = unchanged("minutes later")
    return ours


def _relabelled(hep: dict) -> dict:
    hep["metadata"]["labels"]["host-endpoint"] = "edited"
    return hep


def _others(bench: Bench, ours: Measured) -> None:
    print(
        "\n| unchanged, whole process | wall | times ours | times our work | requests | writes | peak MiB |"
    )
    print("|---|---|---|---|---|---|---|")

    def row(what: str, measured: Measured) -> None:
        print(
            f"| {what} | {measured.seconds:.2f} s | {measured.seconds / ours.seconds:.0f} | "
            f"{measured.seconds / ours.work:.0f} | {measured.requests:,} | "
            f"{measured.writes:,} | {measured.mebibytes:.0f} |",
            flush=True,
        )

    row("hostfence.calico.host_endpoints", ours)
    kubectl = str(binaries.locate(["kubectl"], lambda line: print(line, file=sys.stderr))["kubectl"])
    for flag in ([], ["--server-side", "--force-conflicts"]):
        bench.clear()
        apply = [kubectl, "apply", *flag, "-f", str(bench.file)]
        bench.measure(apply)
        row(" ".join(["kubectl apply", *flag[:1]]), bench.measure(apply))
    row(f"shell loop of kubectl apply ({LOOP_SAMPLE}, scaled)", _loop(bench, kubectl))
    bench.clear()
    playbook = bench.run / "k8s.yml"
    playbook.write_text(yaml.safe_dump([_k8s_play(bench.file)]))
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", str(playbook)]
    bench.measure(command)
    row("kubernetes.core.k8s, one task with all documents", bench.measure(command))


def _loop(bench: Bench, kubectl: str) -> Measured:
    folder = bench.run / "one-by-one"
    folder.mkdir()
    for index, wanted in enumerate(bench.wanted[:LOOP_SAMPLE]):
        (folder / f"{index}.yml").write_text(yaml.safe_dump(wanted))
    script = f'for f in {folder}/*.yml; do "{kubectl}" apply -f "$f" >/dev/null || exit 1; done'
    one = bench.measure(["sh", "-c", script])
    scale = bench.nodes / LOOP_SAMPLE
    return replace(
        one,
        seconds=one.seconds * scale,
        requests=int(one.requests * scale),
        writes=int(one.writes * scale),
    )


def _k8s_play(file: Path) -> dict:
    return {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
        "tasks": [{"kubernetes.core.k8s": {"src": str(file), "state": "present"}}],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, action="append", help="how many; may be given again")
    parser.add_argument("--repeat", type=int, default=3, help="runs of which the middle one counts")
    parser.add_argument("--ours-only", action="store_true", help="without kubectl and kubernetes.core")
    parser.add_argument("--crds", default="ours", help="'ours', or a directory of v1 CRDs")
    options = parser.parse_args()
    for nodes in options.nodes or [1000, 5000]:
        run_size(nodes, options.repeat, not options.ours_only, options.crds)


if __name__ == "__main__":
    main()
