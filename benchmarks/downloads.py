"""Downloads of many small files and of a few large ones, beside what users would take instead."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

import pystac
import stac_asset.blocking

from stac_client import StacClient
from stac_client._checksums import Checksums
from stac_client._parts import digested
from stac_testbed.layout import ORIGINS
from tests.items import make_asset, make_item

from .harness import NONE, Goal, Rounds, Row, counted, processor_s, seconds
from .lookups import LINE_BYTES_S, write
from .serving import free_port, process
from .setting import SOURCE_RSE, peak_mb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .setting import Setting

    Way = Callable[[Path], object]

_SMALL_BYTES = 100_000
_LARGE_FILES, _MOST_MB = 4, 300
_ASSETS = 10  # of an item
_NGINX = """daemon off; master_process off; pid {folder}/pid; error_log stderr;
events {{ worker_connections 2048; }}
http {{
  access_log off; sendfile on; keepalive_requests 100000; etag on;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port}; root {folder}/www;
    location /paced/ {{ alias {folder}/www/; limit_rate {rate}; }}
  }}
}}
"""


class _Origin(NamedTuple):
    url: str
    folder: Path
    """What is in it has a URL below its own."""
    name: str


def run(setting: Setting) -> Iterator[Row]:
    """Download from nginx on the loopback interface, and from a line of 1 Gbit/s."""
    size = setting.size
    large_bytes = min(size.file_mb, _MOST_MB) << 20
    with _origin(setting) as origin:
        note = f"{origin.name} on the loopback interface"
        goals = {
            "stac-asset": Goal(most=1),
            "stac-asset, digested": NONE,
            "curl": NONE,
            "rucio download": NONE,
        }
        small = _Files.made(setting, origin, size.items, _SMALL_BYTES)
        yield from small.beside(goals, note, size.rounds)
        large = _Files.made(setting, origin, _LARGE_FILES, large_bytes)
        yield from large.beside(goals, note, size.rounds)
        path = setting.folder / "items.json"
        path.write_text(json.dumps(large.items), encoding="utf-8")
        answer = setting.run_module("downloads", str(path), str(setting.folder / "alone"))
        yield counted(f"{large.what}: memory", float(answer), "MB", Goal(most=200))
        if origin.name == "nginx":
            paced = large.at(f"{origin.url}/paced")
            note = f"from nginx with {LINE_BYTES_S / 1e6:.0f} MB/s for all of them"
            yield from paced.beside({"curl": Goal(most=1.2)}, note, min(size.rounds, 3))
        for path in origin.folder.glob("bench-*"):
            shutil.rmtree(path)


@contextmanager
def _origin(setting: Setting) -> Iterator[_Origin]:
    """Run nginx, if it is installed; else take an origin of the lake."""
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if nginx is None:
        layout = setting.lake.layout
        yield _Origin(layout.url(ORIGINS[0]), layout.data(ORIGINS[0]), "no nginx; the test bed's")
        return
    folder, port = setting.folder / "nginx", free_port()
    (folder / "www").mkdir(parents=True, exist_ok=True)
    configuration = folder / "nginx.conf"
    rate = LINE_BYTES_S // _LARGE_FILES
    configuration.write_text(_NGINX.format(folder=folder, port=port, rate=rate), encoding="ascii")
    command = [nginx, "-c", str(configuration), "-e", "stderr"]
    with process(setting, command, port) as url:
        yield _Origin(url, folder / "www", "nginx")


class _Files:
    """Registered files, and the ways to download them."""

    def __init__(self, setting: Setting, items: list[dict[str, Any]], what: str) -> None:
        self.items = items
        self.what = what
        self._setting = setting
        self._stac = StacClient(setting.lake.client())
        self._datasets = [
            f"{each.dataset.scope}:{each.dataset.name}"
            for each in self._stac.create_replicas(items, SOURCE_RSE)
            if each.dataset
        ]

    @classmethod
    def made(cls, setting: Setting, origin: _Origin, count: int, size_bytes: int) -> _Files:
        """Make files and register them."""
        collection = setting.new_collection(setting.lake.client())
        folder = origin.folder / collection
        folder.mkdir()
        items = []
        for start in range(0, count, _ASSETS):
            assets = {}
            for number in range(start, min(start + _ASSETS, count)):
                path = folder / f"{number}.tif"
                adler32 = f"{write(path, size_bytes):08x}"
                url = f"{origin.url}/{collection}/{path.name}"
                assets[f"band-{number}"] = make_asset(url, size_bytes, adler32)
            items.append(make_item(collection, f"item-{start}", assets))
        megabytes = size_bytes / 1e6
        return cls(setting, items, f"download {count} files of {megabytes:,.3g} MB")

    def at(self, url: str) -> _Files:
        """Return the same files at another URL, registered in another collection."""
        setting, items = self._setting, []
        collection = setting.new_collection(setting.lake.client())
        for item in self.items:
            assets = {
                key: {**asset, "href": f"{url}/{'/'.join(asset['href'].rsplit('/', 2)[1:])}"}
                for key, asset in item["assets"].items()
            }
            items.append({**item, "collection": collection, "assets": assets})
        return _Files(setting, items, self.what)

    def beside(self, goals: Mapping[str, Goal], note: str, rounds: int) -> Iterator[Row]:
        """Download them in all ways with a goal, in turn, and give the figures."""
        known: dict[str, Way] = {
            "ours": lambda folder: self._stac.download(self.items, folder).raise_for_failed(),
            "stac-asset": self._stac_asset,
            "stac-asset, digested": self._stac_asset_digested,
            "curl": self._curl,
            "rucio download": self._rucio,
        }
        ways = {name: known[name] for name in ("ours", *goals)}
        taken_s: dict[str, list[float]] = {name: [] for name in ways}
        busy_s: dict[str, list[float]] = {name: [] for name in ways}
        folder = self._setting.folder / "here"
        for number in range(rounds):
            for name, way in [*ways.items()][:: -1 if number % 2 else 1]:
                if number and way == self._rucio:
                    continue  # it takes long
                folder.mkdir()
                before_s = processor_s()
                taken_s[name].append(seconds(partial(way, folder)))
                busy_s[name].append(processor_s() - before_s)
                shutil.rmtree(folder)
        for name, goal in goals.items():
            count = len(taken_s[name])
            took = Rounds(taken_s["ours"][:count], taken_s[name])
            yield took.slower(self.what, name, goal, note)
            busy = Rounds(busy_s["ours"][:count], busy_s[name])
            yield busy.slower("the same: processor time of the client", name)

    def _stac_asset(self, folder: Path) -> None:
        items = pystac.ItemCollection([pystac.Item.from_dict(item) for item in self.items])
        config = stac_asset.Config(warn=False)
        stac_asset.blocking.download_item_collection(items, str(folder), config=config)

    def _stac_asset_digested(self, folder: Path) -> None:
        """Download and verify: stac-asset compares its files with nothing."""
        self._stac_asset(folder)
        known = {
            asset["href"].rsplit("/", 1)[1]: asset["rucio:adler32"]
            for item in self.items
            for asset in item["assets"].values()
        }
        for path in folder.rglob("*.tif"):
            expected = Checksums(adler32=known[path.name])
            if digested(path, expected, Event()).contradiction():
                raise RuntimeError(f"{path} is another file")

    def _curl(self, folder: Path) -> None:
        urls = [asset["href"] for item in self.items for asset in item["assets"].values()]
        config = "".join(f'url="{url}"\noutput="{folder}/{n}"\n' for n, url in enumerate(urls))
        command = [
            "curl",
            "--fail",
            "--silent",
            "--show-error",
            "--no-progress-meter",
            "--parallel",
            "--config",
            "-",
        ]
        subprocess.run(command, input=config, text=True, check=True)

    def _rucio(self, folder: Path) -> None:
        command = [str(Path(sys.executable).with_name("rucio")), "download", "--ndownloader", "8"]
        subprocess.run(
            [*command, "--dir", str(folder), *dict.fromkeys(self._datasets)],
            env={**os.environ, **self._setting.environment()},
            check=True,
            capture_output=True,
        )


def _main(items: str, folder: str) -> None:
    StacClient().download(items, folder).raise_for_failed()
    print(peak_mb())  # noqa: T201 - the answer


if __name__ == "__main__":
    _main(*sys.argv[1:])
