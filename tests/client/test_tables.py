"""Records of rules and copies, as sequences that show themselves."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from stac_client import Availability, ItemStatus, Rule, StuckFile
from stac_client._rules import ReplicationAvailability, ReplicationRules, RuleStatus
from stac_client._tables import MOST_ROWS
from stac_policy.naming import DID

from .test_markup import Page

SELECTION = DID("user.alice", "stac-selection-1")


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


def test_it_is_used_as_a_list_is():
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


def test_parts_are_of_the_same_kind():
    """Slices and sums show themselves as the whole does."""
    rules = ReplicationRules(RULES)
    assert repr(rules[:1]) == "<ReplicationRules: 1 rule: 1 OK>"
    assert repr(rules + rules) == "<ReplicationRules: 6 rules: 2 STUCK, 4 OK>"
    assert rules == RULES, "the whole is as it was"


def test_rules_as_text():
    """Rules are lines with what is to be known of each."""
    assert str(ReplicationRules(RULES[:2])).splitlines() == [
        "rule       state  copies there  stuck  at         of                           because",
        "01234567…  OK     4 of 4               tier=disk  user.alice:stac-selection-1",
        "01234567…  STUCK  1 of 4            1  tier=disk  user.alice:stac-selection-1  no route",
    ]


def test_rules_as_html():
    """Rules are a bar for all of them and a row for each."""
    page = Page(ReplicationRules(RULES)._repr_html_())
    assert ("progress", [("max", "1008"), ("value", "1005")]) in page.tags
    assert "3 rules: 1 STUCK, 2 OK" in page.text
    assert page.tags.count("tr") == 1 + 3
    assert "no route" in page.text


def test_status_as_html():
    """What is stuck comes first, with each reason once, then what is on its way."""
    html = RuleStatus(STATUS)._repr_html_()
    assert "1 rule, 7 copies: 3 there, 2 on their way, 2 stuck" in html
    assert html.index("alps/b") < html.index("alps/c") < html.index("alps/a")
    assert html.count("checksum mismatch") == 1


def test_availability_as_a_matrix():
    """Availability is a row for each item and a column for each RSE."""
    table = ReplicationAvailability(AVAILABILITY)
    assert str(table).splitlines() == [
        "item    DISK-A  DISK-B",
        "alps/a  2 of 2  0 of 2, 1 coming",
        "alps/b  2 of 2  none",
    ]
    assert repr(table) == "<ReplicationAvailability: 2 items, complete: 2 at DISK-A>"
    assert "1 coming" in table._repr_html_()


@pytest.mark.parametrize("table", EMPTY, ids=lambda table: type(table).__name__)
def test_nothing(table):
    """An empty table is false, and says in words that there is nothing."""
    assert not table
    assert table == []
    assert str(table)
    assert "<table>" not in table._repr_html_()
    assert table.to_dicts() == []


def test_dicts():
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
    assert ReplicationRules(RULES).to_dicts()[1]["did"] == "user.alice:stac-selection-1"


def test_dataframe():
    """A data frame has a row for each record and a column for each field."""
    frame = ReplicationAvailability(AVAILABILITY).to_dataframe()
    assert list(frame.columns) == ["collection", "item", "rse", "available", "coming", "assets"]
    assert frame["available"].sum() == 4


def test_many_records():
    """A table of ten thousand records shows a screen of them and counts all."""
    rows = [Availability("alps", f"item-{number}", "A", 1, 0, 1) for number in range(10_000)]
    table = ReplicationAvailability(rows)
    assert len(str(table).splitlines()) == 1 + MOST_ROWS + 1
    assert "10,000 items, complete: 10,000 at A" in table._repr_html_()
    assert len(table._repr_html_()) < 5_000


def test_ids_of_hostile_catalogues():
    """An id that is markup or controls a terminal is shown as what it is."""
    table = ReplicationAvailability([Availability("<b>", "\x1b[2J<script>", "A", 1, 0, 1)])
    assert "<script>" not in table._repr_html_()
    assert "\x1b" not in table._repr_html_() + str(table)
