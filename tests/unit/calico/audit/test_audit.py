# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an audit says of observed flows: groups, rows, remedies, the gate, and input that wants to do harm."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.audit import Audit
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.candidate import with_candidate
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.gate import parse_accepted
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.observed import Document
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.remedy import Wishes
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.report import Asked, conclude
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.required import packets
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.required_flows import (
    PlatformNetworks,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.dataplanes import Dataplanes
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import Options
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.policy_files import as_yaml
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.observe import GAPS

from tests.unit import builders
from tests.unit.builders import V3, Object

TODAY = datetime.date(2026, 11, 28)
DAY = 86400


def node(number: int) -> Object:
    return builders.node(f"n{number}", f"10.0.3.{number}")


def hep(number: int) -> Object:
    return builders.host_endpoint(
        f"n{number}",
        node=f"n{number}",
        api=V3,
        labels={"host-endpoint": "ingress"},
        expectedIPs=[f"10.0.3.{number}"],
    )


def staged(name: str, tier: str = "hostfence", **spec: Any) -> Object:
    given = {"order": 100, "selector": "host-endpoint == 'ingress'", **spec}
    return builders.policy(f"{tier}.{name}", kind="StagedGlobalNetworkPolicy", api=V3, tier=tier, **given)


def cluster(*policies: Object, nodes: int = 3) -> list[Object]:
    tier = builders.tier("hostfence", api=V3, order=100, defaultAction="Deny")
    numbers = range(1, nodes + 1)
    return [tier, *map(node, numbers), *map(hep, numbers), *policies]


ONLY_WEB = staged("web", ingress=[{"action": "Allow", "protocol": "TCP", "destination": {"ports": [443]}}])


LOCKDOWN = staged("ingress-lockdown-drop", preDNAT=True, applyOnForward=True, ingress=[{"action": "Deny"}])


def record(source: str = "192.0.2.9", port: int = 9100, **seen: Any) -> Object:
    flow = {
        "direction": "ingress",
        "interface": "eth0",
        "protocol": 6,
        "source": source,
        "destination": "10.0.3.1",
        "destination_port": port,
        **seen.pop("flow", {}),
    }
    owner = seen.pop("owner", None)
    return {
        "flow": flow,
        "seen": {"count": 1, "replied": True, "interface_by": "hook", **seen},
        "owner": owner,
    }


def document(*records: Object, of: str = "n1", seconds: float = DAY, gaps: Any = (), **more: Any) -> Object:
    return {
        "schema": "hostfence.flows/1",
        "node": of,
        "window": {"start": 0, "end": seconds, "complete": not gaps, "gaps": [{"id": gap} for gap in gaps]},
        "not_recorded": 0,
        "flows": list(records),
        **more,
    }


def audited(objects: list[Object], *documents: Object, accepted: Any = (), **asked: Any) -> Object:
    audit = Audit(objects, Options(calico_version="v3.32.1"), Dataplanes(objects))
    for index, raw in enumerate(documents):
        audit.add(Document(raw, f"documents[{index}]"))
    wishes = Wishes(asked.pop("generalise", "none"), asked.pop("variables", {}))
    given = {"min_window": DAY, "rows": 100, "anonymise": False, **asked}
    return conclude(audit, Asked(wishes, parse_accepted(accepted), today=TODAY, **given))


def all_nodes(*records: Object, nodes: int = 3) -> list[Object]:
    return [document(*records, of=f"n{number}") for number in range(1, nodes + 1)]


def test_nodes_that_behave_alike_make_one_row():
    documents = [
        document(record(f"10.0.3.{peer}", count=10, owner={"process": "node_exporter"}), of=f"n{number}")
        for number in (1, 2, 3)
        for peer in (4, 5, 6, 7)
    ]

    result = audited(cluster(ONLY_WEB, nodes=7), *documents)

    (row,) = result["rows"]
    assert row["text"] == "from 10.0.3.4/30 (4 nodes) to tcp/9100 of 3 nodes, node_exporter, 120 times"
    assert (row["group"], row["then"]["reason_code"], row["nodes"]) == ("would_deny", "end-of-tier", 3)
    assert row["then"]["decided_by"]["tier"] == "hostfence"
    assert result["counts"]["would_deny"] == 12


def test_what_stays_as_it_is_makes_no_row_and_is_counted():
    result = audited(cluster(ONLY_WEB), *all_nodes(record(port=443)))

    assert result["rows"] == []
    assert result["counts"]["allow"] == 3
    assert result["gate"] == "pass"


def test_a_connection_that_is_older_than_the_window_would_only_live_until_it_ends():
    result = audited(cluster(ONLY_WEB), *all_nodes(record(older_than_window=True)))

    assert [row["group"] for row in result["rows"]] == ["established_only"]
    assert result["gate"] == "fail"


def test_what_only_a_failsafe_allows_is_named_and_fails_nothing():
    result = audited(cluster(ONLY_WEB), *all_nodes(record(port=22)))

    (row,) = result["rows"]
    assert row["group"] == "allowed_only_by_failsafe"
    assert row["then"]["reason_code"] == "end-of-tier"
    assert result["gate"] == "pass"


def test_what_is_denied_now_and_would_be_allowed_is_named():
    denied = builders.policy(
        "hostfence.web",
        api=V3,
        tier="hostfence",
        order=100,
        selector="host-endpoint == 'ingress'",
        ingress=[{"action": "Deny"}],
    )

    result = audited(cluster(denied, ONLY_WEB), *all_nodes(record(port=443)))

    assert [row["group"] for row in result["rows"]] == ["would_allow"]


def test_a_net_that_a_rule_splits_is_unknown_and_another_is_not():
    half = staged("half", ingress=[{"action": "Allow", "source": {"nets": ["198.51.100.0/24"]}}])

    split = audited(cluster(half), *all_nodes(record("198.51.0.0", source_prefix=16)))
    whole = audited(cluster(half), *all_nodes(record("203.0.0.0", source_prefix=16)))

    assert [row["group"] for row in split["rows"]] == ["unknown"]
    assert "198.51.0.0/16" in split["rows"][0]["assumptions"][0]
    assert split["gate"] == "inconclusive"
    assert [row["group"] for row in whole["rows"]] == ["would_deny"]


def test_what_depends_on_the_interface_that_only_a_route_tells_is_unknown():
    """eth0 has a host endpoint that the candidate closes, eth1 one that it leaves open."""
    open_one = builders.host_endpoint("n1-eth1", node="n1", api=V3, interfaceName="eth1")
    objects = cluster(ONLY_WEB, nodes=1)
    objects[2]["spec"]["interfaceName"] = "eth0"
    by_route = {"interface_by": "route"}
    interfaces = {"eth0": ["10.0.3.1/24"], "eth1": ["10.0.4.1/24"], "docker0": ["172.17.0.1/16"]}

    def group(*more: Object, **seen: Any) -> Any:
        result = audited([*objects, *more], document(record(**seen), interfaces=interfaces))
        return [row["group"] for row in result["rows"]], result

    assert group(open_one, **by_route)[0] == ["unknown"]
    groups, result = group(open_one, **by_route, flow={"interface": "eth1"})
    assert groups == ["unknown"]
    assert result["gate"] == "inconclusive"
    assert any("? not known: by which interface" in line for line in result["message"])
    # Seen by a hook, or on a node where one host endpoint has all, nothing is in doubt.
    assert group(open_one)[0] == ["would_deny"]
    assert group(**by_route)[0] == ["would_deny"]
    assert group(open_one, flow={"interface": "eth1"})[0] == []


def test_an_unknown_row_says_all_that_its_flows_depend_on():
    """Two nets of one port, of each of which a rule names a part."""
    parts = ["198.51.100.0/24", "203.0.113.0/24"]
    half = staged("half", ingress=[{"action": "Allow", "source": {"nets": parts}}])
    nets = [record("198.51.0.0", source_prefix=16), record("203.0.0.0", source_prefix=16)]

    (row,) = audited(cluster(half), *all_nodes(*nets))["rows"]

    assert [text.split(" ")[3] for text in row["assumptions"]] == ["198.51.0.0/16", "203.0.0.0/16"]


def test_who_opened_a_connection_that_was_met_in_its_middle_is_unknown_where_it_matters():
    met = {"direction_certain": False}

    def groups(**seen: Any) -> list[str]:
        return [row["group"] for row in audited(cluster(ONLY_WEB), *all_nodes(record(**seen)))["rows"]]

    # The policy governs what comes in alone, so the other way round it would be allowed.
    assert groups(**met) == ["unknown"]
    assert groups() == ["would_deny"]
    out = {"direction": "egress", "source": "10.0.3.1", "destination": "192.0.2.9"}
    assert groups(**met, port=443, flow=out) == ["unknown"]
    # Something listens there, so that side did not open it.
    assert groups(**met, owner={"process": "node_exporter"}) == ["would_deny"]


# -- remedies ------------------------------------------------------------------------------------


def test_the_remedy_is_a_policy_that_allows_exactly_what_was_seen():
    objects = cluster(ONLY_WEB)
    records = [record("192.0.2.8"), record("192.0.2.9"), record("fd00::9", flow={"destination": "fd00::1"})]
    (row,) = audited(objects, *all_nodes(*records))["rows"]
    (policy,) = row["remedy"]["policies"]

    assert [rule["source"]["nets"] for rule in policy["spec"]["ingress"]] == [
        ["192.0.2.8/31"],
        ["fd00::9/128"],
    ]
    again = audited(with_candidate(objects, [policy]), *all_nodes(*records))
    assert again["gate"] == "pass"
    wider = audited(with_candidate(objects, [policy]), *all_nodes(record("192.0.2.10"), record(port=9101)))
    assert wider["counts"]["would_deny"] == 6


@pytest.mark.parametrize("stage", ["preDNAT", "normal", "forward"])
def test_a_remedy_is_of_the_class_that_denies(stage):
    drop = {"order": 2000, "ingress": [{"action": "Deny"}]}
    if stage != "normal":
        drop["applyOnForward"] = True
    if stage == "preDNAT":
        drop["preDNAT"] = True
    objects = cluster(staged("mine", **drop))
    seen = record(port=8080)
    if stage == "forward":
        seen["flow"].update(direction="forward", out_interface="cali1", destination="10.244.1.7")
        seen["flow"].update(original_destination="10.0.3.1", original_destination_port=30080)
    (row,) = audited(objects, *all_nodes(seen))["rows"]

    again = audited(with_candidate(objects, row["remedy"]["policies"]), *all_nodes(seen))

    assert again["gate"] == "pass", again["message"]


@pytest.mark.parametrize(
    ("source", "port", "variable", "net"),
    [
        ("192.0.2.9", 2222, "policies_ssh_sources", "192.0.2.9/32"),
        ("10.0.3.2", 9100, "policies_node_cidrs", "10.0.3.2/32"),
    ],
)
def test_the_shipped_sets_are_put_right_by_their_variables(source, port, variable, net):
    result = audited(
        cluster(LOCKDOWN), *all_nodes(record(source, port)), variables={"policies_ssh_port": 2222}
    )

    (row,) = result["rows"]
    assert (row["remedy"]["variable"], row["remedy"]["add"]) == (variable, [net])
    assert row["remedy"]["text"] == f"add {net} to {variable}"


def test_servers_that_no_object_names_are_named_by_their_port():
    out = {"direction": "egress", "protocol": 17, "source": "10.0.3.1", "destination": "192.0.2.53"}
    records = [record(port=port, flow=out) for port in (53, 123, 9100)]

    result = audited(cluster(staged("out", types=["Egress"])), *all_nodes(*records))

    texts = [row["text"].split(" of ")[1] for row in result["rows"]]
    assert sorted(text.split(",")[0] for text in texts) == [
        "192.0.2.53/32",
        "192.0.2.53/32 (DNS)",
        "192.0.2.53/32 (NTP)",
    ]


def service(name: str, **spec: Any) -> Object:
    item = builders.resource("Service", name, api="v1", namespace="shop", **spec)
    return {**item, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.80"}]}}}


def test_services_are_named_whatever_became_of_their_address():
    ports = [{"port": 80, "protocol": "TCP", "nodePort": 30080}]
    objects = [service("web", clusterIPs=["10.96.0.7"], externalIPs=["192.0.2.81"], ports=ports)]
    objects += cluster(staged("closed", types=["Ingress", "Egress"], applyOnForward=True))
    out = {"direction": "egress", "source": "10.0.3.1", "destination": "10.244.1.7"}
    by_port = {"direction": "forward", "out_interface": "cali1", "destination": "10.244.1.7"}
    by_port |= {"original_destination": "10.0.3.1", "original_destination_port": 30080}
    for flow in (
        {**out, "original_destination": "10.96.0.7", "original_destination_port": 80},
        {**out, "original_destination": "192.0.2.80", "original_destination_port": 80},
        {**out, "original_destination": "192.0.2.81", "original_destination_port": 80},
        by_port,
    ):
        result = audited(objects, document(record(port=8080, flow=flow)))
        (row,) = result["rows"]
        assert row["services"] == ["shop/web"]
        assert " by service shop/web, once" in row["text"], row["text"]
    (row,) = audited(objects, document(record(port=8080, flow=out)))["rows"]
    assert row["services"] == []


def test_one_peer_is_named_and_several_are_counted():
    one = audited(cluster(ONLY_WEB), *all_nodes(record("10.0.3.2")))["rows"][0]
    two = audited(cluster(ONLY_WEB), *all_nodes(record("10.0.3.2"), record("10.0.3.3")))["rows"][0]

    assert one["text"].startswith("from 10.0.3.2/32 (n2) to ")
    assert two["text"].startswith("from 10.0.3.2/31 (2 nodes) to ")
    assert two["peer_names"] == ["n2", "n3"]


def test_the_operator_may_let_a_remedy_be_a_subnet():
    result = audited(cluster(ONLY_WEB), *all_nodes(record()), generalise="subnet")

    assert result["rows"][0]["remedy"]["policies"][0]["spec"]["ingress"][0]["source"]["nets"] == [
        "192.0.2.0/24"
    ]


# -- the gate ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("second", "gate"), [((60, DAY / 2), "inconclusive"), ((DAY / 2, DAY), "pass")])
def test_a_time_that_two_documents_cover_counts_once(second, gate):
    twice = document()
    twice["window"].update(start=second[0], end=second[1])

    result = audited(cluster(ONLY_WEB, nodes=1), document(seconds=DAY / 2), twice, document(seconds=60))

    assert result["gate"] == gate, result["reasons"]


@pytest.mark.parametrize(
    ("documents", "reason"),
    [
        ([document(), document(of="n2")], "no data of n3"),
        (
            [document(of=f"n{n}", seconds=60) for n in (1, 2, 3)],
            "a window shorter than 1d at n1, n2, n3",
        ),
        *(([*all_nodes(), document(gaps=[gap])], f"{gap} at n1") for gap in GAPS),
        ([*all_nodes(), document(not_recorded=3)], "not-recorded at n1"),
        ([*all_nodes(), document(of="x")], "data of nodes that the cluster does not have: x"),
        ([*all_nodes(), document({"flow": 1})], "1 flows that cannot be read"),
        ([*all_nodes(), document(record(flow={"protocol": "?"}))], "1 flows that cannot be read"),
    ],
)
def test_what_was_not_seen_makes_the_gate_inconclusive(documents, reason):
    result = audited(cluster(ONLY_WEB), *documents)

    assert result["gate"] == "inconclusive"
    assert any(text.startswith(reason) for text in result["reasons"]), result["reasons"]


def test_a_candidate_that_selects_nothing_was_not_audited():
    result = audited(cluster(staged("web", selector="role == 'none'")), *all_nodes(record()))

    assert result["gate"] == "inconclusive"
    assert "selects no host endpoint" in result["reasons"][0]


def test_what_fails_are_the_three_biggest_rows():
    records = [record(port=port, count=port) for port in (1001, 1002, 1003, 1004, 1005)]

    result = audited(cluster(ONLY_WEB), *all_nodes(*records))

    assert result["gate"] == "fail"
    assert [reason.split(" of ")[0][-8:] for reason in result["reasons"]] == [
        "tcp/1005",
        "tcp/1004",
        "tcp/1003",
    ]


ACCEPTED = {"protocol": "tcp", "port": 9100, "reason": "it is switched off", "until": "2026-11-28"}


def test_what_is_accepted_does_not_fail_until_its_day_has_passed():
    documents = all_nodes(record())

    assert audited(cluster(ONLY_WEB), *documents, accepted=[ACCEPTED])["gate"] == "pass"
    late = audited(cluster(ONLY_WEB), *documents, accepted=[{**ACCEPTED, "until": "2026-11-27"}])
    assert (late["gate"], late["expired"]) == ("fail", ["it is switched off (until 2026-11-27)"])
    other = audited(cluster(ONLY_WEB), *documents, accepted=[{**ACCEPTED, "peer": "198.51.100.0/24"}])
    assert other["gate"] == "fail"


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({**ACCEPTED, "reason": " "}, "audit_accepted[0].reason"),
        ({**ACCEPTED, "until": "soon"}, "audit_accepted[0].until"),
        ({"reason": "all", "until": "2027-01-01"}, "audit_accepted[0]"),
        ({**ACCEPTED, "peer": "everybody"}, "audit_accepted[0].peer"),
        ({**ACCEPTED, "ignore": True}, "audit_accepted[0].ignore"),
        ("all", "audit_accepted[0]"),
    ],
)
def test_there_is_no_bare_ignore(entry, field):
    with pytest.raises(BadInput) as refused:
        parse_accepted([entry])
    assert refused.value.field == field


# -- input that wants to do harm -----------------------------------------------------------------


def test_a_scan_is_some_rows_with_nets():
    """70,000 sources, and as many ports: what is kept does not grow with them."""
    peers = [record(f"198.{number >> 8 & 255}.{number & 255}.7") for number in range(65536)]
    ports = [record(port=port) for port in range(1000, 6000)]

    result = audited(cluster(ONLY_WEB), *all_nodes(nodes=3), document(*peers, *ports))

    assert len(result["rows"]) < 80
    assert sum(row["flows"] for row in result["rows"]) == len(peers) + len(ports)
    scan = max(result["rows"], key=lambda row: row["flows"])
    assert len(scan["peers"]) <= 256
    assert scan["peers_widened"]
    assert scan["remedy"]["text"].startswith("no rule: too many peers")


def test_names_from_a_node_reach_neither_report_nor_yaml_as_anything_else():
    evil = '"}\n- action: Allow {{ lookup("pipe", "id") }} <script>\x1b[31m'

    result = audited(cluster(ONLY_WEB), *all_nodes(record(owner={"process": evil})))

    (row,) = result["rows"]
    shown = "\n".join((row["text"], *result["message"], as_yaml(row["remedy"]["policies"])))
    assert not {"{{", "<script", "\x1b", '"}'} & {
        part for part in ("{{", "<script", "\x1b", '"}') if part in shown
    }
    assert "\n- action: Allow {" not in shown


EVIL = '"}\n- x: {{ lookup("pipe", "id") }} <script>\x1b[31m'


@pytest.mark.parametrize(
    "raw",
    [
        document(of=EVIL),
        document(record(flow={EVIL: 1})),
        document(record(flow={"interface": EVIL})),
        document(record(flow={"protocol": EVIL}), EVIL, {EVIL: EVIL}),
        document(record(owner={"unit": EVIL, "pod": EVIL, EVIL: EVIL})),
        document(record(), interfaces={EVIL: [EVIL]}),
        document(record(interface_by="route", flow={"interface": EVIL}), interfaces={EVIL: []}),
        document(record(), gaps=[EVIL]),
        document(record(), not_recorded=EVIL, boot_id=EVIL, mode=EVIL),
    ],
)
def test_a_document_may_hold_anything_and_nothing_of_it_is_printed(raw):
    """Host endpoints by interface, whose names the verdicts then speak of."""
    objects = cluster(ONLY_WEB, nodes=1)
    objects[2]["spec"]["interfaceName"] = "eth0"
    objects.append(builders.host_endpoint("n1-eth1", node="n1", api=V3, interfaceName="eth1"))

    result = audited(objects, document(), raw)

    shown = str(result)
    assert not [part for part in ("{{", "<script", "\x1b", "\\x1b", '"}') if part in shown], shown


def test_of_flows_that_cannot_be_read_a_few_are_kept_and_all_are_counted():
    raw = Document(document(*({"flow": number} for number in range(5000))), "n1")

    assert list(raw.flows()) == []
    assert (raw.unreadable_flows, len(raw.unreadable)) == (5000, 20)


@pytest.mark.parametrize(
    "raw", [None, [], {"schema": "other"}, {"schema": "hostfence.flows/1", "node": 1},
            {"schema": "hostfence.flows/1", "node": "n", "flows": {}},
            {"schema": "hostfence.flows/1", "node": "n", "flows": [], "window": {"start": "x"}}]
)  # fmt: skip
def test_what_is_no_document_is_one_clear_error(raw):
    with pytest.raises(BadInput) as refused:
        Document(raw, "flows/n1.json")
    assert "flows/n1.json" in str(refused.value)


def test_addresses_can_be_kept_out_of_the_result():
    sshd = {"process": "sshd: ::ffff:198.51.100.7"}
    records = [record(owner=sshd), record("2001:db8:7::9", flow={"destination": "2001:db8::1"})]
    result = audited(cluster(ONLY_WEB), *all_nodes(*records), anonymise=True, salt="s")

    assert not [part for part in ("51.100.7", "db8") if part in str(result)]

    assert "192.0.2.9" not in str(result)
    assert "address-" in result["rows"][0]["text"]


def platform_audited(*accepted: Object) -> Object:
    """What kubeadm's hosts need, judged though nobody saw it."""
    objects = cluster(LOCKDOWN)
    audit = Audit(objects, Options(calico_version="v3.32.1"), Dataplanes(objects))
    for raw in all_nodes():
        audit.add(Document(raw, "flows"))
    asked = Asked(Wishes("none", {}), parse_accepted(accepted), DAY, TODAY, 100, anonymise=False)
    return conclude(audit, asked, packets("kubeadm", PlatformNetworks(nodes=("10.0.3.0/24",)), audit.store))


def test_what_the_platform_needs_fails_though_nobody_saw_it():
    result = platform_audited()

    assert result["gate"] == "fail"
    assert any(
        "tcp/10250" in text and "at 3 nodes -> add 10.0.3.0/24 to " in text for text in result["unseen"]
    )
    assert audited(cluster(ONLY_WEB), *all_nodes())["gate"] == "pass"


def test_what_the_platform_needs_can_be_accepted_with_a_reason_and_a_day():
    needed = platform_audited()["unseen"]
    kubelet = {"protocol": "tcp", "port": 10250, "reason": "kubelets are read by their own network"}
    kubelet["until"] = "2026-12-31"

    for accepted in (kubelet, {**kubelet, "group": "unseen", "peer": "10.0.0.0/8"}):
        result = platform_audited(accepted)
        assert result["unseen"] == [text for text in needed if "tcp/10250" not in text]
        assert result["accepted"] == len(needed) - len(result["unseen"]) > 0
    of_one = platform_audited({**kubelet, "node": "n2"})
    assert any("tcp/10250" in text and " at 2 nodes -> " in text for text in of_one["unseen"])
    for other in ({"until": "2026-11-27"}, {"group": "would_deny"}, {"peer": "10.0.3.0/25"}):
        assert platform_audited({**kubelet, **other})["unseen"] == needed
    everything = [{**kubelet, "direction": way, "group": "unseen"} for way in ("ingress", "egress")]
    for entry in everything:
        del entry["protocol"], entry["port"]
    assert platform_audited(*everything)["gate"] == "pass"
