"""The modifier when Rucio is slow, down or denies; with a stand-in."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import requests
from rucio.common.exception import AccessDenied, DatabaseException, RucioException

from stac_client import (
    AccessError,
    AlternatesWarning,
    ConfigurationError,
    Modifier,
    RequestError,
    StacRucioError,
    UnreachableError,
)
from stac_client._replica_source import PAUSE_S
from tests.fake_rucio import FakeRucio

from .modifying import COPY, is_modified, modifier_of, page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.client.modifying import Clock


KNOWN = {"scope": "c", "name": "/c/i0/a0.tif"}
FAILURES = [
    (DatabaseException("database is locked"), RequestError, "database is locked"),
    (AccessDenied("no"), AccessError, "ask an administrator"),
    (requests.ConnectionError("gone"), UnreachableError, "does not answer"),
    (ValueError("not JSON"), RequestError, "rucio_host"),
]


@pytest.mark.parametrize(("error", "kind", "message"), FAILURES)
def test_one_warning_a_search(
    server: FakeRucio, clock: Clock, error: Any, kind: type[StacRucioError], message: str
) -> None:
    """Items come through unchanged, and one warning says why, however many pages there are."""
    server.told["list_replicas"] = error
    modifier = Modifier(server)
    pages = [page(number, assets=3) for number in range(4)]
    before = copy.deepcopy(pages)
    with pytest.warns(AlternatesWarning, match=message) as caught:
        modifier(pages[0])
    assert len(caught) == 1
    for each in pages[1:]:
        clock.now_s += PAUSE_S
        modifier(each)  # a warning would be an error here
    assert len(server.asked) == len(pages)
    assert pages == before
    with pytest.raises(kind, match=message):
        modifier.with_options(strict=True)(pages[0])
    assert pages == before


def test_after_a_failure_rucio_is_left_alone(server: FakeRucio, clock: Clock) -> None:
    """After a failure no look-up is made for a while; then Rucio is asked again."""
    server.told["list_replicas"] = DatabaseException("database is locked")
    modifier = Modifier(server)
    with pytest.warns(AlternatesWarning):
        modifier(page())
    clock.now_s += PAUSE_S - 1
    modifier(page())
    assert server.asked == [1]
    server.told.clear()
    clock.now_s += 1
    found = page()
    modifier(found)
    assert is_modified(found)
    assert server.asked == [1, 1]


def test_warned_again_after_a_success(server: FakeRucio, clock: Clock) -> None:
    """Once Rucio has answered, its next failure is worth another warning."""
    modifier = modifier_of(server, cache_s=0)
    for _ in range(2):
        server.told["list_replicas"] = DatabaseException("locked")
        clock.now_s += PAUSE_S
        with pytest.warns(AlternatesWarning):
            modifier(page())
        server.told.clear()
        clock.now_s += PAUSE_S
        modifier(page())


def test_strict_leaves_rucio_alone_too(server: FakeRucio) -> None:
    """A strict modifier says that it waits a while before it asks again; `clear` ends that."""
    modifier = modifier_of(server, strict=True)
    server.told["list_replicas"] = DatabaseException("locked")
    with pytest.raises(RequestError, match=r"locked$"):
        modifier(page())
    server.told.clear()
    with pytest.raises(RequestError, match=r"locked \(Rucio is asked again 15 s after that\)$"):
        modifier(page())
    modifier.clear()
    found = page()
    modifier(found)
    assert is_modified(found)
    assert server.asked == [1, 1]


def test_explaining_insists(server: FakeRucio) -> None:
    """Who asks for an explanation wants it now."""
    modifier = Modifier(server)
    server.told["list_replicas"] = DatabaseException("locked")
    with pytest.warns(AlternatesWarning):
        modifier(page())
    server.told.clear()
    (explanation,) = modifier.explain(page())
    assert [each.key for each in explanation.candidates] == ["DISK", "STAC"]


def test_slow(server: FakeRucio) -> None:
    """A Rucio that does not answer in time holds nobody up longer than that."""
    server.goes_on.clear()
    modifier = modifier_of(server, timeout_s=0.05)
    found = page()
    with pytest.warns(AlternatesWarning, match=r"within 0\.05 s; .*timeout_s"):
        modifier(found)
    assert not is_modified(found)
    with pytest.raises(UnreachableError):
        modifier.with_options(strict=True)(found)
    server.goes_on.set()
    modifier.clear()
    modifier.with_options(timeout_s=10)(found)
    assert is_modified(found)


def test_the_limit_is_for_the_modifier_alone(
    server: FakeRucio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Rucio client that was given keeps its own time limit."""
    seen = []
    list_replicas = FakeRucio.list_replicas

    def look(self: Any, dids: Any, **options: Any) -> Iterator[Any]:
        seen.append(self.timeout)
        return list_replicas(self, dids, **options)

    monkeypatch.setattr(FakeRucio, "list_replicas", look)
    modifier_of(server, timeout_s=7)(page())
    modifier_of(server, timeout_s=None)(page())
    assert seen == [8, 600]
    assert server.timeout == 600


@pytest.mark.parametrize(
    "entry",
    [
        *("<html>", {}, {"rses": None}, None, 5),
        *(
            KNOWN | {"rses": {"DISK": odd}}
            for odd in (None, 5, [None], [5], [["x"]], {"x": 5}.items())
        ),
        *(KNOWN | {"scope": {}}, KNOWN | {"name": []}),
    ],
    ids=str,
)
def test_nonsense(server: FakeRucio, entry: Any) -> None:
    """An answer that is not Rucio's leaves the items as they are."""
    server.told["list_replicas"] = [entry]
    found = page()
    with pytest.warns(AlternatesWarning, match="rucio_host"):
        Modifier(server)(found)
    assert not is_modified(found)
    with pytest.raises(RequestError, match="rucio_host"):
        modifier_of(server, strict=True)(found)


ODD_RSES: dict[str, list[Any]] = {
    "list_rses": [[None], [{}], [{"rse": 5}], [{"rse": {}}], 5],
    "get_rse": [None, [5], "x"],
    "list_rse_attributes": [None, [5], "x"],
}


@pytest.mark.parametrize(
    ("method", "odd"), [(method, odd) for method, odds in ODD_RSES.items() for odd in odds]
)
def test_nonsense_about_rses(
    server: FakeRucio, monkeypatch: pytest.MonkeyPatch, method: Any, odd: Any
) -> None:
    """So does nonsense about RSEs."""
    monkeypatch.setattr(FakeRucio, method, lambda *_: odd)
    found = page()
    with pytest.warns(AlternatesWarning, match="rucio_host"):
        modifier_of(server, prefer="tier=disk", storage=True)(found)
    assert not is_modified(found)


def test_no_half_modified_page(server: FakeRucio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one of several requests fails, or a function does, the whole page stays."""
    found = page(assets=2500)
    list_replicas = FakeRucio.list_replicas

    def fail(self: Any, dids: Any, **options: Any) -> Iterator[Any]:
        if len(dids) < 1000:
            raise DatabaseException("locked")
        return list_replicas(self, dids, **options)

    with monkeypatch.context() as patched:
        patched.setattr(FakeRucio, "list_replicas", fail)
        with pytest.warns(AlternatesWarning):
            Modifier(server)(found)
    assert not is_modified(found)
    calls = []

    def choose(copies: Any) -> str:
        calls.append(copies)
        if len(calls) == 5:
            raise KeyError("a bug of the user's")
        return "DISK"

    with pytest.raises(KeyError, match="a bug"):
        modifier_of(server, prefer=choose)(found)
    assert not is_modified(found)


def test_expressions(server: FakeRucio, clock: Clock) -> None:
    """An expression is resolved once in minutes; names of RSEs that are seen cost nothing."""
    server.attributes["TAPE"] = {"kind": "tape"}
    modifier = modifier_of(server, prefer=["davs", "tier=disk"], exclude=["STAC", "kind=tape"])
    for number in range(3):
        found = page(number)
        modifier(found)
        assert found["features"][0]["assets"]["a0"]["href"] == COPY
        clock.now_s += 100
    assert server.asked == [1, 1, 1]
    assert sorted(server.asked_rses) == ["kind=tape", "tier=disk"]


@pytest.mark.parametrize("option", ["prefer", "only", "exclude"])
@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("disk", "near it: DISK$"),
        ("tier=dsk", "known: DISK, STAC, TAPE(, nearest)?$"),
        ("davss", "known: DISK, STAC, TAPE(, nearest)?$"),
    ],
)
def test_names_that_are_of_no_rse(server: FakeRucio, option: str, name: str, known: str) -> None:
    """What is no RSE is told once, or an error, with those that come near; asked for once."""
    server.attributes["TAPE"] = {"kind": "tape"}
    modifier = Modifier(server)
    others: Any = {"prefer": "TAPE", option: ["TAPE", "DISK", name]}
    with pytest.warns(AlternatesWarning, match=f"{name!r} is no RSE, and stands for none; {known}"):
        modifier.with_options(**others)(page())
    for number in range(2):
        modifier.with_options(**others)(page(number))
        modifier.explain(page(number))
    with pytest.raises(ConfigurationError, match=known):
        modifier.with_options(**others, strict=True)(page())
    assert server.asked_rses.count("*") == (2 if "=" in name else 1)
    modifier.with_options(prefer="davs", only=["TAPE", "STAC"], strict=True)(page())


def test_a_wrong_expression(server: FakeRucio) -> None:
    """A wrong expression is reported, and stops no other modifier."""
    modifier = Modifier(server)
    found = page()
    with pytest.warns(AlternatesWarning, match="parentheses"):
        modifier.with_options(prefer="((")(found)
    assert not is_modified(found)
    with pytest.raises(ConfigurationError, match=r"'\(\('.*rucio rse list"):
        modifier.with_options(prefer="((", strict=True)(found)
    modifier(found)
    assert is_modified(found)


@pytest.mark.parametrize(
    "error",
    [RucioException("NOPE is no RSEType"), requests.ConnectionError("gone"), AccessDenied("no")],
)
def test_an_expression_that_fails(server: FakeRucio, clock: Clock, error: Any) -> None:
    """A question that fails is not asked again at once; all others are answered."""
    server.told["list_rses"] = error
    modifier = modifier_of(server, strict=True)
    for _ in range(2):
        with pytest.raises(StacRucioError):
            modifier.with_options(prefer="rse_type=NOPE")(page())
        found = page()
        modifier(found)
        assert is_modified(found)
        modifier.with_options(prefer="DISK")(page())
        clock.now_s += PAUSE_S / 3
    server.told.clear()
    modifier.with_options(prefer="tier=disk")(page())
    assert server.asked_rses[-1] == "tier=disk"


def test_an_expression_that_rucio_cannot_read(server: FakeRucio) -> None:
    """An expression to which Rucio answers with an error of its own is the caller's."""
    server.told["list_rses"] = RucioException("NOPE is no RSEType")
    with pytest.raises(ConfigurationError, match=r"NOPE.*is 'rse_type=NOPE' an RSE expression\?"):
        modifier_of(server, prefer="rse_type=NOPE", strict=True)(page())
