"""The real program: pipes, signals, terminals, and what it never shows."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from stac_testbed.processes import free_ports
from tests.items import make_item, many_items
from tests.testbed.support import wait_for

from .conftest import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Callable

    from rucio.client import Client

    from stac_testbed.lake import Lake
    from tests.origin import Origin


def lines(items: list[dict[str, Any]]) -> bytes:
    """Items as NDJSON."""
    return "".join(f"{json.dumps(item)}\n" for item in items).encode()


def test_stac_clients_search_is_piped_into_verbs(environment: dict[str, str]) -> None:
    """`stac-client search … | stac-rucio register -`, and so on through a whole pipeline."""
    script = (
        'stac-client search "$STAC_API" -c alpine-radar --max-items 1 | tee "$FOLDER/items.json"'
        ' | "$PYTHON" -m stac_rucio register - --rse STAC --assets vv > "$FOLDER/lines" &&'
        ' "$PYTHON" -m stac_rucio replicate "$FOLDER/items.json" --assets vv --rses DISK-B'
        ' | "$PYTHON" -m stac_rucio wait - --poll 0.2 --timeout 60'
    )
    folder = Path(environment["XDG_STATE_HOME"])
    folder.mkdir()
    beside = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    variables = {"PYTHON": sys.executable, "FOLDER": str(folder), "PATH": beside}
    bash = shutil.which("bash") or "bash"
    done = subprocess.run(  # noqa: S603 - our own script
        [bash, "-o", "pipefail", "-c", script],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    # Another test may have registered it before.
    assert re.search("\tvv\t(registered|already there)\t", (folder / "lines").read_text())
    assert done.stdout.split("\t")[1:3] == ["OK", "DISK-B"]


def feed(pipe: Any, content: Any) -> None:
    """Write into a pipe as it is read, and leave it open."""
    with suppress(BrokenPipeError):
        pipe.write(content)
        pipe.flush()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_sync_goes_on(
    start: Callable[..., subprocess.Popen[bytes]],
    environment: dict[str, str],
    rucio: Client,
    number: signal.Signals,
    code: int,
) -> None:
    """A sync that is stopped in the middle says how to go on; again, it does what is left."""
    collection = f"cli-interrupted-{code}"
    rucio.add_scope("root", collection)
    items = many_items(collection, 9, 3)
    for item in items:  # with so many assets that each is a batch of its own
        item["assets"].update(
            {f"x{n}": {"href": "s3://b/k", "roles": ["data"]} for n in range(998)}
        )
    sync = ("sync", "-", "--rse", "STAC", "--json")
    process = start(*sync)
    assert process.stdout is not None
    assert process.stderr is not None
    # And no end; in a thread, because it does not read all of it before it writes.
    feeder = threading.Thread(target=feed, args=(process.stdin, lines(items[:8])))
    feeder.start()
    first: list[dict[str, str]] = []
    while len({row["item"] for row in first}) < 2:
        first.append(json.loads(process.stdout.readline()))
    done = first[0]["item"]
    process.send_signal(number)
    output, errors = process.stdout.read(), process.stderr.read()
    feeder.join(60)
    assert process.wait(60) == code
    assert b"Interrupted. The same command goes on where it was; its journal is" in errors
    assert b"Traceback" not in errors
    assert len(errors.splitlines()) <= 3  # as soon as it is interrupted, too
    first += [json.loads(line) for line in output.splitlines()]

    again = subprocess.run(  # noqa: S603 - our own program
        [*PROGRAM, *sync], env=environment, input=lines(items), capture_output=True, check=True
    )
    second = [json.loads(line) for line in again.stdout.splitlines()]
    assert done not in {row["item"] for row in second}
    assert {row["state"] for row in second} <= {"registered", "already there", "skipped"}
    assert {(row["item"], row["key"]) for row in [*first, *second]} == {
        (item["id"], key) for item in items for key in item["assets"]
    }


class Slow:
    """Files of an origin of which only the first few come before its gate opens."""

    def __init__(self, origin: Origin, files: int, at_once: int) -> None:
        self.origin = origin
        self.asked: list[str] = []
        self.at_once = at_once
        self.urls = [origin.add(f"/{number}.tif", self._answer) for number in range(files)]

    def _answer(self, handler: Any, *_: Any) -> None:
        if handler.command == "GET":
            self.asked.append(handler.path)
            if len(self.asked) > self.at_once:
                handler.server.gate.wait(120)
        handler.answer(200, b"x" * 1000, Content_Type="image/tiff")


@pytest.mark.parametrize("count", [2])
def test_several_clients(
    start: Callable[..., subprocess.Popen[bytes]], collection: str, tmp_path: Path, count: int
) -> None:
    """Processes that take a partition each register everything once, with a journal each."""
    items = tmp_path / "items.ndjson"
    items.write_bytes(lines(many_items(collection, 120, 9)))
    parts = [f"{number}/{count}" for number in range(1, count + 1)]
    options = [("sync", items, "--rse", "STAC", "--json", "--partition", part) for part in parts]
    for expected in (120 * 9, 0):  # and again, when their journals have all
        outcomes = []
        running = [start(*each) for each in options]
        for process in running:
            written, said = process.communicate()
            assert process.returncode == 0, said
            outcomes += [json.loads(line) for line in written.splitlines()]
        assert {each["state"] for each in outcomes} <= {"registered"}
        assert len({each["did"] for each in outcomes}) == len(outcomes) == expected
    journals = {path.name for path in (tmp_path / "state" / "stac-rucio").glob("*.journal")}
    assert len(journals) == count
    planning = [start("plan", *each[1:]) for each in options]
    plans = [json.loads(process.communicate()[0]) for process in planning]
    assert sum(plan["already_there"] for plan in plans) == 120 * 9


def items_of(slow: Slow, collection: str) -> list[dict[str, Any]]:
    """An item for each file, that says neither size nor checksum."""
    return [
        make_item(collection, f"item-{number}", {"red": {"href": url, "roles": ["data"]}})
        for number, url in enumerate(slow.urls)
    ]


@pytest.mark.parametrize("interrupts", [1, 2])
def test_what_was_looked_up_is_kept(
    start: Callable[..., subprocess.Popen[bytes]], collection: str, origin: Origin, interrupts: int
) -> None:
    """Ctrl-C ends a registration at once; what was downloaded is registered, and told.

    A second Ctrl-C leaves; what is registered by then is not downloaded again.
    """
    slow = Slow(origin, files=200, at_once=64)
    items = lines(items_of(slow, collection))
    sync = ("sync", "-", "--rse", "STAC", "--json")
    process = start(*sync)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(items)
    process.stdin.close()
    assert wait_for(lambda: len(slow.asked) == 64 + 4)  # the others wait for a connection
    process.send_signal(signal.SIGINT)
    journal, said = process.stderr.readline(), process.stderr.readline()
    assert journal.startswith(b"Journal: ")
    assert said.startswith(b"Interrupted: what has been looked up is being registered.")
    if interrupts > 1:
        process.send_signal(signal.SIGINT)
    told = [json.loads(line) for line in process.stdout.read().splitlines()]
    assert process.wait(60) == 130
    registered = {row["item"] for row in told if row["state"] == "registered"}
    if interrupts == 1:
        assert len(told) == 200
        assert len(registered) >= 60  # the last on each connection may not have been noticed
    asked = len(slow.asked)
    origin.gate.set()
    again = start(*sync)
    output, errors = again.communicate(items, timeout=120)
    assert again.returncode == 0, errors
    rows = [json.loads(line) for line in output.splitlines()]
    done = {row["item"] for row in rows if row["state"] == "already there"} | registered
    assert done | {row["item"] for row in rows} == {f"item-{number}" for number in range(200)}
    assert done.isdisjoint(f"item-{Path(path).stem}" for path in slow.asked[asked:])


def test_nobody_reads(start: Callable[..., subprocess.Popen[bytes]], collection: str) -> None:
    """Where the output is closed, as by `head`, the program ends without a word."""
    process = start("plan", "-", "--rse", "STAC", "--json")
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stdin.write(lines(many_items(collection, 1, 1)))
    process.stdin.close()
    assert process.stderr.read() == b""
    assert process.wait(60) == 141


def test_nobody_reads_what_click_writes(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """The same where a verb prints for people."""
    process = start("completion", "bash")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(60) == 141


def test_no_secret_is_shown(start: Callable[..., subprocess.Popen[bytes]], stac_lake: Lake) -> None:
    """Not even -vv shows a password, a token, or a header that was given."""
    for file in stac_lake.layout.tokens.glob("*"):
        if file.is_file():
            file.unlink()  # so that the password is sent
    process = start(
        *("plan", "--api", stac_lake.stac_url, "--rse", "STAC", "-vv", "--account", "root"),
        *("--headers", "Authorization=Bearer s3cr3t-header", "--max-items", 1),
    )
    output, errors = process.communicate(timeout=60)
    text = (output + errors).decode()
    assert process.returncode == 0, text
    assert "/auth/userpass" in text  # the log is there
    assert "POST /search" in text
    secrets = [*stac_lake.layout.passwords.values(), "s3cr3t-header"]
    tokens = [file for file in stac_lake.layout.tokens.glob("*") if file.is_file()]
    secrets += [file.read_text() for file in tokens]
    assert len(secrets) > len(stac_lake.layout.passwords) + 1  # there is a token
    for secret in secrets:
        assert secret not in text


def on_terminal(environment: dict[str, Any], columns: int, *args: Any) -> list[str]:
    """Run the program on a terminal; gives the lines of its output without control sequences."""
    ours, its = pty.openpty()
    variables = {"COLUMNS": str(columns), "TERM": "xterm"}
    with closing(os.fdopen(ours, "rb", buffering=0)) as terminal:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [*PROGRAM, *map(str, args)], env={**environment, **variables},
            stdin=its, stdout=its, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(its)
        output = b""
        try:
            while part := terminal.read(65536):
                output += part
        except OSError:  # the other end is closed
            pass
        assert process.wait(60) in {0, 1}
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.decode())
    return text.replace("\r", "").splitlines()


def test_tables_fit_80_columns(
    environment: dict[str, str], items_file: Callable[[list[Any]], str], collection: str
) -> None:
    """On a terminal there are tables, and neither ids nor reasons are cut."""
    items = many_items(collection, 2, 2)
    items[0]["assets"]["band-0"]["href"] = "ftp://host/x.tif\x1b[31m"
    file = items_file(items)
    shown = on_terminal(environment, 80, "assets", file)
    assert max(map(len, shown)) <= 80
    assert f"{collection}/item-1" in shown
    assert any(line.split()[:3] == ["band-1", "yes", "open"] for line in shown)
    shown = on_terminal(environment, 80, "register", file, "--rse", "STAC")
    assert max(map(len, shown)) <= 80
    assert shown[:2] == ["3 registered, 1 skipped", "30 bytes registered"]
    said = " ".join(word for line in shown for word in line.split())
    said = said.replace(f"{collection}/item-0 asset band-0 ", "")  # the cell beside it
    assert "1 skipped ftp scheme where http or https is needed" in said

    items_file(items[1:])
    wanted = ("--rses", "DISK-A|DISK-B", "--lifetime", "1d")
    shown = on_terminal(environment, 80, "replicate", file, *wanted)
    assert max(map(len, shown)) <= 80
    assert re.search(r"ends at 20\d\d-\d\d-\d\d \d\d:\d\d UTC$", shown[-1])
    (rule,) = re.findall(r"^ ([0-9a-f]{32})  \S", "\n".join(shown), re.MULTILINE)
    shown = on_terminal(environment, 80, "status", rule, "--items")
    assert max(map(len, shown)) <= 80
    (named, found, state, *_) = shown[1].split()
    assert (named, found) == ("rule", rule)
    assert state in {"REPLICATING", "STUCK"}  # by now, as the files do not exist
    assert [f"{collection}/item-1"] in [line.split()[:1] for line in shown]


def test_serve(start: Callable[..., subprocess.Popen[bytes]], stac_lake: Lake) -> None:
    """`serve` gives the items of an API with their copies, until it is interrupted."""
    (port,) = free_ports(1)
    register = start("register", "--api", stac_lake.stac_url, "-c", "alpine-radar",
                     "--max-items", 1, "--assets", "vv", "--rse", "STAC")  # fmt: skip
    register.communicate(timeout=60)
    server = start("serve", "--api", stac_lake.stac_url, "--port", port)
    try:
        url = f"http://127.0.0.1:{port}/search"
        wanted = {"collections": ["alpine-radar"], "limit": 1}
        deadline = time.monotonic() + 60
        while True:
            try:
                (item,) = requests.post(url, json=wanted, timeout=10).json()["features"]
                break
            except requests.ConnectionError:
                assert server.poll() is None, server.stderr and server.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert item["assets"]["vv"]["alternate:name"] == "STAC"
    finally:
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=60)
    assert server.returncode == 0, errors
    assert b"Traceback" not in errors


def test_a_port_in_use_is_told(
    start: Callable[..., subprocess.Popen[bytes]], stac_lake: Lake
) -> None:
    """A port that somebody else listens on ends with exit code 5."""
    port = stac_lake.stac_url.rpartition(":")[2]
    server = start("serve", "--api", stac_lake.stac_url, "--port", port)
    _, errors = server.communicate(timeout=60)
    assert server.returncode == 5
    assert f"cannot listen on 127.0.0.1:{port}; choose another --port".encode() in errors
