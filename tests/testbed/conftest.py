"""Real servers for the tests of storages and of the transfer service."""

from __future__ import annotations

import re
import uuid
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from .awkward import running_origin
from .support import CONTENT, Transfers, entry, start_storage, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.testbed.awkward import Origin
    from tests.testbed.support import Storage


@pytest.fixture(scope="session")
def _origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    with running_origin(tmp_path_factory.mktemp("origin")) as origin:
        yield origin


@pytest.fixture
def origin(_origin: Origin) -> Iterator[Origin]:
    """A running origin, which sends only half of its slow files until its gate is set."""
    _origin.gate.clear()
    yield _origin
    _origin.gate.set()


@pytest.fixture
def source(origin: Origin) -> str:
    """The URL of a file with the usual content."""
    return origin.add("a.bin", CONTENT)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A file name for each test."""
    return re.sub(r"\W+", "-", request.node.name) + ".bin"


@pytest.fixture(scope="session")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """A storage that copies by itself and knows checksums."""
    storage = start_storage(tmp_path_factory.mktemp("grid"), third_party_copy=True)
    yield storage
    storage.server.stop()


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """A storage that cannot copy by itself, as the transfer service knows."""
    storage = start_storage(tmp_path_factory.mktemp("plain"), third_party_copy=False)
    yield storage
    storage.server.stop()


@pytest.fixture(params=["grid", "plain"])
def storage(request: pytest.FixtureRequest) -> Any:
    """Each kind of storage in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """A storage that speaks nothing but WebDAV: it tells no checksums."""
    folder = tmp_path_factory.mktemp("bare")
    storage = start_storage(folder, third_party_copy=False, digests=False)
    yield storage
    storage.server.stop()


@pytest.fixture(scope="session")
def start_transfers(
    tmp_path_factory: pytest.TempPathFactory, plain: Storage
) -> Iterator[Callable[..., Any]]:
    """Start a transfer service on a folder; those still running are stopped at the end."""
    services = []

    def start(folder: Any) -> Transfers:
        services.append(Transfers(folder, tmp_path_factory.mktemp("transfers")))
        services[-1].configure(plain.url, tpc_support="NONE")
        return services[-1]

    yield start
    for service in services:
        if service.server.process.poll() is None:
            service.server.stop()


@pytest.fixture(scope="session")
def transfers(start_transfers: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The transfer service that most tests share."""
    return start_transfers(tmp_path_factory.mktemp("jobs"))


@pytest.fixture
def busy(transfers: Any, plain: Storage, origin: Origin) -> Iterator[SimpleNamespace]:
    """Occupy all four threads of the service with copies that wait for the origin's gate."""
    origin.add("busy.bin", CONTENT)
    slow = [f"{origin.url}/slow/busy.bin?{uuid.uuid4()}" for _ in range(4)]
    ids = [transfers.submit(entry(url, f"{plain.url}/busy-{i}.bin")) for i, url in enumerate(slow)]
    paths = [url.removeprefix(origin.url) for url in slow]
    assert wait_for(lambda: all(origin.gets(path) for path in paths))
    yield SimpleNamespace(ids=ids, release=origin.gate.set)
    origin.gate.set()
    for job_id in ids:
        transfers.ended(job_id)
