"""Tables as text and as HTML, of what is hostile."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_client._tables import (
    MOST_ROWS,
    html_bar,
    html_block,
    html_headline,
    html_note,
    html_table,
    printable,
    size,
    text_table,
)

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


CELLS = [("td", []), ("td", [("class", "long")])]


class Page(HTMLParser):
    """The tags of a page in their order, with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[object] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        """Note where an element begins."""
        self.tags.append((tag, attrs))

    def handle_endtag(self, tag):
        """Note where an element ends."""
        self.tags.append(tag)

    def handle_comment(self, data):
        """Note a comment."""
        self.tags.append(("comment", data))

    def handle_decl(self, decl):
        """Note a declaration."""
        self.tags.append(("declaration", decl))

    def unknown_decl(self, data):
        """Note another declaration."""
        self.tags.append(("declaration", data))

    def handle_pi(self, data):
        """Note an instruction."""
        self.tags.append(("instruction", data))

    def handle_data(self, data):
        """Note text."""
        self.text += data


def page_of(text: str) -> Page:
    """A page that shows a text in every place where there can be one."""
    rows = [{"item": text, f"RSE {text}": text, "files": 3}, {"item": "plain", f"RSE {text}": "x"}]
    parts = html_headline(text), html_bar(1, 2, text), html_table(rows), html_note(text)
    return Page(html_block(*parts))


def without_classes(page: Page) -> list[object]:
    """The tags of a page; only the length of a text may choose the class of its cell."""
    return ["td" if tag in CELLS else tag for tag in page.tags]


@given(HOSTILE)
def test_no_markup_of_the_input_survives(text):
    """Whatever a text holds, the page has the tags and attributes that it always has."""
    page = page_of(text)
    assert without_classes(page) == without_classes(page_of("harmless"))
    assert page.text.count(printable(text)) >= 6 or not text


@given(HOSTILE)
def test_text_for_screens_controls_nothing(text):
    """What a terminal would obey is written out, in a cell as well as alone."""
    assert printable(text).isprintable()
    lines = text_table([{"item": text, "files": 3}]).splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_printable_text_stays(text):
    """Letters of all languages stay as they are."""
    assert printable(text) == text


def test_html_of_rows():
    """Rows become cells under titles; numbers are aligned; empty columns are left out."""
    table = html_table([{"a": 1234, "b": "x", "c": None}, {"a": 2, "c": ""}])
    assert table == (
        "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody>"
        '<tr><td class="number">1,234</td><td>x</td></tr>'
        '<tr><td class="number">2</td><td></td></tr>'
        "</tbody></table>"
    )
    assert not html_table([])
    assert '<td class="long">' in html_table([{"a": "x" * 25}])


def test_text_of_rows():
    """Rows become aligned lines; what is too wide is cut."""
    rows = [{"item": "alps/a", "files": 1234, "why": None}, {"item": "x" * 90, "files": 5}]
    assert text_table(rows).splitlines() == [
        "item" + " " * 78 + "files",
        "alps/a" + " " * 76 + "1,234",
        "x" * 79 + "…      5",
    ]
    assert not text_table([])


def test_many_rows():
    """Of more rows than anybody reads, the first are shown, and how many more there are."""
    rows = [{"item": f"item-{number}"} for number in range(MOST_ROWS + 1234)]
    assert html_table(rows).count("<tr>") == MOST_ROWS + 1
    assert html_table(rows).endswith('<p class="note">… and 1,234 more</p>')
    assert text_table(rows).splitlines()[-2:] == [f"item-{MOST_ROWS - 1}", "… and 1,234 more"]
    assert "more" not in html_table(rows[:MOST_ROWS]) + text_table(rows[:MOST_ROWS])


def test_no_colour_is_fixed():
    """Text and background are those of the page, which may be light or dark."""
    properties = re.findall(r"[{;]\s*([a-z-]+):", html_block())
    assert "border-bottom" in properties
    assert not [each for each in properties if each == "color" or each.startswith("background")]


@pytest.mark.parametrize(
    ("size_bytes", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_499, "999.5 kB"),
        (999_500, "1.0 MB"),
        (1_234_567_890, "1.2 GB"),
        (5 * 10**18, "5,000.0 PB"),
    ],
)
def test_sizes(size_bytes, said):
    """A size is shown in the unit that people would choose."""
    assert size(size_bytes) == said
