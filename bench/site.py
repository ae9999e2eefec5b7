# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``site.yml`` run again with nothing to change, on clusters of different sizes: the control-plane part.

    python bench/site.py --nodes 10 --nodes 1000

The Node objects have no machines, so the inventory has no hosts: what is measured is all that runs on the
controller. What counts is the ratio to a playbook of as many plays with one task each that does nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from testbed import binaries, crds, installation, node_objects  # noqa: E402
from testbed.control_plane import ControlPlane  # noqa: E402


@dataclass(frozen=True)
class Run:
    """One run of a playbook.

    :ivar plays: that have a host
    :ivar tasks: that ran on the controller; those that were skipped come on top
    """

    seconds: float
    plays: int
    tasks: int
    skipped: int
    changed: int


def play(kubeconfig: Path, playbook: Path) -> Run:
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", str(playbook)]
    begun = time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "K8S_AUTH_KUBECONFIG": str(kubeconfig), "ANSIBLE_FORCE_COLOR": "0"},
    )
    seconds = time.monotonic() - begun
    if done.returncode:
        sys.exit(f"{playbook} failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    recap = dict(re.findall(r"(ok|changed|skipped)=(\d+)", done.stdout))
    plays = len(re.findall(r"^PLAY \[", done.stdout, re.MULTILINE))
    return Run(seconds, plays, *(int(recap.get(name, 0)) for name in ("ok", "skipped", "changed")))


def floor(plays: int, directory: Path) -> Path:
    """A playbook of so many plays with one task each, of a module that does nothing."""
    one = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {
            "ansible_connection": "local",
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        },
        "tasks": [{"name": "Do nothing", "ansible.builtin.ping": {}}],
    }
    path = directory / "floor.yml"
    path.write_text(json.dumps([one] * plays))
    return path


def measure(nodes: int, repeat: int) -> tuple[Run, Run, Run]:
    """The first run, the median unchanged one, and the median of the playbook that does nothing."""
    found = binaries.locate(binaries.CONTROL_PLANE, lambda line: print(line, file=sys.stderr))
    with tempfile.TemporaryDirectory(prefix="hostfence-bench-") as run:
        control_plane = ControlPlane(Path(run), found, tied=True)
        control_plane.start()
        try:
            api = control_plane.api()
            definitions = crds.load("ours", "v1")
            crds.install(api, definitions)
            installation.create_defaults(api, crds.kinds(definitions), installation.version_of("ours"))
            installation.create_placeholders(api, installation.version_of("ours"))
            node_objects.create(api, node_objects.simulated(nodes))
            kubeconfig = control_plane.kubeconfig
            first = play(kubeconfig, ROOT / "site.yml")
            nothing = floor(first.plays, Path(run))
            # In turn, so that a slower minute slows both.
            pairs = [(play(kubeconfig, ROOT / "site.yml"), play(kubeconfig, nothing)) for _ in range(repeat)]
        finally:
            control_plane.stop()
    unchanged, floors = (sorted(runs, key=lambda one: one.seconds)[repeat // 2] for runs in zip(*pairs))
    return first, unchanged, floors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, action="append", help="how many; may be given again")
    parser.add_argument("--repeat", type=int, default=3, help="unchanged runs of which the middle one counts")
    options = parser.parse_args()
    print("| Node objects | first run | unchanged | changed | tasks, skipped | plays | floor | times it |")
    print("|---|---|---|---|---|---|---|---|")
    for nodes in options.nodes or [10, 1000]:
        first, unchanged, nothing = measure(nodes, options.repeat)
        print(
            f"| {nodes:,} | {first.seconds:.1f} s | {unchanged.seconds:.1f} s | {unchanged.changed} "
            f"| {unchanged.tasks}, {unchanged.skipped} | {unchanged.plays} | {nothing.seconds:.1f} s "
            f"| **{unchanged.seconds / nothing.seconds:.2f}** |",
            flush=True,
        )


if __name__ == "__main__":
    main()
