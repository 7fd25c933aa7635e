"""URLs of the credential gateway: who has the keys makes them, and each stands for one file."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stac_policy.gateway import (
    CLOCK_S,
    URL_LENGTH,
    VALID_S,
    Claim,
    ForbiddenError,
    Key,
    fits,
    make_url,
    read_keys,
    read_path,
)
from stac_policy.urls import refusal

if TYPE_CHECKING:
    from pathlib import Path

GATEWAY = "https://gw.example.org"
KEYS = [Key("aaaaaaaa", "new " * 10), Key("bbbbbbbb", "old " * 10)]
NOW_S = 1_800_000_000
urls = st.builds(
    "{}://{}/{}".format,
    st.sampled_from(["http", "https"]),
    st.sampled_from(["data.example.org", "data.example.org:8443", "[2001:db8::1]:80"]),
    st.text(st.sampled_from("ab/?%25%3F%3f&=+#.;"), max_size=60),
)


def claim_of(url: str) -> Claim:
    """A claim that is good for now."""
    return Claim("def", "STAC", url, NOW_S + VALID_S)


def path_of(url: str, key: Key = KEYS[0]) -> str:
    """The path of a URL at the gateway."""
    return make_url(GATEWAY, claim_of(url), key).removeprefix(GATEWAY)


@given(urls, st.sampled_from(KEYS))
def test_round_trip(url: str, key: Key) -> None:
    """Each URL comes back byte for byte, whichever key vouched; none has a query."""
    path = path_of(url, key)
    assert "?" not in path
    assert read_path(path, KEYS, NOW_S) == claim_of(url)


@given(urls, st.data())
def test_forged(url: str, data: st.DataObject) -> None:
    """Whatever is changed of a path, nobody has vouched for it."""
    path = path_of(url)
    at = data.draw(st.integers(1, len(path) - 1))
    changed = path[:at] + data.draw(st.sampled_from("0aZ/.%?")) + path[at + 1 :]
    if changed != path:
        with pytest.raises(ForbiddenError):
            read_path(changed, KEYS, NOW_S)


@given(st.text())
def test_any_path(path: str) -> None:
    """Whatever is asked for is refused in words of ours."""
    with pytest.raises(ForbiddenError):
        read_path(path, KEYS, NOW_S)


def test_no_two_urls_in_one_path() -> None:
    """A question mark and its escape are told apart."""
    odd = ["https://h/a?b", "https://h/a%3Fb", "https://h/a%3fb", "https://h/a%253Fb"]
    assert len({path_of(url).rpartition("/https/")[2] for url in odd}) == len(odd)


def test_it_ends() -> None:
    """A URL is good for its time, and the tolerance of clocks."""
    path = path_of("https://h/a")
    end_s = NOW_S + VALID_S + CLOCK_S
    read_path(path, KEYS, end_s)
    with pytest.raises(ForbiddenError, match="over"):
        read_path(path, KEYS, end_s + 1)


def test_keys_that_are_gone() -> None:
    """A URL of a key that was taken away is refused."""
    with pytest.raises(ForbiddenError, match="keys"):
        read_path(path_of("https://h/a", KEYS[1]), KEYS[:1], NOW_S)


@pytest.mark.parametrize("name", ["", "a/b", "a b", "a?b", "a%2Fb", "a\nb", "é"])
def test_names_that_are_no_segment(name: str) -> None:
    """No VO or RSE has another meaning in a path, or one that servers tidy."""
    for claim in (
        claim_of("https://h/a")._replace(vo=name),
        claim_of("https://h/a")._replace(rse=name),
    ):
        with pytest.raises(ValueError, match="VO or RSE"):
            make_url(GATEWAY, claim, KEYS[0])


@given(st.text(st.characters(max_codepoint=0xDFFF), max_size=30))
def test_any_mark(mark: str) -> None:
    """Whatever stands in place of the HMAC, bytes of no text included, is refused."""
    parts = path_of("https://h/a").split("/")
    parts[6] = mark.replace("/", "")
    with pytest.raises(ForbiddenError):
        read_path("/".join(parts), KEYS, NOW_S)


@pytest.mark.parametrize(
    ("host", "label"),
    [
        ("b.s3.eu-central-1.amazonaws.com", "b-s3-eu-central-1-amazonaws-com"),
        ("Data.Example.org:8443", "data-example-org-8443"),
        ("[2001:db8::1]", "2001-db8-1"),
        (f"{'a' * 62}.b.example.org", "a" * 62),
    ],
)
def test_a_host_for_each_origin(host: str, label: str) -> None:
    """FTS counts by hosts: those of the gateway may be of origins, and the path is the same."""
    claim = Claim("def", "STAC", f"https://{host}/a{{origin}}", NOW_S)
    url = make_url("https://{origin}.gw.example.org", claim, KEYS[0])
    assert url == make_url(f"https://{label}.gw.example.org", claim, KEYS[0])
    assert read_path(urlsplit(url).path, KEYS, NOW_S) == claim


@given(urls)
def test_it_cannot_be_registered(url: str) -> None:
    """A URL of the gateway is a bearer for a file, which no catalogue may have others store."""
    if refusal(url) is None:
        made = make_url(f"{GATEWAY}/path", claim_of(url), KEYS[0])
        assert refusal(made)
        assert refusal(f"https://data.example.org/https/{url.partition('//')[2]}") is None


def test_too_long() -> None:
    """What FTS would refuse a whole job for is not made."""
    with pytest.raises(ValueError, match=str(URL_LENGTH)):
        path_of("https://h/" + "x" * 1024)


@given(urls, st.integers(0, 1000))
@example("https://h/", 915)
@example("https://h/?", 912)
def test_what_fits(start: str, more: int) -> None:
    """What is said to fit is made, with names as long as Rucio has them."""
    url = start + "?" + "x" * more
    if fits(url):
        claim = Claim("def", "R" * 30, url, NOW_S)
        assert make_url(f"https://{'g' * 62}", claim, KEYS[0])
    assert fits("https://h/" + "x" * 900)
    assert not fits("https://h/" + "?" * 310)


def test_files_of_keys(tmp_path: Path) -> None:
    """A file of keys is its owner's alone; no secret is shown."""
    file = tmp_path / "keys"
    file.write_text(f"# the new one\n{'n' * 40}\n\n{'o' * 40}\n")
    with pytest.raises(ValueError, match="read by others"):
        read_keys(file)
    file.chmod(0o640)  # as systemd gives one of root to a service
    with nullcontext() if os.getuid() == 0 else pytest.raises(ValueError, match="read by others"):
        read_keys(file)
    file.chmod(0o600)
    keys = read_keys(file)
    assert [key.secret for key in keys] == ["n" * 40, "o" * 40]
    assert "nnn" not in repr(keys)
    file.write_text("short\n")
    with pytest.raises(ValueError, match="32 characters"):
        read_keys(file)
