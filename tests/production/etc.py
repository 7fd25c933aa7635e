"""The files of etc/ in Debian's own Apache, nginx, systemd and Prometheus, and kubernetes-validate.

Not among the tests that are found by themselves, but run by its name:

    make etc
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from rucio.common.exception import DataIdentifierNotFound, RucioException

from stac_client.admin import examine
from stac_testbed import processes
from tests.gateway.fronts import cdse, front, object_store
from tests.gateway.running import Running, s3
from tests.gateway.running import running as running_gateway
from tests.lake.clients import rucio_client
from tests.origin import running_origin, status
from tests.servers import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stac_testbed import Lake

PROJECT = Path(__file__).parents[2]
ETC = PROJECT / "etc"
UNPACKED = Path(sys.prefix) / "debian" / "usr"
"""Where `make etc` puts what would start a service if it were installed."""
NAME = "/etc/item/red.tif"
CONTENT = bytes(range(256)) * 5000
SWITCH = "RUCIO_HTTPD_ENCODED_SLASHES_NO_DECODE"

APACHE = """\
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/pid
ErrorLog /dev/stderr
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule authz_host_module /usr/lib/apache2/modules/mod_authz_host.so
LoadModule wsgi_module /usr/lib/apache2/modules/mod_wsgi.so
WSGIDaemonProcess rucio threads=4 home={folder} python-path={packages}
WSGISocketPrefix {folder}/wsgi
<VirtualHost *>
    WSGIScriptAlias / {folder}/rucio.wsgi process-group=rucio application-group=%{{GLOBAL}}
    <Location "/">
        Require all granted
    </Location>
    {settings}
</VirtualHost>
"""
WSGI = "from stac_testbed.rucio_server import create_app\n\napplication = create_app()\n"
NGINX = """\
daemon off;
worker_processes 1;
user root;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        {settings}
    }}
}}
"""


def run(*command: str | Path) -> str:
    """Run a program that has to succeed, and return what it says."""
    result = subprocess.run(  # noqa: S603 - of Debian
        list(map(str, command)), capture_output=True, text=True, check=False
    )
    said = f"{result.stdout}\n{result.stderr}"
    assert result.returncode == 0, said
    return said


@contextmanager
def apache(lake: Lake, folder: Path, settings: str, **environment: str) -> Iterator[str]:
    """Run Rucio's server under Apache and mod_wsgi, with settings of its VirtualHost."""
    (port,) = processes.free_ports(1)
    packages = sysconfig.get_path("purelib")
    configuration = folder / "apache2.conf"
    configuration.write_text(
        APACHE.format(port=port, folder=folder, packages=packages, settings=settings)
    )
    (folder / "rucio.wsgi").write_text(WSGI)
    # It runs nothing as root, and what it shall run may be root's alone.
    user = ("unshare", "--user", "--map-user=33", "--map-group=33")
    command = (*user, "/usr/sbin/apache2", "-f", str(configuration))
    run(*command, "-t")
    variables = {
        "RUCIO_CONFIG": str(lake.layout.server_cfg),
        "PROMETHEUS_MULTIPROC_DIR": str(lake.layout.data("metrics")),
        **environment,
    }
    url = f"http://127.0.0.1:{port}"
    service = processes.Service("apache", (*command, "-DFOREGROUND"), f"{url}/ping", variables)
    with running(service, folder):
        yield url


@contextmanager
def nginx(folder: Path, settings: str, ready: str) -> Iterator[str]:
    """Run nginx with settings of its server block, once `nginx -t` has taken them."""
    (port,) = processes.free_ports(1)
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(port=port, folder=folder, settings=settings))
    command = (str(UNPACKED / "sbin" / "nginx"), "-c", str(configuration), "-e", "stderr")
    run(*command, "-t")
    url = f"http://127.0.0.1:{port}"
    with running(processes.Service("nginx", command, f"{url}{ready}"), folder):
        yield url


@pytest.fixture(scope="module")
def lake(stac_lake: Lake) -> Lake:
    """A lake with a file."""
    rucio = stac_lake.client()
    rucio.add_scope("root", "etc")
    file = {"scope": "etc", "name": NAME, "bytes": 1, "adler32": "00000001"}
    rucio.add_replicas("STAC", [{**file, "pfn": f"https://data.example.org{NAME}"}])
    return stac_lake


def understood(lake: Lake, url: str, name: str) -> Any:
    """What Rucio makes of a name in the path."""
    try:
        return rucio_client(lake, rucio_host=url, auth_host=url).get_did("etc", name)["name"]
    except DataIdentifierNotFound as error:
        (found,) = re.findall(r"etc:(.+?)'", str(error))
        return found
    except RucioException:
        return 404


def answers(lake: Lake, url: str) -> tuple[Any, int]:
    """What becomes of a name in the path, and how many are found by a request in bulk."""
    rucio = rucio_client(lake, rucio_host=url, auth_host=url)
    bulk = rucio.list_replicas([{"scope": "etc", "name": NAME}])
    return understood(lake, url, NAME), len(list(bulk))


@pytest.mark.parametrize(
    ("settings", "variable", "single"),
    [
        ("", "", 404),
        ("AllowEncodedSlashes On", "", NAME[1:]),
        ("AllowEncodedSlashes On\nMergeSlashes Off", "", NAME[1:]),
        ("AllowEncodedSlashes NoDecode", "", NAME.replace("/", "%2F")),
        (f"Include {ETC}/apache.conf", "True", NAME),
    ],
    ids=["off", "on", "unmerged", "without-variable", "etc"],
)
def test_apache(lake: Lake, tmp_path: Path, settings: str, variable: str, single: Any) -> None:
    """As the table of the operator's guide says; apache.conf is its last row.

    The doctor sees it, before there is a source RSE as well; and a `+` becomes a space.
    """
    environment = {SWITCH: variable} if variable else {}
    with apache(lake, tmp_path, settings, **environment) as url:
        assert answers(lake, url) == (single, 1)
        assert understood(lake, url, "a+b") == ("a b" if variable else "a+b")
        asked = partial(rucio_client, lake, rucio_host=url, auth_host=url)
        found = [check.code for check in examine(asked, "NOT-YET-THERE") if check.why]
        assert found == ["encoded-slashes"] * (single != NAME) + ["rse-missing"]
        if settings.endswith("apache.conf"):
            assert requests.get(f"{url}/metrics/", timeout=60).status_code == 403


def test_nginx(lake: Lake, tmp_path: Path) -> None:
    """Names keep their slashes on the way to Rucio, and batches may be large."""
    text = (ETC / "nginx-rucio.conf").read_text()
    with nginx(tmp_path, text.replace("http://127.0.0.1:8000", lake.rucio_url), "/ping") as url:
        assert answers(lake, url) == answers(lake, lake.rucio_url) == (NAME, 1)
        assert requests.get(f"{url}/metrics/", timeout=60).status_code == 403
        headers = rucio_client(lake).headers
        large = requests.post(f"{url}/replicas", b" " * (8 << 20), headers=headers, timeout=60)
        assert large.status_code == 400, "Rucio has read it, and found no JSON"


def test_nginx_decodes(lake: Lake, tmp_path: Path) -> None:
    """A slash behind the port, of which nginx-rucio.conf warns, loses one of the name."""
    text = (ETC / "nginx-rucio.conf").read_text()
    text = text.replace("http://127.0.0.1:8000", f"{lake.rucio_url}/")
    with nginx(tmp_path, text, "/ping") as url:
        assert answers(lake, url) == (NAME[1:], 1)


def test_nginx_in_front_of_serve(lake: Lake, tmp_path: Path) -> None:
    """Links lead through nginx, under the path that it gives them."""
    (port,) = processes.free_ports(1)
    upstream = f"http://127.0.0.1:{port}"
    program = str(Path(sys.executable).with_name("stac-rucio"))
    options = ("--api", lake.stac_url, "--port", str(port), "--trust-forwarded")
    service = processes.Service("serve", (program, "serve", *options), upstream, lake.environment())
    settings = (ETC / "nginx-serve.conf").read_text().replace("http://127.0.0.1:8080", upstream)
    with running(service, tmp_path), nginx(tmp_path, settings, "/stac/") as url:
        answer = requests.get(f"{url}/stac/", headers={"Host": "near.example.org"}, timeout=60)
        links = {link["rel"]: link["href"] for link in answer.json()["links"]}
        assert links["self"].rstrip("/") == "http://near.example.org/stac"
        assert requests.get(f"{url}/stac/healthz", timeout=60).json() == {"status": "ok"}
        assert requests.get(f"{url}/stac/metrics", timeout=60).status_code == 403


def test_nginx_in_front_of_the_gateway(tmp_path: Path) -> None:
    """The gateway signs, nginx has the bytes; what is no file of the origin is none of nginx."""
    odd = "a%20b//c+d%2Fe%3Ff"
    with (
        running_origin() as origin,
        object_store(tmp_path / "store", {"bucket/a b": CONTENT}) as store,
        front(store, cdse) as bucket,
    ):
        token = {"sign": "bearer", "token": {"file": str(tmp_path / "token")}}
        entries = {
            f"{origin.url}/data/": {**token, "mode": "nginx"},
            f"{bucket.url}/bucket/": s3(tmp_path, mode="nginx"),
        }
        headers = {"Set_Cookie": "a=b", "X_Accel_Redirect": "/metrics", "Cache_Control": "public"}
        origin.add(f"/data/{odd}", CONTENT)
        origin.add("/data/more", status(200, CONTENT, **headers))
        for code in (302, 401, 403, 429, 500):
            origin.add(f"/data/{code}", status(code, b"secret of the origin", Location="/data/a"))
        settings = (ETC / "nginx-gateway.conf").read_text()
        with (
            running_gateway(tmp_path, entries, proxies=["127.0.0.1"]) as gateway,
            nginx(
                tmp_path, settings.replace("http://127.0.0.1:8090", gateway.url), "/healthz"
            ) as url,
        ):
            behind = Running(url, gateway.keys)
            for path in (f"{origin.url}/data/{odd}", f"{bucket.url}/bucket/a%20b"):
                got = behind.get(path, headers={"Authorization": "Bearer theirs"})
                assert (got.status_code, got.content, got.history) == (200, CONTENT, [])
                assert got.headers["Cache-Control"] == "no-store"
                part = behind.get(path, headers={"Range": "bytes=5-"})
                assert (part.status_code, part.content) == (206, CONTENT[5:])
                head = behind.get(path, "HEAD")
                assert head.headers["Content-Length"] == str(len(CONTENT))
                assert "Server" not in gateway.get(path).headers, "without nginx it has the bytes"
            assert origin.seen[0].path == f"/data/{odd}"
            for seen in (
                *(each.headers for each in origin.seen),
                *(each[2] for each in bucket.seen),
            ):
                assert "theirs" not in str(seen)
            more = behind.get(f"{origin.url}/data/more")
            assert more.content == CONTENT
            assert {"Set-Cookie", "X-Accel-Redirect"}.isdisjoint(more.headers)
            assert behind.get(f"{origin.url}/data/none").status_code == 404
            past = {"Range": f"bytes={len(CONTENT)}-"}
            beyond = behind.get(f"{origin.url}/data/{odd}", headers=past)
            assert beyond.headers["Content-Range"] == f"bytes */{len(CONTENT)}"
            assert (beyond.status_code, beyond.text.count("no byte")) == (416, 1)
            for code in (302, 401, 403, 429, 500):
                answer = behind.get(f"{origin.url}/data/{code}", allow_redirects=False)
                assert answer.status_code == 503
                assert "secret" not in answer.text
                assert answer.headers["Retry-After"] == "30"
            for path in ("/.origin", "/1/x"):
                assert requests.get(f"{url}{path}", timeout=60).status_code in {403, 404}
            assert requests.get(f"{url}/metrics", timeout=60).status_code == 200
    assert "t0k3n" not in "".join(path.read_text() for path in tmp_path.glob("*.log"))


@pytest.mark.parametrize("verb", ["serve", "gateway"])
def test_systemd(tmp_path: Path, verb: str) -> None:
    """Systemd finds nothing wrong with the unit, and little that it exposes."""
    unit = tmp_path / f"stac-rucio-{verb}.service"
    program = str(Path(sys.executable).with_name("stac-rucio"))
    text = (ETC / unit.name).read_text()
    unit.write_text(re.sub(rf"/opt/\S+/bin/stac-rucio {verb}", f"{program} {verb}", text))
    # What it does not know it warns of, and goes on.
    assert unit.name not in run("systemd-analyze", "verify", "--man=no", unit)
    run("systemd-analyze", "security", "--offline=true", "--threshold=30", unit)


def test_kubernetes() -> None:
    """Kubernetes has every field, from the first version that the file names to the newest."""
    validate = Path(sys.executable).with_name("kubernetes-validate")
    for version in (["-k", "1.29"], []):
        run(validate, "--strict", *version, ETC / "kubernetes-job.yaml")


def test_prometheus() -> None:
    """Prometheus takes the files, and alarms ring when they shall."""
    promtool = UNPACKED / "bin" / "promtool"
    run(promtool, "check", "config", ETC / "prometheus.yml")
    run(promtool, "test", "rules", PROJECT / "tests" / "data" / "prometheus-rules-test.yml")
