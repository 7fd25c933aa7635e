"""Registrations: the outcomes of all assets, counted, filtered, written down."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from stac_client import Outcome, Registration, RequestError, State
from stac_policy.naming import DID

DATASET = DID("alps", "/alps/i")


def outcome(key, state, reason="", *, with_did=True):
    """The outcome of an asset."""
    did = DID("alps", f"/alps/i/{key}.tif") if with_did else None
    return Outcome("alps", "i", key, state, reason, did, DATASET if with_did else None)


OUTCOMES = [
    outcome("red", State.REGISTERED),
    outcome("thumb", State.SKIPPED, "its role is not data", with_did=False),
    outcome("nir", State.FAILED, "HTTP 404"),
    outcome("vv", State.ALREADY_THERE),
    outcome("vh", State.FAILED, "HTTP 404"),
    outcome("dem", State.REGISTERED, "no checksum is known"),
]


@pytest.fixture
def registration():
    """A registration with outcomes of each state."""
    return Registration(iter(OUTCOMES))


def test_it_is_a_sequence(registration):
    """It has a length, indices, slices, an order, and is searched like any sequence."""
    assert isinstance(registration, Sequence)
    assert len(registration) == 6
    assert list(registration) == OUTCOMES
    assert registration[0] is OUTCOMES[0]
    assert registration[-1] is OUTCOMES[-1]
    assert list(registration[1:3]) == OUTCOMES[1:3]
    assert list(registration[::-1]) == list(reversed(registration)) == OUTCOMES[::-1]
    assert OUTCOMES[2] in registration
    assert "red" not in registration
    assert registration.index(OUTCOMES[3]) == 3
    assert registration.count(OUTCOMES[3]) == 1
    with pytest.raises(IndexError):
        registration[6]


def test_it_can_be_read_again(registration):
    """Its outcomes are taken at once and stay as they are."""
    assert list(registration) == list(registration)
    with pytest.raises(TypeError):
        registration[0] = OUTCOMES[1]
    with pytest.raises(AttributeError):
        registration[0].state = State.FAILED


def test_truth():
    """A registration of nothing is false."""
    assert not Registration([])
    assert Registration(OUTCOMES[:1])


def test_counts(registration):
    """Each state is counted, in the order of the states; those without any are left out."""
    assert list(registration.counts.items()) == [
        (State.REGISTERED, 2),
        (State.ALREADY_THERE, 1),
        (State.SKIPPED, 1),
        (State.FAILED, 2),
    ]
    assert Registration([]).counts == {}
    assert Registration(OUTCOMES[:1]).counts == {State.REGISTERED: 1}


def test_dids(registration):
    """The DIDs are those of the files that Rucio now has."""
    assert registration.dids == [OUTCOMES[0].did, OUTCOMES[3].did, OUTCOMES[5].did]


@pytest.mark.parametrize("state", State)
def test_by_state(registration, state):
    """The outcomes of a state are those that have it, in their order."""
    assert registration.by_state(state) == [each for each in OUTCOMES if each.state is state]


def test_repr(registration):
    """It shows the counts in one line."""
    assert (
        repr(registration) == "<Registration: 2 registered, 1 already there, 1 skipped, 2 failed>"
    )
    assert repr(Registration([])) == "<Registration: no assets>"
    assert repr(Registration(OUTCOMES[:1] * 1234)) == "<Registration: 1,234 registered>"


def test_raise_for_failed(registration):
    """The error gives the number of failures, and the first of them."""
    with pytest.raises(RequestError) as caught:
        registration.raise_for_failed()
    assert str(caught.value) == "2 of 6 assets: alps/i asset nir: failed: HTTP 404"


def test_raise_for_failed_with_several_reasons(registration):
    """The error says how many different reasons there are."""
    more = Registration([*registration, outcome("vh2", State.FAILED, "HTTP 500")])
    with pytest.raises(RequestError, match=r"^3 of 7 assets: .*HTTP 404 \(2 different reasons in"):
        more.raise_for_failed()


def test_raise_for_failed_without_failures(registration):
    """What was skipped has not failed."""
    Registration(each for each in registration if each.state is not State.FAILED).raise_for_failed()
    Registration([]).raise_for_failed()


def test_to_dicts(registration):
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
def test_an_outcome_as_text(each, text):
    """An outcome as text says what it is about, what became of it, and why."""
    assert str(each) == text


def test_states_are_text():
    """A state is compared with, and written as, its text."""
    assert State("already there") is State.ALREADY_THERE
    assert json.dumps(State.ALREADY_THERE) == '"already there"'
