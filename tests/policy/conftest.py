"""Fixtures of the tests of the policy package."""

from __future__ import annotations

from contextlib import contextmanager

import hypothesis
import pytest

from stac_policy.http import FetchError, download, make_session
from stac_policy.stac_api import _cache
from tests.origin import running_origin

from .support import configured, run_with_rucio

# The machine may be busy; how long an example takes says nothing here.
hypothesis.settings.register_profile("policy", deadline=None)
hypothesis.settings.load_profile("policy")

_SCHEMA = """
import json
from rucio.common.schema import generic
print(json.dumps({
    "name": generic.NAME["pattern"], "name_length": generic.NAME_LENGTH,
    "scope": generic.SCOPE["pattern"], "scope_length": generic.SCOPE_LENGTH,
}))
"""


@pytest.fixture(scope="module", autouse=True)
def _no_rucio_cfg():
    """Keep a rucio.cfg of this machine out of the tests."""
    with configured():
        yield


@pytest.fixture(scope="session")
def schema(tmp_path_factory):
    """Patterns and lengths of names and scopes, as Rucio's generic schema has them."""
    return run_with_rucio(_SCHEMA, tmp_path_factory.mktemp("schema"), client={})


@pytest.fixture
def origin():
    """A running origin."""
    with running_origin() as running:
        yield running


@pytest.fixture
def other_origin():
    """Another running origin."""
    with running_origin() as running:
        yield running


@pytest.fixture
def pauses(monkeypatch):
    """The pauses between attempts in seconds, which take no time, and are the longest ones."""
    taken: list[float] = []
    monkeypatch.setattr("stac_policy.http.random.uniform", lambda _, longest: longest)
    monkeypatch.setattr("stac_policy.http.time.sleep", taken.append)
    return taken


@pytest.fixture
def waits(pauses):
    """The same between attempts at a STAC API, of which nothing is remembered afterwards."""
    yield pauses
    _cache.cache_clear()


@pytest.fixture
def session():
    """An HTTP session."""
    with make_session() as opened:
        yield opened


@pytest.fixture
def fetch(session, tmp_path, pauses):  # noqa: ARG001 - its pauses take no time
    """Download a URL and give the file's path."""

    def run(url, allowed_hosts=(), timeout_s=10.0):
        target = tmp_path / "folder" / "file"
        download(session, url, target, allowed_hosts, timeout_s)
        return target

    return run


@pytest.fixture
def fails(tmp_path):
    """A context in which a download fails and leaves no file behind."""

    @contextmanager
    def context(kind=FetchError):
        with pytest.raises(kind) as caught:
            yield caught
        assert not any(path.is_file() for path in tmp_path.rglob("*"))

    return context
