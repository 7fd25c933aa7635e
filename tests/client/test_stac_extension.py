"""The STAC extension Rucio (docs/stac-extension): its schema, its examples and what we read."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pystac.validation import JsonSchemaSTACValidator, validate_dict

from stac_client._alternates import ALTERNATE_ASSETS, with_replicas
from stac_client._assets import select_assets
from stac_client._checksums import Checksums, Digester, checksums_of
from stac_policy.naming import DID, collection_name, collection_scope

FOLDER = Path(__file__).parents[2] / "docs" / "stac-extension"
IDENTIFIER = "https://stac-extensions.github.io/rucio/v1.0.0/schema.json"
SCHEMA = json.loads((FOLDER / "json-schema" / "schema.json").read_text("utf-8"))
ITEM = json.loads((FOLDER / "examples" / "item.json").read_text("utf-8"))
COLLECTION = json.loads((FOLDER / "examples" / "collection.json").read_text("utf-8"))
ASSETS = ITEM["assets"]

BODY = b"hour,level_m\n0,2.31\n"  # of each file of the example
ADLER32 = "4b1f0603"
MD5 = "216e0ad794d40a8ef7a67c6b069cab23"

WRONG_TEXTS: list[Any] = [None, 7, True, "", [], {}]
WRONG_SCOPES = [*WRONG_TEXTS, "a:b", "a/b", "a b", "a\n", "ä"]
WRONG_NAMES = [*WRONG_TEXTS, "a b", "a\n", "\ta", " "]
WRONG_SIZES: list[Any] = [None, -1, 1.5, True, "20", "", []]
WRONG_ADLER32S = [*WRONG_TEXTS, ADLER32[1:], "0" + ADLER32, "0x" + ADLER32[2:], ADLER32 + "\n"]
WRONG_MD5S = [*WRONG_TEXTS, MD5.upper(), MD5[1:], "d50110" + MD5, MD5[1:] + "g", MD5 + "\n"]
WRONG_SCHEMES = [*WRONG_TEXTS, "https://", "https,root", "ht tps"]

ASSET = ("assets", "levels")
ONLY_RUCIO = ("assets", "levels-only-rucio")
CONFIG = ("assets", "levels-deprecated", "rucio:config")
PROPERTIES = ("properties",)


def accepts(document: Any) -> bool:
    """Tell what the schema says of a document."""
    return jsonschema.Draft7Validator(SCHEMA).is_valid(document)


def fields_at(document: Any, place: tuple[Any, ...]) -> Any:
    """The fields at a place of a document."""
    for key in place:
        document = document[key]
    return document


def changed(document: Any, place: tuple[Any, ...], field: str, value: Any) -> Any:
    """The document with another value of a field that it has."""
    document = without(document, place, field)
    fields_at(document, place)[field] = value
    return document


def without(document: Any, place: Any, field: Any) -> Any:
    """The document without a field that it has."""
    document = copy.deepcopy(document)
    del fields_at(document, place)[field]
    return document


def with_collection_asset(**fields: Any) -> dict[Any, Any]:
    """The collection with an asset."""
    asset = {"href": "https://data.example.org/gauges.csv", **fields}
    return {**COLLECTION, "assets": {"gauges": asset}}


# The schema.


def test_schema() -> None:
    """The schema is one of draft 7, under the identifier that it asks for."""
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$id"].removesuffix("#") == IDENTIFIER
    assert SCHEMA["definitions"]["stac_extensions"]["properties"]["stac_extensions"] == {
        "type": "array",
        "contains": {"const": IDENTIFIER},
    }


@pytest.mark.parametrize("document", [ITEM, COLLECTION], ids=["item", "collection"])
def test_examples(document: Any) -> None:
    """The examples are valid STAC 1.1.0 and use the extension; nothing is fetched for that."""
    validator = JsonSchemaSTACValidator()
    validator.schema_cache[IDENTIFIER] = SCHEMA
    at_hand = set(validator.schema_cache)
    core, extension = validate_dict(document, extensions=[IDENTIFIER], validator=validator)
    assert "/v1.1.0/" in core
    assert extension == IDENTIFIER
    assert IDENTIFIER in document["stac_extensions"]
    assert set(validator.schema_cache) == at_hand


def test_alternates_of_the_example() -> None:
    """The copies are written as the client writes them, and the item declares that extension."""
    href = ASSETS["levels"]["href"]
    bare = without(without(ASSETS, ["levels"], "alternate"), ["levels"], "alternate:name")["levels"]
    (rse,) = ASSETS["levels"]["alternate"]
    pfns = {"STAC": [href], rse: [ASSETS["levels"]["alternate"][rse]["href"]]}
    assert with_replicas(bare, pfns) == ASSETS["levels"]
    assert ALTERNATE_ASSETS in ITEM["stac_extensions"]


@pytest.mark.parametrize("value", WRONG_SCOPES)
@pytest.mark.parametrize("place", [ASSET, CONFIG, PROPERTIES])
def test_wrong_scopes(place: tuple[Any, ...], value: Any) -> None:
    """A scope is text of letters, digits and a few signs."""
    assert not accepts(changed(ITEM, place, "rucio:scope", value))


@pytest.mark.parametrize("value", WRONG_NAMES)
@pytest.mark.parametrize("place", [ASSET, CONFIG, PROPERTIES])
def test_wrong_names(place: tuple[Any, ...], value: Any) -> None:
    """A name is text without white space."""
    assert not accepts(changed(ITEM, place, "rucio:name", value))


@pytest.mark.parametrize("value", WRONG_SIZES)
@pytest.mark.parametrize("place", [ONLY_RUCIO, CONFIG])
def test_wrong_sizes(place: tuple[Any, ...], value: Any) -> None:
    """A size is a whole number, not below 0."""
    assert not accepts(changed(ITEM, place, "rucio:size", value))


@pytest.mark.parametrize("value", WRONG_ADLER32S)
@pytest.mark.parametrize("place", [ASSET, CONFIG])
def test_wrong_adler32s(place: tuple[Any, ...], value: Any) -> None:
    """An Adler-32 is eight hex digits."""
    assert not accepts(changed(ITEM, place, "rucio:adler32", value))


def test_upper_case_adler32() -> None:
    """Only the older form may have upper-case digits."""
    assert not accepts(changed(ITEM, ASSET, "rucio:adler32", ADLER32.upper()))
    assert accepts(changed(ITEM, CONFIG, "rucio:adler32", ADLER32.upper()))


@pytest.mark.parametrize("value", WRONG_MD5S)
def test_wrong_md5s(value: Any) -> None:
    """An MD5 is 32 lower-case hex digits."""
    assert not accepts(changed(ITEM, ASSET, "rucio:md5", value))


@pytest.mark.parametrize("value", [None, 7, True, "", "rucio:size", []])
def test_wrong_configs(value: Any) -> None:
    """The older form is an object."""
    assert not accepts(changed(ITEM, CONFIG[:-1], "rucio:config", value))


@pytest.mark.parametrize("value", WRONG_TEXTS)
def test_wrong_hosts(value: Any) -> None:
    """The host of the older form is text."""
    assert not accepts(changed(ITEM, CONFIG, "rucio:host", value))


@pytest.mark.parametrize("value", WRONG_SCHEMES)
def test_wrong_schemes(value: Any) -> None:
    """The scheme of the older form is that of a URL, without anything after it."""
    assert not accepts(changed(ITEM, CONFIG, "rucio:scheme", value))


@pytest.mark.parametrize(
    ("field", "values"), [("rucio:scope", WRONG_SCOPES), ("rucio:name", WRONG_NAMES)]
)
def test_wrong_dids_of_collections(field: str, values: list[Any]) -> None:
    """A collection has scope and name as items have."""
    assert not any(accepts(changed(COLLECTION, (), field, value)) for value in values)


def test_assets_of_collections() -> None:
    """The assets of a collection are held to the same."""
    assert accepts(with_collection_asset(**{"rucio:size": 20, "rucio:adler32": ADLER32}))
    assert not accepts(with_collection_asset(**{"rucio:size": -1}))
    assert not accepts(with_collection_asset(**{"rucio:name": "/river-gauges/a"}))


@pytest.mark.parametrize("field", ["rucio:scope", "rucio:name"])
@pytest.mark.parametrize("validator", [jsonschema.Draft7Validator, jsonschema.Draft202012Validator])
def test_half_dids(validator: Any, field: str) -> None:
    """Scope and name come together, whichever draft a validator takes the schema for."""
    for document, place in ((ITEM, ASSET), (ITEM, PROPERTIES), (COLLECTION, ())):
        assert validator(SCHEMA).is_valid(document)
        assert not validator(SCHEMA).is_valid(without(document, place, field))


@pytest.mark.parametrize(
    ("field", "value"),
    [("rucio:size", 20), ("rucio:adler32", ADLER32), ("rucio:md5", MD5), ("rucio:config", {})],
)
def test_fields_of_files_elsewhere(field: str, value: Any) -> None:
    """Only assets have sizes, checksums and the older form."""
    assert accepts(with_collection_asset(**{field: value}))
    assert not accepts({**COLLECTION, field: value})
    assert not accepts({**ITEM, "properties": {**ITEM["properties"], field: value}})


def test_unknown_fields() -> None:
    """A field with the prefix that the extension does not have is refused; others are free."""
    assert not accepts(with_collection_asset(**{"rucio:sice": 20}))
    assert accepts(with_collection_asset(**{"file:size": 20, "rucios:size": "20"}))


@pytest.mark.parametrize("document", [ITEM, COLLECTION], ids=["item", "collection"])
def test_undeclared(document: Any) -> None:
    """A document that does not name the extension is none of it."""
    assert not accepts(changed(document, (), "stac_extensions", []))
    assert not accepts(changed(document, (), "stac_extensions", IDENTIFIER))
    assert not accepts(without(document, (), "stac_extensions"))


@pytest.mark.parametrize("document", [ITEM, COLLECTION], ids=["item", "collection"])
def test_other_documents(document: Any) -> None:
    """Only items and collections can use the extension."""
    assert not accepts(changed(document, (), "type", "Catalog"))
    assert not accepts(without(document, (), "type"))
    assert not accepts([document])


@pytest.mark.parametrize("field", ["properties", "assets"])
def test_parts_of_items(field: str) -> None:
    """An item has properties and assets."""
    assert not accepts(changed(ITEM, (), field, []))
    assert not accepts(without(ITEM, (), field))


@pytest.mark.parametrize("value", [None, 7, "levels.csv", []])
def test_assets_that_are_none(value: Any) -> None:
    """An asset is an object, and so is what holds them."""
    assert not accepts(changed(ITEM, ASSET[:-1], ASSET[-1], value))
    assert not accepts({**COLLECTION, "assets": value})


# The examples, and what the client reads in them.


def test_dids_of_the_examples() -> None:
    """They are those that the names of the project give."""
    assets = {asset.key: asset for asset in select_assets(ITEM)}
    assert set(assets) == set(ASSETS)
    for key, asset in assets.items():
        fields = ASSETS[key].get("rucio:config", ASSETS[key])
        assert asset.did == DID(fields["rucio:scope"], fields["rucio:name"])
        properties = ITEM["properties"]
        assert asset.dataset == DID(properties["rucio:scope"], properties["rucio:name"])
    collection = ITEM["collection"]
    assert COLLECTION["id"] == collection
    assert COLLECTION["rucio:scope"] == collection_scope(collection)
    assert COLLECTION["rucio:name"] == collection_name(collection)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (
            "levels",
            Checksums(
                adler32=ADLER32,
                md5=MD5,
                multihash="122017a489600e7431265b8452f363abe77d5898039557fa11a2e175fbe9d1a0d696",
            ),
        ),
        ("levels-only-rucio", Checksums(adler32=ADLER32)),
        ("levels-deprecated", Checksums(adler32=ADLER32)),
    ],
)
def test_sizes_and_checksums_of_the_examples(key: str, expected: Checksums) -> None:
    """The client reads them in each form, and they are those of the file described."""
    found = checksums_of(ASSETS[key])
    assert found == expected
    digester = Digester(found)
    digester.update(BODY)
    assert digester.contradiction() is None
    sizes = {asset.key: asset.size_bytes for asset in select_assets(ITEM)}
    assert sizes[key] == digester.size_bytes == len(BODY)
