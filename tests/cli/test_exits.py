"""Exit codes and the one line that explains them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from chaos.proxy import Proxy, Strike
from stac_client import AccessError, AlternatesWarning, AssetsWarning, ItemsWarning
from stac_rucio.inputs import Connection
from tests.items import many_items

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    from stac_testbed.lake import Lake


START = "from stac_rucio.__main__ import main; main()"

NO_SERVER = "http://127.0.0.1:1"
RULE = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["register"], "--rse"),
        (["register", "--rse", "STAC"], "no items"),
        (["register", "--rse", "STAC", "-c", "x"], "needs --api"),
        (["register", "--rse", "STAC", "--headers", "a=b"], "needs --api"),
        (["register", "--rse", "STAC", "x.json", "--api", "u"], "not both"),
        (["register", "--rse", "STAC", "no-such-file.json"], "no-such-file.json"),
        (["register", "--rse", "STAC", "-", "-"], "only once"),
        (["plan", "--rse", "STAC", "--api", "u", "--intersects", "{"], "GeoJSON"),
        (["plan", "--rse", "STAC", "--api", "u", "--intersects", "[]"], "GeoJSON"),
        (["plan", "--rse", "STAC", "--api", "u", "--headers", "secret"], "NAME=VALUE"),
        (["plan", "--rse", "STAC", "--api", "u", "--filter", "{"], "not JSON"),
        (["plan", "--rse", "STAC", "--api", "u", "--filter-lang", "cql2-text"], "--filter, which"),
        (["status", RULE[:8]], "whole id of a rule"),
        (["status", RULE, __file__], "not both"),
        (["status", RULE, "--assets", "red"], "assets of items"),
        (["status", "--items", __file__], "--items is for rules"),
        (["rules", "list", "--role", "data"], "assets of items"),
        (["wait"], "no rules"),
        (["wait", "nonsense"], "32 hex digits"),
        (["rules", "delete", RULE], "pass --yes"),
        (["admin", "scope"], "--api URL"),
        (["no-such-verb"], "No such command"),
    ],
)
def test_wrong_command_lines(run: Callable[..., Result], typed: list[str], said: str) -> None:
    """A command line that makes no sense ends with exit code 2 and says what is wrong."""
    result = run(*typed)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "secret" not in result.stderr.replace("--headers", "")
    assert result.stdout == ""


def test_what_pystac_client_can_not_search(run: Callable[..., Result], stac_lake: Lake) -> None:
    """What pystac-client refuses is a wrong command line too."""
    result = run("plan", "--rse", "STAC", "--api", stac_lake.stac_url, "--datetime", "yesterday")
    assert result.exit_code == 2
    assert "yesterday" in result.stderr


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        (NO_SERVER, 3, "does not answer: Connection refused"),
        ("{api}/no-such-place", 1, "answers 404; is the URL right?"),
        ("{api}/collections", 1, "gives no STAC"),
    ],
)
def test_stac_apis_that_are_none(
    run: Callable[..., Result], stac_lake: Lake, url: str, code: int, said: str
) -> None:
    """An API that does not answer, or not as one, is named in one line."""
    url = url.format(api=stac_lake.stac_url)
    result = run("plan", "--rse", "STAC", "--api", url)
    assert result.exit_code == code
    assert f"the STAC API {url} {said}" in result.stderr
    assert "object at" not in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("kind", "ends"),
    [
        ("reset-before", (3, "not answer: ")),
        ("500", (1, "answers 500")),
        ("half", (3, "it ended after")),
    ],
)
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_stac_apis_that_fail_at_any_request(
    run: Callable[..., Result], stac_lake: Lake, kind: str, ends: tuple[int, str], nth: int
) -> None:
    """An API that fails is no wrong command line, whichever of the requests it fails at."""
    proxy = Proxy(stac_lake.stac_url)
    proxy.arm(Strike(kind, nth=nth, times=99))
    code, said = ends
    try:
        result = run("plan", "--rse", "STAC", "--api", proxy.url, "-c", "alpine-optical")
    finally:
        proxy.close()
    assert result.exit_code == code, result.stderr
    assert f"the STAC API {proxy.url}" in result.stderr
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("api", ["127.0.0.1:9999", "localhost:9999", "/etc/passwd", "s3://b/k"])
@pytest.mark.parametrize("verb", ["plan --rse STAC", "admin scope --dry-run"])
def test_what_is_no_api(run: Callable[..., Result], verb: str, api: str) -> None:
    """What is no URL is told from an API that does not answer."""
    result = run(*verb.split(), "--api", api)
    assert result.exit_code == 5
    assert "is no URL of a STAC API" in result.stderr
    assert result.stderr.count("\n") == 1


def test_what_does_not_exist(
    run: Callable[..., Result], items_file: Callable[[list[Any]], str]
) -> None:
    """An RSE, an RSE expression or a rule that does not exist ends with exit code 5."""
    file = items_file(many_items("x", 1, 1))
    for typed, said in (
        (("register", file, "--rse", "NOWHERE"), "NOWHERE"),
        (("deregister", file, "--rse", "NOWHERE", "--yes"), "NOWHERE"),
        (("replicate", file, "--rses", "NOWHERE", "--dry-run"), "NOWHERE"),
        (("wait", RULE), RULE),
        (("status", RULE), RULE),
        (("register", "-", "--rse", "STAC"), "standard input"),
    ):
        result = run(*typed, stdin="no items")
        assert result.exit_code == 5, result.stderr
        assert said in result.stderr


SOURCE = ("--rse", "STAC")
EMPTY = '{"type": "FeatureCollection", "features": []}'


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        (("register", *SOURCE, "--assets", "rde"), 5, "rde: .*near it: red"),
        (("plan", *SOURCE, "--role", "dat"), 5, "dat: .*near it: data"),
        (("sync", *SOURCE, "--media-type", "image/tif"), 5, "image/tif: .*near it: image/tiff"),
        (("replicate", "--rses", "tier=disk", "--assets", "rde"), 5, "near it: red"),
        (("status", "--assets", "rde"), 5, "near it: red"),
        (("plan", "--rse", "DISK-A"), 5, "deterministic, as storages are.*STAC"),
        (("register", "--rse", "DISK-A"), 5, "deterministic, as storages are.*STAC"),
        (("deregister", "--rse", "DISK-A", "--yes"), 5, "deterministic.*STAC"),
        (("register", "--rse", "stac"), 5, "near it: STAC"),
        (("download", "--rse", "disk-a"), 5, "near it: DISK-A"),
        (("replicate", "--rses", "disk-a", "--dry-run"), 5, "near it: DISK-A"),
        (("alternates", "--prefer", "disk-a"), 5, "near it: DISK-A"),
        (("alternates", "--prefer", "nearest", "--site", "ALPS"), 5, "site=ALPS"),
        (("download", "--prefer", "disk-a"), 5, "near it: DISK-A"),
        (("download", "--prefer", "nearest"), 5, "--site"),
        (("alternates", "--only", "tier=dsk"), 5, "'tier=dsk' is no RSE.*DISK-A"),
        (
            ("status", "--scope", "alpine-optica"),
            5,
            "no scope alpine-optica; near it: alpine-optic",
        ),
        (("alternates", "--scope", "alpine-optica"), 5, "near it: alpine-optic"),
        (("deregister", *SOURCE, "--yes", "--scope", "alpine-optica"), 5, "near it: alpine-optic"),
        (("replicate", "--rses", "DISK-A", "--dry-run", "--dataset-scope", "rot"), 5, "scope rot"),
        (
            ("admin", "setup-rse", "STAC", "--destinations", "DISK-A", "--fts", "fts"),
            5,
            "no URL of",
        ),
        (
            ("admin", "setup-rse", "STAC", "--destinations", "DISK-A", "--owner", "rot"),
            5,
            "near it: root",
        ),
        (("admin", "setup-rse", "a b", "--destinations", "DISK-A", "--dry-run"), 5, "RSE 'a b'"),
        (("replicate", "--rses", "DISK-A", "--copies", "2", "--dry-run"), 5, "1 RSE: DISK-A"),
        (("plan", *SOURCE, "-c", "alpine-optic"), 5, "'alpine-optic'; near it: alpine-optical"),
        (("sync", *SOURCE, "--datetime", "1999-01-01"), 0, "No items: the search finds none"),
        (("alternates", "--datetime", "1999-01-01"), 0, "No items: the search finds none"),
        (("replicate", "--rses", "tier=disk", "--datetime", "1999-01-01"), 5, "no assets are"),
        (
            ("replicate", "--rses", "DISK-A", "--dry-run", "--datetime", "1999-01-01"),
            5,
            "no assets",
        ),
    ],
)
def test_nothing_said_wrong_is_met_with_silence(
    run: Callable[..., Result], stac_lake: Lake, typed: tuple[str, ...], code: int, said: str
) -> None:
    """Names that nothing has are errors that name those near; a search may find nothing."""
    search = ("--api", stac_lake.stac_url, "--max-items", "2")
    of = () if "-c" in typed else ("-c", "alpine-optical")
    result = run(*typed, *search, *of)
    assert (result.exit_code, bool(re.search(said, result.stderr, re.MULTILINE))) == (code, True), (
        result.output
    )


@pytest.mark.parametrize(
    ("typed", "warning", "said"),
    [
        (("plan", *SOURCE, "--ids", "x,y"), ItemsWarning, "no item with the id 'x', 'y'$"),
        (("assets", "--alternate-assets", "s3"), AssetsWarning, "asset s3: no item has an asset"),
        (("assets", "--rse", "STAK"), AssetsWarning, "asset STAK: no item has an asset"),
        (
            ("alternates", "--mounts", "davs://nowhere:443/=/eos"),
            AlternatesWarning,
            "'davs://nowhere:443/'; known: ",
        ),
    ],
)
def test_what_a_warning_tells(
    run: Callable[..., Result],
    stac_lake: Lake,
    typed: tuple[str, ...],
    warning: type[Warning],
    said: str,
) -> None:
    """Where the rest may be what was meant, a warning names what is not there."""
    with pytest.warns(warning, match=said):
        result = run(*typed, "--api", stac_lake.stac_url, "-c", "alpine-optical")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("typed", "stdin", "code"),
    [
        (("register", "-", *SOURCE), "", 0),
        (("register", "-", *SOURCE), EMPTY, 0),
        (("status", "-"), "", 0),
        (("replicate", "-", "--rses", "tier=disk"), EMPTY, 5),
        (("wait", "-"), "", 5),
        (("rules", "retry", "-"), "", 5),
    ],
)
def test_of_nothing(
    run: Callable[..., Result], typed: tuple[str, ...], stdin: str, code: int
) -> None:
    """Where nothing comes, a line says so; what was to be of something is an error."""
    result = run(*typed, stdin=stdin)
    assert result.exit_code == code, result.output
    assert re.search(r"No items: there are none in standard input|no rules", result.stderr)


def test_what_an_account_may_not(run: Callable[..., Result]) -> None:
    """What Rucio does not let an account do ends with exit code 4 and says whom to ask."""
    result = run("admin", "scope", "of-bob", "--owner", "root", "--account", "alice", "--yes")
    assert result.exit_code == 4
    assert "administrator" in result.stderr


def test_credentials_of_another_account(stac_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Rucio takes the credentials for another account, nothing is done in its name."""
    of_alice = stac_lake.client("alice")
    monkeypatch.setattr("stac_client._rucio.PlainClient", lambda **_: of_alice)
    with pytest.raises(AccessError, match="for account alice, not root"):
        Connection("root", None).connect()


@pytest.mark.parametrize(
    ("path", "limit", "doing"),
    [
        ("/accounts/", "_FIRST_TIMEOUT_S", "connecting to Rucio"),
        ("/rses/STAC", "_TIMEOUT_S", "registering at RSE STAC"),
    ],
)
def test_an_answer_of_rucio_that_never_comes(  # noqa: PLR0917 - pytest gives them by name
    stac_lake: Lake,
    environment: dict[str, str],
    items_file: Callable[[list[Any]], str],
    tmp_path: Path,
    path: str,
    limit: str,
    doing: str,
) -> None:
    """Where Rucio takes a request and never answers, one line says so when the time is over."""
    proxy = Proxy(stac_lake.rucio_url)
    strike = Strike("never", times=9, matches=lambda request: request.path.startswith(path))
    proxy.arm(strike)
    cfg = tmp_path / "rucio.cfg"
    cfg.touch(mode=0o600)
    real = stac_lake.layout.client_cfg("root").read_text()
    cfg.write_text(real.replace(stac_lake.rucio_url, proxy.url))
    hasty = (
        "import stac_rucio.inputs as inputs; import stac_client._rucio as rucio; "
        f"inputs.{limit} = (9, 1); rucio.RETRY_S = 0; {START}"
    )
    try:
        result = subprocess.run(  # noqa: S603 - this Python
            [
                sys.executable,
                "-c",
                hasty,
                "register",
                items_file(many_items("x", 1, 1)),
                "--rse",
                "STAC",
            ],
            env={**environment, "RUCIO_CONFIG": str(cfg), "STAC_RUCIO_RETRY_S": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        proxy.close()
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr.startswith(f"Error: {doing}: the Rucio server at {proxy.url} does not")
    assert result.stderr.count("\n") == 1
    assert len(strike.struck) == 1


def test_a_defect_is_told_in_one_line(
    run: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    items_file: Callable[[list[Any]], str],
) -> None:
    """What nobody expected ends with exit code 70; -v shows where it happened, and no secrets."""

    def broken(_: Any) -> None:
        raise ZeroDivisionError("at https://host/?token=s3cr3t")

    monkeypatch.setattr(Connection, "connect", broken)
    typed = ("plan", items_file([]), "--rse", "STAC")
    short = run(*typed)
    assert short.exit_code == 70
    assert short.stderr.count("\n") == 1
    assert "unexpected ZeroDivisionError" in short.stderr
    long = run(*typed, "-v")
    assert "Traceback" in long.stderr
    assert "s3cr3t" not in short.stderr + long.stderr


def test_verbose_gives_the_causes(run: Callable[..., Result]) -> None:
    """-v says what was behind an error, line by line."""
    result = run("plan", "--rse", "STAC", "--api", NO_SERVER, "-v")
    assert result.exit_code == 3
    assert "because of APIError" in result.stderr


def test_a_number_of_json_values_is_one_a_line(
    run: Callable[..., Result], items_file: Callable[[list[Any]], str], collection: str
) -> None:
    """--json gives one object a line, so that programs can read it as it comes."""
    result = run("register", items_file(many_items(collection, 2, 1)), "--rse", "STAC", "--json")
    assert [json.loads(line)["item"] for line in result.stdout.splitlines()] == [
        "item-0",
        "item-1",
    ]


def test_no_room_for_a_temporary_file() -> None:
    """Where Rucio's client cannot even be loaded, as on a full disk, one line says why."""
    no_file = f"import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (0, 0)); {START}"
    result = subprocess.run(  # noqa: S603 - this Python
        [sys.executable, "-c", no_file, "plan", "-", "--rse", "STAC"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 5
    assert result.stderr.startswith("Error: Rucio's client cannot be loaded: ")
    assert result.stderr.count("\n") == 1
