"""Make the generated rows of the table of origins anew: `python -m scripts.origins RODA PC`.

RODA is a clone of the Registry of Open Data on AWS (github.com/awslabs/open-data-registry), PC
one of the tasks of the Planetary Computer (github.com/microsoft/planetary-computer-tasks). Rows
written by hand stay, and go first: what they have is not made again.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import yaml  # type: ignore[import-untyped]

from stac_policy.access import Kind, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

_TABLE = Path(__file__).parents[1] / "stac_policy" / "origins.tsv"
_MARK = "# From here on made by scripts/origins.py.\n"
_TAGS = re.compile(
    "earth obs|satellite|geospatial|climate|weather|meteo|ocean|lidar|elevation|environment|"
    "atmos|agricult|hydrol|land |natural resource|biodivers|disaster|radar|air quality|water|"
    "sustainab"
)
_ARN = re.compile(r"arn:aws[a-z-]*:s3:::-?([A-Za-z0-9._-]+)(/?.*)")
_PAYS = "keys of an AWS account that pays for the transfer"
_CONTROLLED = "the keys of {} work in its region alone"
_PLANETARY = "=planetary-computer"
_BLOB = re.compile(
    r"(?:blob://|https://)([a-z0-9]{3,24})(?:\.blob\.core\.windows\.net)?/([a-z0-9-]+)"
)
_FIELD = r'"msft:{}": *"([a-z0-9-]+)"'
_OWN = re.compile(r"-(?:etl-data|stac|info|onboarding|geoparquet|references)$|^etl-data$")
_FOREIGN = {
    "azureopendatastorage",
    "ai4edatasetspublicassets",
    "devstoreaccount1",
    "example",
    "somesa",
}
"""Accounts that are not behind the Planetary Computer's tokens, or are in examples alone."""


def files(clone: str, folder: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each file below a folder of a clone, as its HEAD has it."""
    command = ["git", "-C", clone, "archive", "HEAD", folder]
    packed = subprocess.run(command, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                yield member.name, content.read().decode(errors="replace")


def commit(clone: str) -> str:
    """Return the commit that a clone is at."""
    command = ["git", "-C", clone, "rev-parse", "--short=8", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def registry(clone: str) -> Iterator[tuple[str, ...]]:
    """Yield a row for each bucket of the registry that has to do with the Earth."""
    for name, text in files(clone, "datasets"):
        dataset = yaml.safe_load(text) if name.endswith(".yaml") else {}
        if not _TAGS.search(" ".join(map(str, dataset.get("Tags") or ())).lower()):
            continue
        for resource in dataset.get("Resources") or ():
            arn = _ARN.match(str(resource.get("ARN")))
            if resource.get("Type") != "S3 Bucket" or arn is None:
                continue
            kind, needs = Kind.PUBLIC_BUCKET, ""
            if resource.get("RequesterPays") is True:
                kind, needs = Kind.REQUESTER_PAYS, _PAYS
            if resource.get("ControlledAccess"):
                kind, needs = Kind.NOT_TO_BE_HAD, _CONTROLLED.format(resource["ControlledAccess"])
            yield f"s3://{arn[1]}", kind.value, str(resource.get("Region") or ""), needs


def planetary(clone: str) -> Iterator[tuple[str, ...]]:
    """Yield a row for each account of Azure whose data sets the Planetary Computer has."""
    containers: dict[str, set[str]] = {}
    for name, text in files(clone, "datasets"):
        if name.endswith((".json", ".yaml", ".py")):
            pairs = [
                re.findall(_FIELD.format(each), text) for each in ("storage_account", "container")
            ]
            for account, container in (*_BLOB.findall(text), *zip(*pairs, strict=False)):
                containers.setdefault(account, set()).add(container)
    for account in sorted(containers.keys() - _FOREIGN):
        known = " ".join(sorted(each for each in containers[account] if not _OWN.search(each)))
        yield f"az://{account}", Kind.SIGNED.value, known, _PLANETARY


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("roda", help="clone of awslabs/open-data-registry")
    parser.add_argument("pc", help="clone of microsoft/planetary-computer-tasks")
    given = parser.parse_args()
    by_hand = _TABLE.read_text("utf-8").partition(_MARK)[0]
    there = {row[0] for row in read_rows(by_hand)}
    made: dict[str, str] = {}
    for source, rows in (
        (f"RODA {commit(given.roda)}", registry(given.roda)),
        (f"PC {commit(given.pc)}", planetary(given.pc)),
    ):
        for origin, kind, at, needs in sorted(rows):
            if origin not in there:
                made.setdefault(origin, f"{origin}\t{kind}\t{at}\t{needs}\t{source}")
    _TABLE.write_text(by_hand + _MARK + "".join(f"{row}\n" for row in made.values()), "utf-8")


if __name__ == "__main__":
    main()
