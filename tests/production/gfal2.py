"""The gateway and the library that FTS copies with, which needs Debian's packages of gfal2.

Not among the tests that are found by themselves, but run by its name:

    make gfal2
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from stac_rucio.gateway._push import SIGNED_PUT_BYTES
from stac_testbed._tls import AUTHORITY, TRUSTED, make_certificates
from stac_testbed.processes import Service, free_ports
from tests import origin as answers
from tests.gateway.fronts import ACCESS_KEY, SECRET_KEY, object_store
from tests.gateway.running import running, s3
from tests.origin import running_origin
from tests.servers import running as running_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.origin import Origin

CONTENT = bytes(range(256)) * 8000
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
S3 = f"""\
[S3:127.0.0.1]
ACCESS_KEY={ACCESS_KEY}
SECRET_KEY={SECRET_KEY}
REGION=us-east-1
ALTERNATE=true
"""
IN_ONE_CONTEXT = """\
import sys, gfal2
context, (source, target) = gfal2.creat_context(), sys.argv[1:]
sizes = [context.stat(source).st_size]
context.filecopy(context.transfer_parameters(), source, target)
print(*sizes, context.stat(source).st_size)
"""


@pytest.fixture
def copies(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An object store with a private object and a bucket for copies, and the folder of these."""
    folder = tmp_path / "store" / "copies"
    folder.mkdir(parents=True)
    with object_store(folder.parent, {"private/a b.tif": CONTENT}) as store:
        yield store, folder


def gfal2(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of gfal2, by Debian's Python, with the keys of the object store."""
    configuration = folder / "gfal2.d"
    if not configuration.exists():
        shutil.copytree("/etc/gfal2.d", configuration)
        (configuration / "s3.conf").write_text(S3)
    own = {"GFAL_CONFIG_DIR": str(configuration), "GFAL_PYTHONBIN": "/usr/bin/python3"}
    return subprocess.run(  # noqa: S603 - of the machine
        command, env={**os.environ, **own}, capture_output=True, text=True, check=False, timeout=120
    )


def authorities_of(tls: Path, folder: Path) -> Path:
    """A folder with the authority of certificates, as gfal2 looks for it."""
    hashed = ("openssl", "x509", "-hash", "-noout", "-in", str(tls / AUTHORITY))
    name = subprocess.run(hashed, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 - of the machine
    authorities = folder / "authorities"
    authorities.mkdir()
    shutil.copy(tls / AUTHORITY, authorities / f"{name}.0")
    return authorities


def push(folder: Path, source: str, to: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Copy as FTS does where Rucio has appended what sends a file."""
    source = f"{source}?copy_mode=push"
    return gfal2(folder, "gfal-copy", *options, "--checksum-mode", "target", source, to)


@pytest.mark.parametrize("mode", ["redirect", "stream"])
def test_to_s3(copies: tuple[str, Path], tmp_path: Path, mode: str) -> None:
    """Bytes that want keys at both ends arrive; a right md5 is found right, and a wrong one not."""
    store, folder = copies
    to = f"s3{store.removeprefix('http')}/copies/B04.tif"
    entry = s3(tmp_path, mode=mode)
    with running(
        tmp_path, {f"{store}/private/": entry}, destinations={f"{store}/copies/": {}}
    ) as gateway:
        source = gateway.url_of(f"{store}/private/a%20b.tif")
        result = push(tmp_path, source, to, "-K", f"MD5:{MD5}")
        assert result.returncode == 0, result.stderr
        assert (folder / "B04.tif").read_bytes() == CONTENT
        result = push(tmp_path, source, to, "-f", "-K", f"MD5:{'f' * 32}")
    assert result.returncode != 0
    assert "User-defined and destination MD5 do not match" in result.stderr


def test_to_webdav(origin: Origin, tmp_path: Path) -> None:
    """So they do at a server of WebDAV that fetches nothing; FTS makes the folders there."""
    url = origin.add("/data/a", CONTENT)
    (port,) = free_ports(1)
    application = f"stac_testbed.files:create_storage({str(tmp_path / 'dav')!r}"
    command = (
        *(sys.executable, "-m", "gunicorn", "--no-control-socket", "--threads", "4"),
        *("--bind", f"127.0.0.1:{port}", f"{application}, third_party_copy=False)"),
    )
    service = Service("dav", command, f"http://127.0.0.1:{port}/")
    with (
        running_service(service, tmp_path),
        running(
            tmp_path,
            {f"{origin.url}/data/": {}},
            destinations={f"http://127.0.0.1:{port}/rucio/": {}},
        ) as gateway,
    ):
        to = f"dav://127.0.0.1:{port}/rucio/deep/a"
        adler32 = f"ADLER32:{zlib.adler32(CONTENT):08x}"
        result = push(tmp_path, gateway.url_of(url), to, "-p", "-K", adler32)
        assert result.returncode == 0, result.stderr
    assert (tmp_path / "dav" / "rucio" / "deep" / "a").read_bytes() == CONTENT


def test_to_webdav_with_a_token(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token that FTS has for the destination goes there with the file."""
    tls = tmp_path / "tls"
    for folder in (tls, tmp_path / "logs"):
        folder.mkdir()
    make_certificates(tls, tmp_path / "logs", "storage")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls / TRUSTED))
    monkeypatch.setenv("X509_CERT_DIR", str(authorities_of(tls, tmp_path)))
    monkeypatch.setenv("BEARER_TOKEN", "t0k3n-of-user")
    url = origin.add("/data/a", CONTENT)

    def answer(handler: Any, *_: Any) -> None:
        handler.answer(201 if handler.command == "PUT" else 404)

    with running_origin(tls / "storage.pem") as storage:
        storage.add("/dav/a", answer, head=answer)
        entries: dict[str, dict[str, Any]] = {f"{storage.url}/dav/": {}}
        with running(tmp_path, {f"{origin.url}/data/": {}}, destinations=entries) as gateway:
            to = f"dav{storage.url.removeprefix('http')}/dav/a"
            result = push(tmp_path, gateway.url_of(url), to)
    assert result.returncode == 0, result.stderr
    put = storage.seen[-1]
    assert (put.method, put.body) == ("PUT", CONTENT)
    assert put.headers["Authorization"] == "Bearer t0k3n-of-user"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (answers.Answer(announced=SIGNED_PUT_BYTES + 1), "one signed PUT takes"),
        (answers.cut(512_000, CONTENT), "ended after 512,000 of 2,048,000 bytes"),
    ],
)
def test_reasons(
    copies: tuple[str, Path], origin: Origin, tmp_path: Path, answer: Any, said: str
) -> None:
    """Whoever looks at the transfer finds why it failed."""
    store, folder = copies
    url = origin.add("/data/a", answer)
    with running(
        tmp_path, {f"{origin.url}/data/": {}}, destinations={f"{store}/copies/": {}}
    ) as gateway:
        result = push(tmp_path, gateway.url_of(url), f"s3{store.removeprefix('http')}/copies/a")
    assert result.returncode != 0
    assert said in result.stderr
    assert list(folder.iterdir()) == []


def test_stat_copy_stat(copies: tuple[str, Path], tmp_path: Path) -> None:
    """It keeps redirects of GET for HEAD, which no signature covers: so it gets none."""
    store, _ = copies
    target = tmp_path / "a"
    with running(tmp_path, {f"{store}/private/": s3(tmp_path)}) as gateway:
        source = gateway.url_of(f"{store}/private/a%20b.tif")
        command = ("/usr/bin/python3", "-c", IN_ONE_CONTEXT, source, f"file://{target}")
        result = gfal2(tmp_path, *command)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [str(len(CONTENT))] * 2
    assert target.read_bytes() == CONTENT
