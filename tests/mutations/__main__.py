# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Switch off one protection after the other, each in a copy of its own, and run its test: it must fail.

A test that passes without what it is for protects nothing. All tests run once with everything in place first,
and must pass then.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutations.protections import PROTECTIONS, Protection

ROOT = Path(__file__).resolve().parents[2]
_AT_ONCE = 2


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("words", nargs="*", help="only protections whose name has one of these")
    wanted = parser.parse_args().words
    chosen = [p for p in PROTECTIONS if not wanted or any(word in p.name for word in wanted)]
    with tempfile.TemporaryDirectory(prefix="hostfence-mutations-") as place:
        whole = _copy(Path(place) / "whole")
        passed, output = _run(whole, sorted({p.test for p in chosen}))
        if not passed:
            print(f"with everything in place:\n{output}")
            return 1
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            seen = list(pool.map(lambda item: _is_seen(Path(place), *item), enumerate(chosen)))
    for protection, was in zip(chosen, seen):
        print(f"{'seen' if was else 'NOT SEEN'}: {protection.name} ({protection.test.rpartition('::')[2]})")
    print(f"protections whose test fails without them: {sum(seen)}/{len(chosen)}")
    return 0 if all(seen) else 1


def _is_seen(place: Path, number: int, protection: Protection) -> bool:
    copy = _copy(place / str(number))
    path = copy / "ansible_collections/hostfence/calico" / protection.path
    text = path.read_text(encoding="utf-8")
    found = text.count(protection.there)
    if found != 1:
        raise SystemExit(f"{protection.path} holds this {found} times: {protection.there}")
    path.write_text(text.replace(protection.there, protection.without), encoding="utf-8")
    passed, _output = _run(copy, [protection.test])
    shutil.rmtree(copy)
    return not passed


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
