"""Looks at buckets: a table of facts ages, and lacks most buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stac_client._buckets import Buckets
from stac_policy.access import Access, Kind
from tests.origin import status
from tests.policy.support import configured

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.origin import Origin


@pytest.fixture
def store(origin: Origin, tmp_path: Path) -> Iterator[Origin]:
    """An object store with buckets that the table has."""
    rows = tmp_path / "origins.tsv"
    rows.write_text(
        f"s3://ours\tpublic bucket\t{origin.url}\t\ttest\n"
        f"s3://pays\trequester pays\t{origin.url}\tkeys\ttest\n"
        f"s3://somebodys\topen\t{origin.url}\t\ttest\n"
    )
    with configured(origins=str(rows)):
        yield origin


def access(store: Origin, bucket: str, key: str, kind: Kind, *, doubtful: bool = False) -> Access:
    """Access to an object, before anybody has looked."""
    return Access(kind, f"{store.url}/{bucket}/{key}", "", "why", doubtful)


@pytest.mark.parametrize("answer", [200, 404])
@pytest.mark.parametrize("kind", [Kind.PUBLIC_BUCKET, Kind.REQUESTER_PAYS, Kind.NOT_TO_BE_HAD])
def test_a_bucket_that_anybody_reads(store: Origin, kind: Kind, answer: int) -> None:
    """One object tells for the whole bucket, whatever the table says, and even if it is missing."""
    store.add("/ours/a", status(answer))
    buckets = Buckets()
    for key in "ab":
        found = buckets.access(
            access(store, "ours", key, kind, doubtful=kind is Kind.NOT_TO_BE_HAD)
        )
        assert found == Access(Kind.PUBLIC_BUCKET, f"{store.url}/ours/{key}")
    assert [(each.method, each.path) for each in store.seen] == [("HEAD", "/ours/a")]


@pytest.mark.parametrize("answer", [401, 403])
def test_a_bucket_that_nobody_reads(store: Origin, answer: int) -> None:
    """S3 says the same of an object that is missing: only the third tells for the bucket."""
    for key in "abcde":
        store.add(f"/ours/{key}", status(answer))
    buckets = Buckets()
    for key in "abcde":
        found = buckets.access(access(store, "ours", key, Kind.PUBLIC_BUCKET))
        assert found.kind is Kind.NOT_TO_BE_HAD
        assert found.reason == "s3://ours gives this to nobody without credentials"
    assert len(store.seen) == 3


def test_an_object_that_is_missing(store: Origin) -> None:
    """The next one tells that the bucket is public."""
    store.add("/ours/a", status(403))
    store.add("/ours/b", b"x")
    buckets = Buckets()
    kinds = [buckets.access(access(store, "ours", key, Kind.PUBLIC_BUCKET)).kind for key in "abc"]
    assert kinds == [Kind.NOT_TO_BE_HAD, Kind.PUBLIC_BUCKET, Kind.PUBLIC_BUCKET]


def test_a_bucket_whose_requester_pays(store: Origin) -> None:
    """It stays one where nobody else reads it."""
    store.add("/pays/a", status(403))
    before = access(store, "pays", "a", Kind.REQUESTER_PAYS)
    assert Buckets().access(before) == before


@pytest.mark.parametrize("answer", [301, 500, 503])
def test_a_bucket_that_does_not_answer(store: Origin, answer: int) -> None:
    """Then the table has the last word, and it is not asked again."""
    store.add("/ours/a", status(answer))
    buckets = Buckets()
    for key in "ab":
        before = access(store, "ours", key, Kind.PUBLIC_BUCKET)
        assert buckets.access(before) == before
    assert len(store.seen) == 1


@pytest.mark.parametrize(
    "kind", [kind for kind in Kind if kind not in {Kind.PUBLIC_BUCKET, Kind.REQUESTER_PAYS}]
)
def test_what_is_not_asked(store: Origin, kind: Kind) -> None:
    """Other classes need no look, nor what has no URL."""
    for before in (access(store, "somebodys", "a", kind), Access(kind, None, "", "why")):
        assert Buckets().access(before) is before
    assert store.seen == []
