"""`serve` with and without user tokens: to whom each goes, and what each opens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pystac_client
import pytest

from stac_client import StacClient
from tests.serving.proxy import running_proxy
from tests.serving.upstream import running_upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stac_testbed.lake import Lake


ITEM = "ortler-20250711"
PATH = "/collections/alpine-optical/items/" + ITEM
RUCIO = {"X-Rucio-Account": "root", "X-Rucio-VO": "def", "X-Rucio-AppID": "x"}


@pytest.fixture(scope="module")
def item(stac_lake: Lake) -> dict[str, Any]:
    """An item of the lake, registered, as its API gives it."""
    search = pystac_client.Client.open(stac_lake.stac_url).search(ids=[ITEM])
    (item,) = search.items_as_dicts()
    StacClient(stac_lake.client()).create_replicas([item], "STAC").raise_for_failed()
    return item


@pytest.fixture(scope="module")
def asked(stac_lake: Lake, item: dict[str, Any]) -> Iterator[Callable[..., Any]]:
    """Asks for the item through `serve`, whose account is alice.

    Gives the item, the headers that the upstream API has seen, and those that Rucio has seen.
    """
    rucio = stac_lake.client("alice")
    to_rucio = []
    rucio.session.hooks["response"].append(
        lambda response, **_: to_rucio.append(dict(response.request.headers))
    )
    modifier = StacClient(rucio).modifier.with_options(strict=True, cache_s=0)
    with running_upstream() as behind, running_proxy(behind.url, modifier) as front:
        behind.add(PATH, item)

        def ask(**headers: Any) -> tuple[Any, Any, list[dict[Any, Any]]]:
            behind.seen.clear()
            to_rucio.clear()
            got = front.ask(PATH, headers=headers)
            assert got.status == 200
            return got.json(), behind.seen[0].headers, list(to_rucio)

        yield ask


def tokens(stac_lake: Any) -> dict[Any, Any]:
    """A valid token of root, and one that nobody has given out."""
    root = stac_lake.client()
    root.whoami()
    return {"valid": root.auth_token, "invented": "root-root-unknown-0123456789abcdef"}


def alternates(item: Any) -> dict[Any, Any]:
    """The replicas that an item shows."""
    return {key: (a.get("alternate:name"), a.get("alternate")) for key, a in item["assets"].items()}


@pytest.mark.parametrize("kind", ["valid", "invented"])
def test_a_token_of_rucio(stac_lake: Lake, asked: Callable[..., Any], kind: str) -> None:
    """A client's token of Rucio opens and closes nothing, and goes to nobody."""
    token = tokens(stac_lake)[kind]
    without, _, _ = asked()
    shown, to_api, to_rucio = asked(**RUCIO, **{"X-Rucio-Auth-Token": token})
    assert alternates(shown) == alternates(without)
    assert "STAC" in str(alternates(shown))
    assert not [name for name, _ in to_api if name.lower().startswith("x-rucio")]
    assert to_rucio
    for headers in to_rucio:
        assert headers["X-Rucio-Account"] == "alice"
        assert headers["X-Rucio-Auth-Token"] != token


def test_authorization(asked: Callable[..., Any]) -> None:
    """A client's `Authorization` goes to the upstream API, and not to Rucio."""
    shown, to_api, to_rucio = asked(Authorization="Bearer S3CRET", Cookie="session=S3CRET")
    assert "STAC" in str(alternates(shown))
    assert dict(to_api)["Authorization".lower()] == "Bearer S3CRET"
    assert "cookie" not in {name.lower() for name, _ in to_api}
    assert to_rucio
    assert "S3CRET" not in str(to_rucio)


def test_nothing(asked: Callable[..., Any]) -> None:
    """Without any of them a client sees what the server's account may list."""
    shown, to_api, to_rucio = asked()
    assert "STAC" in str(alternates(shown))
    assert "authorization" not in {name.lower() for name, _ in to_api}
    assert to_rucio
