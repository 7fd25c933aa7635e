"""Outcomes of assets: counted, filtered, shown; and progress, counted by several threads."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_client import Outcome, Plan, Progress, Registration, RequestError, State
from stac_client._results import DownloadOutcome, Downloads, Tally
from stac_policy.naming import DID

from .test_tables import HOSTILE, Page

DATASET = DID("alps", "/alps/i")
SIZES = st.integers(0, 1000)
STEPS = st.lists(st.tuples(st.sampled_from(["announce", "reached"]), SIZES), max_size=6)


def outcome(key: str, state: State, reason: str = "", *, with_did: bool = True) -> Outcome:
    """The outcome of an asset."""
    did = DID("alps", f"/alps/i/{key}.tif") if with_did else None
    return Outcome("alps", "i", key, state, reason, did, DATASET if with_did else None)


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


OUTCOMES = [
    outcome("red", State.REGISTERED),
    outcome("thumb", State.SKIPPED, "its role is not data", with_did=False),
    outcome("nir", State.FAILED, "HTTP 404"),
    outcome("vv", State.ALREADY_THERE),
    outcome("vh", State.FAILED, "HTTP 404"),
    outcome("dem", State.REGISTERED, "no checksum is known"),
]


@pytest.fixture
def registration() -> Registration:
    """A registration with outcomes of each state."""
    return Registration(iter(OUTCOMES))


def test_plan_tells_what_is_not_verified() -> None:
    """Files without md5 are told of where there is an RSE that verifies by nothing else."""
    made = plan("HTTP 404", "x.org")
    made.files_without_md5 = 1_000
    assert "md5" not in str(made)
    made.verified_by_md5 = ["S3-A", "S3-B"]
    assert "Not verified at S3-A, S3-B: 1,000 files without md5." in str(made)


def test_counts(registration: Registration) -> None:
    """Each state is counted, in the order of the states; those without any are left out."""
    assert list(registration.counts.items()) == [
        (State.REGISTERED, 2),
        (State.ALREADY_THERE, 1),
        (State.SKIPPED, 1),
        (State.FAILED, 2),
    ]
    assert Registration([]).counts == {}
    assert Registration(OUTCOMES[:1]).counts == {State.REGISTERED: 1}


def test_dids(registration: Registration) -> None:
    """The DIDs are those of the files that Rucio now has."""
    assert registration.dids == [OUTCOMES[0].did, OUTCOMES[3].did, OUTCOMES[5].did]


@pytest.mark.parametrize("state", State)
def test_by_state(registration: Registration, state: Any) -> None:
    """The outcomes of a state are those that have it, in their order."""
    assert registration.by_state(state) == [each for each in OUTCOMES if each.state is state]


def test_repr(registration: Registration) -> None:
    """It shows the counts in one line."""
    assert (
        repr(registration) == "<Registration: 2 registered, 1 already there, 1 skipped, 2 failed>"
    )
    assert repr(Registration([])) == "<Registration: no assets>"
    assert repr(Registration(OUTCOMES[:1] * 1234)) == "<Registration: 1,234 registered>"


def test_raise_for_failed(registration: Registration) -> None:
    """The error gives the number of failures, and the first of them."""
    with pytest.raises(RequestError) as caught:
        registration.raise_for_failed()
    assert str(caught.value) == "2 of 6 assets: alps/i asset nir: failed: HTTP 404"


def test_raise_for_failed_with_several_reasons(registration: Registration) -> None:
    """The error says how many different reasons there are."""
    more = Registration([*registration, outcome("vh2", State.FAILED, "HTTP 500")])
    with pytest.raises(RequestError, match=r"^3 of 7 assets: .*HTTP 404 \(2 different reasons in"):
        more.raise_for_failed()


def test_raise_for_failed_without_failures(registration: Registration) -> None:
    """What was skipped has not failed."""
    Registration(each for each in registration if each.state is not State.FAILED).raise_for_failed()
    Registration([]).raise_for_failed()


def test_to_dicts(registration: Registration) -> None:
    """Plain dicts hold all that the outcomes hold, and are written as JSON."""
    dicts = registration.to_dicts()
    assert json.loads(json.dumps(dicts)) == dicts
    assert dicts[2] == {
        "collection": "alps",
        "item": "i",
        "key": "nir",
        "state": "failed",
        "reason": "HTTP 404",
        "did": "alps:/alps/i/nir.tif",
        "dataset": "alps:/alps/i",
        "size_bytes": None,
        "adler32": None,
        "md5": None,
    }
    assert [each["state"] for each in dicts] == [each.state.value for each in OUTCOMES]
    assert (dicts[1]["did"], dicts[1]["dataset"]) == (None, None)
    assert Registration([]).to_dicts() == []


@pytest.mark.parametrize(
    ("each", "text"),
    [
        (OUTCOMES[0], "alps/i asset red: registered"),
        (OUTCOMES[1], "alps/i asset thumb: skipped: its role is not data"),
        (
            Outcome("", "", "bnad", State.SKIPPED, "no item has it"),
            "asset bnad: skipped: no item has it",
        ),
    ],
)
def test_an_outcome_as_text(each: Outcome, text: str) -> None:
    """An outcome as text says what it is about, what became of it, and why."""
    assert str(each) == text


def test_states_are_text() -> None:
    """A state is compared with, and written as, its text."""
    assert State("already there") is State.ALREADY_THERE
    assert json.dumps(State.ALREADY_THERE) == '"already there"'


def test_a_registration_says_first_what_failed() -> None:
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
        "alps/i asset nir-0",
        "HTTP 404",
        "its role",
        "no checksum is known",
    ]
    places = [html.index(each) for each in order]
    assert places == sorted(places)
    assert [html.count(each) for each in order] == [1] * len(order)
    assert "nir-1\n" not in html


def test_a_registration_without_reasons() -> None:
    """Where nothing has to be explained, the counts are all."""
    html = Registration([outcome("red", State.REGISTERED)])._repr_html_()
    assert "1 registered" in html
    assert "<pre" not in html
    assert "no assets" in Registration([])._repr_html_()


def test_a_download_says_what_is_wrong_with_its_catalogue() -> None:
    """What could not be written of the catalogue is said below the counts, in parts as well."""
    done = DownloadOutcome("alps", "a", "red", State.DOWNLOADED, path=Path("red.tif"))
    downloads = Downloads([done], Path("catalog.json"), ["<b> was not written"])
    assert "1 downloaded" in downloads._repr_html_()
    assert "<p>&lt;b&gt; was not written</p>" in downloads._repr_html_()
    assert downloads[:1]._repr_html_() == downloads._repr_html_()
    assert downloads[:1].catalogue == downloads.catalogue


def test_a_plan() -> None:
    """A plan has how much it is, what has to be looked up, the hosts and what is rejected."""
    page = Page(plan("no href", "data.example.org")._repr_html_())
    for text in (
        "1,200 items, 3 files, 5.0 MB",
        "Already there: 1 file",
        "1 size, 2 checksums",
        "data.example.org",
        "no href",
        "alps/i asset no href",
    ):
        assert text in page.text
        assert text in str(plan("no href", "data.example.org"))
    assert "<pre" not in Plan()._repr_html_()
    assert "pays" not in str(Plan())
    assert "2 files, 3.0 MB or more" in str(
        Plan(access=Counter({"requester pays": 2}), paid_bytes=3_000_000)
    )
    assert len(str(Plan()).splitlines()) == 2


@given(HOSTILE)
def test_no_markup_of_a_catalogue_survives(text: str) -> None:
    """Whatever hosts, ids, keys and reasons hold, the page has the tags it always has."""

    def tags(said: str) -> list[object]:
        found = Outcome(said, f"x{said}", f"x{said}", State.FAILED, f"x{said}")
        shown = plan(f"x{said}", f"x{said}"), Registration([found])
        pages = (each._repr_html_() for each in shown)
        # Columns with long words are broken elsewhere than others.
        alike = (page.replace("overflow-wrap: anywhere", "white-space: normal") for page in pages)
        return [tag for page in alike for tag in Page(page).tags]

    assert tags(text) == tags("harmless")


def test_a_file_of_known_size() -> None:
    """A file counts from the beginning, and its bytes as they come."""
    tally = Tally()
    file = tally.expect(10)
    assert tally.progress == Progress(0, 1, 0, 10)
    file.reached(4)
    assert tally.progress == Progress(0, 1, 4, 10)
    file.done(there=True)
    assert tally.progress == Progress(1, 1, 10, 10)


def test_a_file_of_unknown_size() -> None:
    """The bytes of a file that is larger than expected, or was not, are counted too."""
    tally = Tally()
    file = tally.expect()
    file.announce(5)
    file.reached(8)
    assert tally.progress == Progress(0, 1, 8, 8)
    file.done(there=True)
    assert tally.progress == Progress(1, 1, 8, 8)


def test_a_file_that_failed() -> None:
    """What fails is done, its bytes count no more, and it is done but once."""
    tally = Tally()
    tally.expect(7).done(there=True)
    file = tally.expect(10)
    file.reached(4)
    file.done(there=False)
    file.done(there=True)
    assert tally.progress == Progress(2, 2, 7, 7)


@given(st.lists(st.tuples(SIZES, STEPS, st.booleans()), max_size=8))
def test_it_never_exceeds_its_totals(files: list[Any]) -> None:
    """Whatever order things come in, what is done is never more than all."""
    tally = Tally()
    for size, steps, there in files:
        file = tally.expect(size)
        for step, value in steps:
            reached = tally.progress.bytes_done
            getattr(file, step)(max(value, reached) if step == "announce" else value)
            progress = tally.progress
            assert progress.bytes_done <= progress.bytes_total
        file.done(there=there)
    progress = tally.progress
    assert progress.files_done == progress.files_total == len(files)
    assert progress.bytes_done == progress.bytes_total >= 0


def test_several_threads() -> None:
    """No count is lost where several threads count."""
    tally = Tally()

    def count(_: Any) -> None:
        file = tally.expect(100)
        for size in range(101):
            file.reached(size)
        file.done(there=True)

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(count, range(200)))
    assert tally.progress == Progress(200, 200, 20_000, 20_000)


def test_reports() -> None:
    """A report is made only of what has changed."""
    reports: list[Progress] = []
    tally = Tally(reports.append)
    tally.report()
    tally.report()
    tally.expect(1).done(there=True)
    tally.report()
    assert reports == [Progress(0, 0, 0, 0), Progress(1, 1, 1, 1)]


def test_progress() -> None:
    """Progress is a bar with the files and, as soon as any are known, the bytes."""
    page = Page(Progress(3, 12, 1_500_000, 6_000_000)._repr_html_())
    assert ("progress", [("max", "12"), ("value", "3")]) in page.tags
    assert "3 of 12 files, 1.5 MB of 6.0 MB downloaded" in page.text
    assert "downloaded" not in Page(Progress(0, 0, 0, 0)._repr_html_()).text
