# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report in a real browser, opened from a file.

Screenshots of every width and the printed page are kept in tests/output/report for people to look at.
"""

from __future__ import annotations

import sys
from pathlib import Path

import chromium
import pytest
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.document import build
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.files import write_files

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))
from tests.unit.report import hostile, sample  # noqa: E402

PROGRAM = chromium.find()
KEPT = ROOT / "tests" / "output" / "report"
DETAILS = "[...document.querySelectorAll('main details')]"
WIDTHS = {"phone": 390, "tablet": 820, "desk": 1440}

pytestmark = pytest.mark.skipif(
    PROGRAM is None,
    reason="no chromium on this machine, and none could be installed (apt-get install chromium)",
)


@pytest.fixture(scope="module")
def page():
    with chromium.running(PROGRAM) as opened:
        yield opened


@pytest.fixture(scope="module")
def document():
    return build(sample.found(), sample.AT, "0.1.0")


def in_folder(document, folder):
    write_files(document, ["html"], str(folder))
    return folder / "report.html"


@pytest.fixture(scope="module")
def report(document):
    return in_folder(document, KEPT)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_it_opens_without_a_request_or_a_complaint(page, report, width, dark):
    page.view(width, dark=dark)
    page.open(report)
    page.screenshot(KEPT / f"report-{width}-{'dark' if dark else 'light'}.png")
    assert page.requests == [report.as_uri()]
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # The style was not refused by the page's own policy.
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(18, 22, 29)" if dark else "rgb(246, 247, 249)")


def test_it_prints(page, report):
    page.open(report)
    page.printed(KEPT / "report.pdf")
    assert (KEPT / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert page.complaints == []


def test_what_is_printed_from_a_dark_screen_is_dark_on_white(page, report):
    page.view(WIDTHS["desk"], dark=True)
    page.call(
        "Emulation.setEmulatedMedia",
        media="print",
        features=[{"name": "prefers-color-scheme", "value": "dark"}],
    )
    page.open(report)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    box = page.evaluate("getComputedStyle(document.querySelector('.deny .decides .box')).fill")
    assert box == "rgb(253, 227, 228)"
    assert page.evaluate("document.getElementById('tools').offsetHeight") == 0
    page.call("Emulation.setEmulatedMedia", media="")


def test_a_screen_reader_finds_tables_headings_and_words_for_signs(page, report, document):
    page.view(WIDTHS["desk"])
    page.open(report)
    found = page.accessibility()
    headings = [name for role, name in found if role == "heading"]
    assert headings[:3] == ["Hostfence report", document["verdict"]["sentence"], "Nodes and checks"]
    tables = [name for role, name in found if role == "table"]
    assert "Result of every check for every group of nodes" in tables
    columns = [name for role, name in found if role == "columnheader"]
    assert {check["title"] for check in document["checks"]} <= set(columns)
    assert {"passed", "failed", "not looked at"} <= {name for role, name in found if role == "StaticText"}
    pictures = [name for role, name in found if role in ("image", "img")]
    assert any("filter INPUT: decides" in name for name in pictures)


def typed(page, text):
    """What the page says after this was typed into its search field."""
    page.evaluate(
        "{ const field = document.getElementById('wanted'); field.value = ''; field.focus();"
        "field.dispatchEvent(new Event('input')) }"
    )
    page.call("Input.insertText", text=text)
    return page.evaluate("document.getElementById('found').textContent")


def test_a_script_finds_nodes_and_opens_everything(page, report):
    page.view(WIDTHS["desk"])
    page.open(report)
    rows = "[...document.querySelectorAll('.matrix tr.has-more')].filter(row => row.offsetHeight > 0).length"
    groups = page.evaluate(rows)
    assert typed(page, "WORKER-3") == f"1 of 6 nodes, in 1 of {groups} groups"
    assert page.evaluate(rows) == 1
    assert page.evaluate("document.querySelector('tr:not([hidden]) .matches').textContent") == "worker-3"
    page.view(WIDTHS["phone"])
    assert page.evaluate(rows) == 1
    page.view(WIDTHS["desk"])
    assert typed(page, "nowhere") == f"0 of 6 nodes, in 0 of {groups} groups"
    assert typed(page, "") == ""
    assert page.evaluate(rows) == groups
    for button, left in (("open-all", 0), ("close-all", page.evaluate(f"{DETAILS}.length"))):
        page.evaluate(f"document.getElementById('{button}').click()")
        assert page.evaluate(f"{DETAILS}.filter(part => !part.open).length") == left


def test_without_scripts_it_has_no_tools_and_lacks_nothing(page, report):
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.view(WIDTHS["desk"])
        page.open(report)
        said = page.accessibility()
        assert page.complaints == []
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)
    assert not [name for role, name in said if role in ("searchbox", "button")]
    page.open(report)
    more = page.accessibility()
    assert {("searchbox", "Find a node"), ("button", "Open everything")} <= set(more)
    assert [item for item in said if item[0] in ("heading", "table")] == [
        item for item in more if item[0] in ("heading", "table")
    ]


def test_every_part_can_be_reached_and_opened_by_keyboard(page, report):
    page.open(report)
    closed = page.evaluate("document.querySelectorAll('details:not([open])').length")
    assert closed > 0
    page.evaluate("document.querySelector('details:not([open]) > summary').focus()")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    for kind in ("keyDown", "keyUp"):
        page.call(
            "Input.dispatchKeyEvent",
            type=kind,
            key="Enter",
            code="Enter",
            text="\r",
            windowsVirtualKeyCode=13,
        )
    assert page.evaluate("document.querySelectorAll('details:not([open])').length") == closed - 1
    assert page.evaluate("[...document.querySelectorAll('.scroll')].every(e => e.tabIndex === 0)")


@pytest.mark.parametrize("name", hostile.NAMES, ids=range(len(hostile.NAMES)))
def test_hostile_text_does_nothing(page, document, name, tmp_path):
    file = in_folder(hostile.replaced(document, name), tmp_path)
    page.open(file)
    assert page.requests == [file.as_uri()]
    assert page.complaints == []
    assert page.evaluate("document.querySelectorAll('img, [onload], [onmouseover]').length") == 0
    assert page.evaluate("document.scripts.length") == 1
    # The page's own script shows names as text as well.
    found = typed(page, document["nodes"][0]["name"])
    assert found.startswith("1 of "), found
    assert page.evaluate("document.querySelectorAll('.matches *').length") == 0
    assert page.complaints == []


def test_the_test_would_see_a_request_and_a_complaint(page, report, tmp_path):
    text = report.read_text()
    bad = tmp_path / "bad.html"
    asking = text.replace("default-src 'none'", "default-src *").replace(
        "<main", '<img src="http://127.0.0.1:9/x"><main'
    )
    bad.write_text(asking)
    page.open(bad)
    assert "http://127.0.0.1:9/x" in page.requests
    bad.write_text(text.replace("<main", "<script>throw 1</script><main"))
    page.open(bad)
    assert page.complaints
