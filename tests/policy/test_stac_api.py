"""Items of a STAC API: asked for once, with limits, and whatever it answers."""

from __future__ import annotations

import gzip
import json
import socket
import tracemalloc

import pytest

from stac_policy.settings import Settings
from stac_policy.stac_api import Item, StacApiError, _cache, fetch_item

from .origin import chunked, cut, redirect, stall, status
from .server import item_json, item_path

ITEM = item_path()
HREF = "https://data.example.org/B04.tif"
OPTIONS = {"connect_timeout_s": 1, "read_timeout_s": 0.1}


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """The pauses between attempts in seconds, which take no time."""
    taken = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", taken.append)
    yield taken
    _cache.cache_clear()


@pytest.fixture
def ask(origin):
    """Ask the origin for an item."""

    def run(item="i", collection="c", api=None, **options):
        return fetch_item(api or origin.url, collection, item, Settings(**(OPTIONS | options)))

    return run


@pytest.fixture
def fails(ask):
    """Ask for an item, and give the error's message."""

    def run(*args, **options):
        with pytest.raises(StacApiError) as caught:
            ask(*args, **options)
        assert caught.value.__cause__ is None
        return str(caught.value)

    return run


def encoded(body, encoding="gzip"):
    """Answer with an encoded body."""
    return status(200, body, Content_Encoding=encoding)


# How often it is asked


def test_item(origin, ask):
    """An item gives the href of each asset as it has it, and None for an asset without."""
    answer = {"id": "i", "assets": {"a": {"href": HREF}, "b": {}, "c": {"href": ""}, "d": 1}}
    answer["assets"]["e"] = {"href": 7}
    origin.add(ITEM, json.dumps(answer).encode())
    item = ask()
    assert item.hrefs == {"a": HREF, "b": None, "c": None, "d": None, "e": None}
    assert [item.url(key) for key in "abcde"] == [HREF, None, None, None, None]


def test_asked_once(origin, ask):
    """An item is asked for once."""
    origin.add(ITEM, item_json({"a": HREF}))
    assert ask() is ask()
    assert [request.method for request in origin.seen] == ["GET"]


def test_asked_again_after_the_age_limit(origin, ask, monkeypatch):
    """An item is asked for again when it is older than the limit, and its news are seen."""
    now = 1_000_000.0
    monkeypatch.setattr("stac_policy.stac_api.time.time", lambda: now)
    origin.add(ITEM, item_json({"a": HREF}))
    assert "b" not in ask(cache_s=100).hrefs
    now += 99
    ask(cache_s=100)
    assert len(origin.seen) == 1
    origin.add(ITEM, item_json({"b": HREF}))
    now += 1
    assert "b" in ask(cache_s=100).hrefs
    assert len(origin.seen) == 2


@pytest.mark.parametrize("options", [{"cache_s": 0}, {"cache_items": 0}])
def test_no_cache(origin, ask, options):
    """With a limit of 0 an item is asked for each time."""
    origin.add(ITEM, item_json({"a": HREF}))
    for _ in range(3):
        ask(**options)
    assert len(origin.seen) == 3


def test_cache_size(origin, ask):
    """No more items are kept than the limit says; the one not used for longest goes first."""
    for item in "xyz":
        origin.add(item_path(item=item), item_json({"a": HREF}, item))
    for item in "xyxzxy":
        ask(item, cache_items=2)
    paths = [request.path.rpartition("/")[2] for request in origin.seen]
    assert paths == ["x", "y", "z", "y"]


def test_apis_and_collections_are_told_apart(origin, other_origin, ask):
    """Items with the same id in other collections and APIs are other items."""
    origin.add(ITEM, item_json({"a": HREF}))
    origin.add(item_path("other"), item_json({"b": HREF}))
    other_origin.add(ITEM, item_json({"c": HREF}))
    found = [ask(), ask(collection="other"), ask(api=other_origin.url)]
    assert [list(item.hrefs) for item in found] == [["a"], ["b"], ["c"]]


def test_failures_are_not_kept(origin, ask, fails):
    """An item that was missing is asked for again."""
    fails()
    origin.add(ITEM, item_json({"a": HREF}))
    assert ask().hrefs == {"a": HREF}


# What it is asked for


@pytest.mark.parametrize(
    ("given", "quoted"),
    [
        ("S2B_20EPT-0_L2A.v1~", "S2B_20EPT-0_L2A.v1~"),
        ("a/b", "a%2Fb"),
        ("a%2Fb", "a%252Fb"),
        ("a b+c", "a%20b%2Bc"),
        ("psscene-vis-clip: PSScene", "psscene-vis-clip%3A%20PSScene"),
        ("é\N{PILE OF POO}", "%C3%A9%F0%9F%92%A9"),
        ("x?y=1&z#w", "x%3Fy%3D1%26z%23w"),
        ("../../admin", "..%2F..%2Fadmin"),
        ("\ud800", "%ED%A0%80"),
        ("a\r\nHost: b", "a%0D%0AHost%3A%20b"),
    ],
)
def test_ids_are_quoted(origin, ask, given, quoted):
    """Ids are quoted as one segment each of the path."""
    origin.add(f"/v1/collections/{quoted}/items/{quoted}", item_json({"a": HREF}, given))
    assert ask(given, given, api=f"{origin.url}/v1").hrefs == {"a": HREF}


@pytest.mark.parametrize(
    ("collection", "item"), [("c", "."), ("c", ".."), ("..", "i"), ("..", "..")]
)
def test_ids_of_dots(origin, fails, collection, item):
    """No id, not even `..`, gets anything but the item of that id."""
    for path in ("/", "/items", "/items/", "/items/i", "/collections/c/", "/collections/c/items/"):
        origin.add(path, item_json({"a": HREF}, "c"))
    assert fails(item, collection)


# Relative hrefs


def with_self(href, rel="self"):
    """Give the fields of an item with one link."""
    return {"links": [7, {"rel": "root", "href": "/"}, {"rel": rel, "href": href}]}


@pytest.mark.parametrize(
    ("href", "fields", "url"),
    [
        ("B04.tif", {}, "{api}/v1/collections/c/items/B04.tif"),
        ("./B04.tif?x=1", {}, "{api}/v1/collections/c/items/B04.tif?x=1"),
        ("/data/B04.tif", {}, "{api}/data/B04.tif"),
        ("//cdn.example.org/B04.tif", {}, "http://cdn.example.org/B04.tif"),
        ("B04.tif", {"links": None}, "{api}/v1/collections/c/items/B04.tif"),
        ("B04.tif", with_self("https://x.org/"), "https://x.org/B04.tif"),
        ("../B04.tif", with_self("https://x.org/a/b/i.json?z=1"), "https://x.org/a/B04.tif"),
        ("B04.tif", with_self("/s/i.json"), "{api}/s/B04.tif"),
        ("B04.tif", with_self(None), "{api}/v1/collections/c/items/B04.tif"),
        ("B04.tif", with_self("http://["), "{api}/v1/collections/c/items/B04.tif"),
        (
            "B04.tif",
            with_self("https://x.org/", rel="item"),
            "{api}/v1/collections/c/items/B04.tif",
        ),
        (
            "https://x.org/a/../b//c.tif?",
            with_self("https://y.org/"),
            "https://x.org/a/../b//c.tif?",
        ),
        ("s3://bucket/B04.tif", {}, "s3://bucket/B04.tif"),
        ("http://[", {}, "http://["),
    ],
)
def test_urls(origin, ask, href, fields, url):
    """A relative href belongs to the item's own URL, or else to the one that was asked."""
    origin.add("/v1" + ITEM, item_json({"a": href}, **fields))
    assert ask(api=f"{origin.url}/v1").url("a") == url.format(api=origin.url)


def test_relative_to_where_a_redirect_led(origin, ask):
    """Without a self link, a relative href belongs to the URL that redirects led to."""
    origin.add("/else/where?sig=1", item_json({"a": "B04.tif"}))
    origin.add(ITEM, b"", redirect("/else/where?sig=1"))
    assert ask().url("a") == f"{origin.url}/else/B04.tif"


# What goes wrong


@pytest.mark.parametrize("code", [204, 400, 401, 403, 404, 410])
def test_refused(origin, fails, code):
    """An answer other than 200 fails at once, and is named."""
    origin.add(ITEM, b"", status(code, b""))
    assert fails() == f"{origin.url}{ITEM}: HTTP {code}"
    assert len(origin.seen) == 1


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_retried(origin, ask, code):
    """An API that fails for a moment is asked again."""
    origin.add(ITEM, item_json({"a": HREF}), status(code), status(code))
    assert ask().hrefs == {"a": HREF}
    assert len(origin.seen) == 3


def test_retried_in_vain(origin, fails, waits):
    """An API that fails four times has failed; the pauses between grow."""
    origin.add(ITEM, b"", *[status(500)] * 4)
    assert fails() == f"{origin.url}{ITEM}: HTTP 500"
    assert len(origin.seen) == 4
    assert waits == [1.0, 2.0]


@pytest.mark.parametrize("code", [413, 429, 503])
def test_pauses_are_ours(origin, fails, waits, code):
    """How long is waited is not for the API to say."""
    origin.add(ITEM, b"", *[status(code, Retry_After="86400")] * 4)
    assert fails() == f"{origin.url}{ITEM}: HTTP {code}"
    assert sum(waits) <= 3


def test_connection_refused(fails):
    """An API that can not be reached is named."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        api = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert fails(api=api) == f"{api}{ITEM}: ConnectionError"


def test_no_answer(origin, fails):
    """An API that accepts a connection and says nothing is given up after its time."""
    origin.add(ITEM, b"", *[lambda handler, *_: handler.server.gate.wait(10)] * 4)
    assert fails() == f"{origin.url}{ITEM}: ConnectionError"


def test_answer_that_stops(origin, fails):
    """An answer that stops for too long is given up after its time."""
    origin.add(ITEM, item_json({"a": HREF}), stall(5))
    assert fails() == f"{origin.url}{ITEM}: ReadTimeoutError"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>log in</html>",
        b"{",
        b"\xff\xfe",
        b'{"id": "i", "assets": {"a": "\x00"}}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
        b'{"id": ' + b"1" * 5000 + b"}",
    ],
)
def test_not_json(origin, fails, content):
    """An answer that is not JSON, or too deep for it, is named."""
    origin.add(ITEM, content)
    assert fails() == f"{origin.url}{ITEM}: the answer is not JSON"


@pytest.mark.parametrize(
    "content", [b"[]", b"null", b"7", b'"i"', b"{}", b'{"id": "i", "assets": [{"href": "x"}]}']
)
def test_not_an_item(origin, fails, content):
    """JSON that is not an item is named."""
    origin.add(ITEM, content)
    assert fails() == f"{origin.url}{ITEM}: the answer is not a STAC item"


@pytest.mark.parametrize("fields", [{"id": "j"}, {"id": None}, {"id": ["i"]}])
def test_another_item(origin, fails, fields):
    """The item of another id is not taken."""
    origin.add(ITEM, item_json({"a": HREF}, **fields))
    assert fails() == f"{origin.url}{ITEM}: the answer is another item"


def test_cut_answer(origin, fails):
    """An answer that breaks off is not taken."""
    origin.add(ITEM, item_json({"a": HREF}), cut(20))
    assert fails() == f"{origin.url}{ITEM}: the answer is not JSON"


# Its size


def padded(size):
    """Give an item of exactly this size in bytes."""
    item = item_json({"a": HREF})
    return item + b" " * (size - len(item))


@pytest.mark.parametrize(
    "send",
    [lambda body: status(200, body), lambda _: chunked, lambda body: encoded(gzip.compress(body))],
    ids=["whole", "chunks", "gzip"],
)
def test_size(origin, ask, fails, send):
    """An answer of the largest size is taken, and one byte more is not, however it is sent."""
    origin.add(ITEM, padded(5000), send(padded(5000)))
    assert ask(response_bytes=5000, cache_s=0).hrefs == {"a": HREF}
    origin.add(ITEM, padded(5001), send(padded(5001)))
    too_large = fails(response_bytes=5000, cache_s=0)
    assert too_large == f"{origin.url}{ITEM}: more than 5000 bytes"


def endless(handler, *_):
    """Answer until the other side hangs up."""
    handler.send_response(200)
    handler.end_headers()
    sent = 0
    try:
        while sent < 1 << 26:
            sent += handler.wfile.write(b" " * 65536)
    except OSError:
        pass
    handler.server.sent = sent
    handler.close_connection = True


@pytest.mark.parametrize(
    "answer",
    [
        endless,
        encoded(gzip.compress(bytes(1 << 26), 9)),
        encoded(gzip.compress(gzip.compress(bytes(1 << 26), 9)), "gzip, gzip"),
    ],
    ids=["endless", "bomb", "nested bomb"],
)
def test_memory(origin, fails, answer):
    """No answer takes more memory than the limit allows, not even a small one of zeros."""
    origin.add(ITEM, b"", answer)
    tracemalloc.start()
    try:
        assert ": " in fails(response_bytes=100_000)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 3_000_000


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(item_json({"a": HREF}))[:-20]])
def test_broken_gzip(origin, fails, body):
    """An answer whose gzip is broken is named."""
    origin.add(ITEM, b"", encoded(body))
    assert fails() == f"{origin.url}{ITEM}: the answer is not JSON"


# Redirects and secrets


def test_redirect_within_the_host(origin, ask):
    """A redirect within the API's host is followed."""
    origin.add("/v2", item_json({"a": HREF}))
    origin.add(ITEM, b"", redirect("/v2"))
    assert ask().hrefs == {"a": HREF}


def test_redirect_to_an_allowed_host(origin, other_origin, ask):
    """A redirect to a host in `allowed_hosts` is followed."""
    origin.add(ITEM, b"", redirect(other_origin.add("/v2", item_json({"a": HREF}))))
    allowed = (f"127.0.0.1:{other_origin.server_port}",)
    assert ask(allowed_hosts=allowed).hrefs == {"a": HREF}


@pytest.mark.parametrize("allowed_hosts", [(), ("data.example.org",)])
def test_redirect_elsewhere(origin, other_origin, fails, allowed_hosts):
    """A redirect to another host is not followed, although all may be allowed for URLs."""
    elsewhere = other_origin.add("/v2?sig=s3cr3t", item_json({"a": HREF}))
    origin.add(ITEM, b"", redirect(elsewhere))
    assert fails(allowed_hosts=allowed_hosts) == f"{origin.url}{ITEM}: HostNotAllowedError"
    assert other_origin.seen == []


@pytest.mark.parametrize(
    "to", ["file:///etc/passwd", "http://", "http://[", "/collections/c/items/i"]
)
def test_redirect_to_nowhere(origin, fails, to):
    """A redirect to no host, or without end, is an error like others."""
    origin.add(ITEM, b"", *[redirect(to)] * 10)
    assert fails().startswith(f"{origin.url}{ITEM}: ")


def test_credentials(origin, ask, fails):
    """Credentials in the API's URL are sent, but neither shown nor passed on to assets."""
    api = origin.url.replace("//", "//name:s3cr3t@")
    origin.add(ITEM, item_json({"a": "B04.tif"}))
    item = ask(api=api)
    assert origin.seen[0].headers["Authorization"].startswith("Basic ")
    assert item == Item(origin.url + ITEM, {"a": "B04.tif"})
    assert item.url("a") == f"{origin.url}/collections/c/items/B04.tif"
    assert fails("j", api=api) == f"{origin.url}{item_path(item='j')}: HTTP 404"


def test_what_is_sent(origin, ask):
    """Only what can be decoded with a limit is asked for."""
    origin.add(ITEM, item_json({"a": HREF}))
    ask()
    assert origin.seen[0].headers["Accept-Encoding"] == "gzip"
