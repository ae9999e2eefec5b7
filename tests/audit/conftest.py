# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A testbed with traffic between its nodes, for audits."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "integration"), str(Path(__file__).parent)]

from audited_cluster import AuditedCluster  # noqa: E402

from testbed.calico import FELIX_BACKENDS  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--felix-backend", choices=FELIX_BACKENDS, default="nft", help="what Felix programs; nft without"
    )


@pytest.fixture(scope="session")
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AuditedCluster]:
    if os.geteuid() != 0:
        pytest.skip("the testbed needs root")
    backend = request.config.getoption("--felix-backend")
    found = AuditedCluster(tmp_path_factory.mktemp("audit"), backend)
    try:
        yield found
    finally:
        found.down()
