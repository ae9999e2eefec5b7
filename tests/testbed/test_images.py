# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Of which packages the testbed's images are made on each distribution, and what is said without them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from testbed import images
from testbed.errors import TestbedError

COMMON = {"libc6", "libgcc-s1", "zlib1g", "libexpat1", "libzstd1", "libbz2-1.0", "liblzma5", "libuuid1"}
# What apt knows, as far as it differs.
DISTRIBUTIONS = {
    "Debian 11": ({"libssl1.1", "libffi7"}, "3.9.2-3"),
    "Debian 12": ({"libssl3", "libffi8"}, "3.11.2-1+b1"),
    "Debian 13": ({"libssl3t64", "libffi8"}, "3.13.5-1"),
    "Ubuntu 22.04": ({"libssl3", "libffi8"}, "3.10.6-1~22.04.1"),
    "Ubuntu 24.04": ({"libssl3t64", "libffi8"}, "3.12.3-0ubuntu2"),
}


@pytest.fixture
def made(monkeypatch):
    """Of what the last image was to be made."""
    found = []
    monkeypatch.setattr(images, "_image", lambda name, packages, config, say: found.append((name, packages)))
    return found


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_each_distribution_has_its_own_names(name, made, monkeypatch):
    libraries, python = DISTRIBUTIONS[name]
    known = {**dict.fromkeys(COMMON | libraries, "1"), "python3-minimal": python}
    monkeypatch.setattr(images, "candidate", lambda package: known.get(package, ""))
    images.python(print)
    [(image, packages)] = made
    version = ".".join(python.split(".")[:2])
    assert image == f"hostfence.test/python:{version}"
    own = {f"python{version}-minimal", f"libpython{version}-minimal", f"libpython{version}-stdlib"}
    assert {*packages} == COMMON | libraries | own | {"busybox-static"}


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({}, "no image with Python can be made: apt knows no package python3-minimal"),
        (
            {"python3-minimal": "3.13.5-1", **dict.fromkeys(COMMON, "1")},
            "no image with Python can be made: apt knows none of libssl3t64, libssl3, libssl1.1",
        ),
    ],
)
def test_where_apt_knows_no_such_package_it_is_said_in_one_line(known, said, made, monkeypatch):
    monkeypatch.setattr(images, "candidate", lambda package: known.get(package, ""))
    with pytest.raises(TestbedError) as refused:
        images.python(print)
    assert str(refused.value) == said
    assert made == []
