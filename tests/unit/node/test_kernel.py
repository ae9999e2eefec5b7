# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What this machine's kernel is asked for, and how the answers are read."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Optional

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.node import kernel
from ansible_collections.hostfence.calico.plugins.module_utils.node.kernel import (
    NodeError,
    felix_file,
    file_blocks,
    load_json,
    nftables_elements,
    output_lines,
    text_lines,
)


def finds(*names: str) -> Callable[[str], Optional[str]]:
    return lambda name: f"/sbin/{name}" if name in names else None


@pytest.mark.parametrize(
    ("tools", "legacy_loaded", "asked"),
    [
        ((), True, []),
        (("iptables-save",), True, [(4, "iptables", "/sbin/iptables-save")]),
        (
            ("iptables-save", "iptables-nft-save", "ip6tables-nft-save"),
            True,
            [
                (4, "iptables-nft", "/sbin/iptables-nft-save"),
                (6, "iptables-nft", "/sbin/ip6tables-nft-save"),
            ],
        ),
        (
            ("iptables-nft-save", "iptables-legacy-save"),
            True,
            [
                (4, "iptables-nft", "/sbin/iptables-nft-save"),
                (4, "iptables-legacy", "/sbin/iptables-legacy-save"),
            ],
        ),
        # To list them would load the kernel's module, and make the tables.
        (
            ("iptables-nft-save", "iptables-legacy-save"),
            False,
            [(4, "iptables-nft", "/sbin/iptables-nft-save")],
        ),
        (("iptables-legacy-save", "iptables-save"), False, []),
    ],
)
def test_every_back_end_is_asked_once_and_none_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
    tools: tuple[str, ...],
    legacy_loaded: bool,
    asked: list[tuple[int, str, str]],
) -> None:
    monkeypatch.setattr(kernel, "find", finds(*tools))
    monkeypatch.setattr(kernel, "_has_legacy_tables", lambda _name: legacy_loaded)
    commands = kernel.iptables_commands()
    assert [(family, backend, command) for family, backend, [command] in commands] == asked


def test_who_is_not_root_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NodeError, match="needs root"):
        kernel.rulesets()


def test_a_node_without_any_tool_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(kernel, "find", finds())
    with pytest.raises(NodeError, match="install one of them"):
        kernel.rulesets()


@pytest.mark.parametrize(
    ("blocks", "lines"),
    [
        ([], []),
        ([b"a\nb\n"], ["a", "b"]),
        ([b"a\nb"], ["a", "b"]),
        ([b"a", b"b\nc", b"\n"], ["ab", "c"]),
        ([b"\n\n"], ["", ""]),
        ([b"\xff\n"], ["\ufffd"]),
        # Without an end a line is cut, so that it takes no more memory than that.
        ([b"abcde", b"fg\n"], ["abcde", "fg"]),
    ],
)
def test_lines_do_not_depend_on_where_blocks_end(blocks: list[bytes], lines: list[str]) -> None:
    assert list(text_lines(blocks, longest=4)) == lines


def test_a_file_is_read_as_far_as_is_asked(tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(b"x" * kernel.CHUNK + b"y")
    assert b"".join(file_blocks(str(tmp_path / "dump"))).endswith(b"xy")
    assert [len(block) for block in file_blocks(str(tmp_path / "dump"), most=1)] == [kernel.CHUNK]


@pytest.mark.parametrize("name", ["absent", ""])
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(NodeError, match=str(tmp_path)):
        list(file_blocks(str(tmp_path / name)))


def test_a_command_that_fails_is_named_with_its_status() -> None:
    assert list(output_lines([sys.executable, "-c", "print('a'); print('b')"])) == ["a", "b"]
    with pytest.raises(NodeError, match="failed with status 3"):
        list(output_lines([sys.executable, "-c", "raise SystemExit(3)"]))


def test_a_table_that_is_not_there_has_no_elements(tmp_path: Path) -> None:
    """nft then fails and prints nothing; what it prints and succeeds with must be JSON."""
    nft = tmp_path / "nft"
    nft.write_text("#!/bin/sh\nexit 1\n")
    nft.chmod(0o755)
    assert list(nftables_elements(str(nft), "ip", "calico")) == []
    nft.write_text("#!/bin/sh\necho no json\n")
    with pytest.raises(NodeError, match="list table ip calico"):
        list(nftables_elements(str(nft), "ip", "calico"))


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_what_is_no_json_is_said(text: str) -> None:
    with pytest.raises(NodeError, match="not JSON"):
        load_json(text)


@pytest.mark.parametrize(
    "text",
    [
        "FailsafeInboundHostPorts = tcp:22",
        "[global]\nfailsafeinboundhostports=tcp:22\n",
        "# FailsafeInboundHostPorts = none\n[a]\nFailsafeInboundHostPorts: tcp:22  # SSH\n",
        'FailsafeInboundHostPorts = none\n[b]\n  FailsafeInboundHostPorts = "tcp:22" ; SSH\n',
    ],
)
def test_felixs_file_is_read_as_felix_reads_it(text: str) -> None:
    assert felix_file(text + "\nDatastoreType = etcdv3\nEtcdPassword = secret\n") == {
        "FELIX_FAILSAFEINBOUNDHOSTPORTS": "tcp:22"
    }


def test_a_file_that_says_nothing_of_failsafes() -> None:
    assert felix_file("\0\1\n[global\nLogFilePath = none\n= 3\n") == {}
