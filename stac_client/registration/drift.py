"""What differs between an asset and the file in Rucio that has its DID; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stac_policy.urls import redact

if TYPE_CHECKING:
    from stac_client.catalogue.assets import Asset
    from stac_client.listing import RucioFile


def difference(asset: Asset, file: RucioFile, rse: str) -> str | None:
    """Say how an asset differs from the file that has its DID, as far as both are known.

    Rucio's DIDs stand for the same bytes for ever; it answers a second
    registration with other bytes with success, and ignores it.
    """
    said = (
        ("size", asset.size_bytes, file.size_bytes),
        ("adler32", asset.checksums.adler32, file.adler32),
        ("md5", asset.checksums.md5, file.md5),
    )
    for name, of_item, of_rucio in said:
        if of_item is not None and of_rucio is not None and of_item != of_rucio:
            return (
                f"{asset.did} is in Rucio with {name} {of_rucio}, but the item says {of_item}; "
                "new bytes need a new item"
            )
    pfns = file.pfns.get(rse)
    if pfns and asset.url not in pfns:
        return f"{asset.did} is registered at {rse} with another URL: {redact(pfns[0])}"
    return None
