"""What becomes of a page: its links, its numbers, and what a request prefers."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from stac_rucio.serve._pages import Links, PageRewriter, split_query, with_preference

from .proxy import Untouched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stac_rucio.serve._pages import Page


ROOT = "https://near.example.org/stac"
A = ("DISK-A",)


@pytest.mark.parametrize(
    ("api", "href", "rewritten"),
    [
        ("https://a.org/v1", "https://a.org/v1", ROOT),
        ("https://a.org/v1", "https://a.org/v1/", f"{ROOT}/"),
        ("https://a.org/v1", "https://a.org/v1?a=%2F&b", f"{ROOT}?a=%2F&b"),
        ("https://a.org/v1", "https://a.org/v1/%7Bx%7D/{z}", f"{ROOT}/%7Bx%7D/{{z}}"),
        ("https://a.org/v1", "http://A.org:80/v1/x", f"{ROOT}/x"),
        ("https://a.org/v1", "HTTPS://a.org:443/v1/x#y", f"{ROOT}/x#y"),
        ("https://a.org/v1", "//a.org/v1/x", f"{ROOT}/x"),
        ("https://a.org/v1", "/v1/x", f"{ROOT}/x"),
        ("https://a.org", "https://a.org", ROOT),
        ("https://a.org", "https://a.org/x", f"{ROOT}/x"),
        ("https://a.org", "/x", f"{ROOT}/x"),
        ("http://a.org:8080", "http://a.org:8080/x", f"{ROOT}/x"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1/x", f"{ROOT}/x"),
    ],
)
def test_below_the_api(api: str, href: str, rewritten: str) -> None:
    """What lies below the API's URL lies below this server's, the rest of it byte for byte."""
    assert Links(api).href(href, ROOT) == rewritten


@pytest.mark.parametrize(
    ("api", "href"),
    [
        ("https://a.org/v1", "https://a.org/v10/x"),
        ("https://a.org/v1", "https://a.org/v2"),
        ("https://a.org/v1", "https://a.org/"),
        ("https://a.org/v1", "https://a.org:8443/v1/x"),
        ("https://a.org/v1", "https://a.org.evil.org/v1/x"),
        ("https://a.org/v1", "https://user@a.org/v1/x"),
        ("https://a.org/v1", "https://b.org/?u=https://a.org/v1/x"),
        ("https://a.org/v1", "/v2/x"),
        ("https://a.org", "//b.org/x"),
        ("https://a.org", "./x"),
        ("https://a.org", "?page=2"),
        ("https://a.org", ""),
        ("https://a.org", "s3://a.org/x"),
        ("http://a.org:8080", "http://a.org/x"),
    ],
)
def test_elsewhere(api: str, href: str) -> None:
    """What lies anywhere else stays."""
    assert Links(api).href(href, ROOT) == href


def test_links_of_a_document() -> None:
    """Links of the document and of what it lists change; assets and all else do not."""
    body = {
        "$id": "https://a.org/v1/queryables",
        "links": [{"rel": "self", "href": "https://a.org/v1"}, {"rel": "x"}, "odd", None],
        "collections": [
            {"id": "https://a.org/v1/c", "links": [{"rel": "items", "href": "https://a.org/v1/i"}]}
        ],
        "features": [
            {
                "links": [{"rel": "next", "href": "https://a.org/v1/n"}],
                "assets": {"a": {"href": "https://a.org/v1/a.tif"}},
            },
            7,
        ],
        "assets": {"a": {"href": "https://a.org/v1/a.tif"}},
        "title": "https://a.org/v1",
    }
    assert Links("https://a.org/v1").body(body, ROOT, A)
    assert body == {
        "$id": f"{ROOT}/queryables",
        "links": [{"rel": "self", "href": ROOT}, {"rel": "x"}, "odd", None],
        "collections": [
            {"id": "https://a.org/v1/c", "links": [{"rel": "items", "href": f"{ROOT}/i"}]}
        ],
        "features": [
            {
                "links": [{"rel": "next", "href": f"{ROOT}/n"}],
                "assets": {"a": {"href": "https://a.org/v1/a.tif"}},
            },
            7,
        ],
        "assets": {"a": {"href": "https://a.org/v1/a.tif"}},
        "title": "https://a.org/v1",
    }


def test_nothing_to_rewrite() -> None:
    """A document without links to the API is said to be unchanged."""
    body = {"links": [{"rel": "next", "href": "https://b.org/v1"}, {"rel": "self", "href": 1}]}
    assert not Links("https://a.org/v1").body(body, ROOT, A)


@pytest.mark.parametrize(
    ("href", "carrying"),
    [
        ("https://a.org/v1/s", f"{ROOT}/s?prefer=DISK-A"),
        ("https://a.org/v1/s?token=a%2Fb#x", f"{ROOT}/s?token=a%2Fb&prefer=DISK-A#x"),
        ("?page=2", "?page=2&prefer=DISK-A"),
        ("https://b.org/s", "https://b.org/s"),
        ("//b.org/s", "//b.org/s"),
    ],
)
def test_paging_carries_the_preference(href: str, carrying: str) -> None:
    """The next page prefers what this one did, unless another server gives it."""
    body = {"links": [{"rel": "next", "href": href, "body": {"a": 1}, "merge": True}]}
    Links("https://a.org/v1").body(body, ROOT, A)
    assert body["links"] == [{"rel": "next", "href": carrying, "body": {"a": 1}, "merge": True}]


def test_link_header() -> None:
    """Links in a header are rewritten as those in a body."""
    value = (
        '<https://a.org/v1/s?a=1,2>; rel="next"; title="a, <b>", '
        "<https://b.org/x>; rel=self, </v1/c>; rel=data"
    )
    assert Links("https://a.org/v1").header(value, ROOT, A) == (
        f'<{ROOT}/s?a=1,2&prefer=DISK-A>; rel="next"; title="a, <b>", '
        f"<https://b.org/x>; rel=self, <{ROOT}/c>; rel=data"
    )


@given(st.text(), st.sampled_from(["https://a.org", "https://a.org/v1"]))
def test_any_href(href: str, api: Any) -> None:
    """No href is an error, and only one below the API's URL or its path changes."""
    made = Links(api).href(href, ROOT)
    assert made == href or href.startswith(("https:", "/"))


@given(st.binary(max_size=60).filter(lambda query: b"prefer" not in query and b"%" not in query))
def test_queries_stay(query: bytes) -> None:
    """A query string without `prefer` stays byte for byte."""
    assert split_query(query) == (query, ())


@pytest.mark.parametrize(
    ("query", "rest", "wanted"),
    [
        (b"prefer=A", b"", ("A",)),
        (b"a=%2f&prefer=A,B&&b", b"a=%2f&&b", ("A", "B")),
        (b"prefer=A&x=1&prefer=B%2CA", b"x=1", ("A", "B")),
        (b"prefer=tier%3Ddisk%26country%3DFR", b"", ("tier=disk&country=FR",)),
        (b"%70refer=A", b"", ("A",)),
        (b"prefer=", b"", ()),
        (b"preferred=A", b"preferred=A", ()),
    ],
)
def test_prefer_is_taken_out(query: bytes, rest: bytes, wanted: tuple[Any, ...]) -> None:
    """`prefer` is for this server; all else goes on in its order."""
    assert split_query(query) == (rest, wanted)


expressions = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)


@given(st.lists(expressions.filter(lambda one: "," not in one and one == one.strip()), unique=True))
def test_what_is_carried_comes_back(wanted: list[Any]) -> None:
    """A link that carries a preference asks for just that."""
    carried = tuple(wanted[:16])
    query = with_preference("?a=%2C", carried).partition("?")[2].encode()
    assert split_query(query) == (b"a=%2C", carried)


@pytest.mark.parametrize(
    "values",
    [
        b",".join(b"A%d" % number for number in range(17)),
        *[b"x" * 257, b"%00", b"%C3%A9", b"%0d%0aSet-Cookie:x"],
    ],
)
def test_prefer_that_is_none(values: Any) -> None:
    """What can be no RSE is refused."""
    with pytest.raises(HTTPException) as refused:
        split_query(b"prefer=" + values)
    assert refused.value.status_code == 400


@pytest.fixture
def rewrite() -> Iterator[Callable[..., Page]]:
    """Rewrites a page, to which the modifier adds nothing."""
    rewriter = PageRewriter(Links("https://a.org/v1"), Untouched(), 10, 10**7)
    yield lambda content, *, gzipped=False: asyncio.run(
        rewriter.rewrite(content, ROOT, (), gzipped=gzipped)
    )
    rewriter.close()


@pytest.mark.parametrize(
    "value",
    [
        "1.5",
        "1",
        "-0.0",
        "1e+50",
        "123456789012345678901234567890",
        "[NaN,Infinity]",
        '"\\ud800 é"',
    ],
)
def test_values_stay(rewrite: Callable[..., Page], value: str) -> None:
    """Numbers stay, as do escapes that stand for no character, and the order of keys."""
    content = f'{{"type":"Feature","b":{value},"a":1}}'.encode()
    assert rewrite(content).content == content


@pytest.mark.parametrize(
    ("value", "written"), [("1.10", "1.1"), ("1E+05", "100000.0"), ("0.10000000000000001", "0.1")]
)
def test_equal_numbers(rewrite: Callable[..., Page], value: str, written: str) -> None:
    """A number may be written otherwise where it is the same."""
    page = rewrite(f'{{"type":"Feature","a":{value}}}'.encode())
    assert page.content == f'{{"type":"Feature","a":{written}}}'.encode()


@pytest.mark.parametrize("value", ["1e400", "-1e400", "9" * 5000])
def test_numbers_that_python_cannot_write(rewrite: Callable[..., Page], value: str) -> None:
    """A page with a number that would be changed passes as it is."""
    page = rewrite(f'{{"type":"Feature","a":{value}}}'.encode())
    assert (page.content, page.warning) == (None, "unmodified: no JSON that can be read")


def test_packed_in_pieces(rewrite: Callable[..., Page]) -> None:
    """A body may be packed in many pieces, the time for which grows with their number only."""
    body = b'{"type":"Feature"}'
    pieces = gzip.compress(body) + gzip.compress(b" ") * 100_000
    started_s = time.process_time()
    page = rewrite(pieces, gzipped=True)
    assert time.process_time() - started_s < 30  # quadratic, it would take minutes
    assert page.content
    assert json.loads(gzip.decompress(page.content)) == {"type": "Feature"}
