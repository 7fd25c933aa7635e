"""A user's own credentials: what goes where, what is told, and what stays secret."""

from __future__ import annotations

import json
import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rucio.common.exception import RSEAccessDenied

from stac_policy import bodies, http
from stac_policy.access import Origins, origins
from stac_policy.credentials import Credentials
from stac_policy.protocol import Default
from tests.origin import redirect, running_origin, status
from tests.policy.support import configured
from tests.policy.test_protocol import ATTRIBUTES, RSE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.origin import Origin

KEY, SECRET, TOKEN = "AKIDEXAMPLE", "s3cr3t-key-of-test", "t0k3n-of-test"
LANDSAT = "https://usgs-landsat.s3.us-west-2.amazonaws.com/a/B4.TIF"
SITE = "https://s3.site.example:9000"


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any credential."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REQUEST_PAYER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("EARTHDATA_TOKEN", raising=False)
    return tmp_path


@pytest.fixture
def with_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment has keys of AWS."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@pytest.fixture
def table(user: Path, origin: Origin) -> Iterator[Path]:
    """A table with origins of the tests, in which a test writes more."""
    path = user / "origins.tsv"
    host = origin.url.partition("//")[2]
    path.write_text(
        f"=sas\tsigned\tTEST_KEY {origin.url}/token/{{account}}/{{container}}\ta SAS\ttest\n"
        f"=token\tbearer\tTEST_TOKEN {origin.url}/grant\ta token of ours\ttest\n"
        f"=header\tAPI key\tX-API-Key: TEST_TOKEN\ta key of ours\ttest\n"
        f"{host}/data/\tbearer\t\t=token\ttest\n"
        f"{host}/blobs/\tsigned\t\t=sas\ttest\n"
        f"{host}/keyed/\tAPI key\t\t=header\ttest\n"
        f"=grant\tbearer\t{origin.url}/oauth?grant_type=password&client_id=us\ta token\ttest\n"
        f"=client\tbearer\t{origin.url}/client?grant_type=client_credentials\ta token\ttest\n"
        "=own\tsigned\tTEST_SAS\ta SAS of ours\ttest\n"
        f"{host}/password/\tbearer\t\ta password\ttest\n"
        f"{host}/granted/\tbearer\t\t=grant\ttest\n"
        f"{host}/of-client/\tbearer\t\t=client\ttest\n"
        f"{host}/own/\tsigned\t\t=own\ttest\n"
        "daac.example\tbearer\t\t=token\ttest\n"
        "*.wild.example\tbearer\t\t=token\ttest\n"
        "gs://ours\tbearer\t\t=token\ttest\n"
        f"s3://protected\tbearer\t{origin.url}\t=token\ttest\n"
        f"s3://site-data\tsigned\t{SITE}\tkeys of ours\ttest\n"
    )
    with configured(origins=str(path)):
        yield path


def read(url: str, credentials: Credentials | None = None) -> bytes:
    """Return what a URL gives to a user."""
    session = http.make_session(signer=credentials or Credentials())
    with session, http.open_url(session, url) as response:
        http.require_ok(response)
        return b"".join(bodies.pieces(response))


def asked(url: str, **options: Any) -> http.Request:
    """Return the request that a user makes of a URL."""
    return Credentials(**options).request("GET", url)


# Keys of S3.


@pytest.mark.usefixtures("with_keys")
def test_who_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that the requester pays for is made when the user says so, and not before."""
    unpaid = asked(LANDSAT)
    assert (unpaid.url, dict(unpaid.headers)) == (LANDSAT, {})
    assert "--pays" in unpaid.lacks
    paid = asked(LANDSAT, pays=True)
    assert paid.url == LANDSAT
    assert paid.headers["x-amz-request-payer"] == "requester"
    assert f"Credential={KEY}/" in paid.headers["Authorization"]
    assert "/us-west-2/s3/" in paid.headers["Authorization"]
    assert SECRET not in str(paid.headers)
    monkeypatch.setenv("AWS_REQUEST_PAYER", "requester")
    assert asked(LANDSAT).headers.keys() == paid.headers.keys()


def test_keys_that_lack() -> None:
    """Without keys, what to set is said."""
    assert "AWS_PROFILE" in asked(LANDSAT, pays=True).lacks
    assert "AWS_PROFILE" in asked("https://veda-data-store.s3.amazonaws.com/a").lacks


@pytest.mark.usefixtures("with_keys", "table")
@pytest.mark.parametrize(
    "url",
    [
        "https://private-bucket-of-theirs.s3.amazonaws.com/a",
        "https://veda-data-store.s3.amazonaws.com.evil.example/a",
        "https://evil.example/veda-data-store.s3.amazonaws.com/a",
        "https://eodata.s3.amazonaws.com/a",
        "https://eodata.dataspace.copernicus.eu/eodata/a",
        f"{SITE}/site-data/a",
        "http://veda-data-store.s3.amazonaws.com/a",
        "https://veda-data-store.s3.amazonaws.com/a?acl",
        "https://veda-data-store.s3.amazonaws.com/?list-type=2",
        "https://data.example.org/a",
    ],
)
def test_where_keys_of_aws_do_not_go(url: str) -> None:
    """They go to buckets of AWS that the table knows to want them, and are of other places not."""
    found = asked(url, pays=True)
    assert (found.url, dict(found.headers)) == (url, {})


@pytest.mark.usefixtures("table")
def test_profiles_by_endpoint(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another endpoint gets the keys of the profile that names it, and AWS does not."""
    (user / "credentials").write_text(
        f"[default]\naws_access_key_id = OFAWS\naws_secret_access_key = x\n"
        f"[site]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
    )
    (user / "config").write_text(
        f"[profile site]\nregion = default\nendpoint_url = {SITE}/\n"
        "[profile other]\nservices = cdse\n[services cdse]\ns3 =\n"
        "  endpoint_url = https://eodata.dataspace.copernicus.eu\n"
    )
    signed = asked(f"{SITE}/site-data/a")
    assert f"Credential={KEY}/" in signed.headers["Authorization"]
    assert "/default/s3/" in signed.headers["Authorization"]
    assert signed.credential == "keys of profile site"
    lacks = asked("https://eodata.dataspace.copernicus.eu/eodata/a").lacks
    assert "endpoint_url = https://eodata.dataspace.copernicus.eu" in lacks
    assert "Credential=OFAWS/" in asked(LANDSAT, pays=True).headers["Authorization"]
    monkeypatch.setenv("AWS_PROFILE", "site")
    assert asked(LANDSAT, pays=True).headers == {}
    monkeypatch.setenv("AWS_PROFILE", "missing")
    with pytest.raises(http.CredentialError, match="ProfileNotFound"):
        asked(LANDSAT, pays=True)


@pytest.mark.usefixtures("table", "with_keys")
def test_endpoint_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys in the environment are for the endpoint that is there with them."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", SITE)
    assert "Authorization" in asked(f"{SITE}/site-data/a").headers
    assert asked(LANDSAT, pays=True).headers == {}
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://[")
    assert "AWS_PROFILE" in asked(LANDSAT, pays=True).lacks


@pytest.mark.usefixtures("table", "with_keys")
@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"])
@pytest.mark.parametrize("value", ["k\u20acy", "k\r\nX: y"])
def test_keys_that_are_none(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Keys that may not stand in a header are told apart from a URL that leads nowhere."""
    monkeypatch.setenv(name, value)
    with pytest.raises(http.CredentialError, match="the keys of AWS hold more than one line"):
        asked(LANDSAT, pays=True)


# Signatures of Azure.


@pytest.mark.usefixtures("table")
def test_sas(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A SAS is asked for once for a container, and shown in no log."""
    for logger in (None, "urllib3"):  # a gateway in the same process silences the latter
        caplog.set_level(logging.DEBUG, logger)
    monkeypatch.setenv("TEST_KEY", "subscr1ption")
    body = {"token": "sig=S4S%2B&se=2096", "msft:expiry": "2096-10-02T07:06:40Z"}
    origin.add("/token/127/blobs", json.dumps(body).encode())
    credentials = Credentials()
    origin.add("/blobs/a", b"a")
    # Of headers like these urllib3 warns, with the URL.
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nno header\r\nConnection: close\r\n\r\n"
    origin.add("/blobs/b", lambda handler, *_: handler.wfile.write(head + b"b"))
    for name in ("a", "b"):
        assert read(f"{origin.url}/blobs/{name}", credentials) == name.encode()
    assert "Failed to parse headers" in caplog.text
    paths = [each.path for each in origin.seen]
    signed = [f"/blobs/{name}?sig=S4S%2B&se=2096" for name in ("a", "b")]
    assert paths == ["/token/127/blobs", *signed]
    keys = [each.headers.get("Ocp-Apim-Subscription-Key") for each in origin.seen]
    assert keys == ["subscr1ption", None, None]
    assert "/blobs/a" in caplog.text
    for secret in ("S4S", "subscr1ption"):
        assert secret not in caplog.text
    assert asked(f"{origin.url}/blobs/a?comp=list").headers == {}
    assert "without a query" in asked(f"{origin.url}/blobs/a?comp=list").lacks


@pytest.mark.usefixtures("table")
def test_sas_that_is_over(origin: Origin) -> None:
    """One that the origin refuses is said to be, and so is what an endpoint gives instead."""
    body = {"token": "sig=S4S", "msft:expiry": "2096-10-02T07:06:40Z"}
    origin.add("/token/127/blobs", json.dumps(body).encode())
    url = origin.add("/blobs/a", status(403))
    with pytest.raises(http.StatusError, match=r"HTTP 403, with a SAS of .*/token/127/blobs"):
        read(url)
    over = b'{"token": "sig=S4S", "msft:expiry": "2020-10-02T07:06:40Z"}'
    for answer in (status(500), status(200, b"[]"), status(200, over)):
        origin.add("/token/127/blobs", answer)
        with pytest.raises(http.PassingError, match="no token from"):
            read(url)
    assert len(origin.requests_of("/blobs/a?sig=S4S")) == 1


@pytest.mark.usefixtures("table")
def test_sas_refused_in_the_middle(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is refused is asked for anew, once for all who have it, and not for ever."""
    monkeypatch.setattr("stac_policy.signing._RENEWED_S", -1)  # none is new
    ends = {"msft:expiry": "2096-10-02T07:06:40Z"}
    for number in (1, 2):
        origin.add(f"/blobs/{number}", b"ok", status(403))
    url = origin.url
    tokens = [status(200, json.dumps({"token": f"sig={n}", **ends}).encode()) for n in range(9)]
    origin.add("/token/127/blobs", b"", *tokens)
    credentials = Credentials()
    late = credentials.request("GET", f"{url}/blobs/2")
    assert read(f"{url}/blobs/1", credentials) == b"ok"
    asked = [each.path for each in origin.seen if each.path.startswith("/blobs")]
    assert asked == ["/blobs/1?sig=0", "/blobs/1?sig=1"]
    assert late.forget()  # as another has asked for one since, that one is not forgotten
    assert read(f"{url}/blobs/2", credentials) == b"ok"
    assert len(origin.requests_of("/token/127/blobs")) == 3
    origin.add("/blobs/3", b"", *[status(403)] * 99)
    with pytest.raises(http.FetchError):
        read(f"{url}/blobs/3", credentials)


@pytest.mark.parametrize("container", ["..", "%2e%2e", "a", "A" * 4, "x" * 64])
def test_containers_that_are_none(origin: Origin, table: Path, container: str) -> None:
    """What no container of Azure is called reaches no token endpoint."""
    with table.open("a") as file:
        file.write("az://ours\tsigned\t\t=sas\ttest\n")
    origins.cache_clear()
    url = f"https://ours.blob.core.windows.net/{container}/a"
    assert asked(url) == http.Request(url, lacks="it names no container of Azure")
    assert origin.seen == []


# Tokens, keys, and passwords.


@pytest.mark.usefixtures("table")
def test_token_of_the_environment(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token goes in the header that the table names, to the origins that it names."""
    monkeypatch.setenv("TEST_TOKEN", TOKEN)
    assert asked(f"{origin.url}/data/a").headers == {"Authorization": f"Bearer {TOKEN}"}
    assert asked(f"{origin.url}/keyed/a").headers == {"X-API-Key": TOKEN}
    for url in ("https://daac.example/a", "https://storage.googleapis.com/ours/a"):
        assert asked(url).headers == {"Authorization": f"Bearer {TOKEN}"}
    elsewhere = [
        f"{origin.url}/other/a",
        "http://daac.example/a",
        "https://daac.example:8443/a",
        "https://x.daac.example/a",
        "https://x.wild.example/a",
        "https://protected.s3.amazonaws.com/a",
    ]
    assert [dict(asked(url).headers) for url in elsewhere] == [{}] * len(elsewhere)
    monkeypatch.setenv("TEST_TOKEN", "two\nlines")
    with pytest.raises(http.CredentialError, match="TEST_TOKEN holds"):
        asked(f"{origin.url}/data/a")


@pytest.mark.usefixtures("table")
def test_headers_of_an_origin(origin: Origin) -> None:
    """Headers that the user has for an origin go to it alone, whatever the table says of it."""
    credentials = Credentials(headers={f"{origin.url}/v1": {"X-Key": TOKEN}})
    assert credentials.request("GET", f"{origin.url}/data/a").headers == {"X-Key": TOKEN}
    for url in ("http://127.0.0.1:1/data/a", origin.url.replace("http:", "https:") + "/a"):
        assert credentials.request("GET", url).headers == {}
    assert TOKEN not in repr(credentials.request("GET", f"{origin.url}/data/a"))
    with pytest.raises(ValueError, match="no URL of HTTP"):
        Credentials(headers={"data.example.org": {"X-Key": TOKEN}})
    for unfit in (f"{TOKEN}\r\nX: y", f"{TOKEN}\u20ac"):
        with pytest.raises(ValueError, match=r"headers for .* hold more than one line") as error:
            Credentials(headers={origin.url: {"X-Key": unfit}})
        assert TOKEN not in str(error.value)


@pytest.mark.usefixtures("table")
def test_token_by_netrc(origin: Origin, user: Path) -> None:
    """A name and password in netrc become a token, at the endpoint of the table alone."""
    (user / "netrc").write_text(f"machine 127.0.0.1 login alice password {SECRET}\n")
    origin.add("/grant", json.dumps({"access_token": TOKEN}).encode())
    url = origin.add("/data/a", b"a")
    credentials = Credentials()
    assert [read(url, credentials) for _ in range(2)] == [b"a", b"a"]
    (granted,) = origin.requests_of("/grant")
    assert (granted.method, granted.headers["Authorization"][:6]) == ("POST", "Basic ")
    sent = [each.headers["Authorization"] for each in origin.requests_of("/data/a")]
    assert sent == [f"Bearer {TOKEN}"] * 2
    assert asked(f"{origin.url}/password/a").headers["Authorization"].startswith("Basic ")


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(
    ("path", "endpoint", "form"),
    [
        ("granted", "/oauth", f"grant_type=password&client_id=us&username=alice&password={SECRET}"),
        ("of-client", "/client", "grant_type=client_credentials"),
    ],
)
def test_token_by_oauth2(origin: Origin, user: Path, path: str, endpoint: str, form: str) -> None:
    """What netrc has is sent as the grant wants it that the table names."""
    (user / "netrc").write_text(f"machine 127.0.0.1 login alice password {SECRET}\n")
    origin.add(endpoint, json.dumps({"access_token": TOKEN, "expires_in": 600}).encode())
    url = origin.add(f"/{path}/a", b"a")
    assert read(url) == b"a"
    asked, sent = origin.seen
    assert (asked.path, asked.body.decode()) == (endpoint, form)
    assert ("Authorization" in asked.headers) is (SECRET not in form)
    assert sent.headers["Authorization"] == f"Bearer {TOKEN}"


def test_tokens_of_providers() -> None:
    """Of those that grant them for a password, what to set is known."""
    lacks = asked("https://download.dataspace.copernicus.eu/odata/v1/Products(a)/$value").lacks
    assert "set CDSE_TOKEN, or have netrc name machine identity.dataspace.copernicus.eu" in lacks


@pytest.mark.usefixtures("table")
def test_sas_of_the_environment(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SAS that the user has is appended, to what the table names alone."""
    url = f"{origin.url}/own/a"
    assert asked(url).lacks == "it needs a SAS of ours: set TEST_SAS"
    monkeypatch.setenv("TEST_SAS", "?sv=1&sig=S4S%3D")
    assert asked(url).url == f"{url}?sv=1&sig=S4S%3D"
    assert asked(f"{origin.url}/other/a").url == f"{origin.url}/other/a"
    assert "S4S" not in repr(asked(url))


@pytest.mark.usefixtures("table")
def test_password_that_is_wrong(origin: Origin, user: Path) -> None:
    """A password that is refused is not tried again for each of many files."""
    (user / "netrc").write_text(f"machine 127.0.0.1 login alice password {SECRET}\n")
    origin.add("/grant", status(401))
    credentials = Credentials()
    for name in "abc":
        with pytest.raises(
            http.CredentialError, match=r"no token from .*/grant: HTTP 401"
        ) as error:
            read(f"{origin.url}/data/{name}", credentials)
        assert SECRET not in str(error.value)
    assert [each.path for each in origin.seen] == ["/grant"]


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("text", ["", f"default login alice password {SECRET}\n"])
def test_netrc_that_names_no_host(origin: Origin, user: Path, text: str) -> None:
    """What netrc has for any host is for none; what to set is said."""
    (user / "netrc").write_text(text)
    url = origin.add("/data/a", status(401))
    with pytest.raises(http.CredentialError) as error:
        read(url)
    assert "HTTP 401: it needs a token of ours: set TEST_TOKEN, or" in str(error.value)
    assert "machine 127.0.0.1" in str(error.value)
    assert all("Authorization" not in each.headers for each in origin.seen)


@pytest.mark.usefixtures("table")
def test_netrc_that_cannot_be_parsed(origin: Origin, user: Path) -> None:
    """The error has its line, and nothing of what is there."""
    (user / "netrc").write_text(f"machine h login alice\npassword x {SECRET}\n")
    with pytest.raises(
        http.CredentialError, match=r"line [0-9] of .*netrc cannot be parsed"
    ) as error:
        asked(f"{origin.url}/data/a")
    assert SECRET not in str(error.value)
    (user / "netrc").write_bytes(b"machine 127.0.0.1 login alice password p\xe4ss\xff\n")
    with pytest.raises(http.CredentialError, match="netrc is no text in UTF-8"):
        asked(f"{origin.url}/data/a")


def test_redirects(origin: Origin, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token goes with no redirect to another host, nor with one that leads back from there."""
    monkeypatch.setenv("TEST_TOKEN", TOKEN)
    with ExitStack() as stack:
        other = stack.enter_context(running_origin())
        login = stack.enter_context(running_origin())
        with table.open("a") as file:
            for each, kind, needs in (other, "bearer", "=token"), (login, "login form", "a login"):
                file.write(f"127.0.0.1:{each.server_port}\t{kind}\t\t{needs}\ttest\n")
        origins.cache_clear()
        url = origin.add("/data/a", redirect("/data/b"))
        origin.add("/data/b", redirect(f"{other.url}/c?Signature=x"))
        other.add("/c", redirect(f"{origin.url}/data/d"))
        origin.add("/data/d", b"bytes")
        assert read(url) == b"bytes"
        sent = [(each.path, each.headers.get("Authorization")) for each in origin.seen + other.seen]
        assert sent == [
            ("/data/a", f"Bearer {TOKEN}"),
            ("/data/b", f"Bearer {TOKEN}"),
            ("/data/d", None),
            ("/c?Signature=x", None),
        ]
        origin.add("/data/l", redirect(f"{login.url}/oauth?state=x"))
        login.add("/oauth", b"<html>", b"")
        with pytest.raises(http.CredentialError, match="redirects to a login, at 127") as error:
            read(f"{origin.url}/data/l")
        assert "with TEST_TOKEN" in str(error.value)
        assert TOKEN not in str(error.value)
        monkeypatch.delenv("TEST_TOKEN")
        with pytest.raises(
            http.CredentialError, match=r"login, at 127.*: it needs a token of ours"
        ):
            read(f"{origin.url}/data/l")
        assert login.seen == []


@pytest.mark.usefixtures("table")
def test_what_a_table_has_wrong_is_open(origin: Origin) -> None:
    """Facts age: what wants nothing is fetched, whatever the table says that it wants."""
    assert read(origin.add("/data/a", b"open")) == b"open"


@pytest.mark.parametrize("is_client", [True, False])
def test_servers_have_none(monkeypatch: pytest.MonkeyPatch, *, is_client: bool) -> None:
    """The protocol of the source RSE has them in clients alone."""
    monkeypatch.setenv("RUCIO_CLIENT_MODE", "1" if is_client else "")
    protocol = Default({**ATTRIBUTES, "auth_token": None}, RSE)
    protocol.connect()
    assert isinstance(getattr(protocol._session, "signer", None), Credentials) is is_client
    protocol.close()


@pytest.mark.usefixtures("table")
def test_the_protocol_says_what_lacks(
    origin: Origin, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `rucio download` needs is in the error that Rucio shows; with it the file comes."""
    monkeypatch.setenv("RUCIO_CLIENT_MODE", "1")

    def guarded(handler: Any, *_: Any) -> None:
        is_known = handler.headers.get("Authorization") == f"Bearer {TOKEN}"
        handler.answer(200 if is_known else 401, b"bytes")

    url = origin.add("/data/a", guarded)
    protocol = Default({**ATTRIBUTES, "auth_token": None}, RSE)
    protocol.connect()
    target = user / "got"
    with pytest.raises(RSEAccessDenied, match="HTTP 401: it needs a token of ours: set TEST_TOKEN"):
        protocol.get(url, str(target))
    assert not target.exists()
    monkeypatch.setenv("TEST_TOKEN", "wrong")
    with pytest.raises(RSEAccessDenied, match="HTTP 401, with TEST_TOKEN"):
        protocol.exists(url)
    monkeypatch.setenv("TEST_TOKEN", TOKEN)
    protocol.get(url, str(target))
    assert target.read_bytes() == b"bytes"
    assert protocol.exists(url)
    protocol.close()


HOSTS = st.from_regex(r"[a-z0-9.-]{0,12}", fullmatch=True)


@given(before=HOSTS, host=st.sampled_from(["daac.example", "h.example"]), after=HOSTS)
@example("", "daac.example", "")
@example("daac.example@", "evil.example", "")
def test_tokens_go_to_whole_hosts(before: str, host: str, after: str) -> None:
    """No name that looks like a listed host's is one."""
    table = Origins(
        [
            ["=token", "bearer", "TEST_TOKEN", "a token", "test"],
            ["daac.example", "bearer", "", "=token", "test"],
        ]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stac_policy.credentials.known_origins", lambda: table)
        patch.setenv("TEST_TOKEN", TOKEN)
        found = asked(f"https://{before}{host}{after}/a")
    assert bool(found.headers) is (before + host + after == "daac.example")
