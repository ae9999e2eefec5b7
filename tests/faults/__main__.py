# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run one of the fault programs against the testbed that ``HOSTFENCE_TESTBED`` names, which has a real
Felix.
"""

from __future__ import annotations

import argparse
import sys
from signal import Signals

from tests.faults import exactness, killed, matrix, rights, way_back
from tests.faults.lab import Lab


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("exactness", help="old, old, new, old: verdicts of real packets")
    kill = commands.add_parser("killed", help="a run ended after every write")
    kill.add_argument("--watchdogs", type=int, default=0)
    kill.add_argument("--first", type=int, default=1)
    kill.add_argument("--step", type=int, default=1)
    kill.add_argument(
        "--signals", nargs="+", type=Signals.__getitem__, default=[Signals.SIGKILL], metavar="SIGKILL"
    )
    commands.add_parser("back", help="the time to go back, with one node cut off and with all")
    commands.add_parser("rights", help="what a watchdog's token can do")
    faults = commands.add_parser("matrix", help="the fault matrix")
    faults.add_argument("rows", nargs="*", type=int, help="numbers of rows; all without")
    options = parser.parse_args()
    lab = Lab()
    lab.protect()
    if options.command == "exactness":
        good = exactness.main(lab)
    elif options.command == "killed":
        good = killed.main(lab, options.watchdogs, options.first, options.step, options.signals)
    elif options.command == "back":
        good = way_back.main(lab)
    elif options.command == "matrix":
        good = matrix.main(lab, options.rows)
    else:
        good = rights.main(lab)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
