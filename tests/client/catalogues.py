"""What public catalogues contain: an item of each kind, in its real form, and what becomes of it.

URLs, ids and keys have the form that the catalogues give; signatures and checksums are made up.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from .items import item

SHA512 = "1340" + hashlib.sha512(b"SR_B2").hexdigest()
SHA256 = "1220" + hashlib.sha256(b"B04").hexdigest()
MD5 = "d50110" + hashlib.md5(b"B04", usedforsecurity=False).hexdigest()

EUMETSAT_ID = (
    "W_XX-EUMETSAT-Darmstadt,IMG+SAT,MTI1+FCI-1C-RRAD-FDHSI-FD--x-x---x_C_EUMT_20250801121925_"
    "IDPFI_OPE_20250801121700_20250801121725_N__O_0074_0000"
)
EUMETSAT_ENTRY = (
    "W_XX-EUMETSAT-Darmstadt,IMG+SAT,MTI1+FCI-1C-RRAD-FDHSI-FD--CHK-BODY---NC4E_C_EUMT_"
    "20250801121915_IDPFI_OPE_20250801121700_20250801121725_N_JLS_C_0074_0040.nc"
)
EUMETSAT = "https://api.eumetsat.int/data/download/1.0.0/collections/EO%3AEUM%3ADAT%3A0662/products"


class Registered(NamedTuple):
    """An asset that can be registered."""

    case: str
    item: dict[str, Any]
    key: str
    did: str
    url: str | None = None
    """Where it is not the href."""


class Reported(NamedTuple):
    """An asset that can not be registered, and what is said of it."""

    case: str
    item: dict[str, Any]
    key: str
    reason: str


def _one(collection: str, item_id: str, key: str, href: str, **fields: Any) -> dict[str, Any]:
    return item(collection, item_id, {key: {"href": href, **fields}})


_DEA = "https://data.dea.ga.gov.au/baseline/ga_ls8c_ard_3/094/079/2020/12/23"
_DEA_ID = "d9221c40-24c3-5356-ab22-4dcac2bf2d70"
_GEODES_KEY = "2025/04/02/S2A/SENTINEL2A_20250402-105852-111_L2A_T31TCJ_C_V3-1_quicklook.jpg"
_UMBRA = "https://umbra-open-data-catalog.s3.us-west-2.amazonaws.com/sar-data/tasks"
_EARTH_SEARCH = (
    "https://sentinel-cogs.s3.us-west-2.amazonaws.com/sentinel-s2-l2a-cogs/20/P/EP/2025/7"
)
_CDSE = "https://download.dataspace.copernicus.eu/odata/v1/Products(0c6f1b1e-1d0b-4a8d)/$value"
_KOMPSAT = "K3_20201112193439_45302_18521139_L1G"

REGISTERED = [
    Registered(
        "https beside s3 in one item",
        item(
            "sentinel-2-l2a",
            "S2B_20EPT_20250731_0_L2A",
            {
                "red": {"href": f"{_EARTH_SEARCH}/S2B_20EPT_20250731_0_L2A/B04.tif"},
                "red-jp2": {"href": "s3://sentinel-s2-l2a/tiles/20/P/EP/2025/7/31/0/R10m/B04.jp2"},
            },
        ),
        "red",
        "sentinel-2-l2a:/sentinel-2-l2a/S2B_20EPT_20250731_0_L2A/red.tif",
    ),
    Registered(
        "the same scene in another collection",
        _one(
            "sentinel-2-c1-l2a",
            "S2B_20EPT_20250731_0_L2A",
            "red",
            f"{_EARTH_SEARCH}/S2B_20EPT_20250731_0_L2A/B04.tif",
        ),
        "red",
        "sentinel-2-c1-l2a:/sentinel-2-c1-l2a/S2B_20EPT_20250731_0_L2A/red.tif",
    ),
    Registered(
        "the same scene, processed again",
        _one(
            "sentinel-2-l2a",
            "S2B_20EPT_20250731_1_L2A",
            "red",
            f"{_EARTH_SEARCH}/S2B_20EPT_20250731_1_L2A/B04.tif",
        ),
        "red",
        "sentinel-2-l2a:/sentinel-2-l2a/S2B_20EPT_20250731_1_L2A/red.tif",
    ),
    Registered(
        "a zarr folder behind https",
        _one(
            "cil-gdpcir-cc0",
            "cil-gdpcir-NUIST-NESM3-ssp585-r1i1p1f1-day",
            "pr",
            "https://rhgeuwest.blob.core.windows.net/cil-gdpcir/NESM3/ssp585/pr/v1.1.zarr",
            type="application/vnd+zarr",
            roles=["data"],
        ),
        "pr",
        "cil-gdpcir-cc0:/cil-gdpcir-cc0/cil-gdpcir-NUIST-NESM3-ssp585-r1i1p1f1-day/pr.zarr",
    ),
    Registered(
        "the query carries the identity",
        _one("EO:EUM:DAT:0662", "MTI1", "EOPMetadata.xml", f"{EUMETSAT}/M/entry?name=a.xml"),
        "EOPMetadata.xml",
        "EO-.3AEUM-.3ADAT-.3A0662:/EO-.3AEUM-.3ADAT-.3A0662/MTI1/EOPMetadata.xml",
    ),
    Registered(
        "a key with a colon",
        _one("ga_ls8c_ard_3", _DEA_ID, "thumbnail:nbart", f"{_DEA}/nbart_thumbnail.jpg"),
        "thumbnail:nbart",
        f"ga_ls8c_ard_3:/ga_ls8c_ard_3/{_DEA_ID}/thumbnail-.3Anbart.jpg",
    ),
    Registered(
        "a key with slashes",
        _one("MUSCATE_S2_L2A", "S2A_T31TCJ", _GEODES_KEY, "https://geodes.cnes.fr/quicklook.jpg"),
        _GEODES_KEY,
        f"MUSCATE_S2_L2A:/MUSCATE_S2_L2A/S2A_T31TCJ/{_GEODES_KEY.replace('/', '-.2F')}",
    ),
    Registered(
        "a key that is a file name, and odd characters in the URL",
        _one(
            "umbra-sar",
            "0c5d1c0f",
            "2023-01-04-15-21-01_UMBRA-05_MM.tif",
            f"{_UMBRA}/Panama+Canal,+Panama/2023-01-04-15-21-01_UMBRA-05_MM.tif",
        ),
        "2023-01-04-15-21-01_UMBRA-05_MM.tif",
        "umbra-sar:/umbra-sar/0c5d1c0f/2023-01-04-15-21-01_UMBRA-05_MM.tif",
    ),
    Registered(
        "a key with an at sign and a space",
        _one("planet", "x", "a@2x b", "https://data.example.org/a%20b.png"),
        "a@2x b",
        "planet:/planet/x/a-.402x-.20b.png",
    ),
    Registered(
        "parentheses and a dollar in the URL",
        _one("SENTINEL-1", "S1A_IW", "PRODUCT", _CDSE),
        "PRODUCT",
        "SENTINEL-1:/SENTINEL-1/S1A_IW/PRODUCT",
    ),
    Registered(
        "an id with colons, above 25 characters",
        _one(
            "urn:eop:VITO:ESA_WorldCover_10m_2020_V1",
            "urn:eop:VITO:ESA_WorldCover_10m_2020_V1:ESA_WorldCover_10m_2020_v100_N00E006",
            "ESA_WORLDCOVER_10M_MAP",
            "https://services.terrascope.be/download/WORLDCOVER/ESA_WorldCover_N00E006_Map.tif",
        ),
        "ESA_WORLDCOVER_10M_MAP",
        "urn-.3Aeop-.3AVI-28a5054b:/urn-.3Aeop-.3AVITO-.3AESA_WorldCover_10m_2020_V1/"
        "urn-.3Aeop-.3AVITO-.3AESA_WorldCover_10m_2020_V1-.3AESA_WorldCover_10m_2020_v100_N00E006/"
        "ESA_WORLDCOVER_10M_MAP.tif",
    ),
    Registered(
        "a collection id with a colon and spaces",
        _one("psscene-vis-clip: PSScene", "20230101", "visual", "https://x.example.org/v.tif"),
        "visual",
        "psscene-vis-clip-6ab6984d:/psscene-vis-clip-.3A-.20PSScene/20230101/visual.tif",
    ),
    Registered(
        "a relative href",
        item(
            "kompsat",
            _KOMPSAT,
            {"pan": {"href": f"./{_KOMPSAT}_P.tif"}},
            f"https://data.example.org/kompsat/{_KOMPSAT}/{_KOMPSAT}.json?a=1",
        ),
        "pan",
        f"kompsat:/kompsat/{_KOMPSAT}/pan.tif",
        f"https://data.example.org/kompsat/{_KOMPSAT}/{_KOMPSAT}_P.tif",
    ),
    Registered(
        "another port, and plain http",
        _one("alps", "one", "dem", "http://stac.example.org:8080/dem//alps.tif"),
        "dem",
        "alps:/alps/one/dem.tif",
    ),
]

REPORTED = [
    Reported(
        "no href",
        item(
            "landsat-8-c2-l2",
            "LC08_L2SR_066091_20220318_02_T1",
            {
                "ST_QA": {"type": "image/tiff", "roles": ["data"]},
            },
        ),
        "ST_QA",
        "no href",
    ),
    *(
        Reported(
            f"{scheme} only",
            _one("c", "i", "data", f"{scheme}://place/folder/file.nc"),
            "data",
            f"{scheme} scheme",
        )
        for scheme in ("s3", "abfs", "az", "ftp", "gs", "file")
    ),
    Reported(
        "an API endpoint, by its key",
        _one("naip", "i", "tilejson", "https://pc.example.org/api/data/v1/item/tilejson.json"),
        "tilejson",
        "API endpoint",
    ),
    Reported(
        "an API endpoint, by its query",
        _one("naip", "i", "preview", "https://pc.example.org/preview.png?collection=naip&item=i"),
        "preview",
        "API endpoint",
    ),
    Reported(
        "signed for Azure",
        _one(
            "naip", "i", "image", "https://b.blob.core.windows.net/n.tif?se=2025&sp=rl&sig=SECRET"
        ),
        "image",
        "signed (parameter sig)",
    ),
    Reported(
        "signed for S3",
        _one("c", "i", "b", "https://b.s3.amazonaws.com/x?X-Amz-Date=2025&X-Amz-Signature=SECRET"),
        "b",
        "signed (parameter X-Amz-Signature)",
    ),
    Reported(
        "signed for Google",
        _one("c", "i", "b", "https://storage.googleapis.com/b/x?X-Goog-Signature=SECRET"),
        "b",
        "signed (parameter X-Goog-Signature)",
    ),
    Reported(
        "credentials",
        _one("c", "i", "b", "https://user:SECRET@data.example.org/x.tif"),
        "b",
        "credentials",
    ),
    Reported(
        "no collection",
        item(None, _DEA_ID, {"nbart": {"href": f"{_DEA}/nbart.tif"}}),
        "nbart",
        "no collection",
    ),
    Reported(
        "a relative href in an item that names no URL of its own",
        _one("kompsat", _KOMPSAT, "pan", f"./{_KOMPSAT}_P.tif"),
        "pan",
        "no scheme",
    ),
    Reported(
        "a relative href in a local item",
        item("c", "i", {"b": {"href": "b.tif"}}, "/data/c/i.json"),
        "b",
        "no scheme",
    ),
    Reported("a local href", _one("c", "i", "b", "/tmp/x/b.tif"), "b", "no scheme"),  # noqa: S108 - an href, not a file of ours
    Reported(
        "a space in the URL",
        _one("c", "i", "b", "https://data.example.org/a b.tif"),
        "b",
        "percent-escaped",
    ),
    Reported(
        "a URL that no parser takes",
        _one("c", "i", "b", "http://[::1/b.tif"),
        "b",
        "cannot be parsed",
    ),
    Reported(
        "a collection called like the scope of an account",
        _one("user.alice", "i", "b", "https://data.example.org/b.tif"),
        "b",
        "would get an account's scope",
    ),
    Reported(
        "a relative href where the item's own URL is none",
        item("c", "i", {"b": {"href": "b.tif"}}, "http://[::1/i.json"),
        "b",
        "no scheme",
    ),
]
