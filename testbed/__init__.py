# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An embedded cluster for demonstration and tests: real parts, one machine, no Docker.

Run from the repository root: ``python -m testbed up``. docs/testbed.md says what it is made of.
"""
