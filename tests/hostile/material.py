"""Hostile values, made from a seed: the same seed gives the same values."""

from __future__ import annotations

import json
import random
import re
from typing import Any

from tests.catalogues import ITEMS

SECRET = "S3CRET"  # noqa: S105 - no output may hold it

_HOSTS = [
    *["data.example.org", "DATA.example.org", "data.example.org:8443", "xn--bcher-kva.example"],
    *["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0", "0x7f.1", "2130706433"],
    *["169.254.169.254", "[fe80::1%25eth0]", "metadata.google.internal", "10.0.0.1"],
    *["data.example.org.", ".data.example.org", "data.example.org%2eevil.example", "evil.example"],
    *["data.example.org\\evil.example", "data.example.org@evil.example", "", "[", "[::1", "a b"],
    *[
        "data.example.org:",
        "data.example.org:99999",
        "data.example.org:x",
        "\u2100.example",
        "é.org",
    ],
]
_SCHEMES = [
    "https",
    "http",
    "HTTPS",
    "s3",
    "file",
    "javascript",
    "data",
    "ftp",
    "davs",
    "",
    "h ttp",
]
_SEPARATORS = ["://", "://", "://", ":", ":/", ":///", "//", ":\\\\"]
_USERS = ["", "", "", f"u:{SECRET}@", f"{SECRET}:x@", f":{SECRET}@", f"u:{SECRET}@u:{SECRET}@"]
_PARTS = [
    *[
        "B04.tif",
        "a.tar.gz",
        "..",
        ".",
        "",
        "%2e%2e",
        "%2E%2e%2F",
        "a%00b",
        "a\0b",
        "a\nb",
        "C:\\x",
    ],
    *["-.", "-.2F", "-.H0123456789abcdef", "collections", "items", "c", "i", "~", "é", "\ud800"],
    *[
        "a" * 260,
        "%",
        "%zz",
        "%25",
        "con",
        "aux.tif",
        "catalog.json",
        "collection.json",
        " ",
        "\u202e",
    ],
]
_QUERIES = [
    *["", "", "", "?", "?x=1", f"?sig={SECRET}", f"?X-Amz-Signature={SECRET}&x=1"],
    *[f"?a=1&TOKEN={SECRET}", f"?access_token={SECRET}#x", f"#access_token={SECRET}"],
    *[f"?%73ig={SECRET}", f"?;sig={SECRET}", f"?x&&sig={SECRET}", "?a=%ff", "??"],
]
_SCALARS = [
    *[None, True, False, 0, -1, 1.5, 1e308, float("inf"), float("nan"), 10**30, -0.0],
    *["", "x", " ", "Feature", "FeatureCollection", "null", "[]", "..", "/", "\0", "\ud800"],
]
_ITEMS = [*map(json.dumps, ITEMS)]
_SCHEME = re.compile("[A-Za-z][A-Za-z0-9+.-]*:")
_NOT_AFTER_A_HOST = str.maketrans("", "", "/?#\\")
_CHARACTERS = "-.:/\\@%?#&=[]{}<>\"' \t\n\0\x7fabAB09~_é\u0301\u202e\ud800\udfff😀"


class Material(random.Random):
    """Makes hostile values."""

    def text(self) -> str:
        """Any text."""
        kind = self.randrange(6)
        if kind == 0:
            return str(self.choice(_PARTS))
        if kind == 1:
            return self.url()
        if kind == 2:
            return "/".join(self.choices(_PARTS, k=self.randrange(1, 5)))
        return "".join(self.choices(_CHARACTERS, k=self.randrange(0, 20)))

    def url(self) -> str:
        """What looks like a URL, often with a secret where secrets are put."""
        parts = "/".join(["", *self.choices(_PARTS, k=self.randrange(0, 4))])
        scheme, separator = self.choice(_SCHEMES), self.choice(_SEPARATORS)
        # Elsewhere what looks like a user is but the part of a relative path.
        is_url = ":" in separator if scheme else separator == "//"
        user = self.choice(_USERS) if is_url else ""
        made = f"{scheme}{separator}{user}{self.choice(_HOSTS)}{parts}{self.choice(_QUERIES)}"
        if self.random() < 0.05:
            return f"https://{SECRET}@data.example.org{parts}"
        if self.random() < 0.1:
            return self.mutated(made)
        return made

    def good_url(self) -> str:
        """A URL that may be registered."""
        return f"https://data.example.org/{self.randrange(10**6)}/B04.tif"

    def mutated(self, text: str) -> str:
        """A text with a character put in."""
        at = self.choice([0, len(text) // 3, len(text)])
        # Where a user's name ended in one of `/?#`, nobody could tell it from a host's, and
        # without a scheme nobody could tell it from a path.
        put_in = self.choice(_CHARACTERS.translate(_NOT_AFTER_A_HOST))
        made = text[:at] + put_in + text[at:]
        return made if _SCHEME.match(made) else made.replace(SECRET, "x")

    def value(self, depth: int = 3) -> Any:
        """Any value of JSON, and some that Python takes for JSON."""
        kind = self.randrange(10)
        if depth == 0 or kind < 4:
            return self.choice(_SCALARS)
        if kind < 7:
            return self.text()
        if kind == 7:
            return [self.value(depth - 1) for _ in range(self.randrange(4))]
        return {self.text(): self.value(depth - 1) for _ in range(self.randrange(4))}

    def deep(self, levels: int | None = None) -> Any:
        """Lists or objects in each other."""
        found: Any = self.choice(_SCALARS)
        key = self.choice(["a", "links", "alternate", "features"])
        as_list = self.random() < 0.5
        for _ in range(levels or self.choice([50, 500, 3000])):
            found = [found] if as_list else {key: found}
        return found

    def item(self) -> dict[str, Any]:
        """An item of a catalogue, spoilt in some places."""
        item: dict[str, Any] = json.loads(self.choice(_ITEMS))
        for asset in list(item["assets"].values()):
            if self.random() < 0.3:
                asset["href"] = self.url()
            if self.random() < 0.2:
                asset["alternate"] = {
                    self.text(): self.choice([{"href": self.url()}, self.value()])
                }
            if self.random() < 0.2:
                asset[self.choice(_ASSET_FIELDS)] = _harmless(self.value())
        for _ in range(self.randrange(3)):
            self._spoil(item)
        return item

    def _spoil(self, item: dict[str, Any]) -> None:
        kind = self.randrange(6)
        if kind == 0:
            field = self.choice(_ITEM_FIELDS)
            item[field] = _harmless(self.value())
        elif kind == 1:
            item.pop(self.choice(_ITEM_FIELDS), None)
        elif kind == 2 and isinstance(item.get("assets"), dict):
            item["assets"][self.text().replace(SECRET, "x")] = self.choice(
                [self.value(), {"href": self.url()}]
            )
        elif kind == 3 and isinstance(item.get("assets"), dict) and item["assets"]:
            item["assets"][self.choice(list(item["assets"]))] = self.value()
        elif kind == 4:
            item[self.choice(["id", "collection"])] = self.text().replace(SECRET, "x")
        else:
            item["links"] = [self.value(), {"rel": "self", "href": self.url()}]

    def page(self) -> Any:
        """What might be a page of items."""
        features = [self.item() if self.random() < 0.6 else self.value() for _ in range(2)]
        page = {"type": "FeatureCollection", "features": features, "links": [self.value()]}
        if self.random() < 0.3:
            page[self.choice(["type", "features", "links"])] = self.value()
        return self.value() if self.random() < 0.1 else page

    def bytes(self) -> bytes:
        """What might be JSON."""
        kind = self.randrange(6)
        if kind == 0:
            return self.randbytes(self.randrange(60))
        if kind == 1:
            return self.choice([b"[", b'{"a":', b'[{"features":']) * self.choice([10, 900, 10**5])
        text = json.dumps(self.page() if kind == 2 else self.value()).encode()
        if kind == 3:
            return text[: self.randrange(len(text) + 1)]
        if kind == 4:
            at = self.randrange(len(text) + 1)
            return text[:at] + self.randbytes(1) + text[at:]
        return text


def _harmless(value: Any) -> Any:
    """A value without secrets, for where no secrets are put."""
    return json.loads(json.dumps(value).replace(SECRET, "x"))


_ITEM_FIELDS = ["type", "id", "collection", "assets", "properties", "links", "stac_extensions"]
_ASSET_FIELDS = [
    *["href", "roles", "type", "file:size", "file:checksum", "rucio:adler32", "rucio:md5"],
    *["rucio:config", "rucio:size", "alternate", "alternate:name", "storage:refs"],
]
