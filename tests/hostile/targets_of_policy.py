"""What runs on the server: URLs, names, DIDs, options, answers of STAC APIs."""

from __future__ import annotations

import configparser
import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from rucio.common.exception import RucioException

from stac_policy import bodies, http, naming
from stac_policy.access import origins
from stac_policy.algorithms import collocation_hints, lfn2pfn, pfn2lfn
from stac_policy.dids import is_asset, stac_parts
from stac_policy.scope import scope
from stac_policy.settings import Settings, _text, parse
from stac_policy.stac_api import _item
from stac_policy.urls import absolute, is_allowed, redact, refusal

from .campaign import target
from .material import SECRET

if TYPE_CHECKING:
    from .material import Material

ALLOWED = ("data.example.org", "*.example.com")


@target(20_000)
def refusals_of_urls(made: Material) -> object:
    """What may be registered leads to an allowed host, for every program, and has no secret."""
    url = made.url()
    reason = refusal(url, ALLOWED)
    anywhere = refusal(url)
    assert anywhere is None or reason is not None
    if anywhere is None:
        assert SECRET not in url
        assert urlsplit(url).hostname
    if reason is None:
        assert SECRET not in url
        for parts in (urlsplit(url), urlsplit(requests.Request("GET", url).prepare().url)):
            assert parts.hostname == "data.example.org"
            assert parts.scheme in {"http", "https"}
            assert "@" not in parts.netloc
    return [reason, anywhere]


@target(15_000)
def redacted_urls(made: Material) -> object:
    """A URL for messages has no secret, whatever it is."""
    return [redact(made.url()), redact(made.text())]


@target(5_000)
def absolute_urls(made: Material) -> object:
    """An href becomes what can be judged."""
    url = absolute(made.choice([made.url(), made.text()]), made.url())
    return [refusal(url, ALLOWED), redact(url)]


@target(10_000)
def access_to_bytes(made: Material) -> object:
    """Whatever an href is, its URL can be registered, and its reason has no secret."""
    schemes = ["s3", "s3a", "gs", "az", "abfss", "wasb", "arn:aws:s3", "/vsis3", "https", "ftp"]
    servers = ["usgs-landsat", "eodata", "KEY:SECRET@b", "naip@naipeuwest.dfs.core.windows.net", ""]
    rest = made.url().partition("://")[2]
    href = f"{made.choice(schemes)}://{made.choice([*servers, made.text()])}/{rest}"
    found = origins().access(made.choice([href, made.url()]), made.item(), {"type": made.text()})
    assert found.url is None or refusal(found.url) is None
    assert found.url is not None or not found.kind.is_fetchable
    assert found.reason.isprintable()
    return [found.reason, found.needs]


@target(5_000, ValueError)
def allowed_hosts(made: Material) -> None:
    """An allow list never lets another host pass, whatever stands in it."""
    parts = urlsplit(made.url().replace(SECRET, "x"))
    patterns = made.sample([made.text(), "[", "*", "*.", "", ":", "*.org:x", "a"], 3)
    if is_allowed(parts, ["data.example.org", *patterns]):
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        assert host == "data.example.org" or any(
            pattern.lower().partition(":")[0].lstrip("*") in (host or "") for pattern in patterns
        )


@target(10_000, ValueError)
def names(made: Material) -> object:
    """Every name has the form and the length of Rucio's, and none leads up or hides."""
    collection, item, key = (made.text() for _ in range(3))
    name = naming.asset_name(collection, item, key, made.choice([made.url(), None]))
    assert len(name) <= naming.NAME_LENGTH
    parts = naming.split_name(name)
    assert len(parts) == 3
    assert not any(part in {"", ".", ".."} or part.startswith(".") for part in parts)
    assert all(part.isascii() and part.isprintable() and " " not in part for part in parts)
    assert len(naming.collection_scope(collection)) <= naming.SCOPE_LENGTH
    return None


@target(10_000)
def dids(made: Material) -> None:
    """Any DID is judged, and those that are not STAC's are left to Rucio."""
    # Rucio's own algorithm `hash` takes no lone surrogates.
    scope_text, text = (made.text().encode("utf-8", "ignore").decode() for _ in range(2))
    did = naming.DID(scope_text, made.choice([text, "/" + text]))
    assert is_asset(did) <= bool(stac_parts(did))
    assert collocation_hints({"scope": did.scope, "name": did.name}) is not None
    assert lfn2pfn(did.scope, did.name, "RSE", {}, {})
    for part in naming.split_name(did.name):
        assert part not in {"", ".", ".."}


@target(5_000, RucioException)
def typed_dids(made: Material) -> None:
    """What users type gives a scope and a name, or an error of Rucio's."""
    text = made.choice([made.text, made.url])()
    typed = made.choice([text, f"{text}/collections/{made.text()}/items/{made.text()}"])
    # Rucio's own errors repeat what was typed.
    found = scope(typed.replace(SECRET, "x"), made.choice([None, ["c", "user.alice"]]))
    assert len(found) == 2


@target(3_000)
def paths_at_storages(made: Material) -> None:
    """Any path at a storage gives a scope and a name."""
    path = made.text()
    found = pfn2lfn({"path": path, "name": made.text()})
    assert len(found) == 2


_OPTIONS = [
    *["allowed_hosts", "api", "auto_approve_bytes", "cache_items", "cache_s", "scopes", "unknown"],
    *["connect_timeout_s", "read_timeout_s", "registrar_attribute", "response_bytes"],
]


@target(10_000)
def options(made: Material) -> object:
    """Options are understood or told, without secrets; a broken allow list stays one."""
    values = [made.url(), made.text(), "1" * made.randrange(1, 5000), "²", "-1", f"a={made.url()}"]
    texts = {option: made.choice(values) for option in made.sample(_OPTIONS, 4)}
    found, problems = parse(texts)
    if texts.get("allowed_hosts", "").replace(",", "").strip():
        assert found.allowed_hosts
    assert isinstance(found, Settings)
    return problems


@target(3_000, configparser.Error)
def sections(made: Material) -> object:
    """The text of a rucio.cfg gives options, or an error of its parser."""
    lines = [f"{made.choice(_OPTIONS)} {made.choice('=:')} {made.text()}" for _ in range(3)]
    parser = configparser.ConfigParser(strict=False)
    text = "\n".join(line.replace("\n", " ") for line in lines)
    parser.read_string("[stac]\n" + text.replace(SECRET, "x"))
    return parse({option: _text(parser, "stac", option) for option in parser.options("stac")})[1]


@target(8_000, http.FetchError)
def answers_of_apis(made: Material) -> object:
    """An answer is an item, or none; its URLs are judged as all others."""
    answer = made.item() if made.random() < 0.7 else made.value()
    said = answer.get("id") if isinstance(answer, dict) else None
    wanted = said if isinstance(said, str) and said else "i"
    item = _item(answer, "c", wanted, redact(made.url()), origins())
    return [refusal(item.access[key].url or "", ALLOWED) for key in item.hrefs]


@target(3_000, http.FetchError)
def texts_of_json(made: Material) -> object:
    """Any bytes are JSON within bounds, or none."""
    return type(bodies.parse_json(made.bytes(), 100_000))


@target(5_000, http.FetchError)
def headers_of_answers(made: Material) -> None:
    """Whatever headers say, lengths and pauses stay within what they can be."""
    answer = requests.Response()
    answer.status_code = made.choice([200, 206, 416, 429, 503])
    for name in ("Content-Length", "Content-Encoding", "Content-Range", "ETag", "Retry-After"):
        answer.headers[name] = made.choice([made.text(), str(made.randrange(10**20)), "-1", "gzip"])
    error = http.StatusError("busy", answer)
    assert 0 <= error.retry_after_s <= http.LONGEST_WAIT_S
    assert (http.content_length(answer) or 0) in range(http.MOST_BYTES + 1)
    http.require_plain(answer)


@target(2_000, ValueError, RecursionError)
def keys_of_names(made: Material) -> None:
    """The asset of a name is found among any hrefs."""
    hrefs = {made.text(): made.choice([None, made.url()]) for _ in range(3)}
    key = made.choice(list(hrefs))
    name = naming.asset_name("c", "i", key, hrefs[key], hrefs)
    found = naming.asset_key(name, "c", "i", hrefs)
    assert found is not None
    assert naming.asset_name("c", "i", found, hrefs[found], hrefs) == name
    json.dumps(name)
