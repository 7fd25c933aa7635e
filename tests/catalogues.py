"""Items of our own in the shape of public catalogues, and what becomes of each of their assets.

Every odd case that a public catalogue has is here, with what must come out of it written down.
Ids, keys and forms of URLs are those of the catalogues; texts, signatures, checksums, and hosts
where they do not matter, are made up.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from .items import make_item

SHA256 = "1220" + hashlib.sha256(b"B04").hexdigest()
SHA512 = "1340" + hashlib.sha512(b"SR_B2").hexdigest()

ROLE = "not data: its role is"
CALLED = "not data: it is called"
DOCUMENT = "a document beside data"
SECOND = "the same as red: tif goes before jp2"
ENDPOINT = "an API endpoint, not a file"


class Scene(NamedTuple):
    """An item, and what is known beforehand of its assets, each by its key."""

    case: str
    item: dict[str, Any]
    dataset: str
    """Its DID."""
    registered: dict[str, str] = {}  # noqa: RUF012 - read alone, as all of these
    """Last parts of the names of those that are registered by default."""
    reported: dict[str, str] = {}  # noqa: RUF012
    """What is said of the others."""
    on_request: dict[str, str] = {}  # noqa: RUF012
    """Last parts of the names of those among them that are registered when asked for by key."""
    urls: dict[str, str] = {}  # noqa: RUF012
    """URLs that are not the hrefs."""


_API = "https://stac.example.org/v1"
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_EXTENSIONS = "https://stac-extensions.github.io"
_BOX = [[[10.0, 46.0], [11.4, 46.0], [11.4, 47.0], [10.0, 47.0], [10.0, 46.0]]]


def _item(
    collection: str | None, item_id: str, assets: dict[str, Any], **fields: Any
) -> dict[str, Any]:
    """Return an item as a STAC API gives it."""
    parent = f"{_API}/collections/{collection}"
    rels = {"root": _API, "self": f"{parent}/items/{item_id}"}
    if collection is not None:
        rels |= {"parent": parent, "collection": parent}
    links = [{"rel": rel, "type": "application/json", "href": href} for rel, href in rels.items()]
    made = {
        "stac_extensions": [],
        "geometry": {"type": "Polygon", "coordinates": _BOX},
        "bbox": [10.0, 46.0, 11.4, 47.0],
        "links": links,
    }
    return make_item(collection, item_id, assets, **(made | fields))


def _one(collection: str | None, item_id: str, key: str, href: str, **fields: Any) -> Any:
    return _item(collection, item_id, {key: {"href": href, **fields}})


def _of(role: str, href: str, media_type: str = _COG, **fields: Any) -> dict[str, Any]:
    return {"href": href, "type": media_type, "roles": [role], **fields}


# Earth Search

_COGS = "https://sentinel-cogs.example.org/sentinel-s2-l2a-cogs/32/T/PS/2025/7"
_TILES = "s3://sentinel-s2-l2a/tiles/32/T/PS/2025/7/31/0"
_S2 = {
    "datetime": "2025-07-31T13:19:05.123000Z",
    "platform": "sentinel-2b",
    "constellation": "sentinel-2",
    "instruments": ["msi"],
    "eo:cloud_cover": 12.5,
    "proj:epsg": 32720,
    "s2:sequence": "0",
    "created": "2025-08-01T00:00:00Z",
}


def _sentinel_2(collection: str, item_id: str, **assets: Any) -> dict[str, Any]:
    """Return an item of Earth Search: STAC 1.0, all bands with the role data."""
    red = _of("data", f"{_COGS}/{item_id}/B04.tif", title="Red (band 4) - 10m")
    red["roles"] = ["data", "reflectance"]
    red["eo:bands"] = [{"name": "red", "common_name": "red", "center_wavelength": 0.665}]
    red["proj:transform"] = [10, 0, 499980, 0, -10, 8200000]
    return _item(
        collection,
        item_id,
        {"red": red, **assets},
        stac_version="1.0.0",
        stac_extensions=[f"{_EXTENSIONS}/eo/v1.1.0/schema.json"],
        properties=_S2,
    )


_EARTH_SEARCH = [
    Scene(
        "https beside s3 in one item",
        _sentinel_2(
            "sentinel-2-l2a",
            "S2B_32TPS_20250731_0_L2A",
            scl=_of("data", f"{_COGS}/S2B_32TPS_20250731_0_L2A/SCL.tif"),
            cloud=_of("data", f"{_TILES}/qi/CLD_20m.jp2", "image/jp2"),
            visual=_of("visual", f"{_COGS}/S2B_32TPS_20250731_0_L2A/TCI.tif"),
            granule_metadata=_of(
                "metadata",
                f"{_COGS}/S2B_32TPS_20250731_0_L2A/granule_metadata.xml",
                "application/xml",
            ),
            product_metadata=_of("metadata", f"{_TILES}/product_metadata.xml", "application/xml"),
            **{
                "red-jp2": {
                    "href": f"{_TILES}/R10m/B04.jp2",
                    "type": "image/jp2",
                    "roles": ["data", "reflectance"],
                }
            },
        ),
        "sentinel-2-l2a:/sentinel-2-l2a/S2B_32TPS_20250731_0_L2A",
        {"red": "red.tif", "scl": "scl.tif", "cloud": "cloud.jp2", "visual": "visual.tif"},
        {"granule_metadata": ROLE, "product_metadata": ROLE, "red-jp2": SECOND},
        {
            "granule_metadata": "granule_metadata.xml",
            "product_metadata": "product_metadata.xml",
            "red-jp2": "red-jp2.jp2",
        },
    ),
    Scene(
        "the same scene in another collection, with sizes and checksums",
        _sentinel_2(
            "sentinel-2-c1-l2a",
            "S2B_32TPS_20250731_0_L2A",
            nir=_of("data", f"{_COGS}/S2B_32TPS_20250731_0_L2A/B08.tif")
            | {"file:size": 205_931_957, "file:checksum": SHA256},
            preview=_of("overview", f"{_COGS}/S2B_32TPS_20250731_0_L2A/L2A_PVI.tif")
            | {"file:size": 51_017, "file:checksum": SHA256},
        ),
        "sentinel-2-c1-l2a:/sentinel-2-c1-l2a/S2B_32TPS_20250731_0_L2A",
        {"red": "red.tif", "nir": "nir.tif"},
        {"preview": ROLE},
        {"preview": "preview.tif"},
    ),
    Scene(
        "the same scene, processed again",
        _sentinel_2("sentinel-2-l2a", "S2B_32TPS_20250731_1_L2A"),
        "sentinel-2-l2a:/sentinel-2-l2a/S2B_32TPS_20250731_1_L2A",
        {"red": "red.tif"},
    ),
    Scene(
        "s3 only",
        _one(
            "cop-dem-glo-30",
            "Copernicus_DSM_COG_10_N46_00_E010_00_DEM",
            "data",
            "s3://copernicus-dem-30m/Copernicus_DSM_COG_10_N46_00_E010_00_DEM.tif",
            roles=["data"],
        ),
        "cop-dem-glo-30:/cop-dem-glo-30/Copernicus_DSM_COG_10_N46_00_E010_00_DEM",
        {"data": "data.tif"},
    ),
    Scene(
        "s3 only, where the requester pays",
        _item(
            "sentinel-1-grd",
            "S1A_IW_GRDH_1SDV_20250731T221500",
            {"vv": _of("data", "s3://sentinel-s1-l1c/GRD/2025/7/31/IW/DV/iw-vv.tiff")},
            stac_extensions=[f"{_EXTENSIONS}/storage/v1.0.0/schema.json"],
            properties={
                "datetime": None,
                "start_datetime": "2025-07-31T22:15:00Z",
                "end_datetime": "2025-07-31T22:15:25Z",
                "storage:platform": "AWS",
                "storage:region": "eu-central-1",
                "storage:requester_pays": True,
            },
        ),
        "sentinel-1-grd:/sentinel-1-grd/S1A_IW_GRDH_1SDV_20250731T221500",
        {"vv": "vv.tiff"},
    ),
]

# Planetary Computer

_PC = "https://pc.example.org/api/data/v1/item"
_PC_S2 = "S2A_MSIL2A_20190101T101401_R022_T32TPS_20201007T214652"
_SAFE = f"https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/32/T/PS/2019/{_PC_S2}.SAFE"
_SENTINEL_1 = "S1A_IW_GRDH_1SDV_20250731T221500_rtc"
_SENTINEL_1_RTC = f"https://sentinel1euwestrtc.blob.core.windows.net/{_SENTINEL_1}"
_CIL = "cil-gdpcir-NUIST-NESM3-ssp585-r1i1p1f1-day"
_RENDERED = f"collection=sentinel-2-l2a&item={_PC_S2}&assets=visual&nodata=0&format=png"

_PLANETARY_COMPUTER = [
    Scene(
        "API endpoints beside data",
        _item(
            "sentinel-2-l2a",
            _PC_S2,
            {
                "B04": {
                    **_of("data", f"{_SAFE}/IMG_DATA/R10m/T32TPS_20190101T101401_B04_10m.tif"),
                    "gsd": 10.0,
                    "proj:shape": [10980, 10980],
                    "eo:bands": [{"name": "B04", "common_name": "red"}],
                },
                "visual": _of("data", f"{_SAFE}/IMG_DATA/R10m/T32TPS_20190101T101401_TCI_10m.tif"),
                "preview": _of("thumbnail", f"{_SAFE}/QI_DATA/T32TPS_20190101T101401_PVI.tif"),
                "safe-manifest": _of("metadata", f"{_SAFE}/manifest.safe", "application/xml"),
                "tilejson": _of("tiles", f"{_PC}/tilejson.json?{_RENDERED}", "application/json"),
                "rendered_preview": _of(
                    "overview", f"{_PC}/preview.png?{_RENDERED}", "image/png", rel="preview"
                ),
            },
            stac_version="1.0.0",
        ),
        f"sentinel-2-l2a:/sentinel-2-l2a/{_PC_S2}",
        {"B04": "B04.tif", "visual": "visual.tif"},
        dict.fromkeys(("preview", "safe-manifest"), ROLE)
        | dict.fromkeys(("tilejson", "rendered_preview"), ENDPOINT),
        {
            "preview": "preview.tif",
            "safe-manifest": "safe-manifest.safe",
            "tilejson": "tilejson.json",
            "rendered_preview": "rendered_preview.png",
        },
    ),
    Scene(
        "API endpoints where no asset is data, by their keys and by their queries",
        _item(
            "naip",
            "va_m_3807757_sw_18_060_20211007",
            {
                "image": {"href": "https://naipeuwest.blob.core.windows.net/naip/m_3807757.tif"},
                "tilejson": {"href": f"{_PC}/tilejson.json"},
                "preview": {"href": f"{_PC}/preview.png?collection=naip&item=va_m_3807757"},
            },
        ),
        "naip:/naip/va_m_3807757_sw_18_060_20211007",
        {"image": "image.tif"},
        {"tilejson": ENDPOINT, "preview": ENDPOINT},
        {"tilejson": "tilejson.json", "preview": "preview.png"},
    ),
    Scene(
        "no href",
        _item(
            "landsat-8-c2-l2",
            "LC08_L2SR_066091_20220318_02_T1",
            {
                "SR_B4": _of("data", "https://landsateuwest.blob.core.windows.net/c2/SR_B4.TIF"),
                "ST_QA": {"type": _COG, "roles": ["data"], "title": "Surface Temperature Quality"},
            },
        ),
        "landsat-8-c2-l2:/landsat-8-c2-l2/LC08_L2SR_066091_20220318_02_T1",
        {"SR_B4": "SR_B4.TIF"},
        {"ST_QA": "no href"},
    ),
    Scene(
        "a zarr folder, behind https and behind abfs",
        _item(
            "cil-gdpcir-cc0",
            _CIL,
            {
                "pr": _of(
                    "data",
                    "https://rhgeuwest.blob.core.windows.net/cil-gdpcir/ssp585/pr/v1.1.zarr",
                    "application/vnd+zarr",
                ),
                "tasmax": _of(
                    "data",
                    "abfs://cil-gdpcir/ScenarioMIP/ssp585/tasmax/v1.1.zarr",
                    "application/vnd+zarr",
                    **{"xarray:storage_options": {"account_name": "rhgeuwest"}},
                ),
            },
        ),
        f"cil-gdpcir-cc0:/cil-gdpcir-cc0/{_CIL}",
        {"pr": "pr.zarr", "tasmax": "tasmax.zarr"},
    ),
    Scene(
        "checksums that are a bare md5 and an ETag",
        _item(
            "sentinel-1-rtc",
            _SENTINEL_1,
            {
                "vv": _of("data", f"{_SENTINEL_1_RTC}/iw-vv.rtc.tiff")
                | {"file:size": 1024, "file:checksum": "d41d8cd98f00b204e9800998ecf8427e"},
                "vh": _of("data", f"{_SENTINEL_1_RTC}/iw-vh.rtc.tiff")
                | {"file:checksum": "d41d8cd98f00b204e9800998ecf8427e-12"},
            },
        ),
        f"sentinel-1-rtc:/sentinel-1-rtc/{_SENTINEL_1}",
        {"vv": "vv.tiff", "vh": "vh.tiff"},
    ),
    *(
        Scene(
            f"signed for {store}",
            _one("signed", store, "image", f"{href}&{parameter}=SECRET"),
            f"signed:/signed/{store}",
            {},
            {"image": f"signed (parameter {parameter})"},
        )
        for store, href, parameter in (
            ("Azure", "https://b.blob.core.windows.net/n.tif?se=2025&sp=rl", "sig"),
            ("S3", "https://b.s3.amazonaws.com/x?X-Amz-Date=2025", "X-Amz-Signature"),
            ("Google", "https://storage.googleapis.com/b/x?x=1", "X-Goog-Signature"),
        )
    ),
    Scene(
        "a collection id of 54 characters",
        _one(
            "noaa-cdr-sea-surface-temperature-optimum-interpolation",
            "oisst-avhrr-v02r01.20220913",
            "data",
            "https://noaacdr.blob.core.windows.net/oisst-avhrr-v02r01.20220913.nc",
        ),
        "noaa-cdr-sea-sur-52aa844c:/noaa-cdr-sea-surface-temperature-optimum-interpolation/"
        "oisst-avhrr-v02r01.20220913",
        {"data": "data.nc"},
    ),
    *(
        Scene(
            f"collection ids that would meet when cut at 25 characters: {theme}",
            _one(
                f"met-office-global-deterministic-{theme}",
                "20250614T0000Z",
                "cloud_amount",
                "https://ukmoeuwest.blob.core.windows.net/deterministic/cloud_amount.nc",
            ),
            f"met-office-globa-{digest}:/met-office-global-deterministic-{theme}/20250614T0000Z",
            {"cloud_amount": "cloud_amount.nc"},
        )
        for theme, digest in (("height", "e018e1f2"), ("near-surface", "b2ea3a5b"))
    ),
]

# Other catalogues

_EUMETSAT_ID = (
    "W_XX-EUMETSAT-Darmstadt,IMG+SAT,MTI1+FCI-1C-RRAD-FDHSI-FD--x-x---x_C_EUMT_20250801121925_"
    "IDPFI_OPE_20250801121700_20250801121725_N__O_0074_0000"
)
_EUMETSAT_ENTRY = (
    "W_XX-EUMETSAT-Darmstadt,IMG+SAT,MTI1+FCI-1C-RRAD-FDHSI-FD--CHK-BODY---NC4E_C_EUMT_"
    "20250801121915_IDPFI_OPE_20250801121700_20250801121725_N_JLS_C_0074_0040.nc"
)
_EUMETSAT = (
    "https://api.eumetsat.int/data/download/1.0.0/collections/EO%3AEUM%3ADAT%3A0662/products"
)
_EUMETSAT_SECOND = _EUMETSAT_ENTRY.replace("0040.nc", "0041.nc")

_DEA = "https://data.dea.example.org/baseline/ga_ls8c_ard_3/094/079/2020/12/23"
_DEA_ID = "d9221c40-24c3-5356-ab22-4dcac2bf2d70"
_GEODES_KEY = "2025/04/02/S2A/SENTINEL2A_20250402-105852-111_L2A_T31TCJ_C_V3-1_quicklook.jpg"
_UMBRA = "https://umbra.example.org/sar-data/tasks/Panama+Canal,+Panama"
_UMBRA_KEY = "2023-01-04-15-21-01_UMBRA-05_MM.tif"
_CDSE = "https://download.dataspace.example.org/odata/v1"
_LANDSAT = "LC08_L2SP_028030_20200114_20200824_02_T1_SR"
_WORLDCOVER = "urn:eop:VITO:ESA_WorldCover_10m_2020_V1"
_HLS = "https://data.lpdaac.earthdatacloud.nasa.gov/lp-prod-protected/HLSL30.020/HLS.L30.T56JKT"
_KOMPSAT = "K3_20201112193439_45302_18521139_L1G"
_SKYSAT = "20201211_103040_ssc12_u0001"

_OTHERS = [
    Scene(
        "USGS: a checksum and no size",
        _one(
            "landsat-c2l2-sr",
            _LANDSAT,
            "blue",
            f"https://landsatlook.example.org/2020/028/030/{_LANDSAT}_B2.TIF",
            **{"file:checksum": SHA512},
        ),
        f"landsat-c2l2-sr:/landsat-c2l2-sr/{_LANDSAT}",
        {"blue": "blue.TIF"},
    ),
    Scene(
        "DEA: a key with a colon",
        _one("ga_ls8c_ard_3", _DEA_ID, "thumbnail:nbart", f"{_DEA}/nbart_thumbnail.jpg"),
        f"ga_ls8c_ard_3:/ga_ls8c_ard_3/{_DEA_ID}",
        {},
        {"thumbnail:nbart": CALLED},
        {"thumbnail:nbart": "thumbnail-.3Anbart.jpg"},
    ),
    Scene(
        "DEA: no collection",
        _one(None, _DEA_ID, "nbart", f"{_DEA}/nbart.tif"),
        "",
        {},
        {"nbart": "no collection"},
    ),
    Scene(
        "EUMETSAT: the query carries the identity, and names are above 250 characters",
        _item(
            "EO:EUM:DAT:0662",
            _EUMETSAT_ID,
            {
                key: {"href": f"{_EUMETSAT}/{_EUMETSAT_ID}/entry?name={key}"}
                for key in ("EOPMetadata.xml", _EUMETSAT_ENTRY, _EUMETSAT_SECOND)
            },
        ),
        "EO-.3AEUM-.3ADAT-.3A0662:/EO-.3AEUM-.3ADAT-.3A0662/W_XX-EUMETSAT-Darmstadt-.2CIMG-.2BSAT"
        "-.2CMTI1-.2BFCI-1C-RRAD-FDHSI-FD--x-x---x_C_EUMT_20250801121925_IDPFI_OPE_20250801121700"
        "_20250801121725_N__O_0074_0000",
        {
            _EUMETSAT_ENTRY: (
                "W_XX-EUMETSAT-Darmstadt-.2CIMG-.2BSAT-.2CMTI1-.H774a2b501ee0245f.nc"
            ),
            _EUMETSAT_SECOND: (
                "W_XX-EUMETSAT-Darmstadt-.2CIMG-.2BSAT-.2CMTI1-.H23e5ea4cb3be5eaa.nc"
            ),
        },
        {"EOPMetadata.xml": CALLED},
        {"EOPMetadata.xml": "EOPMetadata.xml"},
    ),
    Scene(
        "CDSE: s3, and as an alternate https with parentheses and a dollar in the URL",
        _item(
            "SENTINEL-1",
            "S1A_IW",
            {
                "PRODUCT": {
                    "href": "s3://eodata/Sentinel-1/SAR/S1A_IW.SAFE",
                    "type": "application/zip",
                    "roles": ["data", "metadata"],
                    "auth:refs": ["s3"],
                    "storage:refs": ["cdse"],
                    "alternate:name": "S3",
                    "alternate": {
                        "https": {
                            "href": f"{_CDSE}/Products(0c6f1b1e-1d0b-4a8d)/$value",
                            "alternate:name": "HTTPS",
                            "auth:refs": ["oidc"],
                        }
                    },
                },
            },
            stac_extensions=[f"{_EXTENSIONS}/alternate-assets/v1.2.0/schema.json"],
            properties={
                "datetime": "2025-06-01T00:00:00Z",
                "auth:schemes": {"s3": {"type": "s3"}, "oidc": {"type": "openIdConnect"}},
                "storage:schemes": {"cdse": {"type": "custom-s3", "requester_pays": False}},
            },
        ),
        "SENTINEL-1:/SENTINEL-1/S1A_IW",
        {"PRODUCT": "PRODUCT.SAFE"},
        urls={"PRODUCT": f"{_CDSE}/Products(0c6f1b1e-1d0b-4a8d)/$value"},
    ),
    Scene(
        "GEODES: a key with slashes, and hrefs that are no URL",
        _item(
            "MUSCATE_S2_L2A",
            "S2A_T31TCJ",
            {
                _GEODES_KEY: {"href": "https://geodes.example.org/quicklook.jpg"},
                "absent": {"href": "null"},
            },
            links=[],
        ),
        "MUSCATE_S2_L2A:/MUSCATE_S2_L2A/S2A_T31TCJ",
        {},
        {_GEODES_KEY: CALLED, "absent": "no scheme"},
        {
            _GEODES_KEY: "2025-.2F04-.2F02-.2FS2A-.2F"
            "SENTINEL2A_20250402-105852-111_L2A_T31TCJ_C_V3-1_quicklook.jpg"
        },
    ),
    Scene(
        "Umbra: a key that is a file name, and odd characters in the URL",
        _one("umbra-sar", "0c5d1c0f", _UMBRA_KEY, f"{_UMBRA}/{_UMBRA_KEY}"),
        "umbra-sar:/umbra-sar/0c5d1c0f",
        {_UMBRA_KEY: _UMBRA_KEY},
    ),
    Scene(
        "FedEO: ftp only, in a collection with colons above 25 characters",
        _item(
            _WORLDCOVER,
            f"{_WORLDCOVER}:v100_N00E006",
            {
                "map": {"href": "https://terrascope.example.org/ESA_WorldCover_N00E006_Map.tif"},
                "enclosure": {"href": "ftp://ftp.example.org/LST/2020/LST_20200101.h5"},
            },
        ),
        "urn-.3Aeop-.3AVI-28a5054b:/urn-.3Aeop-.3AVITO-.3AESA_WorldCover_10m_2020_V1/"
        "urn-.3Aeop-.3AVITO-.3AESA_WorldCover_10m_2020_V1-.3Av100_N00E006",
        {"map": "map.tif"},
        {"enclosure": "ftp scheme"},
    ),
    Scene(
        "NASA: a login wall that answers with a page, an alternate without a key",
        _item(
            "HLSL30",
            "G1994512890-LPCLOUD",
            {
                "B04": {
                    "href": f"{_HLS}.2021045T235239.v2.0.B04.tif",
                    "alternate": {"href": "s3://lp-prod-protected/B04.tif", "type": _COG},
                },
                "003": {"href": "https://cmr.example.org/HLS.L30.T56JKT.2021045T235239.v2.0"},
                "browse": {"href": "https://data.example.org/browse.jpg#page=1"},
            },
            bbox=[10.0, 46.0, 0.0, 11.4, 47.0, 900.5],
        ),
        "HLSL30:/HLSL30/G1994512890-LPCLOUD",
        {"B04": "B04.tif", "003": "003"},
        {"browse": CALLED},
    ),
    Scene(
        "Planet: a collection id with a colon and a space",
        _one("psscene-vis-clip: PSScene", "20230101", "visual", "https://data.example.org/v.tif"),
        "psscene-vis-clip-6ab6984d:/psscene-vis-clip-.3A-.20PSScene/20230101",
        {"visual": "visual.tif"},
    ),
    Scene(
        "Planet: slashes in the collection id, a key with an at sign and a space",
        _one("planet/fusion", "2021-06-27", "a@2x b", "https://data.example.org/a%20b.png"),
        "planet-.2Ffusion:/planet-.2Ffusion/2021-06-27",
        {"a@2x b": "a-.402x-.20b.png"},
    ),
    Scene(
        "Planet: keys of which one is the other with its suffix",
        _item(
            "planet-stac-skysat",
            _SKYSAT,
            {
                key: {"href": f"https://data.example.org/skysat/{_SKYSAT}/{path}"}
                for key, path in (
                    ("analytic:ortho", "analytic.tif"),
                    ("udm", "a/udm.tif"),
                    ("udm.tif", "b/udm.tif"),
                )
            },
        ),
        f"planet-stac-skysat:/planet-stac-skysat/{_SKYSAT}",
        {"analytic:ortho": "analytic-.3Aortho.tif", "udm": "udm", "udm.tif": "udm.tif"},
    ),
    Scene(
        "KOMPSAT: relative hrefs",
        _item(
            "kompsat",
            _KOMPSAT,
            {"pan": {"href": f"./{_KOMPSAT}_P.tif"}, "thumb": {"href": "../thumbs.d/K3_br"}},
            links=[
                {"rel": "root", "href": "../../catalog.json"},
                {"rel": "self", "href": f"https://data.example.org/kompsat/{_KOMPSAT}/i.json?a=1"},
            ],
        ),
        f"kompsat:/kompsat/{_KOMPSAT}",
        {"pan": "pan.tif"},
        {"thumb": CALLED},
        {"thumb": "thumb"},
        urls={
            "pan": f"https://data.example.org/kompsat/{_KOMPSAT}/{_KOMPSAT}_P.tif",
            "thumb": "https://data.example.org/kompsat/thumbs.d/K3_br",
        },
    ),
    *(
        Scene(
            f"KOMPSAT: a relative and a bare local href in {where}",
            _item(
                "kompsat",
                item_id,
                {"pan": {"href": f"./{_KOMPSAT}_P.tif"}, "aux": {"href": "/tmp/x/K3_Aux.xml"}},  # noqa: S108 - an href, not a file of ours
                links=links,
            ),
            f"kompsat:/kompsat/{item_id}",
            {},
            {"pan": "no scheme", "aux": DOCUMENT},
        )
        for item_id, where, links in (
            ("K3-1", "an item that names no URL of its own", []),
            ("K3-2", "a local item", [{"rel": "self", "href": "/data/c/i.json"}]),
            (
                "K3-3",
                "an item whose own URL is none",
                [{"rel": "self", "href": "http://[::1/i.json"}],
            ),
        )
    ),
    Scene(
        "on premises: another port, plain http, and URLs that must not be stored",
        _item(
            "alps",
            "one",
            {
                "dem": {"href": "http://stac.example.org:8080/dem//alps.tif"},
                "tls": {"href": "https://stac.example.org:8443/dem/alps.tif?version=1&x=/"},
                "credentials": {"href": "https://user:SECRET@data.example.org/x.tif"},
                "space": {"href": "https://data.example.org/a b.tif"},
                "unparsable": {"href": "http://[::1/b.tif"},
                **{
                    scheme: {"href": f"{scheme}://place/folder/file.nc"}
                    for scheme in ("s3", "abfs", "az", "ftp", "gs", "file")
                },
            },
        ),
        "alps:/alps/one",
        {"dem": "dem.tif", "tls": "tls.tif", "s3": "s3.nc", "gs": "gs.nc"},
        {
            "credentials": "credentials",
            "space": "percent-escaped",
            "unparsable": "cannot be parsed",
            "abfs": "which account of Azure",
            "az": "which account of Azure",
            "ftp": "ftp scheme",
            "file": "file scheme",
        },
    ),
    Scene(
        "CBERS: before STAC 1.0, without links",
        {
            "type": "Feature",
            "stac_version": "1.0.0-beta.2",
            "id": "CBERS_4_MUX_20170528_090_084_L2",
            "collection": "CBERS4MUX",
            "bbox": None,
            "properties": {},
            "assets": {
                "B5": {"href": "https://data.example.org/CBERS_4_MUX_BAND5.tif"},
                "B6": {"href": "CBERS_4_MUX_BAND6.tif"},
            },
        },
        "CBERS4MUX:/CBERS4MUX/CBERS_4_MUX_20170528_090_084_L2",
        {"B5": "B5.tif"},
        {"B6": "no scheme"},
    ),
    Scene(
        "the form of the first prototype",
        _one(
            "seed",
            "item-1",
            "B04",
            "https://localhost:8443/seed/B04.tif",
            **{
                "rucio:config": {
                    "rucio:host": "https://rucio.example.org",
                    "rucio:scope": "cms",
                    "rucio:name": "x.tif",
                    "rucio:scheme": "https",
                    "rucio:size": 1024,
                    "rucio:adler32": "0A1B2C3D",
                }
            },
        ),
        "seed:/seed/item-1",
        {"B04": "B04.tif"},
    ),
]

SCENES = [*_EARTH_SEARCH, *_PLANETARY_COMPUTER, *_OTHERS]
ITEMS = [scene.item for scene in SCENES]
