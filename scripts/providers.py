"""Write the table of providers into docs/catalogues.md: `python -m scripts.providers`.

It counts the data assets of the real items in the folder that STAC_CORPUS names.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from stac_client._assets import survey
from stac_client._item_completion import Completion
from stac_client._items import iter_items
from tests.corpus import labelled

PAGE = Path(__file__).parents[1] / "docs" / "catalogues.md"
_BEGIN = "<!-- Made by scripts/providers.py. -->\n"
_END = "<!-- End of the table of providers. -->\n"
_HEAD = """
| Catalogue | Data assets | Fetched by any transfer | With a credential | Not | How |
|---|---|---|---|---|---|
"""


def table() -> str:
    """Return the table."""
    counts: dict[str, Counter[str]] = {}
    for catalogue, item, labels in labelled():
        # Who registers such items says what they do not.
        completion = Completion(catalogue, "https://data.example.org/", offline=True)
        for found in (each for one in iter_items([item], completion) for each in survey(one)):
            if labels[found.key][4] != "data":
                continue
            way = "not"
            if found.selected and found.fetchable and found.url:
                way = "credential" if found.needs else "any"
            needs = f": {found.needs.partition(', with ')[2]}" if found.needs else ""
            count = counts.setdefault(catalogue.removesuffix(".json"), Counter())
            count.update([way, f"how {found.access}{needs}"])
    rows = []
    for catalogue, count in sorted(counts.items()):
        numbers = [count[way] for way in ("any", "credential", "not")]
        ways = sorted(way[4:] for way in count if way.startswith("how "))
        cells = [catalogue, sum(numbers), *numbers, "; ".join(ways)]
        rows.append(f"| {' | '.join(map(str, cells))} |\n")
    return _HEAD + "".join(rows) + "\n"


def page(text: str) -> str:
    """Return the page with the table as it is now."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    return before + begin + table() + end + after


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
