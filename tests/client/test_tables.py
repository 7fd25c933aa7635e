"""Records of rules and copies, as sequences that show themselves, whatever they hold."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.live import Live

from stac_client import Availability, ItemStatus, Progress, Rule, StuckFile
from stac_client._rules import ReplicationRules
from stac_client._status import ReplicationAvailability, RuleStatus
from stac_client._tables import MOST_ROWS, Bar, cell, table, to_html, to_text, watching
from stac_policy.naming import DID
from stac_policy.urls import printable

HOSTILE = st.one_of(
    st.text(),
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            "</td></tr></table><img src=x onerror=alert(1)>",
            "</style><style>*{display:none}",
            "' onmouseover='alert(1)",
            '"><svg/onload=alert(1)>',
            "&lt;b&gt;",
            "<!--",
            "]]><![CDATA[",
            "\x1b[2J\x07",
            "\u202egnp.exe",
            "\ud800",
        ]
    ),
)


class Page(HTMLParser):
    """The tags of a page in their order, with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[object] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: Any, attrs: Any) -> None:
        """Note where an element begins."""
        self.tags.append((tag, attrs) if attrs else tag)

    def handle_endtag(self, tag: Any) -> None:
        """Note where an element ends."""
        self.tags.append(f"/{tag}")

    def handle_comment(self, data: Any) -> None:
        """Note what is no element and no text."""
        self.tags.append(("other", data))

    handle_decl = unknown_decl = handle_pi = handle_comment  # type: ignore[assignment]  # by other names

    def handle_data(self, data: Any) -> None:
        """Note text."""
        self.text += data


SELECTION = DID("bob", "stac-selection-0123456789abcdef-1")


def rule(state: str, ok: int, replicating: int, stuck: int = 0, error: str | None = None) -> Rule:
    """A rule."""
    return Rule("0123456789abcdef", SELECTION, "tier=disk", 2, state, ok, replicating, stuck, error)


RULES = [rule("OK", 4, 0), rule("STUCK", 1, 2, 1, "no route"), rule("OK", 1000, 0)]
LOST = StuckFile(DID("alps", "/alps/b/red.tif"), "DISK-A", 3, "checksum mismatch")
STATUS = [
    ItemStatus("0123456789abcdef", "STUCK", "alps", "a", "DISK-A", 2, 0, ()),
    ItemStatus("0123456789abcdef", "STUCK", "alps", "c", "DISK-A", 0, 2, ()),
    ItemStatus("0123456789abcdef", "STUCK", "alps", "b", "DISK-A", 1, 0, (LOST, LOST)),
]
AVAILABILITY = [
    Availability("alps", "a", "DISK-A", 2, 0, 2),
    Availability("alps", "a", "DISK-B", 0, 1, 2),
    Availability("alps", "b", "DISK-A", 2, 0, 2),
]
EMPTY = [ReplicationRules([]), RuleStatus([]), ReplicationAvailability([])]


def test_it_is_used_as_a_list_is() -> None:
    """A table has the length, order, indices, slices, sums and comparisons of a list."""
    rules = ReplicationRules(iter(RULES))
    assert isinstance(rules, Sequence)
    assert rules == RULES == rules
    assert rules == tuple(RULES) == ReplicationRules(RULES)
    assert rules != RULES[:2]
    assert rules != "rules"
    assert hash(rules) == hash(ReplicationRules(RULES))
    assert [rules[0], rules[-1], *rules[1:2]] == [RULES[0], RULES[2], RULES[1]]
    assert rules + RULES[:1] == [*RULES, RULES[0]]
    (first, *others) = rules
    assert [first, *others] == RULES
    assert list(reversed(rules)) == rules[::-1] == RULES[::-1]
    assert RULES[1] in rules
    assert "rule" not in rules  # type: ignore[comparison-overlap]  # it holds no texts
    assert (rules.index(RULES[1]), rules.count(RULES[1])) == (1, 1)
    with pytest.raises(IndexError):
        rules[3]


def test_it_does_not_change() -> None:
    """Neither a table nor its records can be changed."""
    rules = ReplicationRules(RULES)
    with pytest.raises(TypeError):
        rules[0] = RULES[1]  # type: ignore[index]  # what must not be
    with pytest.raises(AttributeError):
        rules[0].state = "OK"  # type: ignore[misc]  # what must not be


def test_parts_are_of_the_same_kind() -> None:
    """Slices and sums show themselves as the whole does."""
    rules = ReplicationRules(RULES)
    assert repr(rules[:1]) == "<ReplicationRules: 1 rule: 1 OK>"
    assert repr(rules + rules) == "<ReplicationRules: 6 rules: 2 STUCK, 4 OK>"
    assert rules == RULES, "the whole is as it was"


def test_rules_as_text() -> None:
    """Rules are lines with what is to be known of each."""
    assert str(ReplicationRules(RULES[:2])).splitlines() == [
        "2 rules: 1 STUCK, 1 OK",
        f" rule       state  copies there  stuck  at         of{' ' * 28}because",
        f" {'─' * 88}",
        " 01234567…  OK     4 of 4               tier=disk  bob:stac-selection-01234567…",
        " 01234567…  STUCK  1 of 4            1  tier=disk  bob:stac-selection-01234567…  no route",
    ]


def test_rules_as_html() -> None:
    """Rules are a bar for all of them and a row for each."""
    page = Page(ReplicationRules(RULES)._repr_html_())
    assert ("progress", [("max", "1008"), ("value", "1005")]) in page.tags
    assert "3 rules: 1 STUCK, 2 OK" in page.text
    assert page.tags.count("tr") == 1 + len(RULES)
    assert "bob:stac-selection-01234567…" in page.text


def test_status_as_html() -> None:
    """Of each rule, what is stuck comes first, each reason once, then what is on its way."""
    html = RuleStatus(STATUS)._repr_html_()
    assert "1 rule, 7 copies: 3 there, 2 on their way, 2 stuck" in html
    assert html.index("alps/b") < html.index("alps/c") < html.index("alps/a")
    assert html.count("checksum mismatch") == 1
    assert "<p>rule 0123456789abcdef STUCK</p>" in html


def test_availability_as_a_matrix() -> None:
    """Availability is a row for each item and a column for each RSE."""
    table = ReplicationAvailability(AVAILABILITY)
    assert str(table).splitlines() == [
        "2 items, complete: 2 at DISK-A",
        " item    DISK-A  DISK-B",
        f" {'─' * 32}",
        " alps/a  2 of 2  0 of 2, 1 coming",
        " alps/b  2 of 2  none",
    ]
    assert repr(table) == "<ReplicationAvailability: 2 items, complete: 2 at DISK-A>"
    assert "1 coming" in table._repr_html_()


@pytest.mark.parametrize("table", EMPTY, ids=lambda table: type(table).__name__)
def test_nothing(table: Any) -> None:
    """An empty table is false, and says in words that there is nothing."""
    assert not table
    assert table == []
    assert str(table)
    assert "<table" not in table._repr_html_()
    assert table.to_dicts() == []


def test_dicts() -> None:
    """Plain dicts hold all that the records hold, those within them too."""
    dicts = RuleStatus(STATUS).to_dicts()
    assert json.loads(json.dumps(dicts)) == dicts
    stuck = {
        "did": "alps:/alps/b/red.tif",
        "rse": "DISK-A",
        "attempts": 3,
        "reason": "checksum mismatch",
    }
    assert dicts[2]["stuck"] == [stuck, stuck]
    assert dicts[0]["stuck"] == []
    assert ReplicationRules(RULES).to_dicts()[1]["did"] == str(SELECTION)


def test_dataframe() -> None:
    """A data frame has a row for each record and a column for each field."""
    frame = ReplicationAvailability(AVAILABILITY).to_dataframe()
    assert list(frame.columns) == ["collection", "item", "rse", "available", "coming", "assets"]
    assert frame["available"].sum() == 4


def test_many_records() -> None:
    """A table of ten thousand records shows a screen of them and counts all."""
    rows = [Availability("alps", f"item-{number}", "A", 1, 0, 1) for number in range(10_000)]
    table = ReplicationAvailability(rows)
    assert len(str(table).splitlines()) == 1 + 2 + MOST_ROWS + 1
    assert "10,000 items, complete: 10,000 at A" in table._repr_html_()
    assert len(table._repr_html_()) < 10_000


@given(HOSTILE)
def test_no_markup_of_the_input_survives(text: str) -> None:
    """Whatever a text holds, the page has the tags and attributes that it always has."""

    def page_of(text: str) -> Page:
        rows: list[dict[str, object]] = [
            {"item": f"x{text}", f"RSE {text}": f"x{text}", "files": 3},
            {"item": "plain"},
        ]
        return Page(to_html(f"x{text}", Bar(1, 2, f"x{text}"), rows, f"x{text}"))

    page = page_of(text)
    assert page.tags == page_of(re.sub(r"\S", "x", printable(text))).tags
    assert page.text.count(printable(text)) >= 3


@given(HOSTILE)
def test_text_for_screens_controls_nothing(text: str) -> None:
    """What a terminal would obey is written out, in lines, titles and cells."""
    row = {"item": text, f"RSE {text}": text, "files": 3}
    lines = to_text(f"x{text}", Bar(1, 2, f"x{text}"), [row]).split("\n")
    assert len(lines) >= 5
    assert all(line.isprintable() for line in lines)


def test_ids_of_hostile_catalogues() -> None:
    """An id that is markup or controls a terminal is shown as what it is."""
    table = ReplicationAvailability([Availability("<b>", "\x1b[2J<script>", "A", 1, 0, 1)])
    assert "<script>" not in table._repr_html_()
    assert "\x1b" not in table._repr_html_() + str(table)


def test_cells_and_columns() -> None:
    """Numbers are aligned, empty columns are left out, wide cells take several lines."""
    rows = [{"item": "a [b]x[/b]", "files": 1234, "why": None}, {"item": "x" * 90, "files": 5}]
    head, rule, first, *second = to_text(rows).splitlines()
    width = len(rule)  # releases of rich differ by one
    assert rule == f" {'─' * (width - 1)}"
    assert head == f" item{'files':>{width - 5}}"
    assert first == f" a [b]x[/b]{'1,234':>{width - 11}}"
    assert second[0].endswith("x      5")
    assert "".join(second).replace(" ", "") == f"{'x' * (width - 8)}5{'x' * (98 - width)}"
    assert not to_text([])
    left = "text-align: left; overflow-wrap: anywhere"
    right = "text-align: right; white-space: "
    page = Page(to_html(rows))
    styles = [tag[1][0][1] for tag in page.tags if isinstance(tag, tuple)]
    assert styles == [left, f"{right}nowrap"] * 3
    assert "left; white-space: normal" in to_html([{"item": "not data: its role is thumbnail"}])
    assert page.text == f"itemfilesa [b]x[/b]1,234{'x' * 90}5"
    assert to_html([]) == "<div></div>"


def test_many_rows() -> None:
    """Of more rows than anybody reads, the first are shown, and how many more there are."""
    rows = [{"item": f"item-{number}"} for number in range(MOST_ROWS + 1234)]
    assert to_text(rows).splitlines()[-2:] == [f" item-{MOST_ROWS - 1}", "… and 1,234 more"]
    assert "more" not in to_text(rows[:MOST_ROWS])
    assert to_html(rows).endswith("<p>… and 1,234 more</p></div>")
    assert "more" not in to_html(rows[:MOST_ROWS])


def test_a_table_fits_a_terminal() -> None:
    """On a narrow screen texts are broken, ids and sizes are not."""
    rows = [{"rule": "i" * 60, "why": "because " * 8, "size": 5_000_000, "ok": True}]
    console = Console(file=(output := io.StringIO()), width=100)
    console.print(table(rows))
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[3].split() == ["i" * 60, *["because"] * 3, "5.0", "MB", "yes"]
    assert [line.strip() for line in lines[4:6]] == ["because because because", "because because"]


@pytest.mark.parametrize(
    ("value", "title", "text"),
    [
        (None, "", ""),
        (True, "", "yes"),
        (False, "", "no"),
        (1234, "", "1,234"),
        (1234, "size", "1.2 kB"),
        (1_234_567_890, "size", "1.2 GB"),
        (DID("s", "/n\n"), "", "s:/n\\n"),
    ],
)
def test_a_cell(value: Any, title: str, text: str) -> None:
    """A cell has the words of its value, of bytes where its column has sizes."""
    assert cell(value, title) == text


def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text is the same where colours are forced, and however wide the terminal is."""
    expected = str(ReplicationRules(RULES))
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "10", "JUPYTER_COLUMNS": "10"}.items():
        monkeypatch.setenv(name, value)
    assert str(ReplicationRules(RULES)) == expected


class _Terminal(io.StringIO):
    """What says that somebody looks at it."""

    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without being asked for, it is a line that is written again, cut, and goes in the end."""
    terminal = _Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "20")
    with suppress(KeyError), watching(None) as show:
        show("1 of 2 files")
        show("2 of 2 files, and much more to say")
        raise KeyError
    lines = ["1 of 2 files", "2 of 2 files, and m", ""]
    assert terminal.getvalue() == "".join(f"\r{line}\x1b[K" for line in lines)


def test_progress_beside_bars_of_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the caller shows bars of its own, no line is written among them."""
    terminal = _Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    console = Console(stderr=True, force_terminal=True, width=80)
    with Live("bars", console=console, auto_refresh=False), watching(None) as show:
        show("1 of 2 files")
    assert "1 of 2" not in terminal.getvalue()


def test_progress_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is shown in its place, by what notebooks show of it."""
    shown: list[object] = []
    display = SimpleNamespace(display=lambda *_, **__: SimpleNamespace(update=shown.append))
    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1), display=display)
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    now = Progress(1, 2, 0, 0)
    with watching(None) as show:
        show(now)
    assert shown == [now]
    assert "<progress" in now._repr_html_()


def test_progress_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody looks, or something else is called, nothing is written."""
    told: list[str] = []
    for call in (None, told.append):
        with watching(call) as show:
            show("1 of 2 files")
    assert told == ["1 of 2 files"]
    assert capsys.readouterr() == ("", "")
