"""Which URLs may become PFNs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_policy.urls import (
    PATH_LENGTH,
    absolute,
    is_allowed,
    link_href,
    mask,
    printable,
    redact,
    refusal,
)
from tests.catalogues import SCENES
from tests.items import assets_of

from .strategies import anything

if TYPE_CHECKING:
    from collections.abc import Callable


_UUID = "0c6f1b1e-1d0b-4d7c-9a51-0d7cc6a2c1b5"
_EUMETSAT = "https://api.eumetsat.int/data/download/1.0.0/collections/EO%3AEUM%3ADAT%3A0662"

# Real in shape; every secret part holds the word.
SIGNED = [
    (
        "https://acc.blob.core.windows.net/c/B04.tif?st=2025-07-31T00%3A00%3A00Z&se=2025-08-01T00"
        "%3A00%3A00Z&sp=rl&sv=2024-05-04&sr=c&skoid=c85c15d6&sktid=72f988bf&sig=s3cr3t%2Bx%3D"
    ),
    (
        "https://b.s3.eu-central-1.amazonaws.com/B04.tif?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=s3cr3t%2F20250731%2Feu-central-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20250731T000000Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=s3cr3t"
    ),
    "https://b.s3.amazonaws.com/B04.tif?AWSAccessKeyId=s3cr3t&Expires=1753920000&Signature=s3cr3t",
    (
        "https://storage.googleapis.com/b/B04.tif?X-Goog-Algorithm=GOOG4-RSA-SHA256"
        "&X-Goog-Credential=s3cr3t%40p.iam.gserviceaccount.com&X-Goog-Date=20250731T000000Z"
        "&X-Goog-Expires=900&X-Goog-SignedHeaders=host&X-Goog-Signature=s3cr3t"
    ),
    "https://storage.googleapis.com/b/B04.tif?GoogleAccessId=s3cr3t&Expires=1&Signature=s3cr3t",
    (
        "https://d111111abcdef8.cloudfront.net/B04.tif?Expires=1753920000&Signature=s3cr3t"
        "&Key-Pair-Id=s3cr3t"
    ),
    "https://d111111abcdef8.cloudfront.net/B04.tif?Policy=s3cr3t&Key-Pair-Id=s3cr3t",
    "https://cdn.example.org/B04.tif?hdnts=exp=1753920000~acl=/*~hmac=s3cr3t",
    "https://api.example.org/B04.tif?api_key=s3cr3t",
    f"{_EUMETSAT}/products/x/entry?name=body.nc&access_token=s3cr3t",
    "https://api.example.org/B04.tif?subscription-key=s3cr3t",
    "https://door.example.org:2880/pnfs/B04.tif?authz=s3cr3t",
    "https://api.example.org/B04.tif?TOKEN=s3cr3t",
    "https://api.example.org/B04.tif?a=b&%73ig=s3cr3t",
    "https://api.example.org/B04.tif?sig",
    "https://api.example.org/B04.tif?a[token]=s3cr3t",
    "https://api.example.org/B04.tif?token[]=s3cr3t",
    "https://api.example.org/B04.tif?user.token=s3cr3t",
    "https://cdn.example.org/B04.tif?auth_key=1700000000-0-0-s3cr3t",
    "https://api.example.org/B04.tif?user=a&pwd=s3cr3t",
    "https://api.example.org/B04.tif?jsessionid=1&sessionid=s3cr3t",
]
WITH_CREDENTIALS = [
    "https://user:s3cr3t@data.example.org/B04.tif",
    "https://s3cr3t@data.example.org/B04.tif",
    "http://user:@data.example.org/s3",
    "https://@data.example.org/B04.tif",
]
FINE = [
    f"{_EUMETSAT}/products/W_XX/entry?name=EOPMetadata.xml",
    f"https://catalogue.dataspace.copernicus.eu/odata/v1/Products({_UUID})/$value",
    "https://umbra-open-data-catalog.s3.amazonaws.com/sar-data/tasks/Panama+Canal,+Panama/x.tif",
    "https://data.example.org/a%20b/c%2fd.tif",
    "https://data.example.org/a//b/../c/./d.tif",
    "http://data.example.org:8080/B04.tif",
    "https://[2001:db8::1]:8443/B04.tif",
    "https://192.0.2.1/B04.tif",
    "https://data.example.org/folder/",
    "https://data.example.org/x?",
    "https://data.example.org/~alice/x;v=1/y:z@home/*'!.tif",
    "https://data.example.org/x?design=a&signal=b&tokens=c&signed=d",
    "https://data.example.org/s=sig/token/x.tif",
    "https://data.example.org/x?bbox[0]=1&a.design=b&author=c&key=d.tif&session=e",
    "https://DATA.example.org/x",
]


@pytest.mark.parametrize("url", FINE)
def test_fine_urls(url: str) -> None:
    """Whatever a server may need in a URL can be registered."""
    assert refusal(url) is None


@pytest.mark.parametrize("url", SIGNED)
def test_signed_urls(url: str) -> None:
    """Signed URLs are refused by naming the parameter, and without its value."""
    reason = str(refusal(url))
    assert "is signed" in reason
    assert "s3cr3t" not in reason
    assert "s3cr3t" not in redact(url)


@pytest.mark.parametrize(
    "parameter",
    [
        *["access_token", "api_key", "apikey", "Authorization", "authz", "AWSAccessKeyId"],
        *["GoogleAccessId", "hdnea", "hdnts", "Key-Pair-Id", "password", "sig", "Signature"],
        *["subscription-key", "token", "X-Amz-Credential", "X-Amz-Security-Token"],
        *["X-Amz-Signature", "X-Goog-Credential", "X-Goog-Signature", "temp_url_sig"],
        *["requestSignature", "X-OSS-Signature", "OSSAccessKeyId", "access_key", "api-key"],
        *["jwt", "download_token", "auth"],
    ],
)
def test_secret_parameters(parameter: Any) -> None:
    """Each parameter that carries a secret suffices, in any case."""
    for name in (parameter, parameter.lower(), parameter.upper()):
        url = f"https://data.example.org/x?a=b&{name}=s3cr3t"
        assert str(refusal(url)).startswith(f"the URL is signed (parameter {name})")


@pytest.mark.parametrize("url", WITH_CREDENTIALS)
def test_credentials(url: str) -> None:
    """URLs with a name or a password are refused, and neither is repeated."""
    assert refusal(url) == "the URL carries credentials"
    assert "s3cr3t" not in redact(url)
    assert "@" not in redact(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3://bucket/x.tif", "s3 scheme"),
        ("ftp://h/x.tif", "ftp scheme"),
        ("file:///x.tif", "file scheme"),
        ("abfs://c@acc.dfs.core.windows.net/x.zarr", "abfs scheme"),
        ("/data/x.tif", "no scheme"),
        ("./x.tif", "no scheme"),
        ("x.tif", "no scheme"),
        ("", "no scheme"),
        ("//data.example.org/x.tif", "no scheme"),
        ("data.example.org:8080/x.tif", "data.example.org scheme"),
        ("HTTPS://data.example.org/x.tif", "not in lower case"),
        ("https:///x.tif", "names no host"),
        ("https:x.tif", "names no host"),
        ("https://:8443/x.tif", "names no host"),
        ("https://data.example.org:99999/x.tif", "cannot be parsed"),
        ("https://data.example.org:80a/x.tif", "cannot be parsed"),
        ("https://[2001:db8::1/x.tif", "cannot be parsed"),
        ("https://data.example.org/a b.tif", "percent-escaped"),
        ("https://data.example.org/é.tif", "percent-escaped"),
        ("https://dätä.example.org/x.tif", "percent-escaped"),
        ("https://data.example.org/a\tb.tif", "percent-escaped"),
        ("https://data.example.org/a\x01b.tif", "percent-escaped"),
        ("https://data.example.org/x.tif\n", "percent-escaped"),
        ("https://data.example.org/100%/x.tif", "percent-escaped"),
        ("https://data.example.org/%zz.tif", "percent-escaped"),
        ("https://data.example.org/{z}/{x}.png", "percent-escaped"),
        ("https://data.example.org/a|b.tif", "percent-escaped"),
        ("https://data.example.org/<id>.tif", "percent-escaped"),
        ("https://data.example.org", "no path"),
        ("https://data.example.org/", "no path"),
        ("https://data.example.org//", "no path"),
        ("https://data.example.org/?name=x.tif", "no path"),
        ("https://data.example.org/x.tif#band=1", "fragment"),
        ("https://data.example.org/x.tif#", "fragment"),
        ("https://data.example.org/" + "x" * PATH_LENGTH, "longer than 1024"),
    ],
)
def test_reasons(url: str, reason: str) -> None:
    """Each URL that cannot be registered is refused for its own reason."""
    assert reason in str(refusal(url))


def test_leading_space() -> None:
    """A space before a URL is a mistake, as which one differs among Pythons."""
    assert refusal(" https://data.example.org/x.tif")


def test_the_longest_url() -> None:
    """A URL as long as Rucio's column is registered, and one character more is refused."""
    url = "https://data.example.org/".ljust(PATH_LENGTH, "x")
    assert refusal(url) is None
    assert refusal(url + "x") is not None


def test_urls_of_scenes() -> None:
    """Hrefs of catalogues are registered, or refused for the reason that was written down."""
    for scene in SCENES:
        hrefs = {key: asset.get("href") for key, asset in scene.item["assets"].items()}
        for key in (scene.registered | scene.on_request).keys() - scene.urls:
            assert (refusal(hrefs[key]) is None) == hrefs[key].startswith("http")
        for key, reason in scene.reported.items():
            if reason.endswith(" scheme"):
                assert reason in str(refusal(hrefs[key]))


def test_real_urls(corpus: list[dict[str, Any]]) -> None:
    """Of the real URLs all of HTTP can be registered, except for a fragment, and no others."""
    hrefs = [str(href) for *_, href, _ in assets_of(corpus)]
    assert len(hrefs) > 2000
    for href in hrefs:
        assert (refusal(href) is None) == (href.startswith("http") and "#" not in href), href


@pytest.mark.parametrize(
    ("url", "pattern", "allowed"),
    [
        ("https://example.org/x", "example.org", True),
        ("https://EXAMPLE.org/x", "Example.ORG", True),
        ("https://example.org:8443/x", "example.org", True),
        ("https://example.org:8443/x", "example.org:8443", True),
        ("https://example.org/x", "example.org:8443", False),
        ("https://example.org:9443/x", "example.org:8443", False),
        ("https://example.org/x", "example.org:443", True),
        ("https://example.org:443/x", "example.org:443", True),
        ("http://example.org/x", "example.org:80", True),
        ("http://example.org/x", "example.org:443", False),
        ("https://evil-example.org/x", "example.org", False),
        ("https://example.org.evil.com/x", "example.org", False),
        ("https://a.example.org/x", "example.org", False),
        ("https://example.com/example.org", "example.org", False),
        ("https://example.com/x?example.org", "example.org", False),
        ("https://a.example.org/x", "*.example.org", True),
        ("https://a.b.example.org/x", "*.example.org", True),
        ("https://a.example.org:8443/x", "*.example.org:8443", True),
        ("https://a.example.org/x", "*.example.org:8443", False),
        ("https://example.org/x", "*.example.org", False),
        ("https://evil-example.org/x", "*.example.org", False),
        ("https://a.example.org.evil.com/x", "*.example.org", False),
        ("https://evil.com\\.example.org/x", "*.example.org", False),
        ("https://evil.com/.example.org/x", "*.example.org", False),
        ("https://example.org./x", "example.org", False),
        ("https://exampleXorg/x", "example.org", False),
        ("https://[2001:db8::1]/x", "[2001:db8::1]", True),
        ("https://[2001:DB8::1]/x", "[2001:db8::1]", True),
        ("https://[2001:db8::1]:8443/x", "[2001:db8::1]", True),
        ("https://[2001:db8::1]:8443/x", "[2001:db8::1]:8443", True),
        ("https://[2001:db8::1]/x", "[2001:db8::1]:8443", False),
        ("https://[2001:db8::2]/x", "[2001:db8::1]", False),
        ("https://[::1]/x", "[::1]", True),
        ("https://192.0.2.1:8080/x", "192.0.2.1:8080", True),
        ("https://192.0.2.10/x", "192.0.2.1", False),
        ("https://example.org/x", "https://example.org", False),
        ("https://example.org:8443/x", "example.org:8443x", False),
        ("https://example.org/x", "example.org:", False),
        ("https://example.org/x", "", False),
        ("https://example.org/x", "*", False),
    ],
)
def test_allow_list(url: str, pattern: str, allowed: bool) -> None:
    """A pattern allows a host, its port if it names one, or with `*.` what is below it."""
    reason = refusal(url, [pattern])
    assert (reason is None) is allowed
    assert refusal(url, ["other.example.net", pattern, "third.example.net"]) == reason


def test_no_allow_list() -> None:
    """Without an allow list all hosts are allowed; with one, the refused host is named."""
    assert refusal("https://example.org/x", []) is None
    reason = refusal("https://example.org/x", ["other.org"])
    assert "example.org is not in allowed_hosts" in str(reason)


@given(st.text() | anything)
def test_any_text(text: Any) -> None:
    """No string makes these functions raise, whatever the allow list."""
    for url in (text, f"https://{text}", f"https://example.org/{text}"):
        reason = refusal(url)
        assert reason is None or reason
        assert refusal(url, [text]) is None or refusal(url, [text])
        assert isinstance(redact(url), str)


@given(st.text(st.characters(categories=["L", "N"]), min_size=1).map("s3cr3t".__add__))
def test_no_secret_is_repeated(secret: Any) -> None:
    """Reasons and redacted URLs hold nothing of credentials, queries and fragments."""
    for url in (
        f"https://user:{secret}@data.example.org/x",
        f"https://user:{secret}/{secret}@data.example.org/x",
        f"https:user:{secret}@data.example.org/x",
        f"https:///user:{secret}@data.example.org/x",
        f"user:{secret}@data.example.org/x",
        f"some_user:{secret}@data.example.org/x",
        f"//user:{secret}@data.example.org/x",
        f"https://data.example.org/x?sig={secret}",
        f"https://data.example.org/x?a=1&X-Amz-Signature={secret}#y",
        f"https://data.example.org/x#access_token={secret}",
        f"s3://user:{secret}@bucket/x?sig={secret}",
    ):
        assert secret not in (refusal(url) or "")
        assert secret not in redact(url)


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("https://user:pw@h.example.org:8443/a%20b/c?x=1#f", "https://h.example.org:8443/a%20b/c"),
        ("https://[::1]:8443/x", "https://[::1]:8443/x"),
        ("s3://bucket/key.tif", "s3://bucket/key.tif"),
        ("./a/b@2x.png?x", "./a/b@2x.png"),
        ("https://[::1", "(unparsable URL)"),
        ("https://user:pass/word@h.example.org/x", "(unparsable URL)"),
        ("", ""),
    ],
)
def test_redact(url: str, redacted: str) -> None:
    """Messages show scheme, host, port and path."""
    assert redact(url) == redacted


def test_is_allowed_needs_a_valid_port() -> None:
    """A port that is none is an error, not an answer."""
    with pytest.raises(ValueError, match=r"[Pp]ort"):
        is_allowed(urlsplit("https://example.org:99999/"), ["example.org"])


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("GET /x?rscd=a;filename='x.tif'&sig=s3cr3t HTTP/1.1", "GET /x?… HTTP/1.1"),
        ("(https://h/x?rscd=f(x.tif)&sig=s3cr3t), next", "(https://h/x?…), next"),
        ("'https://u:s3cr3t@h/x?sig=s3cr3t': HTTP 403", "'https://h/x?…': HTTP 403"),
        ("https://u:s3/cr3t@h/x#access_token=s3cr3t", "https://h/x#…"),
        ("s3://h/a,https://u:s3cr3t@h/x", "s3://h/a,https://h/x"),
        ("https://h/u:s3cr3t@x/a@2x.png", "https://h/x/a@2x.png"),
        ("filename='a b.tif'&sig=s3cr3t')", "filename='a b.tif'&sig=…')"),
        ("Cookie: a=s3cr3t; b=s3cr3t", "Cookie: …"),
        ("Proxy-Authorization: Digest a, response=s3cr3t", "Proxy-Authorization: …"),
        ("{'Authorization': 'Bearer s3cr3t', 'x': 1}", "{'Authorization': …, 'x': 1}"),
        ('{"token":"s3c r3t","x":1}', '{"token":…,"x":1}'),
        ("X-Rucio-Auth-Token: bearer s3cr3t", "X-Rucio-Auth-Token: …"),
        ("reason: token=s3cr3t", "reason: token=…"),
        ("temp_url_sig=s3cr3t jwt=s3cr3t", "temp_url_sig=… jwt=…"),
        ("password = s3'cr3t", "password = …"),
        ("\x1b[31mred\n\ud800", "\\x1b[31mred\\n\\ud800"),
    ],
)
def test_mask(text: str, masked: str) -> None:
    """Of any text secrets and controls are not shown, whatever characters they hold."""
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "/etc/passwd: no such file",
        "cannot read /etc/passwd",
        "file:///etc/passwd",
        "is the URL right? (see docs/tokens.md)",
        "Really? 12 of 13; really?",
        "https://h:8080/a/b@2x.png",
        "https://[::1]/a@b, https://[::1]:8080/x",
        "a signature of 3 bytes, design=wide",
        "C:\\data\\x.tif: the password is missing",
    ],
)
def test_mask_leaves_the_rest(text: str) -> None:
    """What holds no secret stays as it is."""
    assert mask(text) == text


@given(st.text(), st.text(st.characters(categories=["L", "N"]), min_size=8))
def test_a_query_is_never_shown(before: str, secret: str) -> None:
    """Whatever comes before it in a URL or a query, a signature is not shown."""
    word = "".join(before.split())
    assert f"s3{secret}" not in mask(f"GET https://h/x?y={word}&sig=s3{secret} failed")


@pytest.mark.parametrize("shown", [redact, mask, printable])
def test_no_controls(shown: Callable[..., str]) -> None:
    """Nothing that would control a terminal is shown."""
    assert shown("https://h/\x1b[31m/\u202e\x00").isprintable()


def test_long_urls() -> None:
    """Of a URL of extreme length the path is left out, in which a password might be cut."""
    for url, longest in ((f"{'x' * 5000}://h", 99), (f"https://h/?{'x' * 5000}_token=y", 149)):
        reason = refusal(url)
        assert reason
        assert len(reason) <= longest
    assert redact(f"https://h/u:{'s' * 5000}@x") == "https://h/…"
    assert redact("s3cr3t" * 1000) == "(URL that is too long)"
    assert redact(f"https://h/x?{'s' * 5000}") == "https://h/x"
    assert mask(f"see https://u:{'s' * 5000}@h") == "see …"


@pytest.mark.parametrize(
    ("item", "href"),
    [
        ({"links": [{"rel": "root", "href": "r"}, {"rel": "self", "href": "s"}]}, "s"),
        ({"links": [None, {"rel": "self"}, {"rel": "self", "href": "late"}]}, ""),
        ({"links": {"rel": "self"}}, ""),
        ({}, ""),
    ],
)
def test_link_href(item: dict[Any, Any], href: str) -> None:
    """The first link of a relation counts, and a broken item has none."""
    assert link_href(item) == href


# What hrefs are relative to.


@pytest.mark.parametrize(
    ("href", "base", "url"),
    [
        ("./x.tif", "https://b/a//b/item.json", "https://b/a//b/x.tif"),
        ("../x.tif", "https://b/a//b/item.json", "https://b/a//x.tif"),
        ("c//x.tif", "https://b/a/item.json", "https://b/a/c//x.tif"),
        ("/c//x.tif", "https://b/a/item.json", "https://b/c//x.tif"),
        ("x.tif?a=//b", "https://b//", "https://b//x.tif?a=//b"),
        ("./x.tif", "s3://b/a//item.json", "s3://b/a//x.tif"),
        ("./x.tif", "/data//a/item.json", "/data//a/x.tif"),
        ("x.tif", "https://b", "https://b/x.tif"),
        ("../../x.tif", "https://b/item.json", "https://b/x.tif"),
        ("https://c//./x.tif", "https://b/a/item.json", "https://c//./x.tif"),
        ("./x.tif", "", "./x.tif"),
        ("./x.tif", "https://[", "./x.tif"),
    ],
)
def test_relative_hrefs(href: str, base: str, url: str) -> None:
    """They are resolved as RFC 3986 has it, and doubled slashes stay."""
    assert absolute(href, base) == url


_SEGMENTS = st.lists(st.sampled_from(["a", "b;c", ".", "..", "d.tif"]), min_size=1).map("/".join)


@given(_SEGMENTS, _SEGMENTS, st.sampled_from(["", "/"]), st.sampled_from(["", "?a=b/c", "#f"]))
def test_relative_hrefs_without_doubled_slashes(path: str, of: str, begin: str, end: str) -> None:
    """Where there are none, it is as everywhere else."""
    base, href = f"https://b/{of}", f"{begin}{path}{end}"
    assert absolute(href, base) == urljoin(base, href)
