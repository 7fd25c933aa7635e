"""What is written to terminals and logs."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_client import Outcome, State
from stac_client._rucio import Rucio
from stac_client._tables import counted
from stac_policy.urls import mask, printable
from stac_rucio.errors import Failure, _SafeFormatter
from stac_rucio.options import LISTS, duration, spread
from stac_rucio.output import REGISTERED, Output, progress, report
from tests.fake_rucio import FakeRucio

SECRET = "s3cr3t-Value"  # noqa: S105 - of no account


@given(st.text())
def test_nothing_controls_the_terminal(text: str) -> None:
    """Whatever a catalogue says becomes one line that a terminal only shows."""
    assert printable(text).isprintable()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30d", 2_592_000), ("12h", 43_200), ("1.5m", 90), ("45s", 45), ("7", 7), ("2.5", 2.5)],
)
def test_times(text: str, seconds: float) -> None:
    """A time is in seconds, or in its unit."""
    made = duration("--time", "").type
    assert made(text) == seconds
    assert isinstance(made(text), type(seconds))


@pytest.mark.parametrize("text", ["", "d", "30x", "nan", "infd", "-1h", "0.5s", "1 d e"])
def test_what_is_no_time(text: str) -> None:
    """What is no time, or too short, is said to be."""
    with pytest.raises(click.BadParameter):
        duration("--time", "").type(text)


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S"])))
def test_what_is_harmless_stays(text: str) -> None:
    """Letters, numbers and signs of all scripts are shown as they are."""
    assert printable(text) == text


@pytest.mark.parametrize(
    "text",
    [
        f"https://data.example.org/x.tif?sig={SECRET}&se=2030",
        f"https://user:{SECRET}@data.example.org/x.tif",
        f"HTTP header:  X-Rucio-Auth-Token: {SECRET}",
        f"HTTP header:  X-Rucio-Password: {SECRET}",
        f"Headers: {{'Authorization': 'Bearer {SECRET}', 'Accept': '*/*'}}",
        f"Authorization: Basic {SECRET}",
        f"{{'api_key': '{SECRET}'}}",
        f"password={SECRET}",
        f'"token": "{SECRET}"',
        f"Set-Cookie: {SECRET}",
    ],
)
def test_secrets_are_taken_out(text: str) -> None:
    """Queries, users of URLs and what is named as a secret are not shown."""
    assert SECRET not in mask(text)
    record = logging.LogRecord("x", logging.INFO, "x", 1, "%s", (text,), None)
    assert SECRET not in _SafeFormatter("%(message)s").format(record)


def test_plain_text_is_not_touched() -> None:
    """What holds no secret stays as it is."""
    text = "RSE 'STAC' has http://127.0.0.1:8080/rucio/x.tif; is it right? Yes: 12 of 13"
    assert mask(text) == text


def test_one_is_not_many() -> None:
    """Numbers go with their nouns."""
    assert (counted(1, "asset"), counted(1200, "asset")) == ("1 asset", "1,200 assets")


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        (["-c", "a", "b"], ["-c", "a", "-c", "b"]),
        (["--ids", "x", "y", "z", "-v"], ["--ids", "x", "--ids", "y", "--ids", "z", "-v"]),
        (["--bbox", "-1", "2", "3", "4"], ["--bbox", "-1", "2", "3", "4"]),
        (["--sortby", "-date", "id"], ["--sortby", "-date", "id"]),
        (["-c", "a", "-"], ["-c", "a", "-c", "-"]),
    ],
)
def test_lists_are_typed_as_for_stac_client(typed: list[str], understood: list[str]) -> None:
    """`-c a b` of a search is `-c a -c b`, and other options are left alone."""
    assert spread(["--api", "u", *typed]) == ["--api", "u", *understood]


def test_words_after_lists_are_files_elsewhere() -> None:
    """Without --api, what follows an option's value is a file."""
    typed = ["-c", "a", "items.json"]
    assert spread(typed) == typed


@given(
    st.lists(st.sampled_from(sorted(LISTS))),
    st.lists(st.text(alphabet="abc", min_size=1), min_size=1),
)
def test_what_is_repeated_already_stays(names: list[Any], values: list[Any]) -> None:
    """A command line as click wants it is not changed."""
    typed = ["--api=u", *(word for name in names for value in values for word in (name, value))]
    assert spread(typed) == typed


def test_lines_are_tab_separated_whatever_is_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    """A tab or line feed in a value does not make another field or line."""
    Output(as_json=False).rows(["a", "b", "c"], [{"a": "x\ty\n\x1b[31m", "b": None, "c": True}])
    assert capsys.readouterr().out == "x\\ty\\n\\x1b[31m\t\ttrue\n"


def test_json_is_one_object_a_line_and_exact(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON keeps every value, also of fields that have no column."""
    row = {"a": "x\ty\n\x1b[31m", "b": None, "more": [1, 2]}
    Output(as_json=True).rows(["a"], [row, row])
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [row, row]
    assert all(line.isascii() and line.isprintable() for line in lines)


@pytest.mark.parametrize("for_people", [True, False])
def test_outcomes_are_summed_up(capsys: pytest.CaptureFixture[str], for_people: bool) -> None:
    """People get counts and some reasons with an example, programs a line for each asset."""
    output = Output(as_json=False)
    output.for_people = for_people
    outcomes = [
        Outcome("c", f"i{number}", "a", State.SKIPPED, f"reason {number}") for number in range(100)
    ]
    failed = Outcome("c", "x", "b", State.FAILED, "broken")
    with pytest.raises(Failure, match="1 of 101 assets failed"):
        report(output, [failed, *outcomes], REGISTERED)
    lines = capsys.readouterr().out.splitlines()
    if for_people:
        assert lines[0] == "100 skipped, 1 failed"
        assert [line.split() for line in lines[4:6]] == [
            ["1", "failed", "broken", "c/x", "asset", "b"],
            ["81", "skipped", "other", "reasons", "c/i19", "asset", "a"],
        ]
        assert len(lines) < 30
    else:
        assert lines[0] == "c\tx\tb\tfailed\t\tbroken"
        assert len(lines) == 101


def test_progress_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is to say, bar and time are shown whole, in one line."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    with click.Context(click.Command("x")), progress() as show:
        show(
            "registering", 1234, 5678, "1,234 of 5,678 items read, " + "1,000 of 2,000 files, " * 9
        )
    shown = [click.unstyle(line) for line in terminal.getvalue().split("\n")]
    (line,) = {line.rpartition("\r")[2] for line in shown if "registering" in line}
    assert len(line) == 80
    assert "━" * 5 in line
    assert line.rstrip().endswith("0:00:00")
    assert "1,234 of 5,678 items read" in line


def test_what_the_library_logs(caplog: pytest.LogCaptureFixture) -> None:
    """It says what it does to its own logger, and where nobody listens it is silent."""
    ours = logging.getLogger("stac_client")
    assert any(isinstance(each, logging.NullHandler) for each in ours.handlers)
    with caplog.at_level(logging.INFO, "stac_client"):
        Rucio(FakeRucio()).rse("DISK")
    assert caplog.messages == ["asking for RSE DISK"]
