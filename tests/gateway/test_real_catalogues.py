"""What `stac-rucio assets` says of real items, held against origins that refuse as theirs do.

The gateway has the origins that docs/gateway.md shows, and others with the options of these.
"""

from __future__ import annotations

import datetime as dt
import http.server
import json
import os
import re
import ssl
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests
import tomllib
import urllib3
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from nanio.auth.sigv4 import verify_header_auth, verify_presigned_url
from nanio.errors import S3Error

from stac_policy.http import GuardedAdapter
from stac_rucio.cli import cli
from tests.gateway.fronts import ACCESS_KEY, SECRET_KEY, aws, cdse
from tests.gateway.running import running
from tests.threads import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "gateway.md"
SECRETS = {
    "access_key": "id",
    "secret_key": "secret",
    "token": "token",
    "username": "id",
    "password": "secret",
}
"""The options for secrets, and the files that `running` writes."""
SIGNED_HOST = "d1.cloudfront.net"
LOGIN = "https://urs.earthdata.nasa.gov/oauth/authorize"
SAS_ENDPOINT = "https://planetarycomputer.microsoft.com/api/sas/v1/token/{account}/{container}"
CDSE = "https://eodata.dataspace.copernicus.eu/eodata/"
GRANTS = "https://identity.dataspace.copernicus.eu/auth/realms/CDSE/protocol/openid-connect/token"
CATALOGUE, DOWNLOADS = "catalogue.dataspace.copernicus.eu", "download.dataspace.copernicus.eu"
TOKEN = "t0k3n-of-test"  # noqa: S105 - as `running` has it
ANYBODY = {"open", "public bucket"}


def content_of(url: str) -> bytes:
    """The bytes of an object, by its URL without a query that signs it."""
    parts = urlsplit(url.replace(CATALOGUE, DOWNLOADS))
    return f"bytes of {parts.hostname}{parts.path}".encode()


def is_signed(method: str, asked: Any, headers: dict[str, str]) -> bool:
    """Whether a request of S3 has a right signature of ours, by nanio's judgement."""
    verify = verify_presigned_url if "X-Amz-Signature" in asked.query else verify_header_auth
    try:
        verify(
            method=method,
            path=unquote(asked.path),
            query=asked.query,
            headers=headers,
            secret_lookup={ACCESS_KEY: SECRET_KEY}.get,
        )
    except S3Error:
        return False
    return True


class Origins(http.server.BaseHTTPRequestHandler):
    """All origins of the corpus; each refuses what the real one refuses."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    anybody: frozenset[str] = frozenset()
    """Hosts that ask nobody who they are."""

    def log_message(self, *_: Any) -> None:
        """Keep the output of tests free of requests."""

    def do_POST(self) -> None:
        """Grant a token to who has the password."""
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        login = [form[name] for name in ("client_id", "grant_type", "username", "password")]
        assert login == [["cdse-public"], ["password"], [ACCESS_KEY], [SECRET_KEY]]
        assert f"https://{self.headers['Host']}{self.path}" == GRANTS
        body = json.dumps({"access_token": TOKEN, "expires_in": 600}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Answer GET and HEAD."""
        host = self.headers["Host"].partition(":")[0]
        path = self.requestline.split()[1]  # in whose `path` http.server makes one slash of two
        status, headers, body = self.answer(host, urlsplit(f"https://{host}{path}"))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - http.server's way to name methods

    def answer(  # noqa: PLR0911 - as many kinds of origins
        self, host: str, asked: Any
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for a request."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        authorization, query = headers.get("authorization", ""), parse_qs(asked.query)
        content = content_of(f"https://{host}{asked.path}")
        found: tuple[int, dict[str, str], bytes] = 200, {}, content
        if host == urlsplit(SAS_ENDPOINT).hostname and asked.path.startswith("/api/sas/"):
            ends = dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=1)
            token = f"sv=2024&sig={'-'.join(asked.path.split('/')[-2:])}"
            said = {"token": token, "msft:expiry": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}
            return 200, {}, json.dumps(said).encode()
        if host in self.anybody:
            return (400, {}, b"") if authorization or query.get("sig") else found
        if host.endswith(".blob.core.windows.net"):
            whose = f"{host.partition('.')[0]}-{asked.path.split('/')[1]}"
            return found if query.get("sig") == [whose] and not authorization else (404, {}, b"")
        if CDSE.startswith(f"https://{host}/"):
            signed = is_signed(self.command, asked, headers) and not cdse(self.path, headers)
            return found if signed else (403, {}, b"")
        if host.startswith("cbers-pds.s3."):
            signed = is_signed(self.command, asked, headers) and not aws(self.path, headers)
            return found if signed else (403, {}, b"")
        if host == SIGNED_HOST:
            path = query.get("of", [""])[0]
            return (400, {}, b"") if authorization else (200, {}, content_of(f"https://{path}"))
        if authorization != f"Bearer {TOKEN}":
            return 302, {"Location": LOGIN}, b""
        if "nasa.gov" in host:
            return 302, {"Location": f"https://{SIGNED_HOST}/x?of={host}{asked.path}"}, b""
        if host == CATALOGUE:
            return 301, {"Location": f"https://{DOWNLOADS}{asked.path}"}, b""
        return found


def certificate(folder: Path, hosts: set[str]) -> Path:
    """Make a key and a certificate for hosts, which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "origins of tests")])
    names = [x509.DNSName(host) for host in sorted(hosts)]
    now = dt.datetime.now(dt.timezone.utc)
    day = dt.timedelta(days=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file = folder / "origins.pem"
    file.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, *plain))
    return file


@contextmanager
def internet(folder: Path, hosts: set[str], anybody: frozenset[str]) -> Iterator[None]:
    """Let every host be a server of this machine, at port 443 with TLS."""
    pem = certificate(folder, hosts)
    handler = type("_Origins", (Origins,), {"anybody": anybody})
    plain = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    secure = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    connect: Any = urllib3.util.connection.create_connection

    def connected(address: tuple[str, int], *args: Any, **options: Any) -> Any:
        host, port = address
        if host != "127.0.0.1":
            address = ("127.0.0.1", (plain if port == 80 else secure).server_port)
        return connect(address, *args, **options)

    with pytest.MonkeyPatch.context() as patch, serving(plain), serving(secure):
        patch.setattr("urllib3.util.connection.create_connection", connected)
        patch.setenv("REQUESTS_CA_BUNDLE", str(pem))
        yield


def fetchable(folder: Path) -> list[dict[str, Any]]:
    """What `stac-rucio assets` says of the assets that can be fetched, selected or not."""
    found = []
    for path in sorted([*folder.glob("*.json"), *folder.glob("providers/*.ndjson")]):
        result = CliRunner().invoke(cli, ["assets", str(path), "--json"])
        # Older versions of click mix in what is said on stderr.
        lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
        found += [line for line in lines if line["fetchable"]]
    return found


def documented(folder: Path) -> dict[str, dict[str, Any]]:
    """The origins that the operator's page has, with secrets of the tests."""
    blocks = re.findall("```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (said,) = (tomllib.loads(block)["origins"] for block in blocks if "[origins." in block)
    files = {name: {"file": str(folder / file)} for name, file in SECRETS.items()}
    return {
        prefix: {name: files.get(name, value) for name, value in entry.items()}
        for prefix, entry in said.items()
    }


def entries(folder: Path, lines: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The configuration of a gateway with a credential for each of these."""
    found = documented(folder)
    pays, _, sas, bearer, _ = found.values()
    named = tuple(
        prefix for name, entry in found.items() for prefix in (name, *entry.get("also", ()))
    )
    plain = {"sign": "bearer", "token": bearer["token"], "mode": "stream"}
    for line in lines:
        url = urlsplit(line["url"])
        site = f"{url.scheme}://{url.netloc}/"
        if line["url"].startswith(named):
            continue
        if line["access"] == "requester pays":
            found[site] = {**pays, "region": "us-east-1"}
        elif line["access"] == "bearer":
            found[site] = bearer if "nasa.gov" in url.netloc else plain
        else:
            found[f"{site}{url.path.split('/')[1]}/"] = sas
    return found


@pytest.mark.usefixtures("corpus")
def test_all_that_is_called_fetchable_is_fetched(tmp_path: Path) -> None:
    """Open ones as any transfer gets them, others through the gateway, and not without it."""
    lines = fetchable(Path(os.environ["STAC_CORPUS"]))
    wanting = [line for line in lines if line["access"] not in ANYBODY]
    configuration = entries(tmp_path, wanting)
    hosts = {urlsplit(line["url"]).hostname or "" for line in lines}
    anybody = frozenset(
        urlsplit(line["url"]).hostname or "" for line in lines if line["access"] in ANYBODY
    )
    endpoints = (LOGIN, SAS_ENDPOINT, GRANTS)
    hosts |= {SIGNED_HOST, *(urlsplit(url).hostname or "" for url in endpoints)}
    fetched: Counter[str] = Counter()
    tried: list[list[str]] = []
    with (
        internet(tmp_path, hosts, anybody),
        running(tmp_path, configuration) as gateway,
        requests.Session() as session,
    ):
        session.mount("https://", GuardedAdapter())  # requests makes one slash of two
        for line in lines:
            url, kind = line["url"], line["access"]
            at_gateway = url if kind in ANYBODY else gateway.url_of(url)
            if kind not in ANYBODY:
                assert "gateway" in line["needs"]
                place = url.split("/")[: 4 if kind == "signed" else 3]
                if place not in tried:  # as FTS begins, and as one who has no gateway
                    tried.append(place)
                    head = session.head(at_gateway, timeout=30)
                    assert head.headers["Content-Length"] == str(len(content_of(url)))
                    refused = session.get(url, timeout=30, allow_redirects=False)
                    assert refused.status_code in {302, 403, 404}, url
            answer = session.get(at_gateway, timeout=30)
            assert (answer.status_code, answer.content) == (200, content_of(url)), url
            fetched[kind] += 1
    assert fetched == Counter(line["access"] for line in lines)
    assert set(fetched) == {"open", "public bucket", "signed", "requester pays", "bearer"}
