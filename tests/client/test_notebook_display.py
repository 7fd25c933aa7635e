"""What notebooks show of plans, progress, registrations and downloads."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hypothesis import given

from stac_client import Outcome, Plan, Progress, Registration, State
from stac_client._results import DownloadOutcome, Downloads

from .test_tables import HOSTILE, Page


def outcome(key: str, state: State, reason: str = "") -> Outcome:
    """The outcome of an asset."""
    return Outcome("alps", "a", key, state, reason)


def plan(reason: str, host: str) -> Plan:
    """A plan that rejects an asset for a reason."""
    made = Plan(
        items=1200,
        files=3,
        size_bytes=5_000_000,
        files_without_size=1,
        files_without_checksum=2,
        hosts=Counter({host: 3}),
        already_there=1,
    )
    made.reject(outcome(reason, State.FAILED, reason))
    return made


def test_a_registration_says_first_what_failed():
    """Counts come first, then what failed, then what was skipped, each reason once."""
    html = Registration(
        [
            outcome("ok", State.REGISTERED),
            *[outcome(f"thumb-{number}", State.SKIPPED, "its role") for number in range(9)],
            outcome("dem", State.REGISTERED, "no checksum is known"),
            outcome("red", State.FAILED, "HTTP 404"),
            *[outcome(f"nir-{number}", State.FAILED, "HTTP 500") for number in range(1234)],
        ]
    )._repr_html_()
    order = [
        "2 registered, 9 skipped, 1,235 failed",
        "1,234",
        "HTTP 500",
        "alps/a asset nir-0",
        "HTTP 404",
        "its role",
        "no checksum is known",
    ]
    places = [html.index(each) for each in order]
    assert places == sorted(places)
    assert [html.count(each) for each in order] == [1] * len(order)
    assert "nir-1\n" not in html


def test_a_registration_without_reasons():
    """Where nothing has to be explained, the counts are all."""
    html = Registration([outcome("red", State.REGISTERED)])._repr_html_()
    assert "1 registered" in html
    assert "<pre>" not in html
    assert "no assets" in Registration([])._repr_html_()


def test_a_download_says_what_is_wrong_with_its_catalogue():
    """What could not be written of the catalogue is said below the counts, in parts as well."""
    done = DownloadOutcome("alps", "a", "red", State.DOWNLOADED, path=Path("red.tif"))
    downloads = Downloads([done], Path("catalog.json"), ["<b> was not written"])
    assert "1 downloaded" in downloads._repr_html_()
    assert "<p>&lt;b&gt; was not written</p>" in downloads._repr_html_()
    assert downloads[:1]._repr_html_() == downloads._repr_html_()
    assert downloads[:1].catalogue == downloads.catalogue


def test_a_plan():
    """A plan has how much it is, what has to be looked up, the hosts and what is rejected."""
    page = Page(plan("no href", "data.example.org")._repr_html_())
    for text in (
        "1,200 items, 3 files, 5.0 MB",
        "Already there: 1 files",
        "1 sizes, 2 checksums",
        "data.example.org",
        "no href",
        "alps/a asset no href",
    ):
        assert text in page.text
        assert text in str(plan("no href", "data.example.org"))
    assert "<pre>" not in Plan()._repr_html_()
    assert len(str(Plan()).splitlines()) == 2


@given(HOSTILE)
def test_no_markup_of_a_catalogue_survives(text):
    """Whatever hosts, ids, keys and reasons hold, the page has the tags it always has."""

    def tags(said: str) -> list[object]:
        found = Outcome(said, f"x{said}", f"x{said}", State.FAILED, f"x{said}")
        shown = plan(f"x{said}", f"x{said}"), Registration([found])
        return [tag for each in shown for tag in Page(each._repr_html_()).tags]

    assert tags(text) == tags("harmless")


def test_progress():
    """Progress is a bar with the files and, as soon as any are known, the bytes."""
    page = Page(Progress(3, 12, 1_500_000, 6_000_000)._repr_html_())
    assert ("progress", [("max", "12"), ("value", "3")]) in page.tags
    assert "3 of 12 files, 1.5 MB of 6.0 MB downloaded" in page.text
    assert "downloaded" not in Page(Progress(0, 0, 0, 0)._repr_html_()).text
