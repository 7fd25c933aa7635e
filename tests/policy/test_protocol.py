"""The protocol of source RSEs."""

from __future__ import annotations

import logging
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import assume, given
from hypothesis import strategies as st
from rucio.common.exception import (
    DestinationNotAccessible,
    RSEAccessDenied,
    RSEFileNameNotSupported,
    RSENotConnected,
    RSEOperationNotSupported,
    RucioException,
    ServiceUnavailable,
    SourceNotFound,
)
from rucio.rse import rsemanager

from stac_policy.gateway import VALID_S, read_keys, read_path
from stac_policy.observability import Reporter
from stac_policy.protocol import Default, Gateway
from stac_policy.urls import refusal
from tests import origin as answers
from tests.items import assets_of

from .support import configured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONTENT = bytes(range(256)) * 1000
CUT = answers.cut(10)
# As Rucio gives them to protocols (rucio.core.rse.get_rse_protocols).
ATTRIBUTES = {
    "scheme": "https",
    "hostname": "localhost",
    "port": 443,
    "prefix": "/",
    "impl": "stac_policy.protocol.Default",
    "domains": {
        "lan": {"read": 1, "write": None, "delete": None},
        "wan": {"read": 1, "write": 1, "delete": None},
    },
    "extended_attributes": None,
}
RSE = {"rse": "STAC", "id": "0" * 32, "deterministic": False, "protocols": [ATTRIBUTES]}

_path = st.text(st.sampled_from("abZ09-._~!$&'()*+,;=:@/"))
_escape = st.sampled_from(["", "%20", "%2F", "%c3%A9"])
urls = st.builds(
    "{}://{}{}{}{}{}{}".format,
    st.sampled_from(["https", "http"]),
    st.sampled_from(["data.example.org", "192.0.2.1", "[2001:db8::1]", "Data.Example.ORG"]),
    st.sampled_from(["", ":8443", ":443", ":"]),
    st.just("/") | _path.map("/".__add__),
    _escape,
    _path,
    st.just("") | _path.map("?".__add__),
)


@pytest.fixture(scope="module")
def protocol() -> Iterator[Default]:
    """The protocol as a server has it: it answers from what it is given."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rsemanager, "CLIENT_MODE", False)
        patch.setattr(rsemanager, "SERVER_MODE", False)
        made = Default({**ATTRIBUTES, "auth_token": None}, RSE)
    made.connect()
    yield made
    made.close()


def test_rucio_makes_it() -> None:
    """Rucio's own manager makes the protocol from what the RSE names, for reading and writing."""
    for operation in ("read", "write"):
        assert type(rsemanager.create_protocol(RSE, operation, scheme="https")) is Default


@given(url=urls)
def test_urls_are_kept_byte_for_byte(protocol: Default, url: str) -> None:
    """What Rucio stores of a URL and what it makes of that again is the URL itself."""
    assume(refusal(url) is None)
    parsed = protocol.parse_pfns([url])
    path = parsed[url]["path"] + parsed[url]["name"]
    lfn = {"scope": "c", "name": "/c/i/k", "path": path}
    assert path == url
    assert list(parsed) == [url]
    assert protocol.lfns2pfns(lfn) == protocol.lfns2pfns([lfn]) == {"c:/c/i/k": url}
    assert protocol.path2pfn(path) == url


def test_urls_of_catalogues_are_kept(
    protocol: Default, catalogue_items: list[dict[str, Any]]
) -> None:
    """All URLs of catalogues that may be registered go through at once."""
    every = dict.fromkeys(href or "" for *_, href, _ in assets_of(catalogue_items))
    hrefs = [href for href in every if refusal(href) is None]
    lfns = [
        {"scope": "s", "name": f"/c/i/{number}", "path": parsed["path"] + parsed["name"]}
        for number, parsed in enumerate(protocol.parse_pfns(hrefs).values())
    ]
    assert list(protocol.lfns2pfns(lfns).values()) == hrefs
    assert len(hrefs) > 30


def test_parsed_parts(protocol: Default) -> None:
    """The parts beside the path are those of the URL, as Rucio names them."""
    url = "http://data.example.org:8080/a//b?c=d"
    assert protocol.parse_pfns(url) == {
        url: {
            "path": url,
            "name": "",
            "scheme": "http",
            "prefix": "",
            "port": 8080,
            "hostname": "data.example.org",
        }
    }
    assert protocol.parse_pfns("https://[::1]/x")["https://[::1]/x"]["port"] == 0
    assert protocol.parse_pfns([]) == {}


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3://bucket/x.tif", "s3 scheme"),
        ("https:///x.tif", "names no host"),
        ("https://data.example.org:99999/x", "cannot be parsed"),
        ("https://u:s3cr3t@data.example.org/x.tif", "credentials"),
        ("https://data.example.org/x.tif?sig=s3cr3t", "is signed"),
        ("https://data.example.org/a b.tif", "percent-escaped"),
        ("https://data.example.org/x.tif#s3cr3t", "fragment"),
        ("https://data.example.org/" + "x" * 1024, "longer than"),
        ("https://data.example.net/x.tif", "not in allowed_hosts"),
        ("HTTPS://data.example.org/x.tif", "lower case"),
    ],
)
def test_refusals(protocol: Default, url: str, reason: str) -> None:
    """A URL that cannot be registered is refused with the reason and without its secrets."""
    good = "https://data.example.org/x.tif"
    with configured(allowed_hosts="data.example.org"):
        assert good in protocol.parse_pfns([good])
        with pytest.raises(RSEFileNameNotSupported, match=reason) as caught:
            protocol.parse_pfns([good, url])
    assert "s3cr3t" not in str(caught.value)


def test_nothing_is_written(protocol: Default, tmp_path: Path) -> None:
    """Every operation that writes is refused, and says where."""
    url = "https://data.example.org/x?sig=s3cr3t"
    writing: tuple[Callable[[], object], ...] = (
        lambda: protocol.put("x", url, str(tmp_path)),
        lambda: protocol.put("x", url, None, transfer_timeout=1),
        lambda: protocol.delete(url),
        lambda: protocol.rename(url, url),
    )
    for write in writing:
        with pytest.raises(RSEOperationNotSupported, match=r"RSE STAC .* read only") as caught:
            write()
        assert "s3cr3t" not in str(caught.value)


def test_get(protocol: Default, origin: answers.Origin, tmp_path: Path) -> None:
    """A download has the bytes of the origin, in folders that it makes."""
    target = tmp_path / "c" / "i" / "B04.tif.part"
    protocol.get(origin.add("/B04.tif", CONTENT), str(target))
    assert target.read_bytes() == CONTENT
    protocol.get(origin.add("/B05.tif", CONTENT[:10]), str(target), transfer_timeout=5)
    assert target.read_bytes() == CONTENT[:10]


def test_the_time_limit_of_a_download(
    protocol: Default, origin: answers.Origin, tmp_path: Path, pauses: list[float]
) -> None:
    """`transfer_timeout` limits how long an origin may be silent."""
    url = origin.add("/x", CONTENT, *[answers.stall(10)] * 4)
    begin = time.monotonic()
    with pytest.raises(ServiceUnavailable):
        protocol.get(url, str(tmp_path / "x"), transfer_timeout=0.1)
    assert time.monotonic() - begin < 8  # the origin hangs up after ten seconds
    assert len(origin.seen) == 4
    assert pauses == [1, 2, 4]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (401, RSEAccessDenied),
        (403, RSEAccessDenied),
        (404, SourceNotFound),
        (410, SourceNotFound),
        (400, ServiceUnavailable),
        (202, ServiceUnavailable),
        (500, ServiceUnavailable),
        (503, ServiceUnavailable),
    ],
)
@pytest.mark.usefixtures("pauses")
def test_errors_of_get(
    protocol: Default, origin: answers.Origin, tmp_path: Path, code: int, error: Any
) -> None:
    """What an origin refuses becomes Rucio's fitting exception, and leaves no file."""
    url = origin.add("/x", CONTENT, *[answers.status(code)] * 4)
    with pytest.raises(error, match=f"{url}: HTTP {code}"):
        protocol.get(url, str(tmp_path / "x"))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("code", [200, 204])
def test_exists(protocol: Default, origin: answers.Origin, code: int) -> None:
    """What the origin has, exists; it is not downloaded to see that."""
    assert protocol.exists(origin.add("/x", CONTENT, answers.status(code, b""))) is True
    assert [request.method for request in origin.seen] == ["HEAD"]


def test_exists_behind_a_redirect(protocol: Default, origin: answers.Origin) -> None:
    """A redirect is followed to where the file is."""
    origin.add("/y", CONTENT)
    assert protocol.exists(origin.add("/x", b"", answers.redirect("/y"))) is True
    assert [request.method for request in origin.seen] == ["HEAD", "HEAD"]


@pytest.mark.parametrize("code", [404, 410])
def test_exists_not(protocol: Default, origin: answers.Origin, code: int) -> None:
    """What the origin does not have, does not exist."""
    assert protocol.exists(origin.add("/x", CONTENT, answers.status(code))) is False


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (401, RSEAccessDenied),
        (403, RSEAccessDenied),
        (301, ServiceUnavailable),
        (405, ServiceUnavailable),
        (500, ServiceUnavailable),
    ],
)
def test_errors_of_exists(protocol: Default, origin: answers.Origin, code: int, error: Any) -> None:
    """An origin that does not say leaves the question open."""
    url = origin.add("/x", CONTENT, answers.status(code))
    with pytest.raises(error, match=f"{url}: HTTP {code}"):
        protocol.exists(url)


def test_hosts_that_are_not_allowed(
    protocol: Default, origin: answers.Origin, other_origin: answers.Origin, tmp_path: Path
) -> None:
    """A host outside the allow list is an access that is denied, behind a redirect as well."""
    url = origin.add("/x", b"", *[answers.redirect(other_origin.add("/y", CONTENT))] * 2)
    with configured(allowed_hosts=f"127.0.0.1:{origin.server_port}"):
        for call in (lambda: protocol.get(url, str(tmp_path / "x")), lambda: protocol.exists(url)):
            with pytest.raises(RSEAccessDenied):
                call()
    assert other_origin.seen == []


@pytest.mark.parametrize("url", [None, "", "x.tif", "https://[::1", "https://h:99999/"])
def test_what_is_no_url(protocol: Default, tmp_path: Path, url: str | None) -> None:
    """What is no URL is not asked for."""
    with pytest.raises(RSEAccessDenied):
        protocol.exists(url)
    with pytest.raises(RSEAccessDenied):
        protocol.get(url or "", str(tmp_path / "x"))


def test_nobody_answers(
    protocol: Default, origin: answers.Origin, tmp_path: Path, pauses: list[float]
) -> None:
    """An origin that cannot be reached is a service that is not available."""
    origin.server_close()
    with pytest.raises(ServiceUnavailable, match=r"no answer \(Connection refused"):
        protocol.get(origin.url, str(tmp_path / "x"))
    with pytest.raises(ServiceUnavailable, match=r"no answer \(Connection refused"):
        protocol.exists(origin.url)
    assert len(pauses) == 3


def test_the_file_can_not_be_written(
    protocol: Default, origin: answers.Origin, tmp_path: Path
) -> None:
    """A target that cannot be written is named with the reason."""
    (tmp_path / "file").write_bytes(b"")
    for target in (tmp_path / "file" / "x", tmp_path):
        with pytest.raises(DestinationNotAccessible, match=str(target)):
            protocol.get(origin.add("/x", CONTENT), str(target))


def test_connecting(origin: answers.Origin, tmp_path: Path) -> None:
    """Nothing is asked for without a connection, and closing twice does no harm."""
    protocol = Default({**ATTRIBUTES, "auth_token": None}, RSE)
    url = origin.add("/x", CONTENT)
    for _ in range(2):
        with pytest.raises(RSENotConnected):
            protocol.get(url, str(tmp_path / "x"))
        with pytest.raises(RSENotConnected):
            protocol.exists(url)
        protocol.connect()
        assert protocol.exists(url)
        protocol.close()
        protocol.close()
    assert len(origin.seen) == 2


def test_credentials_of_the_machine_stay_there(
    protocol: Default, origin: answers.Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ~/.netrc holds for a host is sent to it by requests, but not by the protocol."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login alice password s3cr3t\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    url = origin.add("/x", CONTENT)
    again = origin.add("/a", b"", *[answers.redirect("/x")] * 2)
    requests.get(url, timeout=10)
    protocol.get(url, str(tmp_path / "x"))
    protocol.get(again, str(tmp_path / "x"))
    protocol.exists(again)
    first, *others = origin.seen
    assert "Authorization" in first.headers
    assert len(others) == 5
    assert not any("Authorization" in request.headers for request in others)


@pytest.mark.parametrize("operation", ["get", "exists"])
@pytest.mark.parametrize(
    "answer",
    [
        answers.status(403),
        answers.status(500),
        CUT,
        answers.chunks_cut,
        answers.redirect("http://127.0.0.1:9/f?X-Amz-Signature=s3cr3t"),
        answers.redirect("http://evil.example.org/f?X-Amz-Signature=s3cr3t"),
        answers.redirect("http://[::1/f?X-Amz-Signature=s3cr3t"),
        answers.redirect("/f?X-Amz-Signature=s3cr3t"),
    ],
)
@pytest.mark.usefixtures("pauses")
def test_no_secret_is_repeated(
    protocol: Default, origin: answers.Origin, tmp_path: Path, answer: Any, operation: Any
) -> None:
    """Neither errors nor their tracebacks repeat the signature of a redirect's URL."""
    signed = "/f?X-Amz-Signature=s3cr3t"
    origin.add(signed, CONTENT, *[answer] * 99, etag=None)
    url = origin.add("/x", b"", *[answers.redirect(origin.url + signed)] * 99)
    with configured(allowed_hosts="127.0.0.1"):
        if operation == "exists" and answer in {answers.chunks_cut, CUT}:
            assert protocol.exists(url)  # HEAD has no body that could be cut
            return
        with pytest.raises(RucioException, match=f"{origin.url}/x: ") as caught:
            protocol.get(url, str(tmp_path / "x")) if operation == "get" else protocol.exists(url)
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.type, caught.value, caught.tb))


@pytest.mark.parametrize(
    "options",
    [
        {"origins": "/none.tsv"},
        {"gateway": "https://gw.example.org", "gateway_keys": "/none"},
        {"gateway": ""},
    ],
)
def test_a_gateway_that_cannot_be_used(
    options: dict[str, str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transfer that fails ends those of nobody else: an exception would end all of a batch."""
    url = "https://usgs-landsat.s3.us-west-2.amazonaws.com/a/B4.TIF"
    lfn = {"scope": "x", "name": "a", "path": url}
    monkeypatch.setattr(rsemanager, "CLIENT_MODE", False)
    monkeypatch.setattr(rsemanager, "SERVER_MODE", False)
    # Of its own, as it warns once in a while of the same thing.
    monkeypatch.setattr("stac_policy.protocol._REPORTER", Reporter(logging.getLogger(__name__)))
    with configured(**options):
        protocol = Gateway({**ATTRIBUTES, "auth_token": None}, RSE)
        assert protocol.lfns2pfns(lfn) == {"x:a": url}
    assert "is asked for without" in caplog.text


@pytest.mark.parametrize("valid_s", [VALID_S, 14 * 86_400])
def test_how_long_a_gateways_urls_are_good_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, valid_s: int
) -> None:
    """As long as FTS may keep them, by default a week and a day; all of a day are the same."""
    keys = tmp_path / "keys"
    keys.write_text("k" * 40)
    keys.chmod(0o600)
    monkeypatch.setattr(rsemanager, "CLIENT_MODE", False)
    monkeypatch.setattr("rucio.core.rse.get_rse_vo", lambda _: "def")
    url = "https://usgs-landsat.s3.us-west-2.amazonaws.com/a/B4.TIF"
    options = {"gateway": "https://gw.example.org", "gateway_keys": str(keys)}
    if valid_s != VALID_S:
        options["gateway_valid_s"] = str(valid_s)
    with configured(**options):
        protocol = Gateway({**ATTRIBUTES, "auth_token": None}, RSE)
        found = protocol.lfns2pfns({"scope": "x", "name": "a", "path": url})
    claim = read_path(found["x:a"].removeprefix(options["gateway"]), read_keys(keys))
    assert claim.url == url
    assert claim.expires_s % 86_400 == 0
    assert valid_s - 60 < claim.expires_s - time.time() <= valid_s + 86_400
