# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stand-in for Felix: loads what a real Felix once rendered, in the states that were recorded.

It never makes up a rule. Where the cluster is in a state that was not recorded (an enforced policy, say), the
nodes keep the rules of the host endpoint alone, and the status says that they are not what Felix would do.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ansible_collections.hostfence.calico.plugins.module_utils.calico import selector
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput

from testbed import commands, state
from testbed.api import Api, Json
from testbed.errors import TestbedError
from testbed.fabric import Fabric
from testbed.nodes import Nodes
from testbed.standins.auto_host_endpoints import stored_labels
from testbed.standins.watching import Mirror, calico_group_version, say

RECORDINGS = Path(__file__).resolve().parent.parent / "recordings"
STATUS = "recorded-felix.json"
# Felix backend -> directory of its recordings.
BACKENDS = {"nft": "iptables-nft", "nftables": "nftables"}

# Staged policies make no rules, but Felix marks where their tier begins, in each class they are of.
_RECORDED_STAGED = {("hostfence", True, "Ingress"), ("hostfence", False, "Egress")}
_PROFILE = "projectcalico-default-allow"
_FAILSAFES = ("failsafeInboundHostPorts", "failsafeOutboundHostPorts")
# In one transaction: without the first line the second fails on a node that has no such table yet.
_NFT_AFRESH = "".join(f"table {family} calico\ndelete table {family} calico\n" for family in ("ip", "ip6"))


@dataclass(frozen=True)
class Loaded:
    """What a node has.

    :param recording: name of the recorded state
    :param differs: why this is not what a real Felix would have, or empty
    """

    recording: str
    differs: str = ""


class RecordedFelix:
    """Loads recordings into the nodes of one testbed.

    :param run: its run directory
    """

    def __init__(self, run: Path, api: Api, group_version: str) -> None:
        self._run = run
        self._api = api
        self._base = f"/apis/{group_version}"
        self._nodes = Nodes(run, Fabric(state.namespace_prefix(run)))
        self._loaded: dict[str, Loaded] = {}

    def run(self) -> None:
        paths = {
            "nodes": "/api/v1/nodes",
            "endpoints": f"{self._base}/hostendpoints",
            "policies": f"{self._base}/globalnetworkpolicies",
            "staged": f"{self._base}/stagedglobalnetworkpolicies",
            "felix": f"{self._base}/felixconfigurations",
        }
        Mirror(self._api, paths).run(self.look)

    def look(self, objects: dict[str, dict[str, Json]]) -> None:
        """Loads what fits into every node where something else is."""
        record = state.load(self._run)
        if record is None:
            return
        directory = RECORDINGS / BACKENDS[record.felix_backend]
        self._loaded = {name: loaded for name, loaded in self._loaded.items() if name in record.nodes}
        for name in record.nodes:
            if name not in objects["nodes"]:
                continue
            wanted = fitting(name, objects)
            before = self._loaded.get(name)
            if wanted == before:
                continue
            if before is None or before.recording != wanted.recording:
                self._load(name, directory / wanted.recording)
            self._loaded[name] = wanted
            say(f"{name}: {wanted.recording}{f' ({wanted.differs})' if wanted.differs else ''}")
        new = self._run / f"{STATUS}.new"
        new.write_text(json.dumps({name: asdict(loaded) for name, loaded in self._loaded.items()}))
        new.replace(self._run / STATUS)

    def _load(self, node: str, recording: Path) -> None:
        try:
            inside = self._nodes.inside(node)
            if (ruleset := recording / "nft-ruleset.txt").exists():
                commands.run([*inside, "nft", "-f", "-"], _NFT_AFRESH + ruleset.read_text())
                return
            # The rules name the sets, so the sets come first.
            commands.run([*inside, "ipset", "restore", "-exist"], (recording / "ipset-save.txt").read_text())
            for program in ("iptables", "ip6tables"):
                rules = (recording / f"{program}-save.txt").read_text()
                commands.run([*inside, f"{program}-nft-restore"], rules)
        except TestbedError as error:
            say(f"{node}: {error}")


def fitting(node: str, objects: dict[str, dict[str, Json]]) -> Loaded:
    """The recording that fits a node's state best, and how it differs from a real Felix.

    :param objects: collections ``endpoints``, ``policies``, ``staged`` and ``felix``, name -> object
    """
    endpoints = [
        item for _name, item in sorted(objects["endpoints"].items()) if item["spec"].get("node") == node
    ]
    wildcards = [item for item in endpoints if item["spec"].get("interfaceName") == "*"]
    differs = []
    if len(wildcards) != len(endpoints):
        differs.append("host endpoints of single interfaces are not recorded")
    configured = objects["felix"].get("default", {}).get("spec", {})
    if any(field in configured for field in _FAILSAFES):
        differs.append("the recordings have the default failsafes")
    if not wildcards:
        return Loaded("nohep", "; ".join(differs))
    # Of several, Felix takes the alphabetically first.
    profiles = wildcards[0]["spec"].get("profiles", [])
    if profiles not in ([], [_PROFILE]):
        differs.append(f"profiles {', '.join(profiles)} are not recorded")
    labels = stored_labels(wildcards[0])
    enforced = [name for name, policy in sorted(objects["policies"].items()) if _selects(policy, labels)]
    if enforced:
        differs.append(f"enforced policies are not recorded: {', '.join(enforced)}")
    if _PROFILE not in profiles:
        return Loaded("hep-nopolicy", "; ".join(differs))
    staged = [policy for policy in objects["staged"].values() if _selects(policy, labels)]
    if not staged:
        return Loaded("hep-profile-allow", "; ".join(differs))
    if _kinds_of(staged) != _RECORDED_STAGED:
        differs.append("only the default set, staged in tier hostfence, is recorded")
    return Loaded("hep-staged", "; ".join(differs))


def _kinds_of(policies: list[Json]) -> set[tuple[str, bool, str]]:
    """What decides the chains that Felix makes for staged policies: tier, whether preDNAT, and direction."""
    specs = [policy["spec"] for policy in policies]
    return {
        (spec.get("tier", "default"), bool(spec.get("preDNAT")), direction)
        for spec in specs
        for direction in spec.get("types", [])
    }


def _selects(policy: Json, labels: Mapping[str, str]) -> bool:
    try:
        return selector.parse(policy.get("spec", {}).get("selector", "")).matches(labels)
    except BadInput:
        # Felix treats such a policy as missing.
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    options = parser.parse_args()
    api = Api(options.kubeconfig)
    RecordedFelix(options.run, api, calico_group_version(api)).run()


if __name__ == "__main__":
    main()
