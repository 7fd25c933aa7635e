"""Downloads from an origin that does what origins do."""

from __future__ import annotations

import gzip
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from stac_policy.bodies import Incoming, download
from stac_policy.http import Attempts, FetchError, PassingError, open_url
from tests import origin as answers
from tests.clock import own_time
from tests.origin import ranges

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from requests import Session


CONTENT = bytes(range(256)) * 10_000  # more than two blocks of a download
OTHER = CONTENT[::-1]
HALF = len(CONTENT) // 2


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, len(CONTENT)])
def test_whole_files(origin: answers.Origin, fetch: Callable[..., Any], size: int) -> None:
    """A download has the bytes of the file, in folders that it makes."""
    assert fetch(origin.add("/f", CONTENT[:size])).read_bytes() == CONTENT[:size]
    assert len(origin.seen) == 1


@pytest.mark.parametrize("answer", [answers.chunked, answers.until_closed])
def test_files_without_a_length(
    origin: answers.Origin, fetch: Callable[..., Any], answer: Callable[..., None]
) -> None:
    """An origin need not say how long a file is."""
    assert fetch(origin.add("/f", CONTENT, answer)).read_bytes() == CONTENT


def test_an_older_file_is_replaced(
    origin: answers.Origin, fetch: Callable[..., Any], tmp_path: Path
) -> None:
    """What lies at the target is no part of the download."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(OTHER)
    assert fetch(origin.add("/f", CONTENT)).read_bytes() == CONTENT
    assert ranges(origin) == [None]


@pytest.mark.parametrize(
    "path",
    [
        "/Panama+Canal,+Panama/x.tif",
        "/a//b%20c%2Fd.tif",
        "/Products(0c6f1b1e)/$value",
        "/entry?name=EOPMetadata.xml&x=a%26b",
        "/",
    ],
)
def test_urls_are_requested_as_they_are(
    origin: answers.Origin, fetch: Callable[..., Any], path: str
) -> None:
    """No character of a URL's path and query is changed on the way."""
    assert fetch(origin.add(path, CONTENT)).read_bytes() == CONTENT


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "x" * 1000])
@pytest.mark.parametrize("header", ["Content_Encoding", "Transfer_Encoding"])
def test_encoded_bodies(
    origin: answers.Origin,
    fetch: Callable[..., Any],
    fails: Callable[..., AbstractContextManager[Any]],
    *,
    encoding: str,
    header: str,
) -> None:
    """A body that comes compressed, although nobody asked for it, is not the file."""
    body = gzip.compress(CONTENT)
    url = origin.add("/f", body, answers.status(200, body, **{header: encoding}))
    with fails() as caught:
        fetch(url)
    assert str(caught.value).startswith(f"it is sent encoded ({encoding[:40]})")
    assert len(origin.seen) == 1
    assert origin.seen[0].headers["Accept-Encoding"] == "identity"


def test_an_interrupted_download_goes_on(
    origin: answers.Origin, fetch: Callable[..., Any], pauses: list[float]
) -> None:
    """What is there already is not sent again, while the file is the same."""
    url = origin.add("/f", CONTENT, answers.cut(HALF))
    assert fetch(url).read_bytes() == CONTENT
    assert ranges(origin) == [None, f"bytes={HALF}-"]
    assert origin.seen[1].headers["If-Range"] == '"1"'
    assert pauses == []  # it got on


def test_a_silent_origin_is_asked_again(origin: answers.Origin, fetch: Callable[..., Any]) -> None:
    """An origin that stops sending is left after the time limit, and what came is kept."""
    url = origin.add("/f", CONTENT, answers.stall(HALF))
    assert fetch(url, timeout_s=0.3).read_bytes() == CONTENT
    assert len(origin.seen) == 2


def test_repeated_interruptions(
    origin: answers.Origin, fetch: Callable[..., Any], pauses: list[float]
) -> None:
    """A download goes on from where it stopped each time, after pauses if it hardly gets on."""
    url = origin.add("/f", CONTENT, answers.cut(HALF), *[answers.rest_cut(1000)] * 3)
    assert fetch(url).read_bytes() == CONTENT
    assert ranges(origin) == [None] + [f"bytes={HALF + n}-" for n in (0, 1000, 2000, 3000)]
    assert pauses == [1, 2, 4]


def test_many_interruptions(
    origin: answers.Origin, fetch: Callable[..., Any], pauses: list[float]
) -> None:
    """As long as a download gets on, it may break off as often as it will."""
    url = origin.add("/f", CONTENT, answers.cut(100_000), *[answers.rest_cut(100_000)] * 20)
    assert fetch(url).read_bytes() == CONTENT
    assert ranges(origin)[1:] == [f"bytes={n}00000-" for n in range(1, 22)]
    assert pauses == []


def test_versions_without_an_end(
    origin: answers.Origin,
    fetch: Callable[..., Any],
    fails: Callable[..., AbstractContextManager[Any]],
    pauses: list[float],
) -> None:
    """A file that is another one each time, and never whole, does not go on for ever."""
    versions = [answers.cut(HALF, ETag=f'"{number}"') for number in range(99)]
    url = origin.add("/f", CONTENT, *versions, etag=None)
    with fails():
        fetch(url)
    assert len(origin.seen) < 10
    assert pauses


def test_a_changed_file_starts_again(origin: answers.Origin, fetch: Callable[..., Any]) -> None:
    """If the file changed meanwhile, the origin sends the new one whole."""

    def old(handler: Any, _content: Any, _etag: Any) -> None:
        handler.answer(200, CONTENT[:HALF], len(CONTENT), ETag='"0"')

    url = origin.add("/f", OTHER, old, etag='"1"')
    assert fetch(url).read_bytes() == OTHER
    assert ranges(origin) == [None, f"bytes={HALF}-"]
    assert origin.seen[1].headers["If-Range"] == '"0"'


@pytest.mark.parametrize(
    ("start", "etag"),
    [(HALF, '"2"'), (HALF, 'W/"1"'), (HALF, ""), (HALF - 1, '"1"'), (HALF * 2 - 1, '"1"')],
)
def test_the_wrong_part_is_not_appended(
    origin: answers.Origin, fetch: Callable[..., Any], start: int, etag: str
) -> None:
    """A part of another version, or of another place, makes the download start again."""
    wrong = answers.part(start, etag)
    url = origin.add("/f", CONTENT, answers.cut(HALF), wrong)
    assert fetch(url).read_bytes() == CONTENT
    assert ranges(origin) == [None, f"bytes={HALF}-", None]


@pytest.mark.parametrize("etag", [None, 'W/"1"'])
def test_only_a_strong_etag_tells_versions(
    origin: answers.Origin, fetch: Callable[..., Any], etag: str | None
) -> None:
    """Without a strong ETag nobody knows whether the rest is of the same file."""
    url = origin.add("/f", CONTENT, answers.cut(HALF), etag=etag)
    assert fetch(url).read_bytes() == CONTENT
    assert ranges(origin) == [None, None]


def test_ranges_are_not_needed(origin: answers.Origin, fetch: Callable[..., Any]) -> None:
    """An origin without ranges sends the file again, and nothing is doubled."""
    url = origin.add("/f", CONTENT, answers.cut(HALF), answers.whole)
    assert fetch(url).read_bytes() == CONTENT


def test_unsatisfiable_ranges(origin: answers.Origin, fetch: Callable[..., Any]) -> None:
    """If the origin has no such range, the download starts again."""
    url = origin.add("/f", CONTENT, answers.cut(HALF), answers.status(416))
    assert fetch(url).read_bytes() == CONTENT
    assert ranges(origin) == [None, f"bytes={HALF}-", None]


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
def test_passing_failures(
    origin: answers.Origin, fetch: Callable[..., Any], pauses: list[float], code: int
) -> None:
    """What may pass is tried again."""
    url = origin.add("/f", CONTENT, answers.status(code), answers.status(code))
    assert fetch(url).read_bytes() == CONTENT
    assert pauses == [1, 2]


def test_a_failure_between_keeps_what_came(
    origin: answers.Origin, fetch: Callable[..., Any]
) -> None:
    """An error page in between is no part of the file, and what came before is kept."""
    url = origin.add("/f", CONTENT, answers.cut(HALF), answers.status(503))
    assert fetch(url).read_bytes() == CONTENT
    assert ranges(origin) == [None, f"bytes={HALF}-", f"bytes={HALF}-"]


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 410, 451, 501])
def test_final_answers(
    origin: answers.Origin,
    fetch: Callable[..., Any],
    fails: Callable[..., AbstractContextManager[Any]],
    pauses: list[float],
    code: int,
) -> None:
    """What will not pass fails at once."""
    url = origin.add("/f", CONTENT, answers.status(code))
    with fails() as caught:
        fetch(url)
    assert caught.value.status == code
    assert str(caught.value) == f"HTTP {code}"
    assert len(origin.seen) == 1
    assert pauses == []


@pytest.mark.parametrize("code", [202, 203, 204, 300, 301, 304])
def test_answers_that_are_no_file(
    origin: answers.Origin,
    fetch: Callable[..., Any],
    fails: Callable[..., AbstractContextManager[Any]],
    code: int,
) -> None:
    """A page that says "later" or "elsewhere" is not taken for the file."""
    body = b"" if code in {204, 304} else b"your order is being prepared"
    with fails():
        fetch(origin.add("/f", CONTENT, answers.status(code, body)))


def test_a_part_that_nobody_asked_for(origin: answers.Origin, fetch: Callable[..., Any]) -> None:
    """A part is not taken for the file."""
    url = origin.add("/f", CONTENT, answers.part(HALF, '"1"'))
    assert fetch(url).read_bytes() == CONTENT
    assert len(origin.seen) == 2


@pytest.mark.parametrize("answer", [answers.cut(HALF), answers.cut(0), answers.chunks_cut])
def test_a_body_that_is_never_whole(
    origin: answers.Origin,
    fetch: Callable[..., Any],
    fails: Callable[..., AbstractContextManager[Any]],
    pauses: list[float],
    answer: Callable[..., Any] | Callable[..., None],
) -> None:
    """A body that is cut each time is an error, and no part of it stays."""
    url = origin.add("/f", CONTENT, *[answer] * 9, etag=None)
    with fails():
        fetch(url)
    assert len(origin.seen) == 4
    assert pauses == [1, 2, 4]


def test_nobody_answers(
    origin: answers.Origin,
    fetch: Callable[..., Any],
    fails: Callable[..., AbstractContextManager[Any]],
    pauses: list[float],
) -> None:
    """A host that cannot be reached is an error after four attempts."""
    origin.server_close()
    with fails() as caught:
        fetch(origin.add("/f", CONTENT))
    assert str(caught.value) == "no answer (Connection refused)"
    assert pauses == [1, 2, 4]


def test_an_interrupted_process_leaves_no_file(
    origin: answers.Origin,
    fetch: Callable[..., Any],
    fails: Callable[..., AbstractContextManager[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C leaves no half of a file behind."""

    def interrupt(_seconds: Any) -> None:
        raise KeyboardInterrupt

    own_time(monkeypatch, "stac_policy.http", sleep=interrupt)
    with fails(KeyboardInterrupt):
        fetch(origin.add("/f", CONTENT, answers.cut(1000)))


def test_our_messages_hold_no_query(
    origin: answers.Origin,
    fetch: Callable[..., Any],
    fails: Callable[..., AbstractContextManager[Any]],
) -> None:
    """The messages of this module repeat no query, where redirects carry signatures."""
    signed = origin.url + "/f?X-Amz-Signature=s3cr3t"
    for answer in (answers.status(403), answers.cut(HALF), answers.chunks_cut):
        origin.add("/f?X-Amz-Signature=s3cr3t", CONTENT, *[answer] * 4, etag=None)
        url = origin.add("/a", b"", *[answers.redirect(signed)] * 4)
        with fails() as caught:
            fetch(url)
        assert "s3cr3t" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_a_long_download_has_all_its_attempts(
    origin: answers.Origin, fetch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time for attempts begins with the first that fails, however long that took."""

    def long(handler: Any, content: Any, etag: Any) -> None:
        own_time(monkeypatch, "stac_policy.http", monotonic=lambda: time.monotonic() + 100_000)
        answers.cut(HALF)(handler, content, etag)

    url = origin.add("/f", CONTENT, long, etag=None)
    assert fetch(url).read_bytes() == CONTENT
    assert len(origin.seen) == 2


def test_no_link_is_written_through(
    origin: answers.Origin, fetch: Callable[..., Any], tmp_path: Path
) -> None:
    """Where the target is another name of a file, that file stays as it is."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "kept").write_bytes(OTHER)
    os.link(tmp_path / "kept", tmp_path / "folder" / "file")
    assert fetch(origin.add("/f", CONTENT)).read_bytes() == CONTENT
    assert (tmp_path / "kept").read_bytes() == OTHER


def test_the_target_can_not_be_written(
    origin: answers.Origin, session: Session, tmp_path: Path
) -> None:
    """A folder that cannot be made is an error of the file system, before any request."""
    (tmp_path / "file").write_bytes(CONTENT)
    with pytest.raises(OSError, match="file"):
        download(session, origin.add("/f", CONTENT), tmp_path / "file" / "x", (), 10)
    assert origin.seen == []
    assert (tmp_path / "file").read_bytes() == CONTENT


# How long it is tried.


@pytest.mark.parametrize(
    ("wanted", "pause"),
    [
        *[("7", 7), ("86400", 60), ("0", 1), ("-5", 1), ("x", 1), ("9" * 5000, 60), ("٣", 1)],
        *[("Fri, 31 Dec 9999 23:59:59 GMT", 60), ("Thu, 01 Jan 1970 00:00:00 GMT", 1)],
    ],
)
def test_retry_after(
    origin: answers.Origin, fetch: Callable[..., Any], pauses: list[float], wanted: Any, pause: Any
) -> None:
    """A pause that an origin asks for is made, but not for days."""
    wanted = wanted.encode().decode("latin-1")
    url = origin.add("/f", CONTENT, answers.status(503, Retry_After=wanted))
    assert fetch(url).read_bytes() == CONTENT
    assert pauses == [pause]


def test_a_budget_of_time(pauses: list[float]) -> None:
    """No attempt begins after the time for all of them, however few there were."""
    attempts = Attempts(until_s=time.monotonic() + 50)
    busy = PassingError("busy")
    busy.retry_after_s = 40.0
    assert attempts.again(busy)
    busy.retry_after_s = 60.0
    assert not attempts.again(busy)
    assert not Attempts().again(FetchError("HTTP 404"))
    assert pauses == [40]


@pytest.mark.parametrize("limit", [("UNKNOWN_BYTES", HALF), ("UNKNOWN_S", -1)])
def test_bodies_of_unknown_size(
    origin: answers.Origin,
    fetch: Callable[..., Any],
    fails: Callable[..., AbstractContextManager[Any]],
    monkeypatch: pytest.MonkeyPatch,
    limit: tuple[str, int],
) -> None:
    """What has no size is read for so long, and so far, and not again."""
    monkeypatch.setattr(f"stac_policy.bodies.{limit[0]}", limit[1])
    for answer in (answers.chunked, answers.until_closed):
        url = origin.add("/f", CONTENT, answer)
        with fails() as caught:
            fetch(url)
        told = "no end within" if limit[1] == -1 else f"more bytes there than {HALF}"
        assert told in str(caught.value)
    assert len(origin.seen) == 2
    assert fetch(origin.add("/f", CONTENT)).read_bytes() == CONTENT


@pytest.mark.parametrize("size", [HALF, len(CONTENT) - 1, len(CONTENT) + 1])
@pytest.mark.parametrize("answer", [answers.whole, answers.chunked])
def test_another_size(
    origin: answers.Origin,
    session: Session,
    pauses: list[float],
    size: int,
    answer: Callable[..., None],
) -> None:
    """No more bytes come than there shall be, and fewer are told."""
    url = origin.add("/f", CONTENT, answer, answer)
    got: list[bytes] = []
    with pytest.raises(FetchError, match=f"bytes there than {size}|instead of {size}|of {size} "):
        got += Incoming(session, url, lambda _: got.clear(), size, attempts=Attempts(1))
    assert sum(map(len, got)) <= size
    assert pauses == []


def test_open_url(origin: answers.Origin, session: Session) -> None:
    """A response is given as it is, whatever its status, and closed afterwards."""
    url = origin.add("/f", CONTENT, answers.status(418))
    with open_url(session, url, (), 10, method="HEAD", headers={"X-Test": "1"}) as response:
        assert response.status_code == 418
    assert origin.seen[0].method == "HEAD"
    assert origin.seen[0].headers["X-Test"] == "1"
    assert response.raw.closed


def test_closed_origins_answer_no_more() -> None:
    """Not on connections that are kept either: the next origin may have the same port."""
    with requests.Session() as session:
        with answers.running_origin() as origin:
            url = origin.add("/f", b"x")
            assert session.get(url, timeout=30).content == b"x"
        with pytest.raises(requests.ConnectionError):
            session.get(url, timeout=30)
