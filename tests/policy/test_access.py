"""Classes of access, and the URLs of objects: by the table of origins, and what items say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stac_policy import access as access_module
from stac_policy.access import Access, Kind, Origins, Place, found_access, origins, read_rows
from stac_policy.settings import parse

TABLE = Origins(
    [
        ["s3://open-bucket", "public bucket", "eu-central-1", "", "test"],
        ["s3://Old_Bucket", "public bucket", "us-east-1", "", "test"],
        ["s3://dotted.bucket", "public bucket", "us-west-2", "", "test"],
        ["s3://china", "public bucket", "cn-north-1", "", "test"],
        ["s3://site", "public bucket", "https://s3.site.example:9000", "", "test"],
        ["s3://keys", "bearer", "https://data.site.example/protected/", "a token", "test"],
        ["s3://pays", "requester pays", "us-west-2", "keys of who pays", "test"],
        ["s3://pays/free/", "public bucket", "us-west-2", "", "test"],
        ["s3://family-*", "public bucket", "", "", "test"],
        ["gs://google", "public bucket", "", "", "test"],
        ["az://account", "signed", "container shared", "a SAS token", "test"],
        ["az://other", "public bucket", "shared", "", "test"],
        ["login.example", "login form", "", "a person logs in", "test"],
        ["*.daac.example", "bearer", "", "a token of the DAACs", "test"],
        ["open.daac.example", "open", "", "", "test"],
        ["api.example/data", "API key", "", "a key", "test"],
    ]
)


def access(href: str, item: Any = None, **fields: Any) -> Access:
    """Return the access by the table of the tests."""
    return found_access(TABLE, item or {}, {"href": href, **fields}, "")


@pytest.mark.parametrize(
    ("href", "url"),
    [
        ("s3://open-bucket/a/b.tif", "https://open-bucket.s3.eu-central-1.amazonaws.com/a/b.tif"),
        ("s3a://open-bucket/b.tif", "https://open-bucket.s3.eu-central-1.amazonaws.com/b.tif"),
        ("S3N://open-bucket/b.tif", "https://open-bucket.s3.eu-central-1.amazonaws.com/b.tif"),
        ("/vsis3/open-bucket/b", "https://open-bucket.s3.eu-central-1.amazonaws.com/b"),
        ("s3://Old_Bucket/b.tif", "https://s3.us-east-1.amazonaws.com/Old_Bucket/b.tif"),
        ("s3://dotted.bucket/b", "https://s3.us-west-2.amazonaws.com/dotted.bucket/b"),
        ("s3://china/b", "https://china.s3.cn-north-1.amazonaws.com.cn/b"),
        ("s3://site/b", "https://s3.site.example:9000/site/b"),
        ("s3://family-tree/b", "https://family-tree.s3.amazonaws.com/b"),
        ("s3://open-bucket//a//b", "https://open-bucket.s3.eu-central-1.amazonaws.com//a//b"),
        (
            "s3://open-bucket/a b+c=d%20#e|é.tif",
            "https://open-bucket.s3.eu-central-1.amazonaws.com/a%20b%2Bc=d%2520%23e%7C%C3%A9.tif",
        ),
        ("gs://google/a b", "https://storage.googleapis.com/google/a%20b"),
        ("gcs://google/a", "https://storage.googleapis.com/google/a"),
        ("/vsicurl/https://data.example.org/b.tif", "https://data.example.org/b.tif"),
        ("https://data.example.org//b.tif?x=1", "https://data.example.org//b.tif?x=1"),
    ],
)
def test_what_needs_nothing(href: str, url: str) -> None:
    """An object in a public bucket has a URL of HTTPS by href and table alone; others keep it."""
    found = access(href)
    assert (found.url, found.needs, found.reason) == (url, "", "")
    assert found.kind.is_anonymous


@pytest.mark.parametrize(
    ("href", "kind", "url", "needs"),
    [
        (
            "az://container/b c",
            Kind.SIGNED,
            "https://account.blob.core.windows.net/container/b%20c",
            "a SAS token",
        ),
        *(
            (href, Kind.SIGNED, "https://account.blob.core.windows.net/container/b", "a SAS token")
            for href in (
                "abfs://container@account.dfs.core.windows.net/b",
                "abfss://container@account.dfs.core.windows.net/b",
                "wasbs://container@account.blob.core.windows.net/b",
                "az://account.blob.core.windows.net/container/b",
                "https://account.blob.core.windows.net/container/b",
            )
        ),
        ("s3://keys/b", Kind.BEARER, "https://data.site.example/protected/b", "a token"),
        ("https://x.daac.example/b", Kind.BEARER, "https://x.daac.example/b", "of the DAACs"),
        ("https://api.example/data/b", Kind.API_KEY, "https://api.example/data/b", "a key"),
        (
            "s3://pays/b",
            Kind.REQUESTER_PAYS,
            "https://pays.s3.us-west-2.amazonaws.com/b",
            "who pays",
        ),
        (
            "https://s3-us-west-2.amazonaws.com/pays/b",
            Kind.REQUESTER_PAYS,
            "https://s3-us-west-2.amazonaws.com/pays/b",
            "who pays",
        ),
    ],
)
def test_what_needs_credentials(href: str, kind: Kind, url: str, needs: str) -> None:
    """The gateway fetches it; what it needs names the credential."""
    found = access(href)
    assert (found.kind, found.url) == (kind, url)
    assert "credential gateway" in found.needs
    assert needs in found.needs
    assert found.reason.startswith(kind.value)
    assert found.kind.is_fetchable
    assert not found.kind.is_anonymous


@pytest.mark.parametrize(
    ("href", "kind"),
    [
        ("https://open.daac.example/b", Kind.OPEN),
        ("https://api.example/other", Kind.OPEN),
        ("https://daac.example/b", Kind.OPEN),
        ("https://x.daac.example.evil.example/b", Kind.OPEN),
        ("s3://pays/free/b", Kind.PUBLIC_BUCKET),
        ("https://pays.s3.amazonaws.com/free/b", Kind.PUBLIC_BUCKET),
        ("https://unheard-of.s3.amazonaws.com/b", Kind.PUBLIC_BUCKET),
    ],
)
def test_rows_are_for_their_hosts_and_prefixes_alone(href: str, kind: Kind) -> None:
    """Hosts are compared whole, and the longest prefix counts."""
    assert access(href).kind is kind


@pytest.mark.parametrize(
    ("href", "reason"),
    [
        ("", "no href"),
        ("s3://unheard-of/b", "whether s3 bucket unheard-of is public is not known"),
        ("gs://unheard-of/b", "whether gs bucket unheard-of is public is not known"),
        ("s3://UPPER/b", "no provider is known to have s3 bucket UPPER"),
        ("s3://bucket:9000/b", "no provider is known"),
        ("s3://a\nb/c", r"s3 bucket a\nb"),
        ("s3://", "names no bucket"),
        ("s3:///b", "names no bucket"),
        (f"s3://{'a' * 254}/b", "the bucket is too long"),
        ("s3://open-bucket", "no object"),
        ("s3://open-bucket/", "no object"),
        ("https://s3.amazonaws.com/open-bucket", "no object"),
        ("s3://open-bucket/a/../b", "which HTTP clients take away"),
        ("s3://open-bucket/b?x=1", "a query"),
        ("gs://google/b?versionId=1", "a query"),
        ("gs://google/b?generation=1", "a query"),
        ("s3://KEY:SECRET@open-bucket/b", "carries credentials"),
        ("https://KEY:SECRET@open-bucket.s3.amazonaws.com/b", "carries credentials"),
        ("https://open-bucket.s3.amazonaws.com/b?X-Amz-Signature=SECRET", "signed"),
        ("abfs://container:SECRET@evil.example/b", "carries credentials"),
        ("az://unheard-of/b", "which account of Azure container unheard-of"),
        ("az://shared/b", "which account of Azure container shared"),
        ("s3://arn:aws:s3:us-west-2:1:accesspoint/name/b", "an access point"),
        ("s3://name-abc-s3alias/b", "an access point"),
        ("https://name-1.s3-accesspoint.us-west-2.amazonaws.com/b", "an access point"),
        ("https://x.mrap.accesspoint.s3-global.amazonaws.com/b", "an access point"),
        ("arn:aws:s3:::open-bucket/b", "an ARN"),
        ("s3://open-bucket/\ud800", "UTF-8"),
        ("https://[::1/b", "cannot be parsed"),
        (f"https://{'a' * 300}/b", "too long"),
        (f"s3://open-bucket/{'é' * 500}", "longer than 1024 characters"),
        ("ftp://host/b", "ftp scheme"),
        ("b.tif", "no scheme"),
        ("https://login.example/b", "a person logs in"),
        ("s3://open-bucket/store.zarr", "a folder"),
        ("https://data.example.org/x.SAFE/", "a folder"),
        ("https://data.example.org/x.zarr/measurements/b02", "a folder"),
        ("https://data.example.org/ept/ept.json", "a folder"),
        ("https://data.example.org/buildings.gdb", "a folder"),
    ],
)
def test_what_nobody_fetches(href: str, reason: str) -> None:
    """It is said why, without the secrets that it may carry."""
    found = access(href)
    assert not found.kind.is_fetchable
    assert reason in found.reason
    assert "SECRET" not in found.reason
    assert found.reason.isprintable()


@pytest.mark.parametrize(
    "name",
    [
        "x.SAFE/manifest.safe",
        "x.zarr/zarr.json",
        "x.zarr/.zmetadata",
        "x.zarr.zip",
        "x/?name=a.tif",
    ],
)
def test_files_of_folders(name: str) -> None:
    """Members of folders are files."""
    assert access(f"https://data.example.org/{name}").kind is Kind.OPEN


@pytest.mark.parametrize(
    "href", ["s3://open-bucket/b", "https://open-bucket.s3.eu-central-1.amazonaws.com/b"]
)
def test_versions_of_objects(href: str) -> None:
    """A version keeps its URL; whether anybody may read it, only a look tells."""
    found = access(f"{href}?versionId=3sL4k.x_-Y")
    url = "https://open-bucket.s3.eu-central-1.amazonaws.com/b?versionId=3sL4k.x_-Y"
    assert (found.kind, found.url, found.is_doubtful) == (Kind.NOT_TO_BE_HAD, url, True)
    assert "a version of an object" in found.reason
    assert access("s3://pays/b?versionId=1").kind is Kind.REQUESTER_PAYS


SPELLINGS = [
    [
        "s3://open-bucket/a b/c.tif",
        "s3a://open-bucket/a b/c.tif",
        "https://open-bucket.s3.amazonaws.com/a%20b/c.tif",
        "https://open-bucket.s3.amazonaws.com/a+b/c.tif",
        "https://open-bucket.s3.eu-central-1.amazonaws.com/a%20b/c.tif",
        "https://open-bucket.s3.eu-central-1.amazonaws.com:443/a%20b/c%2Etif",
        "https://open-bucket.s3-eu-central-1.amazonaws.com/a%20b/c.tif",
        "https://open-bucket.s3.dualstack.eu-central-1.amazonaws.com/a%20b/c.tif",
        "https://open-bucket.s3-accelerate.amazonaws.com/a%20b/c.tif",
        "https://s3.amazonaws.com/open-bucket/a%20b/c.tif",
        "https://s3.eu-central-1.amazonaws.com/open-bucket/a%20b/c.tif",
        "https://s3-eu-central-1.amazonaws.com/open-bucket/a%20b/c.tif",
    ],
    [
        "s3://site/b",
        "https://s3.site.example:9000/site/b",
        "https://site.s3.site.example:9000/b",
    ],
    ["s3://keys/b", "https://data.site.example/protected/b"],
    [
        "gs://google/a+b",
        "https://storage.googleapis.com/google/a+b",
        "https://google.storage.googleapis.com/a%2Bb",
    ],
    [
        "az://container/b",
        "abfss://container@account.dfs.core.windows.net/b",
        "https://account.blob.core.windows.net/container/b",
        "https://account.dfs.core.windows.net/container/b",
    ],
    ["s3://open-bucket/b?versionId=1", "https://open-bucket.s3.amazonaws.com/b?versionId=1"],
    ["https://data.example.org/a+b"],
    ["https://data.example.org/a%20b"],
    ["s3://open-bucket/a+b/c.tif"],
    ["s3://open-bucket/b?versionId=2"],
]


def test_every_spelling_of_an_object_is_one_object() -> None:
    """Path style, virtual hosts, regions, ports and schemes make no difference; all else does."""
    for spellings in SPELLINGS:
        for others in SPELLINGS:
            for one in spellings:
                for other in others:
                    assert TABLE.is_among(one, [OPEN_ONE, other]) is (spellings is others), (
                        one,
                        other,
                    )


KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda key: {".", ".."}.isdisjoint(key.split("/")) and "?" not in key
)


@given(
    st.sampled_from(["s3://open-bucket", "s3://site", "s3://dotted.bucket", "gs://google"]), KEYS
)
@example("s3://open-bucket", "/")
def test_the_url_of_an_object_leads_to_it(bucket: str, key: str) -> None:
    """Whatever its key holds, the URL is one that can be registered, and leads to that object."""
    found = access(f"{bucket}/{key}")
    place = TABLE.place(f"{bucket}/{key}")
    assert place == Place(bucket, key)
    if found.url is not None:
        assert TABLE.place(found.url) == place
        assert TABLE.is_among(found.url, [f"{bucket}/{key}"])
        assert found.url.isascii()
    else:
        assert ("longer" if key.strip("/") else "no path") in found.reason


@given(
    st.sampled_from(
        [
            "open-bucket.s3.eu-central-1.amazonaws.com",
            "s3.amazonaws.com/open-bucket",
            "pays.s3.amazonaws.com",
            "family-a.s3.amazonaws.com",
            "new.s3.amazonaws.com",
            "keys.data.site.example",
            "data.site.example",
            "s3.site.example:9000/site",
            "site.s3.site.example:9000",
            "storage.googleapis.com/google",
            "google.storage.googleapis.com",
            "account.blob.core.windows.net",
            "other.blob.core.windows.net",
            "login.example",
            "x.daac.example",
            "open.daac.example",
            "OPEN.daac.example:443",
            "api.example",
            "data.example.org",
            "data.example.org:8443",
        ]
    ),
    st.from_regex(
        r"/{1,2}(free/|data/|protected/)?[a-z.]{1,3}(\.zarr/|/ept\.json|\.zip)?a?", fullmatch=True
    ),
    st.sampled_from([None, "image/tiff", "application/vnd+zarr"]),
)
def test_what_is_known_of_a_server_is_what_is_known_of_its_files(
    server: str, path: str, media_type: str | None
) -> None:
    """Where all of a server is open, no file is looked at closer; the answer is the same."""
    url = f"https://{server}{path}"
    assert access(url, type=media_type) == access(url, type=media_type, **{"auth:refs": []})


@given(KEYS, KEYS)
def test_different_objects_have_different_urls(one: str, other: str) -> None:
    """No two keys share a URL."""
    urls = [access(f"s3://open-bucket/{key}").url for key in (one, other)]
    assert (urls[0] == urls[1]) is (one == other) or None in urls


# What items say.


SCHEMES: dict[str, Any] = {
    "keys": {"type": "s3"},
    "sign": {"type": "signedUrl"},
    "oidc": {"type": "openIdConnect"},
    "basic": {"type": "http", "scheme": "basic"},
    "key": {"type": "apiKey", "in": "query", "name": "k"},
    "odd": {"type": "carrier pigeon"},
}


@pytest.mark.parametrize(
    ("refs", "kind"),
    [
        (["keys"], Kind.SIGNED),
        (["sign"], Kind.SIGNED),
        (["oidc"], Kind.BEARER),
        (["basic"], Kind.BEARER),
        (["key"], Kind.API_KEY),
        (["odd", "key"], Kind.API_KEY),
        (["odd"], Kind.NOT_TO_BE_HAD),
        (["undefined"], Kind.NOT_TO_BE_HAD),
        ([], Kind.OPEN),
        (None, Kind.OPEN),
        ([None, {"a": 1}], Kind.NOT_TO_BE_HAD),
    ],
)
def test_the_authentication_extension(refs: Any, kind: Kind) -> None:
    """Its schemes classify an asset of a host that the table lacks, and only such a one."""
    item = {"properties": {"auth:schemes": SCHEMES}}
    found = access("https://data.example.org/b", item, **{"auth:refs": refs})
    assert found.kind is kind
    assert found.url == "https://data.example.org/b"
    assert access("https://open.daac.example/b", item, **{"auth:refs": refs}).kind is Kind.OPEN


def test_a_key_in_the_url() -> None:
    """A parameter that the item calls its API key is a secret, whatever its name."""
    item = {"properties": {"auth:schemes": SCHEMES}}
    found = access("https://data.example.org/b?a=1&k=SECRET", item)
    assert (found.kind, found.url) == (Kind.NOT_TO_BE_HAD, None)
    assert found.reason == "the URL carries a key (parameter k), which would be stored"
    assert access("https://data.example.org/b?a=1", item).kind is Kind.OPEN


@pytest.mark.parametrize(
    ("properties", "fields", "kind"),
    [
        ({"storage:requester_pays": True}, {}, Kind.REQUESTER_PAYS),
        ({"storage:requester_pays": True}, {"storage:requester_pays": False}, None),
        ({}, {"storage:requester_pays": True}, Kind.REQUESTER_PAYS),
        (
            {"storage:schemes": {"a": {"requester_pays": True}}},
            {"storage:refs": ["a"]},
            Kind.REQUESTER_PAYS,
        ),
        (
            {"storage:schemes": {"a": {"requester_pays": True}, "b": {}}},
            {"storage:refs": ["a", "b"]},
            None,
        ),
        ({"storage:schemes": []}, {"storage:refs": ["a"]}, None),
        ({"storage:requester_pays": "yes"}, {}, None),
    ],
)
def test_the_storage_extension(properties: Any, fields: Any, kind: Kind | None) -> None:
    """Both versions say that the requester pays; the table knows better where it says something."""
    item = {"properties": properties}
    assert access("https://b.s3.amazonaws.com/k", item, **fields).kind is (
        kind or Kind.PUBLIC_BUCKET
    )
    assert access("s3://open-bucket/k", item, **fields).kind is Kind.PUBLIC_BUCKET
    assert access("s3://unheard-of/k", item, **fields).kind is (kind or Kind.NOT_TO_BE_HAD)
    assert access("https://data.example.org/k", item, **fields).kind is Kind.OPEN


@pytest.mark.parametrize("value", [None, [], "x", 1, {"schemes": []}])
def test_items_that_say_nonsense(value: Any) -> None:
    """What is no dict or list says nothing."""
    item = {"properties": value, "auth:schemes": value}
    fields: dict[str, Any] = {"storage:refs": value, "type": value, "alternate": value}
    assert access("https://data.example.org/k", item, **fields).kind is Kind.OPEN


# Alternates.


OPEN_ONE, PAYS, LOGIN = "https://data.example.org/b", "s3://pays/b", "https://login.example/b"


@pytest.mark.parametrize(
    ("own", "alternates", "wanted", "taken"),
    [
        (OPEN_ONE, {"s3": PAYS}, [], OPEN_ONE),
        (OPEN_ONE, {"s3": PAYS}, ["s3"], PAYS),
        (OPEN_ONE, {"s3": PAYS}, ["other", "s3"], PAYS),
        (OPEN_ONE, {"s3": PAYS}, ["other"], OPEN_ONE),
        (LOGIN, {"s3": PAYS}, [], PAYS),
        (LOGIN, {"s3": PAYS, "web": OPEN_ONE}, [], OPEN_ONE),
        (PAYS, {"s3": "s3://keys/b"}, [], PAYS),
        ("s3://pays/x.SAFE", {"zip": "https://x.daac.example/b"}, [], "https://x.daac.example/b"),
        (None, {"web": OPEN_ONE}, [], OPEN_ONE),
        (PAYS, {"DISK": OPEN_ONE}, [], PAYS),
        (PAYS, {"b": OPEN_ONE, "a": "s3://open-bucket/b"}, [], "s3://open-bucket/b"),
        (LOGIN, {"s3": None}, [], LOGIN),
    ],
)
def test_alternates(own: Any, alternates: Any, wanted: list[str], taken: str) -> None:
    """The easiest is taken, or one that is asked for; a copy at an RSE is no alternate."""
    fields = {
        "href": own,
        "alternate": {
            key: {"href": href, "alternate:name": key} for key, href in alternates.items()
        },
    }
    found = found_access(TABLE, {}, fields, "", wanted)
    assert found.url == access(taken).url


def test_relative_hrefs() -> None:
    """They are resolved first, those of alternates as well."""
    base = "https://data.example.org/c/item.json"
    assert found_access(TABLE, {}, {"href": "./b"}, base).url == "https://data.example.org/c/b"
    assert found_access(TABLE, {}, {"href": "b"}, "s3://x/y").kind is Kind.NOT_TO_BE_HAD


# The table that comes with the package, and further rows.


def test_the_table_of_the_package() -> None:
    """Each row is found again where it applies, names its source, and says what it needs."""
    table = origins()
    rows = read_rows(Path(access_module.__file__).with_name("origins.tsv").read_text())
    assert len(rows) > 800
    assert len({row[0] for row in rows}) == len(rows)
    for origin, kind, _, needs, source in rows:
        assert source, origin
        assert needs or Kind(kind).is_anonymous, origin
        if origin.startswith("="):
            continue
        store, _, name = origin.replace("*", "x").rpartition("://")
        href = f"{store}://{name}/k" if store else f"https://{name}{'' if '/' in name else '/'}k"
        if store == "az":
            href = f"https://{name}.blob.core.windows.net/container/k"
        assert table.access(href, {}, {}).kind.value == kind, origin


@pytest.mark.parametrize("text", ["a\topen", "a\tajar\t\t\tx", "a open b c d"])
def test_what_is_no_table(text: str) -> None:
    """A line that says nothing is an error that names it."""
    with pytest.raises(ValueError, match="line 2 is not"):
        read_rows(f"# comment\n{text}\n")


def test_rows_of_an_operator(tmp_path: Path) -> None:
    """They come before those of the package; a file that is none is a problem of the option."""
    path = tmp_path / "origins.tsv"
    path.write_text("s3://usgs-landsat\tpublic bucket\thttps://mirror.example.org\t\tmirror\n")
    found = origins(str(path)).access("s3://usgs-landsat/b", {}, {})
    assert found == Access(Kind.PUBLIC_BUCKET, "https://mirror.example.org/usgs-landsat/b")
    assert origins().access("s3://usgs-landsat/b", {}, {}).kind is Kind.REQUESTER_PAYS
    assert parse({"origins": str(path)})[0].origins == str(path)
    other = tmp_path / "other.tsv"
    other.write_text("nonsense\n")
    for wrong in (str(other), str(tmp_path / "absent")):
        settings, (problem,) = parse({"origins": wrong})
        assert settings.origins == ""
        assert "[stac] origins: the table of origins" in problem
