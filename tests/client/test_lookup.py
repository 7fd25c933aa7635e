"""Sizes and checksums: how far it goes to learn them, and what contradicts."""

from __future__ import annotations

import pytest

from stac_client._checksums import Checksums
from stac_client._lookup import LearnFrom, complete

from .files import (
    ADLER32,
    BODY,
    DOWNLOAD,
    HEAD,
    ITEM,
    LOGIN,
    MD5,
    MD5_BASE64,
    SHA256,
    SIZE,
    WHOLE,
    WRONG_SHA256,
    asset_at,
    known,
)
from .origin import Answer

# How far it goes.


@pytest.mark.parametrize(
    "fields",
    [
        {"file:size": SIZE, "rucio:adler32": ADLER32},
        {"file:size": SIZE, "file:checksum": f"d50110{MD5}"},
        {"file:size": 0, "rucio:md5": MD5},
    ],
)
@pytest.mark.parametrize("learn_from", LearnFrom)
def test_complete_items_cost_no_request(origin, session, fields, learn_from):
    """An origin is not asked of what its item says."""
    asset = asset_at(origin.add("/x.tif", WHOLE), **fields)
    assert complete(asset, learn_from, session) is asset
    assert origin.seen == []


@pytest.mark.parametrize("fields", [{}, {"file:size": SIZE}, {"rucio:adler32": ADLER32}])
def test_learn_from_item(origin, session, fields):
    """With `item` no origin is asked of anything; what is missing stays missing."""
    asset = asset_at(origin.add("/x.tif", WHOLE), **fields)
    assert complete(asset, ITEM, session) is asset
    assert origin.seen == []


def test_learn_from_head(origin, session):
    """With `head` nothing is downloaded, even where a checksum stays missing."""
    asset = complete(asset_at(origin.add("/x.tif", WHOLE)), HEAD, session)
    assert known(asset) == (SIZE, None, None)
    assert origin.methods == ["HEAD"]


def test_learn_from_download(origin, session):
    """With `download` it is downloaded, where HEAD leaves something open, and only once."""
    asset = complete(asset_at(origin.add("/x.tif", WHOLE)), DOWNLOAD, session)
    assert known(asset) == (SIZE, ADLER32, None)
    assert origin.methods == ["HEAD", "GET"]


def test_md5_that_is_known(origin, session):
    """An md5 is kept and verified where one is known, and is not computed where none is."""
    asset = asset_at(origin.add("/x.tif", WHOLE, head=Answer(status=405)), **{"rucio:md5": MD5})
    assert known(complete(asset, DOWNLOAD, session)) == (SIZE, ADLER32, MD5)


@pytest.mark.parametrize(
    ("headers", "adler32", "md5"),
    [
        ({"Digest": f"adler32={ADLER32}"}, ADLER32, None),
        ({"Digest": f"ADLER32={ADLER32.upper()},md5={MD5_BASE64}"}, ADLER32, MD5),
        ({"Digest": f"md5={MD5_BASE64}, sha-256=abc="}, None, MD5),
        ({"Content-MD5": MD5_BASE64}, None, MD5),
        ({"x-goog-hash": f"crc32c=n03x6A==,md5={MD5_BASE64}"}, None, MD5),
        ({"Repr-Digest": f"md5=:{MD5_BASE64}:"}, None, MD5),
    ],
)
def test_what_head_tells(origin, session, headers, adler32, md5):
    """What the headers say of size and checksum is taken, and nothing is downloaded."""
    url = origin.add("/x.tif", WHOLE, head=Answer(BODY, headers=headers))
    asset = complete(asset_at(url), DOWNLOAD, session)
    assert known(asset) == (SIZE, adler32, md5)
    assert origin.methods == ["HEAD"]
    assert origin.seen[0].headers["Want-Digest"].startswith("adler32")
    assert origin.seen[0].headers["Want-Repr-Digest"].startswith("adler=10")


def test_head_adds_to_the_item(origin, session):
    """What the item says stays; HEAD only adds what it lacks."""
    head = Answer(BODY, headers={"Digest": f"adler32={ADLER32}"})
    url = origin.add("/x.tif", WHOLE, head=head)
    asset = complete(asset_at(url, **{"file:checksum": SHA256}), DOWNLOAD, session)
    assert (asset.size_bytes, asset.checksums) == (SIZE, Checksums(ADLER32, None, SHA256))
    assert origin.methods == ["HEAD"]


# HEAD that does not help.


@pytest.mark.parametrize("status", [204, 400, 401, 403, 404, 405, 501])
def test_head_refused(origin, session, status):
    """An origin that refuses HEAD is asked for the file."""
    url = origin.add("/x.tif", WHOLE, head=Answer(status=status))
    assert known(complete(asset_at(url), DOWNLOAD, session)) == (SIZE, ADLER32, None)
    asset = asset_at(url)
    assert complete(asset, HEAD, session) == asset


@pytest.mark.parametrize("said", [{}, {"file:size": SIZE}])
def test_head_says_zero(origin, session, said):
    """A length of zero in HEAD, as some origins give that do not know it, is not believed."""
    url = origin.add("/x.tif", WHOLE, head=Answer())
    assert complete(asset_at(url, **said), HEAD, session).size_bytes == said.get("file:size")
    assert complete(asset_at(url, **said), DOWNLOAD, session).size_bytes == SIZE


def test_empty_file(origin, session):
    """A file may be empty; the download tells."""
    asset = complete(asset_at(origin.add("/x.tif", Answer())), DOWNLOAD, session)
    assert known(asset) == (0, "00000001", None)


@pytest.mark.parametrize("length", ["-1", "x", "10, 10", "1e3", "\xb2"])
def test_odd_lengths(origin, session, length):
    """A length that is none is not known."""
    head = Answer(headers={"Content-Length": length})
    url = origin.add("/x.tif", WHOLE, head=head)
    asset = complete(asset_at(url), DOWNLOAD, session)
    assert asset.size_bytes == SIZE


# Contradictions.


def test_size_of_head_differs_from_the_item(origin, failure):
    """Another size than the item's is an error that names both, before anything is downloaded."""
    url = origin.add("/x.tif", WHOLE)
    message = failure(url, HEAD, **{"file:size": SIZE + 1})
    assert str(SIZE) in message
    assert str(SIZE + 1) in message
    assert origin.methods == ["HEAD"]


def test_size_of_the_download_differs_from_the_item(origin, failure):
    """Another size than the item's is found in a download, too."""
    url = origin.add("/x.tif", WHOLE, head=Answer(status=405))
    message = failure(url, **{"file:size": SIZE - 1})
    assert f"has {SIZE} bytes" in message
    assert str(SIZE - 1) in message


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"file:checksum": WRONG_SHA256}, "sha2-256"),
        ({"file:checksum": WRONG_SHA256, "file:size": SIZE}, "sha2-256"),
        ({"rucio:adler32": "00000002"}, "adler32"),
        ({"rucio:md5": "0" * 32}, "md5"),
    ],
)
def test_checksum_of_the_download_differs_from_the_item(origin, failure, fields, name):
    """A download that has not the item's checksum is an error that names the function."""
    url = origin.add("/x.tif", WHOLE, head=Answer(status=405))
    assert f"has another {name} than" in failure(url, **fields)


def test_checksum_of_the_download_is_the_items(origin, session):
    """A download is verified with the item's sha2-256, and gives what Rucio wants."""
    asset = asset_at(origin.add("/x.tif", WHOLE), **{"file:checksum": SHA256, "file:size": SIZE})
    asset = complete(asset, DOWNLOAD, session)
    assert (asset.size_bytes, asset.checksums) == (SIZE, Checksums(ADLER32, None, SHA256))


# What is not the file.


@pytest.mark.parametrize("learn_from", [HEAD, DOWNLOAD])
def test_login_page(origin, failure, learn_from):
    """A page that answers in place of the file is an error that speaks of a login."""
    message = failure(origin.add("/x.tif", LOGIN), learn_from, type="image/tiff")
    assert "wants a login" in message


def test_login_page_after_a_redirect(origin, failure):
    """A page to which the download is redirected is no file either."""
    origin.add("/login", LOGIN)
    moved = Answer(status=302, headers={"Location": "/login?secret=SECRET"})
    url = origin.add("/x.tif", moved, head=Answer(status=405))
    assert "wants a login" in failure(url)


def test_pages_that_are_wanted(origin, session):
    """A page that the item announces is a file like others."""
    url = origin.add("/x.html", LOGIN)
    asset = complete(asset_at(url, type="Text/HTML; charset=latin-1"), DOWNLOAD, session)
    assert asset.size_bytes == len(LOGIN.body)


@pytest.mark.parametrize("status", [202, 203, 206, 300, 401, 403, 404, 410, 416, 501])
def test_answers_that_are_no_file(origin, failure, status):
    """Only 200 is the file; any other status is the error."""
    url = origin.add("/x.tif", Answer(b'{"status": "staging"}', status))
    assert failure(url).endswith(f"HTTP {status}")
