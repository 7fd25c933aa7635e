"""Fixtures of the tests of the policy package."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from stac_policy.bodies import download
from stac_policy.http import FetchError, make_session
from stac_policy.stac_api import _cache

from .support import configured, run_with_rucio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from requests import Session


_SCHEMA = """
import json
from rucio.common.schema import generic
print(json.dumps({
    "name": generic.NAME["pattern"], "name_length": generic.NAME_LENGTH,
    "scope": generic.SCOPE["pattern"], "scope_length": generic.SCOPE_LENGTH,
}))
"""


@pytest.fixture(scope="module", autouse=True)
def _no_rucio_cfg() -> Iterator[None]:
    """Keep a rucio.cfg of this machine out of the tests."""
    with configured():
        yield


@pytest.fixture(scope="session")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Patterns and lengths of names and scopes, as Rucio's generic schema has them."""
    return run_with_rucio(_SCHEMA, tmp_path_factory.mktemp("schema"), client={})


@pytest.fixture
def waits(pauses: list[float]) -> Iterator[list[float]]:
    """The same between attempts at a STAC API, of which nothing is remembered afterwards."""
    yield pauses
    _cache.cache_clear()


@pytest.fixture
def session() -> Iterator[Session]:
    """An HTTP session."""
    with make_session() as opened:
        yield opened


@pytest.fixture
def fetch(session: Session, tmp_path: Path, pauses: list[float]) -> Callable[..., Any]:  # noqa: ARG001 - its pauses take no time
    """Download a URL and give the file's path."""

    def run(url: Any, allowed_hosts: Any = (), timeout_s: float = 10.0) -> Path:
        target = tmp_path / "folder" / "file"
        download(session, url, target, allowed_hosts, timeout_s)
        return target

    return run


@pytest.fixture
def fails(tmp_path: Path) -> Callable[..., AbstractContextManager[Any]]:
    """A context in which a download fails and leaves no file behind."""

    @contextmanager
    def context(kind: Any = FetchError) -> Iterator[pytest.ExceptionInfo[Any]]:
        with pytest.raises(kind) as caught:
            yield caught
        assert not any(path.is_file() for path in tmp_path.rglob("*"))

    return context
