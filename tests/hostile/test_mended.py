"""What the campaign has found, each as a case of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stac_client import Outcome
from stac_client._assets import select_assets
from stac_client._items import iter_items
from stac_client._journal import entry_of
from stac_client.errors import ConfigurationError
from stac_policy.settings import Settings, parse
from stac_policy.urls import refusal
from tests.items import make_item

from .material import SECRET

if TYPE_CHECKING:
    from pathlib import Path


def nested(levels: int) -> list[Any]:
    """Lists in each other."""
    found: list[Any] = []
    for _ in range(levels):
        found = [found]
    return found


@pytest.mark.parametrize("separator", [";", "&amp;", "&"])
def test_signatures_behind_any_separator(separator: str) -> None:
    """A signature is seen behind a semicolon, too, as in `&amp;` that nobody has decoded."""
    assert "signed" in str(refusal(f"https://data.example.org/x?a=1{separator}sig={SECRET}"))


@pytest.mark.parametrize(
    "content",
    [
        *[b"\xff\xfe", b"[" * 100_000, b'{"features": 1}', b'{"features": null}'],
        *[b"7", b'{"features": {"type": "Feature"}}', b'{"a": '],
    ],
)
@pytest.mark.parametrize("suffix", ["json", "ndjson"])
def test_files_that_are_no_items(tmp_path: Path, content: Any, suffix: str) -> None:
    """A file that is not one of items is an error that names it, whatever is in it."""
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"x\.|not a STAC item"):
        list(iter_items(path))


def test_sizes_that_no_database_holds() -> None:
    """A size above what Rucio's databases hold is none: it would fail the whole batch."""
    made = make_item()
    made["assets"]["a"]["file:size"] = 2**63
    (asset,) = select_assets(made)
    assert asset.size_bytes is None


def test_ids_that_are_no_text() -> None:
    """What stands in the place of an id, and is none, is not repeated."""
    for strange in ({"x": f"https://u:{SECRET}@h/"}, nested(10_000)):
        (outcome,) = select_assets(make_item(id=strange))
        assert isinstance(outcome, Outcome)
        assert (outcome.item, outcome.reason) == ("", "the item has no id")


def test_items_without_a_bottom() -> None:
    """An item that is nested too deeply to be compared is looked at each time."""
    deep = make_item(properties={"updated": nested(10_000)})
    assert entry_of(deep).identity == entry_of(make_item()).identity
    assert entry_of(deep).version != entry_of(deep).version


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("cache_s", f"https://h/x?sig={SECRET}"),
        ("scopes", f"https://h/x?sig={SECRET}"),
        ("cache_items", "9" * 16),
        ("response_bytes", "9" * 5000),
        ("read_timeout_s", "86401"),
    ],
)
def test_options(option: str, text: str) -> None:
    """A value that does not fit, or that no clock or memory knows, has its default."""
    found, (problem,) = parse({option: text})
    assert found == Settings()
    assert problem.startswith(f"[stac] {option}: ")
    assert SECRET not in problem
