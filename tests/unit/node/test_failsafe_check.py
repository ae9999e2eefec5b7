# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The check as an auditor uses it, on files: each combination, and one clear line for each bad input."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.node import failsafe_check
from ansible_collections.hostfence.calico.plugins.module_utils.node.kernel import NodeError

from tests.unit import builders

ROOT = Path(__file__).resolve().parents[3]
RECORDED = Path(__file__).resolve().parent.parent / "recordings" / "felix" / "more"
IPTABLES = RECORDED / "v3.32.1-iptables-nft" / "pods"
NFTABLES = RECORDED / "v3.32.1-nftables" / "pods"
SAVES = {"iptables_save": f"{IPTABLES}/iptables-save.txt", "ip6tables_save": f"{IPTABLES}/ip6tables-save.txt"}
LISTING = {"nft_ruleset": f"{NFTABLES}/nft-ruleset.json"}


def case(state: Path = IPTABLES) -> dict[str, Any]:
    return dict(json.loads((state / "case.json").read_text()))


def check(dump: dict[str, str], state: Path = IPTABLES, **other: Any) -> dict[str, Any]:
    given = case(state)
    options = {
        "resources": given["objects"], "src": None, "node": given["node"],
        "interfaces": given["interfaces"], "dump": dump, **other,
    }  # fmt: skip
    return failsafe_check.check(**options)


def test_each_kind_of_dump_is_enough_for_its_back_end() -> None:
    assert check(SAVES)["ok"]
    assert check(LISTING, NFTABLES)["dataplane"] == "nftables"
    assert check(LISTING, NFTABLES)["ok"]


@pytest.mark.parametrize("left", ["iptables_save", "ip6tables_save"])
def test_a_family_that_was_not_dumped_is_missed(left: str) -> None:
    result = check({left: SAVES[left]})
    assert [item["id"] for item in result["findings"] if item["severity"] == "error"] == ["family.missing"]


def test_both_back_ends_at_once_are_one_too_many() -> None:
    assert "dataplane.leftover" in {item["id"] for item in check({**SAVES, **LISTING})["findings"]}


def test_objects_come_from_files_and_directories(tmp_path: Path) -> None:
    objects = case()["objects"]
    (tmp_path / "a.json").write_text(json.dumps({"kind": "List", "items": objects[:4]}))
    (tmp_path / "b.json").write_text(json.dumps(objects[4:]))
    assert check(SAVES, resources=None, src=str(tmp_path))["ok"]


def test_what_felix_was_told_by_its_environment_can_be_given() -> None:
    told = {"FELIX_FAILSAFEINBOUNDHOSTPORTS": "tcp:2222"}
    findings = check(SAVES, felix_environment=told)["findings"]
    assert {item["id"] for item in findings} == {"failsafe.config"}


def test_a_felix_that_went_back_from_ebpf_is_judged_as_what_it_is() -> None:
    felix = builders.felix_configuration("node.node1", api=builders.V3, bpfEnabled=True)
    result = check(SAVES, resources=[*case()["objects"], felix])
    assert result["dataplane"] != "bpf"
    assert [item["id"] for item in result["findings"]] == ["dataplane.not-bpf"]


def test_a_dump_of_the_other_family_proves_nothing() -> None:
    for name in SAVES:
        result = check(
            {**SAVES, name: SAVES["iptables_save" if name != "iptables_save" else "ip6tables_save"]}
        )
        assert "dump.unreadable" in {item["id"] for item in result["findings"]}


def bad_files(tmp_path: Path) -> dict[str, str]:
    contents = {
        "empty": "",
        "text": "hello\n",
        "object": "{}",
        "list": "[]",
        "null": "null",
        "deep": "[" * 90_000,
    }
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 50)
    return {name: str(tmp_path / name) for name in (*contents, "binary")}


@pytest.mark.parametrize(
    "door", ["iptables_save", "ip6tables_save", "nft_ruleset", "bpf_failsafes_v4", "bpf_net"]
)
def test_a_file_of_the_wrong_kind_is_never_ok(door: str, tmp_path: Path) -> None:
    wrong = {**bad_files(tmp_path), "save": SAVES["iptables_save"], "listing": LISTING["nft_ruleset"]}
    for name, path in wrong.items():
        right = {"iptables_save": "save", "nft_ruleset": "listing"}.get(door)
        if name == right:
            continue
        assert not said(door, path)["ok"], name


def said(door: str, path: str) -> dict[str, Any]:
    try:
        return check({door: path})
    except BadInput as refused:
        return {"ok": False, "summary": str(refused)}


@pytest.mark.parametrize(
    "door", ["iptables_save", "ip6tables_save", "nft_ruleset", "bpf_failsafes_v6", "bpf_net"]
)
def test_a_file_that_cannot_be_read_is_named(door: str, tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path, Path("/dev/null")):
        with pytest.raises(NodeError, match=re.escape(str(path))):
            check({door: str(path)})


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"dump": {}}, "dump"),
        ({"node": None}, "node"),
        ({"node": "nobody"}, "node"),
        ({"interfaces": {"eth0": None}}, "interfaces.eth0"),
        ({"interfaces": {"eth0": "10.0.0.1"}}, "interfaces.eth0"),
        ({"interfaces": {"eth0": ["x"]}}, "interfaces.eth0"),
        ({"interfaces": {1: []}}, "interfaces"),
        ({"resources": None}, "resources"),
        ({"resources": [None]}, "resources[0]"),
        ({"resources": [{"kind": "Node"}]}, "resources[0].metadata.name"),
        ({"resources": [{"kind": "Node", "metadata": []}]}, "resources[0].metadata"),
        ({"resources": [{"kind": "List", "items": [3]}]}, "resources[0].items[0]"),
    ],
)
def test_bad_input_is_one_line_that_names_the_field(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        check(wrong.pop("dump", SAVES), **wrong)
    assert refused.value.field == field
    assert "\n" not in str(refused.value)


def test_files_that_hold_no_objects_are_refused(tmp_path: Path) -> None:
    for name, path in bad_files(tmp_path).items():
        with pytest.raises(BadInput) as refused:
            check(SAVES, resources=None, src=path)
        assert "\n" not in str(refused.value), name


def test_the_objects_are_left_as_they_were() -> None:
    objects = case()["objects"]
    before = copy.deepcopy(objects)
    check(SAVES, resources=objects)
    assert objects == before


IN_CODE = re.compile(r'"([a-z]+\.[a-z-]+)"')
IN_DOCS = re.compile(r"^\| `([a-z.-]+)` \|", re.MULTILINE)
DOCUMENTED = IN_DOCS.findall((ROOT / "docs" / "failsafes.md").read_text())


def test_every_finding_is_documented_and_no_other() -> None:
    code = [
        *(ROOT / "plugins" / "module_utils" / "calico" / "failsafe").glob("*.py"),
        *(ROOT / "plugins" / "module_utils" / "node").glob("*.py"),
    ]
    written = {found for path in code for found in IN_CODE.findall(path.read_text())}
    assert written == set(DOCUMENTED)
    assert len(DOCUMENTED) == len(written)


def test_every_finding_has_a_test() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    molecule = "".join(path.read_text() for path in (ROOT / "molecule" / "failsafes").rglob("*.yml"))
    assert [found for found in DOCUMENTED if found not in tests + molecule] == []
