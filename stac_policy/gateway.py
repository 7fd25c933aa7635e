"""URLs of the credential gateway: made where transfers are submitted, known again by the gateway.

    GATEWAY/1/KEY/VO/RSE/EXPIRES/HMAC/https/HOST/PATH

Each is a bearer for one file. All of it is in the path, because what Rucio appends
(`?copy_mode=push`) counts only as the first query; a stored URL keeps its spelling but for
its question mark.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import NamedTuple

VERSION = "1"
VALID_S = 8 * 86_400
"""How long a URL is good for by default, in seconds: FTS queues a transfer for a week."""
CLOCK_S = 300
"""By how many seconds clocks may differ."""
# In characters; FTS refuses the whole job of a longer one, with what Rucio appends.
URL_LENGTH = 1100 - len("?copy_mode=push")
# What stands before the stored URL: a gateway's own of 70, an RSE of 30, and the rest.
_HEAD_LENGTH = 160
_SECRET_LENGTH = 32  # characters
_LABEL_LENGTH = 63  # characters of a label of DNS
_NO_LABEL = re.compile("[^a-z0-9]+")
_HMAC_BYTES = 16
_PARTS = 8
_NAME = re.compile("[A-Za-z0-9._-]+")
_URL = re.compile(r"(https?)://([^/]+/.*)", re.DOTALL)
_ESCAPED = {"%25": "%2525", "%3F": "%253F", "%3f": "%253f", "?": "%3F"}
_TO_ESCAPE = re.compile(r"%25|%3[Ff]|\?")
_TO_UNESCAPE = re.compile(r"%2525|%253[Ff]|%3F")
_UNESCAPED = {escaped: text for text, escaped in _ESCAPED.items()}


class ForbiddenError(ValueError):
    """A URL that this gateway's submitters have not made, or not for now."""


class Key(NamedTuple):
    """A secret that submitters and gateways share."""

    id: str
    """The beginning of its digest, by which hosts can be compared."""
    secret: str

    def __repr__(self) -> str:
        return f"Key({self.id!r})"


class Claim(NamedTuple):
    """What a URL of the gateway vouches for."""

    vo: str
    rse: str
    url: str
    """The stored URL, byte for byte."""
    expires_s: int
    """When it ends, in seconds since 1970."""


def read_keys(path: str | Path) -> list[Key]:
    """Read a file of keys, a line each; the first makes URLs, all verify them.

    Raises:
        OSError: It cannot be read.
        ValueError: Others may read it, it has no key, or one of fewer than 32 characters.
    """
    path = Path(path)
    status = path.stat()
    # One of root may be for a group: so are those that systemd gives to a service.
    if status.st_mode & (0o037 if status.st_uid == 0 else 0o077):
        raise ValueError(f"{path} can be read by others; chmod 600 it, and make new keys")
    lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    secrets = [line for line in lines if line and not line.startswith("#")]
    if not secrets or any(len(secret) < _SECRET_LENGTH for secret in secrets):
        raise ValueError(
            f"{path} has to have keys of {_SECRET_LENGTH} characters or more, one a line"
        )
    return [Key(hashlib.sha256(secret.encode()).hexdigest()[:8], secret) for secret in secrets]


def make_url(gateway: str, claim: Claim, key: Key) -> str:
    """Return the URL at a gateway for a stored URL.

    Args:
        gateway: The gateway's own URL; `{origin}` in its host stands for that of the stored URL,
            with hyphens for dots.
        claim: What it stands for.
        key: The key to vouch with.

    Raises:
        ValueError: The stored URL is none of the web, the result too long for FTS, or VO or RSE
            no segment of a path that comes through servers as it is.
    """
    if not (_NAME.fullmatch(claim.vo) and _NAME.fullmatch(claim.rse)):
        raise ValueError("the name of its VO or RSE is no segment of a path")
    match = _URL.fullmatch(claim.url)
    if match is None:
        raise ValueError("the stored URL is not one of the web")
    scheme, rest = match.groups()
    rest = _escaped(rest)
    label = _NO_LABEL.sub("-", rest.partition("/")[0].lower())[:_LABEL_LENGTH].strip("-")
    gateway = gateway.replace("{origin}", label)
    head = f"{VERSION}/{key.id}/{claim.vo}/{claim.rse}/{claim.expires_s}"
    url = f"{gateway.rstrip('/')}/{head}/{_hmac(claim, key)}/{scheme}/{rest}"
    if len(url) > URL_LENGTH:
        raise ValueError(f"its URL at the gateway has more than {URL_LENGTH} characters")
    return url


def fits(url: str) -> bool:
    """Return whether a stored URL is short enough for any gateway."""
    return len(_escaped(url)) <= URL_LENGTH - _HEAD_LENGTH


def _escaped(rest: str) -> str:
    return _TO_ESCAPE.sub(lambda found: _ESCAPED[found[0]], rest)


def read_path(path: str, keys: list[Key], now_s: float | None = None) -> Claim:
    """Return what a path of the gateway stands for.

    Args:
        path: The path as it was sent, behind that of the gateway itself.
        keys: The keys, each of which may have vouched for it.
        now_s: The time, in seconds since 1970; by default now.

    Raises:
        ForbiddenError: Nobody has vouched for it, or it is over.
    """
    version, *parts = path.lstrip("/").split("/", _PARTS - 1)
    if version != VERSION or len(parts) != _PARTS - 1:
        raise ForbiddenError("this is no URL of a file")
    key_id, vo, rse, expires, given, scheme, rest = parts
    if not (expires.isascii() and expires.isdigit() and len(expires) < len("10000000000000")):
        raise ForbiddenError("this is no URL of a file")
    url = f"{scheme}://{_TO_UNESCAPE.sub(lambda found: _UNESCAPED[found[0]], rest)}"
    claim = Claim(vo, rse, url, int(expires))
    vouched = any(
        key.id == key_id
        and hmac.compare_digest(_hmac(claim, key).encode(), given.encode("utf-8", "replace"))
        for key in keys
    )
    if not vouched:
        raise ForbiddenError("nobody who has this gateway's keys has made this URL")
    if claim.expires_s + CLOCK_S < (time.time() if now_s is None else now_s):
        raise ForbiddenError("this URL was good for its time only, which is over")
    return claim


def _hmac(claim: Claim, key: Key) -> str:
    # Neither VO, RSE nor number holds a line break.
    text = "\n".join([VERSION, key.id, claim.vo, claim.rse, str(claim.expires_s), claim.url])
    digest = hmac.new(key.secret.encode(), text.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return urlsafe_b64encode(digest.digest()[:_HMAC_BYTES]).decode().rstrip("=")
