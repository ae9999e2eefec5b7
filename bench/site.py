# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``site.yml`` run again with nothing to change, on clusters of different sizes: the control-plane part.

    python bench/site.py --nodes 10 --nodes 1000

The Node objects have no machines, so the inventory has no hosts: what is measured is all that runs on the
controller. The ratio between the sizes is what counts.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from testbed import binaries, crds, installation, node_objects  # noqa: E402
from testbed.control_plane import ControlPlane  # noqa: E402


def site(kubeconfig: Path) -> tuple[float, int]:
    """Seconds of one run, and how many tasks said that they changed something."""
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", "site.yml"]
    begun = time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "K8S_AUTH_KUBECONFIG": str(kubeconfig)},
    )
    seconds = time.monotonic() - begun
    if done.returncode:
        sys.exit(f"site.yml failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    changed = re.search(r"localhost .*changed=(\d+)", done.stdout)
    return seconds, int(changed[1]) if changed else -1


def measure(nodes: int, repeat: int) -> tuple[float, float, int]:
    """Seconds of the first run, of the median unchanged one, and what the last one changed."""
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
            first, _changed = site(control_plane.kubeconfig)
            runs = [site(control_plane.kubeconfig) for _ in range(repeat)]
        finally:
            control_plane.stop()
    return first, sorted(seconds for seconds, _ in runs)[repeat // 2], max(changed for _, changed in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, action="append", help="how many; may be given again")
    parser.add_argument("--repeat", type=int, default=3, help="unchanged runs of which the middle one counts")
    options = parser.parse_args()
    print("| Node objects | first run | unchanged | changed tasks | times the smallest |")
    print("|---|---|---|---|---|")
    smallest = 0.0
    for nodes in options.nodes or [10, 1000]:
        first, unchanged, changed = measure(nodes, options.repeat)
        smallest = smallest or unchanged
        print(
            f"| {nodes:,} | {first:.1f} s | {unchanged:.1f} s | {changed} | **{unchanged / smallest:.2f}** |",
            flush=True,
        )


if __name__ == "__main__":
    main()
