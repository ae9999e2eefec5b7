# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a report of a large fleet takes: time, size, and how long a browser needs to open it.

    .venv/bin/python bench/report.py [--nodes 5000] [--flows 20000]

Opening is compared with an empty page in the same browser, in the same run; without Chromium it is left out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser")]

import chromium  # noqa: E402
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.checks import CHECKS  # noqa: E402
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.document import Found, build  # noqa: E402
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.files import FORMS, write_files  # noqa: E402

from tests.unit.report import sample  # noqa: E402

MEBIBYTE = 1024 * 1024
OPENED = 7
EMPTY = "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>empty</title><p>empty"


def fleet(nodes: int, flows: int) -> Found:
    """Most nodes are well; some are broken, were not reached, or have no HostEndpoint."""
    names = [f"worker-{number:05d}" for number in range(1, nodes + 1)]
    good, broken, lost = sample.checked(), sample.broken(), {"msg": "Failed to connect to the host via ssh"}
    failsafes = {
        name: broken if number % 50 == 0 else lost if number % 70 == 0 else good
        for number, name in enumerate(names, 1)
    }
    covered = [
        {
            "name": name,
            "host_endpoint": "" if number % 90 == 0 else f"{name}-hostfence",
            "made_by": "hostfence",
        }
        for number, name in enumerate(names, 1)
    ]
    seen = [_flow(number, names[number % nodes]) for number in range(flows)]
    return sample.found(nodes=covered, failsafes=failsafes, audit={**sample.AUDIT, "groups": seen})


def _flow(number: int, node: str) -> dict[str, object]:
    kind = sample.AUDIT["groups"][0]
    peer = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    return {**kind, "node": node, "peer": peer, "port": 9000 + number % 40, "connections": number % 97 + 1}


def opened(page: chromium.Page, file: Path) -> float:
    """Median seconds until a page was loaded and laid out, once it is warm."""
    page.open(file)
    return median(page.open(file) for _round in range(OPENED))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--nodes", type=int, default=5000)
    arguments.add_argument("--flows", type=int, default=20000)
    given = arguments.parse_args()
    found = fleet(given.nodes, given.flows)
    print(f"{given.nodes} nodes x {len(CHECKS)} checks, {given.flows} flows that would be denied")
    with tempfile.TemporaryDirectory(prefix="hostfence-bench-") as directory:
        begun, worked = time.perf_counter(), time.process_time()
        document = build(found, sample.AT, "0.1.0")
        print(f"document: {time.perf_counter() - begun:.2f} s")
        total = time.perf_counter() - begun
        for name, form in FORMS.items():
            begun = time.perf_counter()
            write_files(document, [name], directory)
            took = time.perf_counter() - begun
            total += took
            size = (Path(directory) / form.file).stat().st_size / MEBIBYTE
            print(f"{name}: {took:.2f} s, {size:.2f} MiB")
        worked = time.process_time() - worked
        print(f"all together: {total:.2f} s, of which the processor worked {worked:.2f} s")
        _in_a_browser(Path(directory))


def _in_a_browser(directory: Path) -> None:
    program = chromium.find()
    if program is None:
        print("opening it: left out, no chromium on this machine")
        return
    empty = directory / "empty.html"
    empty.write_text(EMPTY)
    with chromium.running(program) as page:
        page.view(1440)
        nothing, report = opened(page, empty), opened(page, directory / "report.html")
    print(f"opening it: {report:.2f} s, an empty page {nothing:.2f} s: {report / nothing:.1f} times")


if __name__ == "__main__":
    main()
