# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One node's failsafe check: read, expect, compare, report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ..calico.address import parse_address
from ..calico.bad_input import BadInput
from ..calico.failsafe import bpf as failsafe_bpf
from ..calico.failsafe.check import active_backend, verify
from ..calico.failsafe.expectation import Expectation, expect
from ..calico.failsafe.ruleset import Ruleset
from ..calico.failsafe.vital_paths import VitalFacts, internal_addresses, path_findings, vital_paths
from ..calico.felix.chains import FAILSAFE_IN, FAILSAFE_OUT
from ..calico.finding import ERROR, WARNING, Finding, is_ok
from ..calico.version import noted_version
from . import iptables_save, kept_lifeline, kernel, nft_json, vital
from .limits import MAX_JSON_FILE

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Reading:
    """What was read, of this machine or of recorded files.

    :ivar live: of this machine
    :ivar lifeline: the one that is kept, or None
    :ivar accept_mark: Calico's, where a lifeline is kept
    """

    rulesets: Sequence[Ruleset]
    bpf: failsafe_bpf.Kernel
    facts: VitalFacts = field(default_factory=VitalFacts)
    felix: kernel.RunningFelix = field(default_factory=kernel.RunningFelix)
    live: bool = False
    lifeline: Optional[kept_lifeline.Lifeline] = None
    accept_mark: int = 0


def check(
    resources: Optional[Sequence[Object]],
    src: Optional[str],
    node: Optional[str],
    interfaces: Optional[Mapping[str, Any]],
    dump: Optional[Mapping[str, Optional[str]]],
    felix_environment: Optional[Mapping[str, Any]] = None,
) -> dict[str, Any]:
    """The result of the module failsafe_info.

    :raises BadInput: objects or options that cannot be understood
    :raises kernel.NodeError: the machine or a file cannot be read
    """
    objects = _objects(resources, src)
    _check_interfaces(interfaces)
    files = {name: path for name, path in (dump or {}).items() if path}
    if dump is not None and not files:
        raise BadInput("dump", dump, "name at least one file")
    reading = _recorded(files) if files else _live()
    told = {str(key).upper(): str(value) for key, value in (felix_environment or {}).items()}
    environment = {**reading.felix.environment, **told}
    if reading.live and interfaces is None:
        interfaces = kernel.interfaces()
    name = node or _own_name(reading, environment)
    version = _calico_version(objects)
    _check_node(name, objects)
    expectation = expect(objects, name, interfaces, environment, version, reading.felix.config_file)
    findings = _judge(expectation, reading)
    paths = vital_paths(expectation, objects, reading.facts, interfaces)
    if reading.live:
        findings.extend(path_findings(paths))
    mismatch = lifeline_findings(reading)
    findings.extend(mismatch)
    lifeline = None if mismatch else reading.lifeline
    known = [text for item in objects if _is_node(item, name) for text in internal_addresses(item)]
    ports = (entry.port for entry in expectation.failsafes.inbound if entry.protocol == "tcp")
    return {
        "ok": is_ok(findings),
        "protected": expectation.active and not _bypass(findings),
        "dataplane": _dataplane(expectation, reading),
        "families": sorted({f"ipv{item.family}" for item in reading.rulesets if item.holds_calico})
        or [f"ipv{family}" for family in sorted(reading.bpf.maps)],
        "expected": _expected(expectation),
        "observed": [_observed(ruleset) for ruleset in reading.rulesets],
        "findings": [finding.as_dict() for finding in findings],
        "vital_paths": [path.as_result() for path in paths],
        "lifeline": reading.lifeline.as_dict() if reading.lifeline else {},
        "uses": {
            **_uses(name, reading, interfaces, environment, expectation),
            "lifeline": lifeline.as_dict() if lifeline else {},
        },
        "probe_targets": vital.own_targets(reading.facts.listening, interfaces or {}, known, ports),
        "summary": _summary(expectation, findings) + _with_lifeline(lifeline),
    }


def _bypass(findings: Sequence[Finding]) -> Optional[Finding]:
    """What says that another program accepts what arrives or leaves before host policy is asked."""
    return next(
        (
            finding
            for finding in findings
            if finding.id == "foreign.accept"
            or (finding.id == "foreign.bypass" and (finding.table, finding.chain) in _HOST_POLICY)
        ),
        None,
    )


_HOST_POLICY = (("filter", "INPUT"), ("filter", "OUTPUT"))


def lifeline_findings(reading: Reading) -> list[Finding]:
    """That the kept lifeline's mark is not Calico's."""
    if reading.lifeline is None or reading.lifeline.mark == reading.accept_mark:
        return []
    return [
        Finding(
            "lifeline.mark",
            WARNING,
            "the lifeline sets a mark that is not Calico's accept mark, so that it lets nothing pass",
            "run the role lifeline again",
        )
    ]


def _with_lifeline(lifeline: Optional[kept_lifeline.Lifeline]) -> str:
    return f"; the lifeline keeps open: {', '.join(kept_lifeline.told(lifeline))}" if lifeline else ""


def _objects(resources: Optional[Sequence[Object]], src: Optional[str]) -> list[Object]:
    if resources is not None:
        return [
            item for index, given in enumerate(resources) for item in _opened(given, f"resources[{index}]")
        ]
    if src is None:
        raise BadInput(
            "resources",
            None,
            "give the cluster's objects (failsafe_resources_info reads them), or files as src",
        )
    return load(src)


def load(src: str) -> list[Object]:
    """Objects of a file, or of all JSON and YAML files of a directory.

    :raises BadInput: a file that is not there or not of that kind
    """
    path = Path(src)
    if path.is_dir():
        files = sorted(item for item in path.rglob("*") if item.suffix in (".json", ".yaml", ".yml"))
    else:
        files = [path]
    if not files:
        raise BadInput("src", src, "holds no .json, .yaml or .yml file")
    found = [item for file in files for item in _of_file(file)]
    if not found:
        raise BadInput("src", src, "holds no object")
    return found


def _of_file(file: Path) -> Iterator[Object]:
    if not file.is_file():
        raise BadInput("src", str(file), "is not a file or directory")
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise BadInput("src", str(file), f"cannot be read: {why}")
    for document in _documents(text, str(file)):
        yield from _members(document, str(file))


def _documents(text: str, file: str) -> list[Any]:
    try:
        return [json.loads(text)]
    except (ValueError, RecursionError):
        pass
    try:
        import yaml
    except ImportError:
        raise BadInput("src", file, "is not JSON, and PyYAML is not installed where this runs")
    try:
        return list(yaml.safe_load_all(text))
    except (yaml.YAMLError, RecursionError) as error:
        raise BadInput("src", file, f"is neither JSON nor YAML: {str(error).splitlines()[0]}")


def _members(document: Any, file: str) -> Iterator[Object]:
    for item in document if isinstance(document, list) else [document]:
        if item is not None:
            yield from _opened(item, f"src {file}")


def _opened(item: Any, place: str, kind: str = "") -> Iterator[Object]:
    """An object, or those of a list as kubectl and the API write it.

    :param kind: of objects of an API's list, which do not say it themselves
    """
    kind = item.get("kind", kind) if isinstance(item, Mapping) else ""
    if not isinstance(kind, str) or not kind:
        raise BadInput(place, str(item)[:60], "must be a Kubernetes object; this one has no kind")
    if kind.endswith("List") and isinstance(item.get("items"), list):
        for index, member in enumerate(item["items"]):
            yield from _opened(member, f"{place}.items[{index}]", kind[: -len("List")])
        return
    for part in ("metadata", "spec", "status"):
        if not isinstance(item.get(part, {}), (Mapping, type(None))):
            raise BadInput(f"{place}.{part}", str(item[part])[:60], "must be a mapping")
    if not isinstance((item.get("metadata") or {}).get("name"), str):
        raise BadInput(f"{place}.metadata.name", None, f"must be the name of this {kind}")
    yield {**item, "kind": kind}


def _check_interfaces(interfaces: Optional[Mapping[str, Any]]) -> None:
    for name, addresses in (interfaces or {}).items():
        if not isinstance(name, str) or not name:
            raise BadInput("interfaces", name, "must be the name of an interface")
        if not isinstance(addresses, list):
            raise BadInput(f"interfaces.{name}", addresses, "must be a list of addresses")
        for text in addresses:
            if not isinstance(text, str) or parse_address(text.partition("/")[0]) is None:
                raise BadInput(
                    f"interfaces.{name}", text, "must be an address, with or without its prefix length"
                )


def _check_node(name: str, objects: Sequence[Object]) -> None:
    known = {item["metadata"]["name"] for item in objects if item["kind"] == "Node"}
    if known and name not in known:
        some = ", ".join(sorted(known)[:5])
        raise BadInput("node", name, f"no Node of that name is among the objects; there are {some}")


def _is_node(item: Object, name: str) -> bool:
    return bool(item["kind"] == "Node" and item["metadata"]["name"] == name)


def _calico_version(objects: Sequence[Object]) -> str:
    for item in objects:
        if item.get("kind") == "ClusterInformation":
            return noted_version(item)
    return ""


def _own_name(reading: Reading, environment: Mapping[str, str]) -> str:
    told = (
        environment.get("FELIX_FELIXHOSTNAME")
        or reading.felix.config_file.get("FELIX_FELIXHOSTNAME")
        or environment.get("NODENAME")
    )
    if told:
        return told
    if not reading.live:
        raise BadInput("node", None, "name the node that the dump was taken on")
    return kernel.hostname()


def _live() -> Reading:
    rulesets = kernel.rulesets()
    maps = {}
    for family in (4, 6):
        text = kernel.bpf_failsafes(family)
        if text is not None:
            maps[family] = kernel.load_json(text)
    attached = _attached(kernel.bpf_programs()) if maps else None
    bpf = failsafe_bpf.Kernel(maps, attached, kernel.masters())
    lifeline = kept_lifeline.live()
    mark = kept_lifeline.accept_mark() if lifeline else 0
    return Reading(
        rulesets, bpf, vital.facts(), kernel.felix_settings(), live=True, lifeline=lifeline, accept_mark=mark
    )


def _recorded(files: Mapping[str, str]) -> Reading:
    rulesets: list[Ruleset] = []
    maps: dict[int, Any] = {}
    for family, name in ((4, "iptables_save"), (6, "ip6tables_save")):
        if name in files:
            rulesets.append(iptables_save.parse(kernel.text_lines(kernel.file_blocks(files[name])), family))
    if "nft_ruleset" in files:
        blocks = kernel.file_blocks(files["nft_ruleset"])
        rulesets.extend(nft_json.parse(block.decode("utf-8", "replace") for block in blocks))
    for family, name in ((4, "bpf_failsafes_v4"), (6, "bpf_failsafes_v6")):
        if name in files:
            maps[family] = _recorded_json(files[name])
    attached = _attached(_recorded_json(files["bpf_net"])) if "bpf_net" in files else None
    return Reading(rulesets, failsafe_bpf.Kernel(maps, attached))


def _attached(document: Any) -> Optional[Mapping[str, frozenset[str]]]:
    if document is None:
        return None
    try:
        return failsafe_bpf.read_attached(document)
    except ValueError as error:
        raise BadInput("bpf_net", None, str(error))


def _recorded_json(path: str) -> Any:
    text = b"".join(kernel.file_blocks(path, MAX_JSON_FILE)).decode("utf-8", "replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _uses_bpf(expectation: Expectation, reading: Reading) -> bool:
    """A pinned map stays behind when the data plane is switched, and Felix goes back to the other one where
    the kernel cannot do eBPF: what the kernel holds decides."""
    if expectation.bpf and reading.bpf.maps:
        return True
    other = any(ruleset.polices_hosts for ruleset in reading.rulesets)
    return (expectation.bpf or bool(reading.bpf.maps)) and not other


def _dataplane(expectation: Expectation, reading: Reading) -> str:
    return "bpf" if _uses_bpf(expectation, reading) else active_backend(reading.rulesets)


def _judge(expectation: Expectation, reading: Reading) -> list[Finding]:
    if _uses_bpf(expectation, reading):
        return failsafe_bpf.verify(expectation, reading.bpf, reading.rulesets)
    findings = verify(expectation, reading.rulesets)
    if expectation.bpf:
        findings.append(
            Finding(
                "dataplane.not-bpf",
                WARNING,
                "bpfEnabled is set, and Felix runs another data plane on this node",
                "see calico-node's log: where the kernel cannot do eBPF, Felix goes back to iptables",
            )
        )
    return findings


def _uses(
    node: str,
    reading: Reading,
    interfaces: Optional[Mapping[str, Any]],
    environment: Mapping[str, str],
    expectation: Expectation,
) -> dict[str, Any]:
    """What a judge of policy is to know of this node (calico/verdict/node_judges.py reads it)."""
    facts = reading.facts
    settings = {**reading.felix.config_file, **environment}
    backend = _dataplane(expectation, reading)
    return {
        "node": node,
        "api": [list(target) for target in facts.api],
        "typha": [list(target) for target in facts.typha],
        "etcd": [list(target) for target in facts.etcd_peers],
        "dns": list(facts.dns),
        "ntp": list(facts.ntp),
        "interfaces": {name: list(addresses) for name, addresses in (interfaces or {}).items()},
        "environment": {name: text for name, text in settings.items() if name.startswith("FELIX_")},
        # With the chains of two back ends in the kernel, it is unknown which is in use.
        "dataplane": "" if "+" in backend else _JUDGED_AS.get(backend.partition("-")[0], ""),
    }


_JUDGED_AS = {"bpf": "ebpf", "nftables": "nftables", "iptables": "iptables"}


def _expected(expectation: Expectation) -> dict[str, Any]:
    failsafes = expectation.failsafes
    return {
        "node": expectation.node,
        "inbound": [str(entry) for entry in failsafes.inbound],
        "inbound_source": failsafes.inbound_source,
        "outbound": [str(entry) for entry in failsafes.outbound],
        "outbound_source": failsafes.outbound_source,
        "endpoints": [
            {"interface": item.interface, "name": item.name, "classes": item.classes}
            for item in expectation.endpoints
        ],
    }


def _observed(ruleset: Ruleset) -> dict[str, Any]:
    tables = {name: table for name, table in ruleset.tables.items() if table.declared}
    return {
        "backend": ruleset.backend,
        "family": f"ipv{ruleset.family}",
        "tables": sorted(tables),
        "chains": sum(len(table.declared) for table in tables.values()),
        "failsafes": {
            f"{name}/{chain}": [str(rule) for rule in table.chains[chain].rules]
            for name, table in sorted(tables.items())
            for chain in (FAILSAFE_IN, FAILSAFE_OUT)
            if chain in table.chains
        },
    }


def _summary(expectation: Expectation, findings: Sequence[Finding]) -> str:
    errors = [finding for finding in findings if finding.severity == ERROR]
    if errors:
        first = errors[0]
        place = "/".join(
            part for part in (f"IPv{first.family}" if first.family else "", first.table, first.chain) if part
        )
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        return f"{first.id}: {place + ': ' if place else ''}{first.message}{more}"
    bypass = _bypass(findings)
    if bypass:
        return f"{bypass.id}: another program accepts before Calico does: host policy is not in force"
    if not expectation.active:
        return f"no host endpoint is active on {expectation.node}: nothing is filtered"
    inbound, outbound = len(expectation.failsafes.inbound), len(expectation.failsafes.outbound)
    return f"{inbound} inbound and {outbound} outbound failsafe ports are in force"
