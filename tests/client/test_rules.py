"""When a rule that is there is the one that is wanted, without Rucio."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_client import AlternatesWarning, ConfigurationError, StacClient
from stac_client._new_rules import differences, fits
from stac_client._rules import ReplicationRules, plain
from tests.fake_rucio import FakeRucio

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
DAY_S = 86_400
WANTED: dict[str, Any] = {
    "lifetime": None,
    "activity": None,
    "comment": None,
    "grouping": "DATASET",
}


def entry(ends_in_s: float | None = None, **fields: Any) -> dict[str, Any]:
    """A rule as Rucio describes it."""
    ends = None
    if ends_in_s is not None:
        ends = (NOW + timedelta(seconds=ends_in_s)).replace(tzinfo=None)
    rule = {"expires_at": ends, "activity": "User Subscriptions", "comments": None}
    return {**rule, "grouping": "DATASET", **fields}


@pytest.mark.parametrize(
    "ask",
    [
        lambda stac, rules: stac.wait(rules),
        lambda stac, rules: stac.rule_status(rules),
        lambda stac, rules: stac.replication_rules(rules),
        lambda stac, rules: stac.extend_replication_rules(rules, None),
        lambda stac, rules: stac.retry_replication_rules(rules),
        lambda stac, rules: stac.delete_replication_rules(rules),
    ],
)
def test_of_no_rules(ask: Any) -> None:
    """What is to be done with rules is an error without any, as on the command line."""
    nothings: tuple[object, ...] = ([], "", ReplicationRules([]))
    for nothing in nothings:
        with pytest.raises(ConfigurationError, match="no rules are given"):
            ask(StacClient(FakeRucio()), nothing)
    with pytest.raises(ConfigurationError, match=r"'8840401d' is not the id of a rule.*32 hex"):
        ask(StacClient(FakeRucio()), ["8840401d"])  # as tables show it


def test_what_a_client_is_given() -> None:
    """A scope, a site and an RSE that Rucio has not are told before anything is asked of them."""
    rucio = FakeRucio()
    rucio.attributes["DISK"] = {"site": "ALPS"}
    with pytest.warns(AlternatesWarning, match="no RSE has the attribute site=ALP; near it: ALPS"):
        StacClient(rucio, site="ALP")
    for nothing in ("", None):
        with pytest.raises(ConfigurationError, match="no RSE is named; known: DISK"):
            StacClient(rucio, site="ALPS").plan([], nothing)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="copies is 0"):
        StacClient(rucio).create_replication_rules([], "DISK", copies=0)
    with pytest.raises(ConfigurationError, match=r"no scope user\.alic; near it: user\.alice"):
        StacClient(FakeRucio(), scope="user.alic")


@pytest.mark.parametrize(
    ("there", "wanted", "said", "mend"),
    [
        (entry(), {}, None, None),
        (entry(30 * DAY_S), {"lifetime": 30 * DAY_S}, None, None),
        (entry(30 * DAY_S - 300), {"lifetime": 30 * DAY_S}, None, None),
        (entry(3600), {"lifetime": 30 * DAY_S}, "2026-01-01 01:00", {"lifetime": 30 * DAY_S}),
        (entry(5), {"lifetime": 60}, "its end is", {"lifetime": 60}),
        (entry(3600), {}, "wanted: never", {"lifetime": None}),
        (entry(), {"lifetime": 60}, "end is never", None),
        (entry(2 * DAY_S), {"lifetime": DAY_S}, "2026-01-03", None),
        (entry(), {"activity": "Express"}, "'Express'", {"activity": "Express"}),
        (entry(activity="Express"), {"activity": "Express"}, None, None),
        (entry(activity="Express"), {}, None, None),
        (entry(comments="a"), {"comment": "b"}, "'a' (wanted: 'b')", {"comment": "b"}),
        (entry(), {"comment": "b"}, "None (wanted: 'b')", {"comment": "b"}),
        (entry(grouping="ALL"), {}, None, None),
        (entry(grouping="NONE"), {}, "grouping is NONE (wanted: DATASET)", None),
        (entry(), {"grouping": "NONE"}, "grouping is DATASET (wanted: NONE)", None),
    ],
)
def test_differences(
    there: dict[str, Any], wanted: dict[str, Any], said: str | None, mend: dict[str, Any] | None
) -> None:
    """Each wanted field is compared, and mended where Rucio can change it."""
    found = differences(there, {**WANTED, **wanted}, NOW)
    assert len(found) == (0 if said is None else 1)
    for difference in found:
        assert said is not None
        assert said in difference.said
        assert difference.mend == mend


def test_all_differences_are_said() -> None:
    """One does not hide another."""
    wanted = {"lifetime": None, "activity": "Express", "comment": "b", "grouping": "NONE"}
    found = differences(entry(60), wanted, NOW)
    assert [difference.said.split()[1] for difference in found] == [
        "end", "activity", "comment", "grouping"
    ]  # fmt: skip


@given(ends_in_s=st.none() | st.integers(1, 10**8), lifetime_s=st.none() | st.integers(1, 10**8))
def test_a_rule_is_never_shortened(ends_in_s: int | None, lifetime_s: int | None) -> None:
    """It is extended if it would end clearly earlier; what is wanted for longer is not refused."""
    there, wanted = (math.inf if each is None else each for each in (ends_in_s, lifetime_s))
    found = differences(entry(ends_in_s), {**WANTED, "lifetime": lifetime_s}, NOW)
    assert all(difference.bearable == (there > wanted) for difference in found)
    assert all(
        difference.mend == {"lifetime": lifetime_s} for difference in found if there < wanted
    )
    if there < wanted * 0.49:
        assert found


@pytest.mark.parametrize(
    ("left", "grouping", "fit"),
    [
        ([math.inf, math.inf], "DATASET", True),
        ([math.inf, 100.0], "DATASET", False),  # Rucio wants more than the size to be left
        ([101.0, 101.0, 0.0], "DATASET", True),
        ([101.0, -50.0], "ALL", False),
        ([150.0, 51.0, -100.0], "NONE", True),
        ([150.0, 49.0, -100.0], "NONE", False),
        ([], "NONE", False),
    ],
)
def test_limits(left: list[float], grouping: str, *, fit: bool) -> None:
    """Two copies of 100 bytes fit where enough is left at two RSEs, or of all files together."""
    assert fits(100, 2, left, grouping) is fit


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (None, None),
        ("disk full", "disk full"),
        ("RequestErrMsg.NO_SOURCES:RequestState.NO_SOURCES", "no copy can be read from there: "),
        ("RequestErrMsg.NO_SOURCES:RequestState.ONLY_TAPE_SOURCES", "all copies are on tape (ONLY"),
        ("RequestErrMsg.TRANSFER_FAILED:HTTP 404", "HTTP 404 (TRANSFER_FAILED)"),
        ("RequestErrMsg.NEW:RequestState.NEWER", "NEWER"),
    ],
)
def test_why_a_rule_is_stuck(error: str | None, said: str | None) -> None:
    """The names of Rucio's constants stand behind plain words."""
    found = plain(error)
    assert found == said or (found is not None and said is not None and found.startswith(said))
    assert "Request" not in (found or "")
