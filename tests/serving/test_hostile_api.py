"""Answers of an API behind that are made to break, fill or hold up this server."""

from __future__ import annotations

import gzip
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import pytest

from .behind import running_behind
from .conftest import page_of
from .front import Marking, running_front

ITEMS = {"Content-Type": "application/geo+json"}
WARNING = "stac-rucio-warning"
HIDDEN = "s3cr3t-t0ken"


def raw(answer):
    """Answer with bytes as they are, and hang up."""

    def act(handler):
        handler.wfile.write(answer)
        handler.close_connection = True

    return act


@pytest.mark.parametrize("status", [b"600", b"999", b"101", b"199"])
@pytest.mark.parametrize("media_type", [b"image/png", b"application/json"])
def test_no_status(behind, front, status, media_type, caplog):
    """A status that no whole answer has is 502."""
    answer = b"HTTP/1.1 %b X\r\nContent-Type: %b\r\nContent-Length: 2\r\n\r\n{}"
    behind.add("/x", act=raw(answer % (status, media_type)))
    got = front.ask("/x")
    assert (got.status, got.json()["code"]) == (502, "BadGateway")
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("media_type", [b"image/png", b"application/json"])
def test_two_lengths(behind, front, media_type, caplog):
    """Where an answer has chunks and a length, the chunks count."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: 3\r\n"
    answer += b"Transfer-Encoding: chunked\r\n\r\n5\r\n[1,2]\r\n0\r\n\r\n"
    behind.add("/x", act=raw(answer % media_type))
    assert front.ask("/x").body == b"[1,2]"
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("end", ["", '"', '>; rel="next"'])
def test_link_header_that_takes_for_ever(behind, front, end):
    """A `Link` header of brackets and quotes that are never closed is gone through once."""
    link = "<>" + '\\"<>' * 15_000 + end
    behind.add("/x", b"{}", {**ITEMS, "Link": link})
    assert front.ask("/x").header("link") == link


def test_brackets_and_spaces(behind, front):
    """Neither do brackets or spaces alone take long."""
    for link in ("<" * 60_000, "<>;" * 20_000, "<>; rel " + " " * 60_000 + "=", '<>;rel="' * 7_000):
        behind.add("/x", b"{}", {**ITEMS, "Link": link})
        assert front.ask("/x").header("link") == link.strip()


@pytest.mark.parametrize("unit", [b"[]", b"{}", b'{"a":1}', b"1E9"])
@pytest.mark.parametrize("packed", [True, False])
def test_values_that_fill_memory(behind, make_front, unit, packed):
    """A page of nothing but tiny values, each many times its text in memory, passes unread."""
    body = b'{"type":"FeatureCollection","features":[' + b",".join([unit] * 8_000) + b"]}"
    sent = gzip.compress(body) if packed else body
    coding = {"Content-Encoding": "gzip"} if packed else {}
    behind.add("/x", sent, {**ITEMS, **coding})
    with make_front(max_page_bytes=100_000) as front:
        got = front.ask("/x")
    assert got.body == sent
    assert got.header(WARNING) == "unmodified: more than 6250 values"


def test_as_many_values_as_real_pages_have(behind, make_front):
    """A page with a value in every twenty bytes, as real ones have, is modified up to the limit."""
    page = page_of(behind.url, padding=["x" * 18] * 4_000)
    behind.add("/x", page, ITEMS)
    size = len(json.dumps(page))
    with make_front(max_page_bytes=size) as front:
        got = front.ask("/x")
    assert got.header(WARNING) is None
    assert got.json()["features"][0]["assets"]["data"]["marked"] == []


class _Meeting(Marking):
    """A modifier that remembers how many pages it had at a time."""

    def __init__(self):
        super().__init__()
        self.most = self._now = 0
        self._lock = threading.Lock()
        self._fifth = threading.Event()

    def __call__(self, thing):
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            if self.most > 4:
                self._fifth.set()
        self._fifth.wait(0.3)
        super().__call__(thing)
        with self._lock:
            self._now -= 1


def test_large_pages_in_turns(behind, make_front):
    """However many clients ask for large pages, four of them are in memory at a time."""
    behind.add("/x", page_of(behind.url, padding="x" * 50_000), ITEMS)
    meeting = _Meeting()
    with make_front(meeting, max_page_bytes=100_000) as front, ThreadPoolExecutor(12) as clients:
        statuses = list(clients.map(lambda _: front.ask("/x").status, range(12)))
    assert statuses == [200] * 12
    assert meeting.most == 4


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "to",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:1/x",
        "file:///etc/passwd",
        "//{other}/x",
        "http://{other}/x",
        "/v1/x",
    ],
)
def test_redirects(behind, front, code, to):
    """No redirect is followed, be it to itself for ever; only one below the API leads here."""
    with running_behind() as other:
        to = to.format(other=other.url.split("/")[2])
        behind.add("/x", b"", {"Location": to, **ITEMS}, code)
        got = front.ask("/x", headers={"Authorization": f"Bearer {HIDDEN}"})
        assert got.status == code
        assert got.header("location") == (f"{front.url}/x" if to == "/v1/x" else to)
        assert len(behind.seen) == 1
        assert other.seen == []


def test_a_page_without_end(behind, make_front):
    """A page that never ends passes as it comes, and is left when the client leaves."""
    left = threading.Event()

    def act(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b" " * 65_536)
        except OSError:
            left.set()

    behind.add("/x", act=act)
    with make_front(max_page_bytes=100_000) as front:
        connection = HTTPConnection(front.url.partition("//")[2], timeout=20)
        connection.request("GET", "/x")
        response = connection.getresponse()
        assert response.getheader(WARNING) == "unmodified: larger than 100000 bytes"
        assert response.read(1_000_000) == b" " * 1_000_000
        response.close()
        connection.close()
        assert left.wait(20)


def test_logs_at_debug(behind, caplog):
    """However much is logged, no header of a request or an answer is."""
    caplog.set_level(logging.DEBUG)
    behind.add("/x", b"{}", {**ITEMS, "Set-Cookie": HIDDEN, "X-Token": HIDDEN})
    with running_front(behind.url, Marking()) as front:
        front.ask("/x", headers={"Authorization": f"Bearer {HIDDEN}"})
        front.ask(f"/https://user:{HIDDEN}@data.example.org/x")
    assert "GET '/x': 200 in" in caplog.text
    assert HIDDEN not in caplog.text
