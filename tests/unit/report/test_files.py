# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every form of a report, read by tools that are not ours, with hostile text in every field."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from pathlib import Path

import html5lib
import junitparser
import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.checks import CHECKS
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.document import Found, build
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.files import FORMS, write_files
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.grouping import decider
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.packet_picture import picture
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.shown import visible
from markdown_it import MarkdownIt
from prometheus_client.parser import text_string_to_metric_families
from sarif_pydantic import Sarif

from tests.unit.report import hostile, sample

DOCUMENT = build(sample.found(), sample.AT, "0.1.0")
MARKDOWN = MarkdownIt("gfm-like", {"linkify": False})


def written(name, document=DOCUMENT):
    return FORMS[name].write(document)


def parsed_html(text):
    """A strict parser refuses what a browser would repair."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)


def words(text):
    return " ".join(text.split())


# -- read by others --------------------------------------------------------------------------------


def test_html_is_strictly_right_and_asks_for_nothing():
    page = parsed_html(written("html"))
    policy = page.find(".//meta[@http-equiv='Content-Security-Policy']").get("content")
    parts = dict(part.split(" ", 1) for part in policy.split("; "))
    assert parts["default-src"] == "'none'"
    for part, name in (("style-src", "style"), ("script-src", "script")):
        (element,) = page.iter(name)
        digest = base64.b64encode(hashlib.sha256(element.text.encode()).digest()).decode()
        assert parts[part] == f"'sha256-{digest}'"
    for element in page.iter():
        if isinstance(element.tag, str):
            assert element.tag not in ("link", "img", "iframe", "object", "base", "form")
            assert not {
                name for name in element.attrib if name in ("src", "style", "srcset") or name.startswith("on")
            }
            assert element.get("href", "#").startswith("#")


def test_html_has_tables_with_headings_and_one_level_of_headings_after_another():
    page = parsed_html(written("html"))
    for table in page.iter("table"):
        assert table.find("caption") is not None
        assert all(cell.get("scope") for cell in table.iter("th"))
    levels = [int(element.tag[1]) for element in page.iter() if element.tag in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:]))


def test_junit_has_a_case_for_each_node_and_check(tmp_path):
    file = tmp_path / "junit.xml"
    file.write_text(written("junit"))
    suites = junitparser.JUnitXml.fromfile(str(file))
    counts = DOCUMENT["counts"]
    assert suites.tests == counts["nodes"] * len(CHECKS)
    assert suites.failures == counts["checks"]["fail"]
    assert suites.skipped == counts["checks"]["not_checked"]
    failed = [
        case
        for suite in suites
        for case in suite
        if any(isinstance(r, junitparser.Failure) for r in case.result)
    ]
    assert len(failed) == counts["checks"]["fail"]
    assert {case.name for case in failed} == {"worker-2", "worker-4", "worker-5"}


def test_sarif_fits_its_model():
    place = {"file": "policies/a b.yml", "line": 7}
    finding = {**DOCUMENT["lint"][0], **place}
    document = build(sample.found(lint=[finding, *DOCUMENT["lint"]]), sample.AT, "0.1.0")
    (run,) = Sarif.model_validate(json.loads(written("sarif", document))).runs
    assert len(run.results) == len(DOCUMENT["lint"]) + 1
    place = run.results[0].locations[0].physical_location
    assert (place.artifact_location.uri, place.region.start_line) == ("policies/a%20b.yml", 7)
    assert all(run.tool.driver.rules[result.rule_index].id == result.rule_id for result in run.results)


def test_prometheus_reads_its_numbers():
    families = {family.name: family for family in text_string_to_metric_families(written("prometheus"))}
    value = {name: family.samples[0].value for name, family in families.items()}
    assert (value["hostfence_nodes"], value["hostfence_nodes_covered"]) == (6, 5)
    assert value["hostfence_nodes_failsafes_verified"] == 4
    assert value["hostfence_would_be_denials"] == 366
    states = {s.labels["state"]: s.value for s in families["hostfence_transaction_state"].samples}
    assert [state for state, on in states.items() if on] == ["confirmed"]
    assert all(family.documentation for family in families.values())


def test_prometheus_has_no_number_of_what_was_not_looked_at():
    text = written("prometheus", build(Found(), sample.AT, "0.1.0"))
    names = {family.name for family in text_string_to_metric_families(text)}
    assert names == {
        "hostfence_info",
        "hostfence_last_run_timestamp_seconds",
        "hostfence_nodes",
        "hostfence_checks",
    }


def test_markdown_is_a_document_with_its_tables():
    page = parsed_html("<!DOCTYPE html><title>t</title>" + MARKDOWN.render(written("markdown")))
    assert len(list(page.iter("table"))) == 1
    assert [e.text for e in page.iter("h1")] == ["Hostfence report"]


# -- hostile text ----------------------------------------------------------------------------------


def shape(page):
    """The elements of a page, without their text."""
    return [element.tag for element in page.iter()]


def times(page, texts):
    """How often these texts stand in a page."""
    text = words("".join(page.itertext()))
    return sum(text.count(wanted) for wanted in texts)


@pytest.mark.parametrize("name", hostile.NAMES, ids=range(len(hostile.NAMES)))
def test_hostile_text_in_every_field_is_text(name, tmp_path):
    document = hostile.replaced(DOCUMENT, name)
    placed = sum(member.endswith(name) for _place, member in hostile.fields(document))
    assert placed > 300
    print(f"{placed}/{placed} fields hold {name[:20]!r}")
    shown = words(visible(name))

    page = parsed_html(written("html", document))
    harmless = parsed_html(written("html", hostile.replaced(DOCUMENT, "z")))
    assert shape(page) == shape(harmless)
    # Each as often as a harmless text of the same length, which the pictures cut off at the same place.
    # In lists of a line each, a new line would begin another entry.
    in_lists = words(visible(name.replace("\n", "\\x0a")))
    marker = "\u04e8" * len(name)
    expected = times(parsed_html(written("html", hostile.replaced(DOCUMENT, marker))), {marker})
    assert times(page, {shown, in_lists}) == expected > 250

    prose = parsed_html("<!DOCTYPE html><title>t</title>" + MARKDOWN.render(written("markdown", document)))
    plain = MARKDOWN.render(written("markdown", hostile.replaced(DOCUMENT, "z")))
    assert shape(prose) == shape(parsed_html("<!DOCTYPE html><title>t</title>" + plain))
    assert shown in words("".join(prose.itertext()))

    (file,) = [Path(item["path"]) for item in write_files(document, ["junit"], str(tmp_path))]
    names = [words(case.name) for suite in junitparser.JUnitXml.fromfile(str(file)) for case in suite]
    assert all(case.endswith(shown) for case in names)
    Sarif.model_validate(json.loads(written("sarif", document)))
    (a_set,) = [
        f
        for f in text_string_to_metric_families(written("prometheus", document))
        if f.name == "hostfence_policy_set"
    ]
    assert a_set.samples[0].labels["set"] == f"ingress-lockdown{visible(name)}"


def test_text_that_cannot_be_seen_is_written():
    assert visible("a\u202eb\x00c\ud800\n") == "a\\u202eb\\x00c\\ud800\n"


# -- bytes and files -------------------------------------------------------------------------------


def shuffled(value, chance):
    """The same value with the keys of its mappings in another order."""
    if isinstance(value, dict):
        keys = list(value)
        chance.shuffle(keys)
        return {key: shuffled(value[key], chance) for key in keys}
    return [shuffled(member, chance) for member in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", FORMS)
def test_the_same_findings_give_the_same_bytes(name):
    found = sample.found()
    parts = {key: shuffled(value, random.Random(7)) for key, value in vars(found).items() if key != "flows"}
    again = build(Found(flows=found.flows, **parts), sample.AT, "0.1.0")
    assert written(name, again) == written(name)


def test_files_are_written_once_and_whole(tmp_path):
    folder = tmp_path / "a" / "b"
    looked = write_files(DOCUMENT, list(FORMS), str(folder), dry_run=True)
    assert all(file["changed"] for file in looked)
    assert not folder.exists()
    first = write_files(DOCUMENT, [*FORMS, "html"], str(folder))
    assert [file["path"] for file in first] == [file["path"] for file in looked]
    assert sorted(path.name for path in folder.iterdir()) == sorted(form.file for form in FORMS.values())
    assert not any(file["changed"] for file in write_files(DOCUMENT, list(FORMS), str(folder)))


@pytest.mark.parametrize(("formats", "folder"), [(["pdf"], "x"), (["html"], "file/x")])
def test_what_cannot_be_written_is_one_error(formats, folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput):
        write_files(DOCUMENT, formats, str(tmp_path / folder))


# -- the picture -----------------------------------------------------------------------------------


def test_the_picture_marks_where_a_packet_ends():
    denied, allowed, outbound = (picture(item["flow"], item) for item in DOCUMENT["flows"])
    assert [(place.name, place.state) for place in denied.places] == [
        ("raw PREROUTING", "skipped"),
        ("mangle PREROUTING", "passed"),
        ("DNAT", "skipped"),
        ("filter INPUT", "decides"),
    ]
    assert allowed.places[-1].state == "decides"
    assert [place.name for place in outbound.places] == ["raw OUTPUT", "DNAT", "filter OUTPUT"]


def test_nothing_is_reached_behind_a_denial():
    verdict = {
        "verdict": "deny",
        "decided_by": {"stage": "untracked"},
        "trace": ["raw PREROUTING: untracked policy"],
    }
    drawn = picture({"direction": "ingress", "source": "192.0.2.1", "node": "n"}, verdict)
    assert [place.state for place in drawn.places] == ["decides", "unreached", "unreached", "unreached"]


def test_a_report_of_before_a_key_was_added_is_still_read():
    """Keys may be added to the document, so an older one lacks them."""
    older = json.loads(json.dumps(DOCUMENT))
    for item in older["policy_sets"]:
        del item["unproved"]
    del older["difference"]
    assert all(written(name, older) for name in FORMS)


# -- words -----------------------------------------------------------------------------------------


def test_the_end_of_a_tier_is_called_so():
    (denied,) = [item for item in DOCUMENT["flows"] if item["verdict"] == "deny"]
    assert denied["decided_by"]["kind"] == "Tier"
    assert decider(denied["decided_by"]) == "the end of tier default"


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        ({}, "failed"),
        ({"failsafes": {}, "nodes": [], "transaction": None}, "needs attention"),
        ({"failsafes": {"n": sample.checked()}, **sample.QUIET}, "nothing to fix"),
    ],
)
def test_how_it_stands_is_said_in_words_and_not_by_colour_alone(parts, word):
    page = parsed_html(written("html", build(sample.found(**parts), sample.AT, "0.1.0")))
    assert page.find(".//p[@class='status']/span").text == word
