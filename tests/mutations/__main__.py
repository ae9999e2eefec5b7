# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Switch off one protection after the other, each in a copy of its own, and run its test: it must fail.

A test that passes without what it is for protects nothing. All tests run once with everything in place first,
and must pass then. ``--felix`` switches off those that only a whole transaction shows, on the testbed that is
up: take it down afterwards, as without a last resort a node may stay deaf.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutations.protections import ON_FELIX, PROTECTIONS, Protection

ROOT = Path(__file__).resolve().parents[2]
_AT_ONCE = 2


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("words", nargs="*", help="only protections whose name has one of these")
    parser.add_argument("--felix", action="store_true", help="by rows of the fault matrix, on a real Felix")
    options = parser.parse_args()
    tried = ON_FELIX if options.felix else PROTECTIONS
    chosen = [p for p in tried if not options.words or any(word in p.name for word in options.words)]
    with tempfile.TemporaryDirectory(prefix="hostfence-mutations-") as place:
        seen = _by_rows(Path(place), chosen) if options.felix else _by_tests(Path(place), chosen)
    for protection, was in zip(chosen, seen):
        print(f"{'seen' if was else 'NOT SEEN'}: {protection.name} ({protection.test.rpartition('::')[2]})")
    print(f"protections whose test fails without them: {sum(seen)}/{len(chosen)}")
    return 0 if seen and all(seen) else 1


def _by_tests(place: Path, chosen: Sequence[Protection]) -> list[bool]:
    whole = _copy(place / "whole")
    passed, output = _run(whole, sorted({p.test for p in chosen}))
    if not passed:
        raise SystemExit(f"with everything in place:\n{output}")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda item: not _passes(place, *item, _run_tests), enumerate(chosen)))


def _by_rows(place: Path, chosen: Sequence[Protection]) -> list[bool]:
    """One after the other, as there is one testbed; rows that fail with everything in place prove nothing."""
    whole = _copy(place / "whole")
    for row in sorted({p.test for p in chosen}, key=int):
        if not _run_row(whole, row):
            raise SystemExit(f"row {row} fails with everything in place")
    return [not _passes(place, *item, _run_row) for item in enumerate(chosen)]


def _passes(place: Path, number: int, protection: Protection, run: Callable[[Path, str], bool]) -> bool:
    """Whether its test passes without a protection."""
    copy = _copy(place / str(number))
    path = copy / "ansible_collections/hostfence/calico" / protection.path
    text = path.read_text(encoding="utf-8")
    found = text.count(protection.there)
    if found != 1:
        raise SystemExit(f"{protection.path} holds this {found} times: {protection.there}")
    path.write_text(text.replace(protection.there, protection.without), encoding="utf-8")
    passed = run(copy, protection.test)
    shutil.rmtree(copy)
    return passed


def _run_tests(copy: Path, test: str) -> bool:
    return _run(copy, [test])[0]


def _run_row(copy: Path, row: str) -> bool:
    command = [sys.executable, "-m", "tests.faults", "matrix", row]
    more = {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **more}, stdout=subprocess.DEVNULL, check=False
    )
    return done.returncode == 0


def _copy(place: Path) -> Path:
    """The collection as it is imported, with its unit tests."""
    home = place / "ansible_collections/hostfence/calico"
    ignored = shutil.ignore_patterns("__pycache__", "cases", "more", "versions", "audited")
    shutil.copytree(ROOT / "plugins", home / "plugins", ignore=ignored)
    shutil.copytree(ROOT / "tests/unit", home / "tests/unit", ignore=ignored)
    shutil.copy(ROOT / "tests/__init__.py", home / "tests")
    return place


def _run(copy: Path, tests: Sequence[str]) -> tuple[bool, str]:
    home = copy / "ansible_collections/hostfence/calico"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--rootdir", str(home)]
    # None of pytest's plugins is needed, and each takes its time.
    more = {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [*command, *tests],
        cwd=home,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    # 1: tests ran, and one failed. Anything else is a test that cannot be run.
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(tests)}: {output[-2000:]}")
    return done.returncode == 0, output


if __name__ == "__main__":
    sys.exit(main())
